//! Keys in a table of a redb file.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};
use ringhold_core::{Error, ErrorKind, Result};
use ringhold_kv::embedded::{Snapshot, Storage, Writes};

use crate::error::{from_redb, opening};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("ringhold");

/// How much of the file is kept in memory: 64 MiB.
const CACHE_BYTES: usize = 64 << 20;

/// An open file.
pub(crate) struct RedbStorage(Database);

/// Opens a file, or makes it.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Storage>> {
    if !path.exists() {
        make(path)?;
    }
    if path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        // redb would make a new store of it.
        let context = format!(
            "{} is empty, which no store is; delete it to begin anew",
            path.display()
        );
        return Err(Error::new(ErrorKind::Corrupt, "redb", context));
    }
    Ok(Box::new(RedbStorage(database(path)?)))
}

fn database(path: &Path) -> Result<Database> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // A file that is damaged is told now. Without this check redb trusts a file that was closed, and panics
    // where it should not have.
    builder.set_check_integrity_on_open(true);
    let database = builder
        .create(path)
        .map_err(|error| opening(path, error.into()))?;
    // From now on every snapshot finds the table.
    let making = database.begin_write().map_err(from_redb)?;
    making.open_table(TABLE).map(drop).map_err(from_redb)?;
    making.commit().map_err(from_redb)?;
    Ok(database)
}

/// Makes a file under another name and then gives it its own, so that one of this name is always whole. One
/// that is there stays: another process may have made it meanwhile, and written to it.
fn make(path: &Path) -> Result<()> {
    let fails = |error: io::Error| opening(path, redb::Error::Io(error));
    let new = unused(path).map_err(fails)?;
    let made = database(&new).map(drop);
    let named = made.and_then(|()| match fs::hard_link(&new, path) {
        // The lock decides who has it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(fails),
    });
    let removed = fs::remove_file(&new).map_err(fails);
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

/// An empty file beside `path` that nobody else has. One that a killed process left half made stays there.
fn unused(path: &Path) -> io::Result<PathBuf> {
    let mut number = 0_u64;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".making-{number}"));
        match fs::File::create_new(&name) {
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
        let storage = open(path).unwrap();
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
        assert!(one(&*open(&path).unwrap(), b"k").is_some(), "it was replaced");
    }

    /// A store of somebody's may have the name of the one that is made, with something behind.
    #[test]
    fn making_a_file_takes_no_other_away() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("x.redb.new");
        with_one(&other);
        drop(open(&folder.path().join("x.redb")).unwrap());
        assert!(other.exists(), "it was taken away");
        assert!(one(&*open(&other).unwrap(), b"k").is_some());
    }
}
