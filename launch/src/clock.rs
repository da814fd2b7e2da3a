//! Server time that a test sets.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::wait::pause;
use crate::{Error, Result};

/// Within this time a server reads a clock that has changed. Redis reads it for each command; Valkey 9.1 reads it again
/// once its last reading is a millisecond old, and counts from that reading until then.
const READ_WITHIN: Duration = Duration::from_millis(2);

/// What the library in the server reads: two numbers of 64 bits, in the machine's order.
#[derive(Debug)]
struct Page {
    file: File,
    path: PathBuf,
    micros: Mutex<i64>,
}

impl Page {
    fn new(path: PathBuf, frozen: bool, micros: i64) -> Result<Self> {
        let doing = "writing a clock file";
        let file = File::create(&path).map_err(Error::io(doing))?;
        let mut page = [0; 16];
        page[..8].copy_from_slice(&i64::from(frozen).to_ne_bytes());
        page[8..].copy_from_slice(&micros.to_ne_bytes());
        file.write_all_at(&page, 0).map_err(Error::io(doing))?;
        Ok(Self {
            file,
            path,
            micros: Mutex::new(micros),
        })
    }

    fn change(&self, to: impl FnOnce(i64) -> i64) -> Result<()> {
        let mut micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner);
        let new = to(*micros);
        self.file
            .write_all_at(&new.to_ne_bytes(), 8)
            .map_err(Error::io("writing a clock file"))?;
        *micros = new;
        pause(READ_WITHIN);
        Ok(())
    }
}

/// The time of day of one server or of all nodes of a cluster: it stands still until it is moved.
/// Clones share it.
#[derive(Debug, Clone)]
pub struct SettableClock(Arc<Page>);

impl SettableClock {
    /// The 15th of January 2027, 08:00 UTC.
    const ORIGIN_MICROS: i64 = 1_800_000_000_000_000;

    pub(crate) fn new(folder: &Path) -> Result<Self> {
        Page::new(folder.join("clock"), true, Self::ORIGIN_MICROS).map(|page| Self(Arc::new(page)))
    }

    pub(crate) fn file(&self) -> &Path {
        &self.0.path
    }

    /// The time since 1970, in whole microseconds.
    pub fn now(&self) -> Duration {
        let micros = *self.0.micros.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(micros.unsigned_abs())
    }

    /// Sets the time since 1970, also backwards. Less than a microsecond is cut off.
    ///
    /// # Errors
    /// `Io` when the clock's file cannot be written.
    pub fn set(&self, since_1970: Duration) -> Result<()> {
        self.0.change(|_| micros(since_1970))
    }

    /// Moves it on, for all servers at once. Less than a microsecond is cut off.
    ///
    /// # Errors
    /// `Io` when the clock's file cannot be written.
    pub fn advance(&self, duration: Duration) -> Result<()> {
        self.0.change(|now| now.saturating_add(micros(duration)))
    }
}

/// How far one node's running clock is from the machine's.
#[derive(Debug)]
pub(crate) struct ClockOffset(Page);

impl ClockOffset {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        Page::new(folder.join("clock"), false, 0).map(Self)
    }

    pub(crate) fn file(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn set_millis(&self, millis: i64) -> Result<()> {
        self.0.change(|_| millis.saturating_mul(1_000))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
