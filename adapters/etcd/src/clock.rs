//! What time it is: of this process, and of the fleet.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ringhold_core::Clock;
use ringhold_kv::clock::{ClockKind, ObservedClock};

use crate::transaction::{EtcdTransaction, Stop};

/// The clock that a backend runs on unless it is given another: the operating system's monotonic one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MonotonicClock {
    origin: Instant,
}

impl MonotonicClock {
    /// A clock that reads zero now.
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// One of the fleet's clocks, read in the transaction whose rule goes by it.
#[derive(Debug)]
pub(crate) struct FleetClock {
    observed: ObservedClock,
    /// What it read last, and when.
    last: Mutex<Option<(u64, Duration)>>,
}

impl FleetClock {
    pub(crate) fn new(kind: ClockKind, step: Duration) -> Self {
        Self {
            observed: ObservedClock::new(kind, step),
            last: Mutex::default(),
        }
    }

    /// Runs a rule that only reads.
    pub(crate) fn read<R>(
        &self,
        tx: &mut EtcdTransaction,
        time: Duration,
        rule: impl FnOnce(&mut EtcdTransaction, u64) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let now_ms = self.observed.read(tx, time);
        self.with(now_ms, tx, time, rule)
    }

    /// Runs a rule, and moves the clock on where it is worth it.
    pub(crate) fn advance<R>(
        &self,
        tx: &mut EtcdTransaction,
        time: Duration,
        rule: impl FnOnce(&mut EtcdTransaction, u64) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let now_ms = self.observed.advance(tx, time);
        self.with(now_ms, tx, time, rule)
    }

    /// How long what is stored has stood, as far as this process knows.
    pub(crate) fn lag(&self, time: Duration) -> Duration {
        self.observed.lag(time)
    }

    /// Where the clock has to be fetched, the rule is run all the same, at the time that it probably is:
    /// what it asks for first is fetched together with the clock.
    fn with<R>(
        &self,
        now_ms: Result<u64, Stop>,
        tx: &mut EtcdTransaction,
        time: Duration,
        rule: impl FnOnce(&mut EtcdTransaction, u64) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match now_ms {
            Ok(now_ms) => {
                *last = Some((now_ms, time));
                drop(last);
                rule(tx, now_ms)
            }
            Err(Stop::Missing) => {
                let (then_ms, then) = last.unwrap_or((0, time));
                drop(last);
                let passed = u64::try_from(time.saturating_sub(then).as_millis()).unwrap_or(u64::MAX);
                // Nothing that it reads is here, so whatever it came to means nothing.
                let _ = rule(tx, then_ms.saturating_add(passed));
                Err(Stop::Missing)
            }
            Err(error) => Err(error),
        }
    }
}
