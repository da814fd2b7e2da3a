//! From redb's errors to a kind.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use ringhold_core::{Error, ErrorKind};

const STORE: &str = "redb";

/// An error of an open file.
#[cold]
pub(crate) fn from_redb(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    let (kind, context) = judge(&error);
    Error::new(kind, STORE, context).with_source(error)
}

/// An error at the opening of `path`.
#[cold]
pub(crate) fn opening(path: &Path, error: redb::Error) -> Error {
    let (kind, context) = judge(&error);
    Error::new(kind, STORE, format!("{}: {context}", path.display())).with_source(error)
}

fn judge(error: &redb::Error) -> (ErrorKind, Cow<'static, str>) {
    use redb::Error as E;
    let (kind, context) = match error {
        E::DatabaseAlreadyOpen | E::LockProtocolMismatch => (
            ErrorKind::Unavailable,
            "it is open already, in another process, or in this one by another name (a link, or it was moved); end or \
             close that, or use a backend that processes share",
        ),
        E::Corrupted(_) => (ErrorKind::Corrupt, "the file is damaged"),
        E::TableTypeMismatch { .. }
        | E::TypeDefinitionChanged { .. }
        | E::TableIsMultimap(_)
        | E::TableIsNotMultimap(_) => (
            ErrorKind::Corrupt,
            "the file has a table of our name that is not ours",
        ),
        E::UpgradeRequired(_) => (
            ErrorKind::Unsupported,
            "the file is of an older redb; write it anew with one that reads it",
        ),
        E::ValueTooLarge(_) => (ErrorKind::TooLarge, "the value is over redb's limit"),
        E::Io(error) => judge_io(error),
        E::PreviousIo => (ErrorKind::Unavailable, "the disk has failed before"),
        error => return (ErrorKind::Unavailable, format!("redb refuses: {error}").into()),
    };
    (kind, context.into())
}

fn judge_io(error: &io::Error) -> (ErrorKind, &'static str) {
    match error.kind() {
        // What redb says of a file that is none of its own, or that ends too soon.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            (ErrorKind::Corrupt, "the file is damaged, or no redb file")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            ErrorKind::InvalidArgument,
            "this process may not read and write it",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ErrorKind::Unavailable, "the disk is full")
        }
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => {
            (ErrorKind::InvalidArgument, "there is no such place for a file")
        }
        _ => (ErrorKind::Unavailable, "the disk fails"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_kind() {
        let io = |kind: io::ErrorKind| redb::Error::Io(io::Error::from(kind));
        let table = [
            (redb::Error::DatabaseAlreadyOpen, ErrorKind::Unavailable),
            (redb::Error::Corrupted("x".into()), ErrorKind::Corrupt),
            (redb::Error::TableIsMultimap("x".into()), ErrorKind::Corrupt),
            (redb::Error::UpgradeRequired(1), ErrorKind::Unsupported),
            (redb::Error::ValueTooLarge(1), ErrorKind::TooLarge),
            (redb::Error::PreviousIo, ErrorKind::Unavailable),
            (redb::Error::DatabaseClosed, ErrorKind::Unavailable),
            (io(io::ErrorKind::InvalidData), ErrorKind::Corrupt),
            (io(io::ErrorKind::UnexpectedEof), ErrorKind::Corrupt),
            (io(io::ErrorKind::PermissionDenied), ErrorKind::InvalidArgument),
            (io(io::ErrorKind::StorageFull), ErrorKind::Unavailable),
            (io(io::ErrorKind::NotFound), ErrorKind::InvalidArgument),
            (io(io::ErrorKind::Other), ErrorKind::Unavailable),
        ];
        for (error, kind) in table {
            let words = error.to_string();
            assert_eq!(opening(Path::new("/x"), error).kind(), kind, "{words}");
        }
    }

    #[test]
    fn what_redb_refuses_has_its_reason() {
        let reason = redb::Error::DatabaseClosed.to_string();
        let told = from_redb(redb::Error::DatabaseClosed);
        assert!(told.context().ends_with(&reason), "{told}");
    }
}
