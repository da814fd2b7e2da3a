//! Membership: the rules of `ringhold-kv`, in transactions.

mod bell;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::discovery::{
    Departed, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed, Watch,
};
use ringhold_core::{Discovery, Error, ErrorKind, Membership, Result, Revision, Timing};
use ringhold_kv::clock::ClockKind;
use ringhold_kv::discovery::{self as rules, Step};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use self::bell::Bell;
use self::watch::EtcdWatch;
use crate::clock::FleetClock;
use crate::transaction::{EtcdTransaction, Runner, Stop};

/// How far the lease clock moves before it is worth a write.
const CLOCK_STEP: Duration = Duration::from_millis(250);

/// The [`Discovery`] on etcd.
///
/// A renewal is two round trips; it reads all leases and writes its own, so renewals of different nodes
/// never stand in each other's way. `register`, `leave` and `evict` change the membership one after another,
/// those through one `EtcdDiscovery` without a race.
/// `members` and a watch's reset read all records. The last 256 changes are kept.
///
/// A watch looks once a heartbeat unless the URL says otherwise, and at once when etcd tells of a change;
/// it moves the lease clock on as it does. It holds a position, and at most one answer of changes.
///
/// # Cancel safety
/// Dropping a write's future leaves it open whether the write happens; repeat it unchanged.
#[derive(Debug)]
pub struct EtcdDiscovery {
    way: Way,
    bell: Arc<Bell>,
    poll: Option<Duration>,
    replicated: u8,
}

/// The way to the fleet's membership.
#[derive(Debug, Clone)]
struct Way {
    runner: Runner,
    clock: Arc<FleetClock>,
    /// One change of the membership at a time: they would only lose races to each other. The one that a node renews
    /// through has its own, so that a blocked runtime of the application holds up no registration.
    turn: Arc<Semaphore>,
}

impl Way {
    /// Runs a rule until it has come to its end.
    async fn write<R>(
        &self,
        operation: &'static str,
        rule: impl Fn(&mut EtcdTransaction, u64) -> Result<Step<R>, Stop>,
    ) -> Result<R> {
        loop {
            let rule = |tx: &mut EtcdTransaction, time| self.clock.advance(tx, time, &rule);
            match self.runner.run(operation, rule).await? {
                Step::Done(answer) => return Ok(answer),
                Step::Refused(error) => return Err(error),
                // Each time so many have left, so it ends.
                Step::More => {}
            }
        }
    }
}

impl Way {
    /// Waits for this process's turn to change the membership.
    ///
    /// # Errors
    /// `Overloaded` where it does not come within the deadline of an operation; nothing has happened then.
    async fn turn(&self, operation: &'static str) -> Result<SemaphorePermit<'_>> {
        let limit = self.runner.supervisor().overall();
        if let Ok(Ok(permit)) = timeout(limit, self.turn.acquire()).await {
            return Ok(permit);
        }
        let context = format!("other changes of the membership by this process took {limit:?}; try again");
        Err(Error::new(ErrorKind::Overloaded, operation, context))
    }
}

impl EtcdDiscovery {
    pub(crate) fn new(runner: Runner, poll: Option<Duration>, replicated: u8) -> Self {
        Self {
            bell: Arc::new(Bell::new(runner.clone())),
            way: Way {
                runner,
                clock: Arc::new(FleetClock::new(ClockKind::Leases, CLOCK_STEP)),
                turn: Arc::new(Semaphore::new(1)),
            },
            poll,
            replicated,
        }
    }
}

#[async_trait]
impl Discovery for EtcdDiscovery {
    async fn register(&self, request: RegisterNode) -> Result<Registered> {
        let _turn = self.way.turn("register").await?;
        let rule = |tx: &mut EtcdTransaction, now_ms| rules::register(tx, now_ms, &request);
        let mut registered = self.way.write("register", rule).await?;
        registered.replicated = self.replicated;
        Ok(registered)
    }

    async fn renew(&self, request: RenewLease) -> Result<Renewed> {
        request.check()?;
        let rule = |tx: &mut EtcdTransaction, now_ms| rules::renew(tx, now_ms, &request);
        let mut renewed = self.way.write("renew", rule).await?;
        renewed.replicated = self.replicated;
        Ok(renewed)
    }

    async fn leave(&self, request: LeaveFleet) -> Result<Departed> {
        let _turn = self.way.turn("leave").await?;
        let rule = |tx: &mut EtcdTransaction, now_ms| rules::leave(tx, now_ms, &request).map(Step::Done);
        self.way.write("leave", rule).await?;
        let mut departed = Departed::default();
        departed.replicated = self.replicated;
        Ok(departed)
    }

    async fn evict(&self, request: EvictNode) -> Result<Evicted> {
        let _turn = self.way.turn("evict").await?;
        let rule = |tx: &mut EtcdTransaction, now_ms| rules::evict(tx, now_ms, &request);
        let mut evicted = self.way.write("evict", rule).await?;
        evicted.replicated = self.replicated;
        Ok(evicted)
    }

    async fn members(&self) -> Result<Membership> {
        let Way { runner, clock, .. } = &self.way;
        let rule = |tx: &mut EtcdTransaction, time| {
            let mut membership = clock.advance(tx, time, rules::members)?;
            membership.clock_lag = clock.lag(time);
            Ok(membership)
        };
        runner.run("members", rule).await
    }

    async fn timing(&self) -> Result<Option<Timing>> {
        let rule = |tx: &mut EtcdTransaction, _: Duration| rules::timing(tx);
        self.way.runner.run("timing", rule).await
    }

    async fn watch(&self, after: Option<Revision>) -> Result<Box<dyn Watch>> {
        let ring = Bell::listen(&self.bell);
        Ok(Box::new(EtcdWatch::new(self.way.clone(), ring, self.poll, after)))
    }
}
