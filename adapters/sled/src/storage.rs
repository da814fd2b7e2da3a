//! Keys in a sled tree.

use std::fmt;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use ringhold_core::Result;
use ringhold_kv::embedded::{Snapshot, Storage, Writes};
use sled::{Batch, Config, Db, IVec};

use crate::error::{from_sled, opening};

/// How much is kept in memory: 64 MiB.
const CACHE_BYTES: u64 = 64 << 20;

/// An open folder.
pub(crate) struct SledStorage {
    db: Db,
    /// Held by whoever reads, and by the writer while it applies a batch: sled shows a batch key by key.
    whole: RwLock<()>,
}

/// Opens a folder, or makes it.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Storage>> {
    // The engine says when something is flushed, so sled has no thread of its own for that.
    let config = Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    let db = config.open().map_err(|error| opening(path, error))?;
    Ok(Box::new(SledStorage {
        db,
        whole: RwLock::new(()),
    }))
}

impl fmt::Debug for SledStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStorage").finish_non_exhaustive()
    }
}

impl Storage for SledStorage {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        Ok(Box::new(SledSnapshot {
            db: &self.db,
            _whole: self.whole.read().unwrap_or_else(PoisonError::into_inner),
        }))
    }

    fn commit(&self, writes: &Writes, durable: bool) -> Result<()> {
        let mut batch = Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key.as_slice(), &value[..]),
                None => batch.remove(key.as_slice()),
            }
        }
        {
            let _whole = self.whole.write().unwrap_or_else(PoisonError::into_inner);
            self.db.apply_batch(batch).map_err(from_sled)?;
        }
        if durable {
            self.db.flush().map_err(from_sled)?;
        }
        Ok(())
    }
}

struct SledSnapshot<'a> {
    db: &'a Db,
    _whole: RwLockReadGuard<'a, ()>,
}

fn bytes(value: &IVec) -> Bytes {
    Bytes::copy_from_slice(value)
}

impl Snapshot for SledSnapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.db.get(key).map_err(from_sled)?;
        Ok(value.as_ref().map(bytes))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let pairs = self.db.range(from..to).take(limit).map(|pair| {
            let (key, value) = pair.map_err(from_sled)?;
            Ok((bytes(&key), bytes(&value)))
        });
        pairs.collect()
    }
}
