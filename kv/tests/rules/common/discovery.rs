//! The rules of membership behind their trait.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringhold_core::discovery::{
    Departed, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed, Watch,
};
use ringhold_core::{Clock, Discovery, Membership, Result, Revision, Timing, Update};
use ringhold_kv::clock::{ClockKind, ObservedClock};
use ringhold_kv::discovery::{self, Position, Step};
use ringhold_testkit::async_trait;
use tokio::sync::watch;

use super::{Stop, TestStore, TestTx};

/// A fleet in a [`TestStore`]. Clones are one process.
#[derive(Clone)]
pub(crate) struct TestDiscovery {
    pub(crate) store: TestStore,
    clock: Arc<dyn Clock>,
    leases: Arc<ObservedClock>,
    bell: watch::Sender<()>,
    /// How many transactions the last request took.
    transactions: Arc<Mutex<usize>>,
}

impl TestDiscovery {
    pub(crate) fn new(store: TestStore, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            leases: Arc::new(ObservedClock::new(ClockKind::Leases, Duration::from_millis(1))),
            bell: watch::Sender::new(()),
            transactions: Arc::default(),
        }
    }

    /// How many transactions the last request took.
    pub(crate) fn transactions(&self) -> usize {
        *self.transactions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a rule until it has come to its end.
    pub(crate) fn write<R>(
        &self,
        mut rule: impl FnMut(&mut TestTx, u64) -> Result<Step<R>, Stop>,
    ) -> Result<R> {
        for transactions in 1.. {
            let time = self.clock.now();
            let step = self.store.run(|tx| {
                let now_ms = self.leases.advance(tx, time)?;
                rule(tx, now_ms)
            });
            self.bell.send_replace(());
            *self.transactions.lock().unwrap_or_else(PoisonError::into_inner) = transactions;
            match step? {
                Step::Done(answer) => return Ok(answer),
                Step::Refused(error) => return Err(error),
                Step::More => assert!(transactions < 10_000, "it never comes to an end"),
            }
        }
        unreachable!("the loop ends by itself")
    }
}

impl fmt::Debug for TestDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDiscovery").finish_non_exhaustive()
    }
}

#[async_trait]
impl Discovery for TestDiscovery {
    async fn register(&self, request: RegisterNode) -> Result<Registered> {
        self.write(|tx, now_ms| discovery::register(tx, now_ms, &request))
    }

    async fn renew(&self, request: RenewLease) -> Result<Renewed> {
        self.write(|tx, now_ms| discovery::renew(tx, now_ms, &request))
    }

    async fn leave(&self, request: LeaveFleet) -> Result<Departed> {
        self.write(|tx, now_ms| discovery::leave(tx, now_ms, &request).map(Step::Done))?;
        Ok(Departed::default())
    }

    async fn evict(&self, request: EvictNode) -> Result<Evicted> {
        self.write(|tx, now_ms| discovery::evict(tx, now_ms, &request))
    }

    async fn members(&self) -> Result<Membership> {
        self.write(|tx, now_ms| {
            let mut membership = discovery::members(tx, now_ms)?;
            membership.clock_lag = self.leases.lag(self.clock.now());
            Ok(Step::Done(membership))
        })
    }

    async fn timing(&self) -> Result<Option<Timing>> {
        self.store.run(discovery::timing)
    }

    async fn watch(&self, after: Option<Revision>) -> Result<Box<dyn Watch>> {
        Ok(Box::new(TestWatch {
            bell: self.bell.subscribe(),
            discovery: self.clone(),
            position: Position::new(after),
            fetched: VecDeque::new(),
        }))
    }
}

/// Looks whenever something was written.
#[derive(Debug)]
struct TestWatch {
    discovery: TestDiscovery,
    bell: watch::Receiver<()>,
    position: Position,
    fetched: VecDeque<Update>,
}

#[async_trait]
impl Watch for TestWatch {
    async fn next(&mut self) -> Result<Update> {
        loop {
            if let Some(update) = self.fetched.pop_front() {
                return Ok(update);
            }
            self.bell.mark_unchanged();
            let TestDiscovery {
                store, clock, leases, ..
            } = &self.discovery;
            let time = clock.now();
            let polled = store.run(|tx| {
                let now_ms = leases.read(tx, time)?;
                discovery::poll(tx, now_ms, leases.lag(time), &self.position)
            })?;
            self.position = polled.position;
            self.fetched.extend(polled.updates);
            if self.fetched.is_empty() {
                assert!(!polled.more, "there is more, and none of it comes");
                self.bell
                    .changed()
                    .await
                    .expect("the bell lives in what this watch holds");
            }
        }
    }
}
