//! The engine of one open file: its writer thread, the queue before it, and the fleets in it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ringhold_core::{Clock, Error, ErrorKind, FleetName, Result};

use super::fleet::FleetState;
use super::overlay::Overlay;
use super::slot::{Slot, again};
use super::time::WallClock;
use super::writer::{Job, Writer};

/// The most writes that wait for the writer; more are `Overloaded`.
const QUEUE_JOBS_MAX: usize = 8_192;
/// The most bytes of data that wait for the writer; more are `Overloaded`.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// An open file. Dropping the last handle brings everything to the disk and closes it, which blocks for as
/// long as that takes.
pub(super) struct Engine {
    slot: Arc<Slot>,
    /// `None` once it is being dropped.
    queue: Option<SyncSender<Job>>,
    queued_bytes: Arc<AtomicUsize>,
    writer: Option<JoinHandle<()>>,
    fleets: Mutex<HashMap<FleetName, Arc<FleetState>>>,
}

impl Engine {
    /// Starts a writer for an open file.
    pub(super) fn start(slot: Slot) -> Result<Self> {
        let slot = Arc::new(slot);
        let (queue, jobs) = sync_channel(QUEUE_JOBS_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let writer = Writer::new(jobs, Arc::clone(&queued_bytes), Arc::clone(&slot));
        let writer = std::thread::Builder::new()
            .name("ringhold-writer".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "open", "no thread for the writer").with_source(error)
            })?;
        Ok(Self {
            slot,
            queue: Some(queue),
            queued_bytes,
            writer: Some(writer),
            fleets: Mutex::default(),
        })
    }

    /// A fleet in this file. The first time, its schema is checked, its clocks go on from where they were
    /// stored, and all its members are put out: they were of a process that is gone. Blocks.
    pub(super) fn fleet(
        &self,
        name: &FleetName,
        clock: &Arc<dyn Clock>,
        wall: &WallClock,
    ) -> Result<Arc<FleetState>> {
        let mut fleets = lock(&self.fleets);
        if let Some(fleet) = fleets.get(name) {
            return Ok(Arc::clone(fleet));
        }
        let fleet = Arc::new(FleetState::open(self, name, Arc::clone(clock), Arc::clone(wall))?);
        fleets.insert(name.clone(), Arc::clone(&fleet));
        Ok(fleet)
    }

    /// Queues a write.
    ///
    /// # Errors
    /// `Overloaded` where too much waits already, `Unavailable` where the writer has ended.
    pub(super) fn submit(&self, job: Job) -> Result<()> {
        let bytes = job.bytes;
        let waiting = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = match &self.queue {
            // One write is always let through, whatever its size.
            Some(_) if waiting > 0 && waiting.saturating_add(bytes) > QUEUE_BYTES_MAX => {
                Err(overloaded("bytes of data"))
            }
            Some(queue) => queue.try_send(job).map_err(|refused| match refused {
                TrySendError::Full(_) => overloaded("writes"),
                TrySendError::Disconnected(_) => self.unavailable(),
            }),
            None => Err(self.unavailable()),
        };
        if sent.is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent
    }

    /// Runs a rule that only reads. Blocks.
    pub(super) fn read<R>(
        &self,
        prefix: &[u8],
        rule: impl FnOnce(&mut Overlay<'_>) -> Result<R>,
    ) -> Result<R> {
        self.slot.read(prefix, rule)
    }

    /// Why a write that was queued got no answer.
    #[cold]
    pub(super) fn unavailable(&self) -> Error {
        let writer_broke_off = || {
            let context = format!("the writer of {} broke off; repeat the request", self.slot.name());
            Error::new(ErrorKind::Unavailable, "store", context)
        };
        let failed = self.slot.with(|_| Ok(())).err();
        failed.as_ref().map_or_else(writer_broke_off, again)
    }
}

#[cold]
fn overloaded(what: &str) -> Error {
    let context = format!("too many {what} wait for the disk; try later");
    Error::new(ErrorKind::Overloaded, "store", context)
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks is left half done by a panic.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // What it had to say it has logged.
            drop(writer.join());
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("file", &self.slot.name())
            .finish_non_exhaustive()
    }
}
