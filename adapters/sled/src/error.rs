//! From sled's errors to a kind.

use std::io;
use std::path::Path;

use ringhold_core::{Error, ErrorKind};

const STORE: &str = "sled";

/// How sled begins what it says of a folder that another process has open. It has no kind for it.
const LOCKED: &str = "could not acquire lock";

/// An error of an open folder.
#[cold]
pub(crate) fn from_sled(error: sled::Error) -> Error {
    let (kind, context) = judge(&error);
    Error::new(kind, STORE, context).with_source(error)
}

/// An error at the opening of `path`.
#[cold]
pub(crate) fn opening(path: &Path, error: sled::Error) -> Error {
    let (kind, context) = judge(&error);
    Error::new(kind, STORE, format!("{}: {context}", path.display())).with_source(error)
}

fn judge(error: &sled::Error) -> (ErrorKind, &'static str) {
    match error {
        sled::Error::Corruption { .. } => (ErrorKind::Corrupt, "what is stored is damaged"),
        sled::Error::CollectionNotFound(_) | sled::Error::ReportableBug(_) => (
            ErrorKind::Corrupt,
            "sled finds what should not be: damage, or a bug of its own",
        ),
        sled::Error::Unsupported(_) => (
            ErrorKind::Unsupported,
            "it was made by another version of sled, or with other settings",
        ),
        sled::Error::Io(error) => judge_io(error),
    }
}

/// Whether a folder could not be opened because somebody has it open.
pub(crate) fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if is_lock(error))
}

fn is_lock(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && error.to_string().starts_with(LOCKED)
}

fn judge_io(error: &io::Error) -> (ErrorKind, &'static str) {
    match error.kind() {
        _ if is_lock(error) => (
            ErrorKind::Unavailable,
            "it is open already, in another process, or in this one by another name (a link, or it was moved); end or \
             close that, or use a backend that processes share",
        ),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            (ErrorKind::Corrupt, "what is stored is damaged")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            ErrorKind::InvalidArgument,
            "this process may not read and write it",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ErrorKind::Unavailable, "the disk is full")
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            (ErrorKind::InvalidArgument, "there is no such place for a folder")
        }
        _ => (ErrorKind::Unavailable, "the disk fails"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_kind() {
        let io = |kind: io::ErrorKind| sled::Error::Io(io::Error::from(kind));
        let table = [
            (sled::Error::Corruption { at: None, bt: () }, ErrorKind::Corrupt),
            (sled::Error::ReportableBug("x".into()), ErrorKind::Corrupt),
            (sled::Error::Unsupported("x".into()), ErrorKind::Unsupported),
            (
                sled::Error::Io(io::Error::other("could not acquire lock on \"/x\"")),
                ErrorKind::Unavailable,
            ),
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
}
