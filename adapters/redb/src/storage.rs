//! Keys in a table of a redb file.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use redb::{Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};
use ringhold_core::Result;
use ringhold_kv::embedded::{Snapshot, Storage, Writes};

use crate::error::{from_redb, opening};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("ringhold");

/// How much of the file is kept in memory: 64 MiB.
const CACHE_BYTES: usize = 64 << 20;

/// An open file.
pub(crate) struct RedbStorage(Database);

/// Opens a file, or makes it, and makes the table.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Storage>> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // A file that is damaged is told now. Without this check redb trusts a file that was closed, and panics
    // where it should not have.
    builder.set_check_integrity_on_open(true);
    let database = builder
        .create(path)
        .map_err(|error| opening(path, error.into()))?;
    let storage = RedbStorage(database);
    // From now on every snapshot finds it.
    let making = storage.0.begin_write().map_err(from_redb)?;
    making.open_table(TABLE).map(drop).map_err(from_redb)?;
    making.commit().map_err(from_redb)?;
    Ok(Box::new(storage))
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
