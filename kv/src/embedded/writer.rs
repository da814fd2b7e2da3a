//! The one writer of a file: it takes all that is queued, runs it over one snapshot, commits once, and then
//! answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ringhold_core::{Error, Result};

use super::overlay::Overlay;
use super::slot::{Slot, again, guarded};
use super::storage::Writes;

/// The most jobs of one commit.
const BATCH_JOBS_MAX: usize = 1_024;
/// Once a batch holds so many bytes, or is about to write as many, it takes no further job.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// How long a store that has failed is left alone before it is opened again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// One write on its way to the writer.
pub(super) struct Job {
    /// The fleet that it is for.
    pub(super) prefix: Arc<[u8]>,
    /// How long after the answer it may take until what it wrote is on the disk; zero for before the answer.
    pub(super) sync_within: Duration,
    /// About how much memory it holds.
    pub(super) bytes: usize,
    pub(super) run: Box<dyn FnOnce(&mut Overlay<'_>) -> Ran + Send>,
}

/// What a job came to.
pub(super) struct Ran {
    /// Whether it wrote anything that matters, clocks left out.
    pub(super) wrote: bool,
    /// Tells its caller, once it is known whether its batch was committed.
    pub(super) reply: Box<dyn FnOnce(Option<Error>) + Send>,
}

pub(super) struct Writer {
    pub(super) queue: Receiver<Job>,
    pub(super) queued_bytes: Arc<AtomicUsize>,
    pub(super) slot: Arc<Slot>,
    /// By when what was committed last has to be on the disk; `None` where it is.
    sync_by: Option<Instant>,
    /// Whether what was acknowledged ahead of the disk may be asked for again by somebody who waits for it.
    ahead: bool,
    last_attempt: Option<Instant>,
}

enum Next {
    Job(Job),
    /// It is time for what was committed to be on the disk.
    Sync,
    /// Nobody is left to ask.
    End,
}

impl Writer {
    pub(super) fn new(queue: Receiver<Job>, queued_bytes: Arc<AtomicUsize>, slot: Arc<Slot>) -> Self {
        Self {
            queue,
            queued_bytes,
            slot,
            sync_by: None,
            ahead: false,
            last_attempt: None,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        loop {
            match self.next() {
                Next::Job(first) => self.work(first),
                Next::Sync => self.sync(),
                Next::End => break,
            }
        }
        if self.sync_by.is_some() {
            self.sync();
        }
    }

    fn next(&self) -> Next {
        let Some(sync_by) = self.sync_by else {
            return self.queue.recv().map_or(Next::End, Next::Job);
        };
        match self
            .queue
            .recv_timeout(sync_by.saturating_duration_since(Instant::now()))
        {
            Ok(job) => Next::Job(job),
            Err(RecvTimeoutError::Timeout) => Next::Sync,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    fn work(&mut self, first: Job) {
        let mut bytes = first.bytes;
        let mut jobs = VecDeque::from([first]);
        while jobs.len() < BATCH_JOBS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(job) = self.queue.try_recv() else { break };
            bytes += job.bytes;
            jobs.push_back(job);
        }
        let sum = jobs.iter().map(|job| job.bytes).sum();
        self.queued_bytes.fetch_sub(sum, Ordering::Relaxed);
        // What they write is known once they have run, so they may be more than one commit.
        while !jobs.is_empty() {
            let mut replies = Vec::with_capacity(jobs.len());
            let outcome = self.revive().and_then(|()| self.commit(&mut jobs, &mut replies));
            let failure = outcome.err();
            if failure.is_some() {
                jobs.clear();
            }
            for reply in replies {
                reply(failure.as_ref().map(again));
            }
        }
    }

    /// Runs jobs from the front on, until they write enough, and commits that. Where this fails, jobs that did
    /// not run are dropped, and with them the way to their callers, who take that for `Unavailable`.
    fn commit(
        &mut self,
        jobs: &mut VecDeque<Job>,
        replies: &mut Vec<Box<dyn FnOnce(Option<Error>) + Send>>,
    ) -> Result<()> {
        let mut writes = Writes::new();
        let mut sync_within: Option<Duration> = None;
        let mut ahead = self.ahead;
        let slot = Arc::clone(&self.slot);
        let committed = slot.with(|storage| {
            guarded(slot.name(), "writing to", || {
                let snapshot = storage.snapshot()?;
                let mut bytes = 0;
                while bytes < BATCH_BYTES_MAX
                    && let Some(job) = jobs.pop_front()
                {
                    let (within, held) = (job.sync_within, writes.len());
                    let mut overlay = Overlay::new(&*snapshot, &job.prefix, &mut writes);
                    let Ran { wrote, reply } = (job.run)(&mut overlay);
                    bytes += overlay.kept();
                    replies.push(reply);
                    // A repetition tells of what was written before, which may not be on the disk yet.
                    let tells = wrote || (ahead && within.is_zero());
                    ahead |= wrote && !within.is_zero() && within < SOFT_SYNC;
                    // A clock that was moved on is worth no wait.
                    let within = if tells { within } else { SOFT_SYNC };
                    if tells || writes.len() > held {
                        sync_within = Some(sync_within.map_or(within, |least| least.min(within)));
                    }
                }
                drop(snapshot);
                let Some(within) = sync_within else {
                    return Ok(false);
                };
                let now = Instant::now();
                let durable = within.is_zero() || self.sync_by.is_some_and(|by| by <= now);
                storage.commit(&writes, durable)?;
                Ok(durable)
            })
        });
        match (committed, sync_within) {
            (Ok(true), _) => (self.sync_by, self.ahead) = (None, false),
            (Ok(false), Some(within)) => {
                let by = Instant::now() + within;
                self.sync_by = Some(self.sync_by.map_or(by, |earlier| earlier.min(by)));
                self.ahead = ahead;
            }
            (Ok(false), None) => {}
            (Err(error), _) => return Err(self.give_up(error)),
        }
        Ok(())
    }

    /// Brings all that was committed to the disk.
    fn sync(&mut self) {
        let slot = &self.slot;
        let synced =
            slot.with(|storage| guarded(slot.name(), "writing to", || storage.commit(&Writes::new(), true)));
        self.sync_by = None;
        self.ahead = false;
        if let Err(error) = synced {
            // Nobody waits for it; the next to ask is told.
            drop(self.give_up(error));
        }
    }

    /// Answers what the callers are told.
    fn give_up(&mut self, reason: Error) -> Error {
        self.sync_by = None;
        // What is read after this may have been written and not flushed.
        self.ahead = true;
        self.last_attempt = Some(Instant::now());
        if self.slot.has_failed() {
            return reason;
        }
        self.slot.fail(&reason)
    }

    /// Opens a store that has failed again, from time to time.
    fn revive(&mut self) -> Result<()> {
        if !self.slot.has_failed() {
            return Ok(());
        }
        if self.last_attempt.is_some_and(|at| at.elapsed() < REOPEN_PAUSE) {
            return self.slot.with(|_| Ok(()));
        }
        self.last_attempt = Some(Instant::now());
        self.slot.reopen()
    }
}

/// How long what nobody waits for may take until it is on the disk: the clocks, and the leases.
pub(super) const SOFT_SYNC: Duration = Duration::from_secs(1);
