//! The store clock over a stored number.
//!
//! The store holds a reading. Each process remembers when, on its own monotonic clock, it first saw the
//! reading that is stored now; the time since then, at most the cap, has passed on the store clock too.
//! Whoever writes may store that as the next reading, by comparing and setting. So
//!
//! - the clock never runs faster than real time: a reading was stored before it was seen;
//! - an outage, a suspended process or a jump costs at most one cap, since what was missed is not
//!   added up;
//! - no server's or machine's wall clock takes part.
//!
//! Processes may differ by as long as the last reading has stood, since the one that stored it counts
//! from then and another from when it saw it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ringhold_core::clock::StoreClock;

use crate::transaction::{Transaction, corrupt};
use crate::{discovery, schema};

/// Which of a fleet's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockKind {
    /// The one that sessions run on; its cap is [`StoreClock::PARTITION_CAP`].
    Sessions,
    /// The one that leases run on; its cap is 1.5 heartbeats of the fleet.
    Leases,
}

/// One process's sight of one of a fleet's clocks.
#[derive(Debug)]
pub struct ObservedClock {
    kind: ClockKind,
    /// How far it moves before it is worth a write.
    step_ms: u64,
    sights: Mutex<Sights>,
}

/// A stored reading, and when it held by this process's monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Sight {
    /// `None` where nothing is stored yet, which reads zero.
    stored: Option<u64>,
    at: Duration,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Sight {
    fn reading(&self, time: Duration, cap: Duration) -> u64 {
        let passed = time.saturating_sub(self.at).min(cap);
        self.stored.unwrap_or(0).saturating_add(millis(passed))
    }

    /// The sight of the reading `now`, which holds at `time`. The part of a millisecond that it does not
    /// tell is kept, or a clock that is moved on often would run slow.
    fn next(&self, now: u64, time: Duration) -> Self {
        let rest = time.saturating_sub(self.at).subsec_nanos() % 1_000_000;
        Self {
            stored: Some(now),
            at: time.saturating_sub(Duration::from_nanos(rest.into())),
        }
    }
}

#[derive(Debug, Default)]
struct Sights {
    seen: Option<Sight>,
    /// The readings that this process wanted to store, and those that it saw before: answers overtake each
    /// other, so any of them may be the next that is seen, and each has stood since its own time.
    known: VecDeque<Sight>,
}

impl Sights {
    /// As many as are under way at once at most; one that is forgotten costs the time until the next look.
    const KNOWN_MAX: usize = 32;

    /// Of two sights of one reading the later one counts: where writes fail for long, the same reading is
    /// proposed again and again, and what passed before it was stored is not added.
    fn keep(&mut self, sight: Sight) {
        let same = self.known.iter_mut().find(|known| known.stored == sight.stored);
        if let Some(known) = same {
            known.at = known.at.max(sight.at);
            return;
        }
        if self.known.len() == Self::KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(sight);
    }
}

impl ObservedClock {
    /// A clock that nothing was seen of yet, and that is moved on in steps of at least `step`, or of a
    /// quarter of its cap where that is less.
    pub fn new(kind: ClockKind, step: Duration) -> Self {
        Self {
            kind,
            step_ms: millis(step),
            sights: Mutex::default(),
        }
    }

    const fn key(&self) -> &'static [u8] {
        match self.kind {
            ClockKind::Sessions => schema::SESSION_CLOCK,
            ClockKind::Leases => schema::LEASE_CLOCK,
        }
    }

    fn cap<T: Transaction>(&self, tx: &mut T) -> Result<Duration, T::Stop> {
        match self.kind {
            ClockKind::Sessions => Ok(StoreClock::PARTITION_CAP),
            ClockKind::Leases => Ok(discovery::timing(tx)?.unwrap_or_default().clock_cap()),
        }
    }

    /// What it reads, in milliseconds, when this process's monotonic clock reads `time`.
    ///
    /// # Errors
    /// `Corrupt` where what is stored is no reading.
    pub fn read<T: Transaction>(&self, tx: &mut T, time: Duration) -> Result<u64, T::Stop> {
        let (_, now, _) = self.sight(tx, time)?;
        Ok(now)
    }

    /// What was seen, what it reads, and the cap.
    fn sight<T: Transaction>(&self, tx: &mut T, time: Duration) -> Result<(Sight, u64, Duration), T::Stop> {
        tx.expect(&[self.key(), schema::FLEET])?;
        let cap = self.cap(tx)?;
        let stored = self.stored(tx)?;
        let sight = self.look(stored, time);
        Ok((sight, sight.reading(time, cap), cap))
    }

    /// What it reads, and moves it on to there where it is a step or more behind.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn advance<T: Transaction>(&self, tx: &mut T, time: Duration) -> Result<u64, T::Stop> {
        let (sight, now, cap) = self.sight(tx, time)?;
        // A step that is not well below the cap would lose what passes above it.
        let step_ms = self.step_ms.min(millis(cap / 4).max(1));
        if sight.stored.is_none_or(|stored| now - stored >= step_ms) {
            let mut sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
            sights.keep(sight.next(now, time));
            drop(sights);
            tx.tick(self.key(), sight.stored, now);
        }
        Ok(now)
    }

    /// How long the reading that was seen last has stood, as far as this process knows.
    pub fn lag(&self, time: Duration) -> Duration {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        sights
            .seen
            .map_or(Duration::ZERO, |sight| time.saturating_sub(sight.at))
    }

    fn stored<T: Transaction>(&self, tx: &mut T) -> Result<Option<u64>, T::Stop> {
        let Some(bytes) = tx.peek(self.key())? else {
            return Ok(None);
        };
        let bytes =
            <[u8; 8]>::try_from(&bytes[..]).map_err(|_| corrupt("clock", "the reading of a clock"))?;
        Ok(Some(u64::from_le_bytes(bytes)))
    }

    fn look(&self, stored: Option<u64>, time: Duration) -> Sight {
        let mut sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        // What was seen stands until the store shows something else, so that a proposal that came to
        // nothing takes none of the time that has passed.
        if let Some(seen) = sights.seen.filter(|seen| seen.stored == stored) {
            return seen;
        }
        let known = sights.known.iter().find(|known| known.stored == stored);
        let sight = known.copied().unwrap_or(Sight { stored, at: time });
        if let Some(before) = sights.seen.replace(sight) {
            sights.keep(before);
        }
        sight
    }
}
