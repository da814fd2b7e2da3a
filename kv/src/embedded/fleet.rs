//! One fleet in an open file: its prefix, its clocks, and the bell of its watchers.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold_core::clock::StoreClock;
use ringhold_core::{Clock, Error, ErrorKind, FleetName, Result};
use tokio::sync::{oneshot, watch};

use super::engine::{Engine, lock};
use super::overlay::Overlay;
use super::slot::again;
use super::time::WallClock;
use super::writer::{Job, Ran, SOFT_SYNC};
use crate::Transaction;
use crate::clock::ClockKind;
use crate::discovery::{self, Step};
use crate::schema;
use crate::transaction::corrupt;

/// What a job holds beside its data, about.
const JOB_BYTES: usize = 512;

/// A fleet that is open in this process.
pub(super) struct FleetState {
    prefix: Arc<[u8]>,
    clock: Arc<dyn Clock>,
    wall: WallClock,
    sessions: Mutex<Running>,
    leases: Mutex<Running>,
    bell: watch::Sender<()>,
    /// Why nothing can be said of the members; sessions go on without.
    members: Option<Error>,
}

/// A store clock that goes on in this process from the reading that was stored. One process has the file,
/// so nobody else moves it.
#[derive(Debug, Clone, Copy)]
struct Running {
    base_ms: u64,
    clock: StoreClock,
    /// The reading that was written last.
    written_ms: u64,
}

impl Running {
    fn at(&self, now: Duration) -> u64 {
        self.base_ms.saturating_add(millis(now))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a fleet's clock reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// In milliseconds.
    pub(super) ms: u64,
    /// How long nobody had moved it on before.
    pub(super) lag: Duration,
}

/// How a write is carried out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Write {
    /// Which clock it moves on.
    pub(super) clock: ClockKind,
    /// How long after the answer it may take until it is on the disk.
    pub(super) sync_within: Duration,
    /// The bytes of data that it carries.
    pub(super) bytes: usize,
}

impl Write {
    pub(super) const fn new(clock: ClockKind, sync_within: Duration) -> Self {
        Self {
            clock,
            sync_within,
            bytes: 0,
        }
    }

    /// One that need not be on the disk soon: a crash makes it undone by itself.
    pub(super) const fn soft(clock: ClockKind) -> Self {
        Self::new(clock, SOFT_SYNC)
    }

    pub(super) const fn carrying(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

impl FleetState {
    /// Opens a fleet for this process.
    ///
    /// # Errors
    /// `Unsupported` for another schema, `Corrupt`, `Unavailable`.
    pub(super) fn open(
        engine: &Engine,
        name: &FleetName,
        clock: Arc<dyn Clock>,
        wall: WallClock,
    ) -> Result<Self> {
        let prefix: Arc<[u8]> = format!("{name}/").into_bytes().into();
        let wall_ms = millis(wall());
        let (sessions_ms, leases_ms) = blocking(engine, Arc::clone(&prefix), move |tx| begin(tx, wall_ms))?;
        let now = clock.now();
        let running = |base_ms, cap| {
            Mutex::new(Running {
                base_ms,
                clock: StoreClock::new(now, cap),
                written_ms: base_ms,
            })
        };
        let members = evict_all(engine, &prefix, leases_ms).map_or_else(spoiled, |()| Ok(None))?;
        Ok(Self {
            sessions: running(sessions_ms, StoreClock::PARTITION_CAP),
            leases: running(leases_ms, ringhold_core::Timing::default().clock_cap()),
            bell: watch::Sender::new(()),
            prefix,
            clock,
            wall,
            members,
        })
    }

    /// Whether anything can be said of the members.
    ///
    /// # Errors
    /// `Corrupt` where what is stored of them was damaged at opening.
    pub(super) fn members_are_sound(&self) -> Result<()> {
        self.members.as_ref().map_or(Ok(()), |damage| Err(again(damage)))
    }

    /// Keys of the fleet begin with it.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    fn running(&self, kind: ClockKind) -> &Mutex<Running> {
        match kind {
            ClockKind::Sessions => &self.sessions,
            ClockKind::Leases => &self.leases,
        }
    }

    /// What a clock reads.
    pub(super) fn read_clock(&self, kind: ClockKind) -> Reading {
        let (running, time) = (*lock(self.running(kind)), self.clock.now());
        Reading {
            ms: running.at(running.clock.read(time)),
            lag: running.clock.lag(time),
        }
    }

    /// Moves a clock on, and writes what it then reads, beside the time of day.
    fn advance(&self, kind: ClockKind, tx: &mut Overlay<'_>) -> Result<Reading> {
        let (key, cap) = match kind {
            ClockKind::Sessions => (schema::SESSION_CLOCK, StoreClock::PARTITION_CAP),
            ClockKind::Leases => {
                let timing = discovery::timing(tx)?.unwrap_or_default();
                (schema::LEASE_CLOCK, timing.clock_cap())
            }
        };
        let (now, moved) = {
            let mut running = lock(self.running(kind));
            running.clock.set_cap(cap);
            let time = self.clock.now();
            let lag = running.clock.lag(time);
            let now = running.clock.advance(time);
            let ms = running.at(now);
            let moved = running.written_ms != ms;
            running.written_ms = ms;
            (Reading { ms, lag }, moved)
        };
        if moved {
            tx.tick(key, None, now.ms);
            tx.put(schema::WALL_CLOCK.to_vec(), number(millis((self.wall)())));
        }
        Ok(now)
    }

    /// Queues a rule that writes, with the reading of the clock, and answers where its answer will come.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub(super) fn write<R: Send + 'static>(
        self: &Arc<Self>,
        engine: &Engine,
        how: Write,
        rule: impl FnOnce(&mut Overlay<'_>, Reading) -> Result<R> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<R>>> {
        let (told, answer) = oneshot::channel();
        let fleet = Arc::clone(self);
        let run = move |tx: &mut Overlay<'_>| {
            let outcome = fleet.advance(how.clock, tx).and_then(|now| {
                // The clock goes on also where the rule refuses.
                tx.keep();
                rule(tx, now)
            });
            let wrote = keep(tx, outcome.is_ok());
            let reply = move |failure: Option<Error>| {
                if how.clock == ClockKind::Leases && failure.is_none() {
                    fleet.bell.send_replace(());
                }
                // A caller that went away hears nothing.
                drop(told.send(failure.map_or(outcome, Err)));
            };
            Ran {
                wrote,
                reply: Box::new(reply),
            }
        };
        engine.submit(Job {
            prefix: Arc::clone(&self.prefix),
            sync_within: how.sync_within,
            bytes: how.bytes.saturating_add(JOB_BYTES),
            run: Box::new(run),
        })?;
        Ok(answer)
    }
}

/// Puts out all members: they were of a process that is gone.
fn evict_all(engine: &Engine, prefix: &Arc<[u8]>, now_ms: u64) -> Result<()> {
    // Where there are none, the fleet's own key is looked at all the same.
    blocking(engine, Arc::clone(prefix), |tx| discovery::timing(tx).map(drop))?;
    loop {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "open", "no random bits").with_source(error)
        })?;
        let evict = move |tx: &mut Overlay<'_>| discovery::evict_all(tx, now_ms, seed);
        match blocking(engine, Arc::clone(prefix), evict)? {
            Step::Done(()) => return Ok(()),
            Step::Refused(error) => return Err(error),
            Step::More => {}
        }
    }
}

/// Damage of what is stored of the members is kept for who asks for them.
fn spoiled(error: Error) -> Result<Option<Error>> {
    if error.kind() != ErrorKind::Corrupt {
        return Err(error);
    }
    tracing::error!(%error, "what is stored of the members is damaged; sessions are served without them");
    Ok(Some(error))
}

impl fmt::Debug for FleetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetState").finish_non_exhaustive()
    }
}

fn keep(tx: &mut Overlay<'_>, is_ok: bool) -> bool {
    if !is_ok {
        tx.forget();
    }
    tx.keep()
}

fn number(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

/// Runs a rule of the opening, on the disk before this returns. Blocks.
fn blocking<R: Send + 'static>(
    engine: &Engine,
    prefix: Arc<[u8]>,
    rule: impl FnOnce(&mut Overlay<'_>) -> Result<R> + Send + 'static,
) -> Result<R> {
    let (told, answer) = std::sync::mpsc::sync_channel(1);
    let run = move |tx: &mut Overlay<'_>| {
        let outcome = rule(tx);
        let wrote = keep(tx, outcome.is_ok());
        let reply = move |failure: Option<Error>| drop(told.send(failure.map_or(outcome, Err)));
        Ran {
            wrote,
            reply: Box::new(reply),
        }
    };
    engine.submit(Job {
        prefix,
        sync_within: Duration::ZERO,
        bytes: JOB_BYTES,
        run: Box::new(run),
    })?;
    answer.recv().unwrap_or_else(|_| Err(engine.unavailable()))
}

/// Checks the schema, or writes it, and moves both clocks on by the time that nobody had the file open, one
/// cap at most. Answers what they read.
fn begin(tx: &mut Overlay<'_>, wall_ms: u64) -> Result<(u64, u64)> {
    let schema = schema::SCHEMA.to_string();
    match tx.get(schema::SCHEMA_KEY)? {
        None => tx.put(schema::SCHEMA_KEY.to_vec(), schema.into_bytes()),
        Some(stored) if stored == schema.as_bytes() => {}
        Some(stored) => {
            let stored = String::from_utf8_lossy(&stored[..stored.len().min(20)]).into_owned();
            let context =
                format!("its schema is {stored:?} and this build knows {schema}; use a build that knows it");
            return Err(Error::new(ErrorKind::Unsupported, "open", context));
        }
    }
    let last_wall_ms = reading(tx, schema::WALL_CLOCK)?;
    // Nothing stored is the first time ever.
    let away_ms = last_wall_ms.map_or(0, |last_ms| wall_ms.saturating_sub(last_ms));
    // Where that is damaged, membership is out of order anyway.
    let timing = match discovery::timing(tx) {
        Err(error) if error.kind() == ErrorKind::Corrupt => None,
        timing => timing?,
    };
    let lease_cap = timing.unwrap_or_default().clock_cap();
    let mut go_on = |key: &[u8], cap: Duration| {
        let stored_ms = reading(tx, key)?.unwrap_or(0);
        let now_ms = stored_ms.saturating_add(away_ms.min(millis(cap)));
        tx.put(key.to_vec(), number(now_ms));
        Ok(now_ms)
    };
    let sessions_ms = go_on(schema::SESSION_CLOCK, StoreClock::PARTITION_CAP)?;
    let leases_ms = go_on(schema::LEASE_CLOCK, lease_cap)?;
    tx.put(schema::WALL_CLOCK.to_vec(), number(wall_ms));
    Ok((sessions_ms, leases_ms))
}

fn reading(tx: &mut Overlay<'_>, key: &[u8]) -> Result<Option<u64>> {
    let Some(bytes) = tx.get(key)? else {
        return Ok(None);
    };
    let bytes = <[u8; 8]>::try_from(&bytes[..]).map_err(|_| corrupt("open", "the reading of a clock"))?;
    Ok(Some(u64::from_le_bytes(bytes)))
}
