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

/// Makes a file under another name and then gives it its own, so that one of this name is always whole.
fn make(path: &Path) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let fails = |error: io::Error| opening(path, redb::Error::Io(error));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fails(error)),
        // One that was left half made held nothing.
        _ => {}
    }
    drop(database(&new)?);
    match fs::rename(&new, path) {
        // Another process that makes the same file was faster; the lock decides who has it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
        renamed => renamed.map_err(fails)?,
    }
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        // The new name is on the disk before anything that is acknowledged.
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(fails)?;
    }
    Ok(())
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
