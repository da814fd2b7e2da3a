//! Keys in a sled tree.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_core::{Error, ErrorKind, Result};
use ringhold_kv::embedded::{Snapshot, Storage, Writes};
use sled::{Batch, Config, Db, IVec};

use crate::error::{from_sled, opening};
use crate::floor::Floor;

/// How much is kept in memory: 64 MiB.
const CACHE_BYTES: u64 = 64 << 20;

/// The key of the number of the last commit. Keys of fleets have a `/`.
const COMMITS: &[u8] = b"commits";

/// How long the floor may lag behind.
const FLOOR_PERIOD: Duration = Duration::from_secs(1);

/// An open folder.
pub(crate) struct SledStorage {
    db: Db,
    /// sled's log. On Linux sled hands it to the disk and does not wait until the disk has it for good.
    log: File,
    /// Held by whoever reads, and by the writer while it applies a batch: sled shows a batch key by key.
    whole: RwLock<()>,
    floor: Floor,
    count: Mutex<Count>,
}

/// How many commits there are.
#[derive(Debug)]
struct Count {
    commits: u64,
    /// Up to which the floor says so, and since when.
    floor: u64,
    set: Instant,
}

/// Opens a folder, or makes it, and reads everything in it.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Storage>> {
    // The engine says when something is flushed, so sled has no thread of its own for that.
    let config = Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    let db = config.open().map_err(|error| opening(path, error))?;
    // What cannot be read is told now.
    for pair in db.iter() {
        pair.map_err(|error| opening(path, error))?;
    }
    let commits = db.get(COMMITS).map_err(|error| opening(path, error))?;
    let commits = commits.map_or(Ok([0; 8]), |bytes| <[u8; 8]>::try_from(&bytes[..]));
    let commits = commits.map_err(|_| {
        let context = format!("{}: its count of commits is none", path.display());
        Error::new(ErrorKind::Corrupt, "sled", context)
    })?;
    let commits = u64::from_le_bytes(commits);
    let floor = Floor::of(path);
    floor.check(commits)?;
    let log = File::open(path.join("db")).map_err(|error| opening(path, error.into()))?;
    Ok(Box::new(SledStorage {
        db,
        log,
        whole: RwLock::new(()),
        floor,
        count: Mutex::new(Count {
            commits,
            floor: 0,
            set: Instant::now(),
        }),
    }))
}

impl SledStorage {
    /// Sets the floor to all that was committed and flushed.
    fn set_floor(&self, count: &mut Count) {
        let commits = count.commits;
        match self.floor.set(commits) {
            Ok(()) => count.floor = commits,
            // It stays lower than it could be.
            Err(error) => tracing::warn!(%error, "the floor of a sled folder could not be set"),
        }
        count.set = Instant::now();
    }

    /// Brings everything to the disk.
    fn flush(&self) -> Result<()> {
        self.db.flush().map_err(from_sled)?;
        self.log.sync_data().map_err(|error| from_sled(error.into()))
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SledStorage {
    fn drop(&mut self) {
        let mut count = self.count();
        if count.floor < count.commits && self.flush().is_ok() {
            self.set_floor(&mut count);
        }
    }
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
        let mut count = self.count();
        if !writes.is_empty() {
            count.commits += 1;
            batch.insert(COMMITS, &count.commits.to_le_bytes());
        }
        {
            let _whole = self.whole.write().unwrap_or_else(PoisonError::into_inner);
            self.db.apply_batch(batch).map_err(from_sled)?;
        }
        if durable {
            self.flush()?;
            if count.floor < count.commits && count.set.elapsed() >= FLOOR_PERIOD {
                self.set_floor(&mut count);
            }
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
