//! Keys in a sled tree.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_core::{Error, ErrorKind, Result};
use ringhold_kv::embedded::{Opening, Snapshot, Storage, Writes};
use sled::{Batch, Config, Db, IVec};

use crate::error::{from_sled, is_locked, opening as opening_error};
use crate::floor::Floor;
use crate::sum::Sum;

/// How much is kept in memory: 64 MiB.
const CACHE_BYTES: u64 = 64 << 20;

/// The key of the last commit: its number (8 bytes), and what all other keys and values add up to behind it (16;
/// not there in folders of before). Keys of fleets have a `/`.
const COMMITS: &[u8] = b"commits";

/// The name of sled's log.
const LOG: &str = "db";

/// How long the floor may lag behind.
const FLOOR_PERIOD: Duration = Duration::from_secs(1);

/// How long a folder that somebody has open is waited for.
const FREE_WITHIN: Duration = Duration::from_secs(1);

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

/// How many commits there are, and what they come to.
#[derive(Debug)]
struct Count {
    commits: u64,
    sum: Sum,
    /// Up to which the floor says so, and since when.
    floor: u64,
    set: Instant,
    /// Whether a commit has not come to its end, so that nobody knows what of it is there.
    is_unsure: bool,
}

impl Count {
    fn new(commits: u64, sum: Sum) -> Self {
        Self {
            commits,
            sum,
            floor: 0,
            set: Instant::now(),
            is_unsure: false,
        }
    }

    /// Begins a commit. It counts once it is [`finished`](Self::finish); one that fails or panics before leaves
    /// the count unsure for good.
    fn begin(&mut self, writes_any: bool) -> u64 {
        self.is_unsure = true;
        self.commits + u64::from(writes_any)
    }

    fn finish(&mut self, commits: u64, sum: Sum) {
        self.commits = commits;
        self.sum = sum;
        self.is_unsure = false;
    }

    /// Whether the floor may be raised, and is lower.
    fn is_ahead(&self) -> bool {
        !self.is_unsure && self.floor < self.commits
    }
}

/// Where there is none yet, makes the folder and the files in it that sled would make with the mode of the umask.
fn make(path: &Path) -> io::Result<()> {
    let mut folder = DirBuilder::new();
    folder.recursive(true);
    let mut file = OpenOptions::new();
    file.append(true).create(true);
    #[cfg(unix)]
    {
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    }
    folder.create(path)?;
    folder.create(path.join("blobs"))?;
    file.open(path.join(LOG)).map(drop)
}

/// Opens a folder as soon as it is free. The threads that sled writes with may have it for a moment after it was
/// dropped, and nothing tells when they let go of it.
fn open_free(config: &Config) -> Result<Db, sled::Error> {
    let start = Instant::now();
    loop {
        match config.open() {
            Err(error) if is_locked(&error) && start.elapsed() < FREE_WITHIN => pause(),
            other => return other,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a store is opened on a thread that may wait, and other processes tell nobody what they let go of"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// Opens a folder, and reads everything in it. One that is not there is made, unless it was open before.
pub(crate) fn open(path: &Path, opening: Opening) -> Result<Box<dyn Storage>> {
    let has_log = path.join(LOG).exists();
    if !has_log && opening == Opening::Again {
        let context = format!(
            "{} is gone, and was open before: bring it back, or start anew for a new one",
            path.display()
        );
        return Err(Error::new(ErrorKind::Unavailable, "sled", context));
    }
    if !has_log {
        make(path).map_err(|error| opening_error(path, error.into()))?;
    }
    // The engine says when something is flushed, so sled has no thread of its own for that.
    let config = Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    let db = open_free(&config).map_err(|error| opening_error(path, error))?;
    let (commits, sum) = read_all(&db, path)?;
    let floor = Floor::of(path);
    floor.check(commits)?;
    let log = File::open(path.join(LOG)).map_err(|error| opening_error(path, error.into()))?;
    Ok(Box::new(SledStorage {
        db,
        log,
        whole: RwLock::new(()),
        floor,
        count: Mutex::new(Count::new(commits, sum)),
    }))
}

/// Reads everything, so that what cannot be read is told now: the number of the last commit, and the sum.
fn read_all(db: &Db, path: &Path) -> Result<(u64, Sum)> {
    let corrupt = |what: &str| Error::new(ErrorKind::Corrupt, "sled", format!("{}: {what}", path.display()));
    let (mut last, mut sum) = (None, Sum::default());
    for pair in db.iter() {
        let (key, value) = pair.map_err(|error| opening_error(path, error))?;
        if key == COMMITS {
            last = Some(value);
        } else {
            sum = sum.plus(&key, &value);
        }
    }
    let Some(last) = last else {
        // Nothing was ever committed here; all that is written comes with a number.
        return if sum == Sum::default() {
            Ok((0, sum))
        } else {
            Err(corrupt("its count of commits is gone: it is damaged"))
        };
    };
    let (commits, told) = parse(&last).ok_or_else(|| corrupt("its count of commits is none"))?;
    if told.is_some_and(|told| told != sum) {
        return Err(corrupt(
            "what is there is not what was written: a part of it is missing, or old; bring a copy back",
        ));
    }
    Ok((commits, sum))
}

/// What [`COMMITS`] holds.
fn parse(last: &[u8]) -> Option<(u64, Option<Sum>)> {
    let (commits, sum) = last.split_first_chunk()?;
    let sum = match sum {
        [] => None,
        sum => Some(Sum::from_bytes(sum.try_into().ok()?)),
    };
    Some((u64::from_le_bytes(*commits), sum))
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
        if count.is_ahead() && self.flush().is_ok() {
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
        let mut count = self.count();
        let commits = count.begin(!writes.is_empty());
        let mut sum = count.sum;
        for (key, value) in writes {
            if let Some(old) = self.db.get(key).map_err(from_sled)? {
                sum = sum.minus(key, &old);
            }
            match value {
                Some(value) => {
                    sum = sum.plus(key, value);
                    batch.insert(key.as_slice(), &value[..]);
                }
                None => batch.remove(key.as_slice()),
            }
        }
        if !writes.is_empty() {
            let last = [&commits.to_le_bytes()[..], &sum.to_bytes()].concat();
            batch.insert(COMMITS, last);
        }
        {
            let _whole = self.whole.write().unwrap_or_else(PoisonError::into_inner);
            self.db.apply_batch(batch).map_err(from_sled)?;
        }
        if durable {
            self.flush()?;
        }
        count.finish(commits, sum);
        if durable && count.is_ahead() && count.set.elapsed() >= FLOOR_PERIOD {
            self.set_floor(&mut count);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn write(storage: &dyn Storage) {
        let writes = Writes::from([(b"k".to_vec(), Some(Bytes::from_static(b"v")))]);
        storage.commit(&writes, true).unwrap();
    }

    #[test]
    fn a_folder_that_is_gone_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&*open(&path, Opening::OrMake).unwrap());
        drop(open(&path, Opening::Again).unwrap());
        std::fs::remove_dir_all(&path).unwrap();
        // A volume that is unmounted leaves an empty folder.
        for is_there in [false, true] {
            if is_there {
                std::fs::create_dir(&path).unwrap();
            }
            let told = open(&path, Opening::Again).map(drop).unwrap_err();
            assert_eq!(told.kind(), ErrorKind::Unavailable, "{told}");
            assert!(!path.join(LOG).exists(), "it was made again");
        }
    }

    /// sled leaves out what stands behind a damage in the middle of its log, and goes on with what came later.
    #[test]
    fn what_is_not_there_any_more_is_told() {
        let put = |key: &[u8], value: &'static [u8]| {
            Writes::from([(key.to_vec(), Some(Bytes::from_static(value)))])
        };
        let changes = [
            ("a key is gone", "a/1", None),
            ("a key is back", "a/3", Some("z")),
            ("a value is old", "a/2", Some("x")),
            ("the count is gone", "commits", None),
            ("the count is cut", "commits", Some("12345678+")),
        ];
        for (what, key, value) in changes {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            {
                let storage = open(&path, Opening::OrMake).unwrap();
                for writes in [
                    put(b"a/1", b"v"),
                    put(b"a/2", b"x"),
                    put(b"a/2", b"y"),
                    put(b"a/3", b"z"),
                ] {
                    storage.commit(&writes, true).unwrap();
                }
                storage
                    .commit(&Writes::from([(b"a/3".to_vec(), None)]), true)
                    .unwrap();
            }
            drop(open(&path, Opening::Again).expect("it is sound"));
            {
                let db = open_free(&Config::new().path(&path)).unwrap();
                match value {
                    Some(value) => db.insert(key, value).unwrap(),
                    None => db.remove(key).unwrap(),
                };
                db.flush().unwrap();
            }
            let told = open(&path, Opening::Again).map(drop).expect_err(what);
            assert_eq!(told.kind(), ErrorKind::Corrupt, "{what}: {told}");
        }
    }

    /// Folders of before the sum have a count alone; the first commit gives them one.
    #[test]
    fn a_count_without_a_sum_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        {
            let db = Config::new().path(&path).open().unwrap();
            db.insert(b"a/1", b"v").unwrap();
            db.insert(COMMITS, &7_u64.to_le_bytes()).unwrap();
            db.flush().unwrap();
        }
        write(&*open(&path, Opening::Again).unwrap());
        let db = open_free(&Config::new().path(&path)).unwrap();
        let sum = Sum::default().plus(b"a/1", b"v").plus(b"k", b"v");
        assert_eq!(parse(&db.get(COMMITS).unwrap().unwrap()), Some((8, Some(sum))));
    }

    /// A batch that was not applied counts for nothing, and what is not known sets no floor.
    #[test]
    fn a_commit_that_does_not_end_sets_no_floor() {
        let mut count = Count::new(1, Sum::default());
        assert!(count.is_ahead());
        assert_eq!(count.begin(true), 2);
        assert_eq!((count.commits, count.is_ahead()), (1, false));
        count.finish(2, Sum::default());
        assert_eq!((count.commits, count.is_ahead()), (2, true));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_a_new_folder() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&*open(&path, Opening::OrMake).unwrap());
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("blobs")), 0o700);
        assert_eq!(mode(&path.join(LOG)), 0o600);
        assert_eq!(mode(&path.join("ringhold-floor")), 0o600);
    }
}
