//! A session store with a fault.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ringhold_core::backend::Capabilities;
use ringhold_core::clock::StoreClock;
use ringhold_core::session::{CreateSession, Created, TOMBSTONE_TTL, TakeExpired, TakenSession};
use ringhold_core::{
    Clock, Error, ErrorKind, FleetName, Limits, Nonce, Partition, SessionId, SessionRecord, SessionStore,
};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::session_store::RULES;
use ringhold_testkit::{SimulatedClock, StoreHarness, TestTime, async_trait};

use super::store_faults::{CASES, Fault};
use super::{bites, by_name};

/// Hands out one store, with one fault.
#[derive(Debug)]
pub(crate) struct Harness {
    fault: Fault,
    clock: SimulatedClock,
}

#[async_trait]
impl StoreHarness for Harness {
    async fn store(&self) -> Arc<dyn SessionStore> {
        // Only with these faults does the inner store have a time of its own.
        let own_time = matches!(self.fault, Fault::TimeGoesOn | Fault::OutagesCostTwoCaps);
        let inner_clock = if own_time {
            SimulatedClock::new()
        } else {
            self.clock.clone()
        };
        let most = if self.fault == Fault::AnySizeWillDo {
            Limits::DATA_BYTES_CEILING
        } else {
            64 * 1024
        };
        let limits = Limits::default().with_data_bytes_max(most).expect("in range");
        let fleet = FleetName::new("bites").expect("a word");
        let inner = MemoryBackend::with_clock(fleet, limits, Arc::new(inner_clock.clone()))
            .backend()
            .sessions;
        let state = Mutex::new(State {
            known_time: self.clock.now(),
            ..State::default()
        });
        let (fault, clock) = (self.fault, self.clock.clone());
        Arc::new(Broken {
            fault,
            clock,
            inner_clock,
            inner,
            state,
        })
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::embedded()
    }
}

ringhold_testkit::__session_store_rules!([by_name] session_store);

#[test]
fn the_session_store_suite_bites() {
    bites(RULES, CASES, Fault::Sound, |fault, rule| async move {
        run(
            rule,
            &Harness {
                fault,
                clock: SimulatedClock::new(),
            },
        )
        .await;
    });
}

#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) fault: Fault,
    pub(crate) clock: SimulatedClock,
    pub(crate) inner_clock: SimulatedClock,
    pub(crate) inner: Arc<dyn SessionStore>,
    pub(crate) state: Mutex<State>,
}

/// What the faults need to remember.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Up to when time has been passed on.
    pub(crate) known_time: Duration,
    pub(crate) count: u128,
    pub(crate) logins: HashMap<SessionId, CreateSession>,
    pub(crate) created: HashMap<SessionId, Created>,
    pub(crate) took_over: HashSet<SessionId>,
    pub(crate) claims: HashSet<Nonce>,
    pub(crate) seen: HashMap<SessionId, SessionRecord>,
    pub(crate) ended: HashMap<SessionId, Duration>,
    pub(crate) partitions: HashSet<Partition>,
    pub(crate) taken: Vec<TakenSession>,
}

impl Broken {
    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    pub(crate) fn fresh(&self) -> [u8; 16] {
        let mut state = self.state();
        state.count += 1;
        state.count.to_be_bytes()
    }

    pub(crate) fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "broken", "on purpose")
    }

    pub(crate) async fn live(&self, id: &SessionId) -> Option<SessionRecord> {
        self.inner.get(id).await.expect("memory is there")
    }

    /// Where time goes on, whoever ticks or not.
    pub(crate) async fn before(&self, partition: Partition) {
        let now = self.clock.now();
        let (passed, partitions) = {
            let mut state = self.state();
            state.partitions.insert(partition);
            let passed = now.saturating_sub(std::mem::replace(&mut state.known_time, now));
            (passed, state.partitions.iter().copied().collect::<Vec<_>>())
        };
        let mut left = match self.fault {
            Fault::TimeGoesOn => passed,
            Fault::OutagesCostTwoCaps => passed.min(StoreClock::PARTITION_CAP * 2),
            _ => return,
        };
        while left > Duration::ZERO {
            let step = left.min(StoreClock::PARTITION_CAP);
            left = left.saturating_sub(step);
            self.inner_clock.advance(step);
            self.tick(partitions.clone()).await;
        }
    }

    /// What a session was that is not live any more, where expired ones are answered.
    pub(crate) async fn expired(&self, id: &SessionId) -> Option<SessionRecord> {
        if !self.is(Fault::RepetitionsAnswerTheExpired) || self.live(id).await.is_some() {
            return None;
        }
        let mut session = self.state().seen.get(id).cloned()?;
        session.remaining = Duration::ZERO;
        Some(session)
    }

    pub(crate) async fn tick(&self, partitions: Vec<Partition>) {
        let tick = TakeExpired::new(partitions, 0, Nonce::from_bytes([0; 16]));
        self.inner.take_expired(tick).await.expect("memory is there");
    }

    /// Whether a tombstone of this session would be gone if it stood for half its time.
    pub(crate) fn is_half_over(&self, id: &SessionId) -> bool {
        let ended = self.state().ended.get(id).copied();
        ended.is_some_and(|ended| self.clock.now() > ended + TOMBSTONE_TTL / 2)
    }

    /// A refused write, as this store says it.
    pub(crate) fn refusal(&self, id: &SessionId, error: Error) -> Error {
        let known = self.state().ended.contains_key(id);
        match (self.fault, error.kind()) {
            (Fault::TombstonesAreShort, ErrorKind::Fenced) if self.is_half_over(id) => {
                Self::error(ErrorKind::NotFound)
            }
            (Fault::TombstonesStay, ErrorKind::NotFound) if known => Self::error(ErrorKind::Fenced),
            _ => error,
        }
    }
}
