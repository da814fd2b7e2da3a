//! Keys in a table of a redb file.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};
use ringhold_core::{Error, ErrorKind, Result};
use ringhold_kv::embedded::{Opening, Snapshot, Storage, Writes};

use crate::error::{from_redb, opening as opening_error};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("ringhold");

/// How much of the file is kept in memory: 64 MiB.
const CACHE_BYTES: usize = 64 << 20;

/// An open file.
pub(crate) struct RedbStorage(Database);

/// Opens a file. One that is not there is made, unless it was open before.
pub(crate) fn open(path: &Path, opening: Opening) -> Result<Box<dyn Storage>> {
    if !path.exists() {
        match opening {
            Opening::OrMake => make(path)?,
            Opening::Again => return Err(gone(path)),
        }
    }
    if path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        let context = format!(
            "{} is empty, which no store is; delete it to begin anew",
            path.display()
        );
        return Err(Error::new(ErrorKind::Corrupt, "redb", context));
    }
    let database = builder().open(path);
    let database = database.map_err(|error| opening_error(path, error.into()))?;
    with_table(database).map(|database| -> Box<dyn Storage> { Box::new(RedbStorage(database)) })
}

#[cold]
fn gone(path: &Path) -> Error {
    let context = format!(
        "{} is gone, and was open before: bring it back, or start anew for a new one",
        path.display()
    );
    Error::new(ErrorKind::Unavailable, "redb", context)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // A file that is damaged is told now. Without this check redb trusts a file that was closed, and panics
    // where it should not have.
    builder.set_check_integrity_on_open(true);
    builder
}

/// From now on every snapshot finds the table.
fn with_table(database: Database) -> Result<Database> {
    let making = database.begin_write().map_err(from_redb)?;
    making.open_table(TABLE).map(drop).map_err(from_redb)?;
    making.commit().map_err(from_redb)?;
    Ok(database)
}

/// Makes a file under another name and then gives it its own, so that one of this name is always whole. One
/// that is there stays: another process may have made it meanwhile, and written to it.
fn make(path: &Path) -> Result<()> {
    let fails = |error: io::Error| opening_error(path, redb::Error::Io(error));
    let new = unused(path).map_err(fails)?;
    let made = builder().create(&new);
    let made = made.map_err(|error| opening_error(&new, error.into()));
    let named = made
        .and_then(|database| with_table(database).map(drop))
        .and_then(|()| name(&new, path, |new, path| fs::hard_link(new, path)));
    let removed = match fs::remove_file(&new) {
        // It was given the name, and has no other.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(fails),
    };
    named.and(removed)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        // The new name is on the disk before anything that is acknowledged.
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(fails)?;
    }
    Ok(())
}

/// Gives a file its name, unless another has that.
fn name(new: &Path, path: &Path, link: impl FnOnce(&Path, &Path) -> io::Result<()>) -> Result<()> {
    let named = match link(new, path) {
        // A file system without links. Linux says that it is not permitted.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
            ) =>
        {
            rename(new, path)
        }
        linked => linked,
    };
    match named {
        // The lock decides who has it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        named => named.map_err(|error| {
            let context = format!(
                "{}: its file system can name a new file neither by a link nor by a renaming that replaces \
                 nothing: {error}; use another file system",
                path.display()
            );
            Error::new(ErrorKind::InvalidArgument, "redb", context).with_source(error)
        }),
    }
}

/// Renames a file, and replaces none.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn rename(new: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    renameat_with(CWD, new, CWD, path, RenameFlags::NOREPLACE).map_err(io::Error::from)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn rename(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// An empty file beside `path` that nobody else has, and only this user may read. One that a killed process
/// left half made stays there.
fn unused(path: &Path) -> io::Result<PathBuf> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut number = 0_u64;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".making-{number}"));
        match options.open(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|_| PathBuf::from(name)),
        }
    }
}

impl fmt::Debug for RedbStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStorage").finish_non_exhaustive()
    }
}

impl Storage for RedbStorage {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        let reading = self.0.begin_read().map_err(from_redb)?;
        let table = reading.open_table(TABLE).map_err(from_redb)?;
        Ok(Box::new(RedbSnapshot(table)))
    }

    fn commit(&self, writes: &Writes, durable: bool) -> Result<()> {
        let mut writing = self.0.begin_write().map_err(from_redb)?;
        let durability = if durable {
            Durability::Immediate
        } else {
            Durability::None
        };
        writing.set_durability(durability).map_err(from_redb)?;
        {
            let mut table = writing.open_table(TABLE).map_err(from_redb)?;
            for (key, value) in writes {
                match value {
                    Some(value) => table.insert(key.as_slice(), &value[..]).map(drop),
                    None => table.remove(key.as_slice()).map(drop),
                }
                .map_err(from_redb)?;
            }
        }
        writing.commit().map_err(from_redb)
    }
}

struct RedbSnapshot(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Snapshot for RedbSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.0.get(key).map_err(from_redb)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let range = self.0.range::<&[u8]>(from..to).map_err(from_redb)?;
        let pairs = range.take(limit).map(|pair| {
            let (key, value) = pair.map_err(from_redb)?;
            Ok((
                Bytes::copy_from_slice(key.value()),
                Bytes::copy_from_slice(value.value()),
            ))
        });
        pairs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(storage: &dyn Storage, key: &[u8]) -> Option<Bytes> {
        storage.snapshot().unwrap().get(key).unwrap()
    }

    fn with_one(path: &Path) {
        let storage = open(path, Opening::OrMake).unwrap();
        let writes = Writes::from([(b"k".to_vec(), Some(Bytes::from_static(b"v")))]);
        storage.commit(&writes, true).unwrap();
    }

    /// Two processes find no file, and both make one: the slower must not put its own in the place of the one
    /// that the faster has written to since.
    #[test]
    fn making_a_file_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.redb");
        with_one(&path);
        make(&path).unwrap();
        assert!(
            one(&*open(&path, Opening::OrMake).unwrap(), b"k").is_some(),
            "it was replaced"
        );
    }

    /// A store of somebody's may have the name of the one that is made, with something behind.
    #[test]
    fn making_a_file_takes_no_other_away() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("x.redb.new");
        with_one(&other);
        drop(open(&folder.path().join("x.redb"), Opening::OrMake).unwrap());
        assert!(other.exists(), "it was taken away");
        assert!(one(&*open(&other, Opening::OrMake).unwrap(), b"k").is_some());
    }

    #[test]
    fn a_file_that_is_gone_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.redb");
        with_one(&path);
        drop(open(&path, Opening::Again).unwrap());
        fs::remove_file(&path).unwrap();
        let told = open(&path, Opening::Again).map(drop).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Unavailable, "{told}");
        assert!(!path.exists(), "it was made again");
    }

    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    #[test]
    fn without_links_a_file_gets_its_name_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let (new, path) = (folder.path().join("new"), folder.path().join("x.redb"));
        for without in [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported] {
            let link = |_: &Path, _: &Path| Err(io::Error::from(without));
            fs::write(&new, "first").unwrap();
            name(&new, &path, link).unwrap();
            assert!(!new.exists());
            fs::write(&new, "second").unwrap();
            name(&new, &path, link).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"first", "it was replaced");
            fs::remove_file(&path).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_a_new_file() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.redb");
        with_one(&path);
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    }
}
