//! Membership: one state machine behind a lock, and a bell for its watchers.

mod leases;
mod loads;
mod log;
mod read;
mod watch;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::discovery::{
    Departed, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed, Watch,
};
use ringhold_core::{Clock, Discovery, Membership, Result, Revision, Timing};

use self::leases::Leases;
use self::watch::MemoryWatch;

/// The [`Discovery`] of this process.
///
/// `renew` is O(log n) in the nodes plus its answer: at most 64 changes, and the table of loads,
/// with every renewal in fleets of up to 128 nodes and with every eighth in larger ones. `members`
/// and `register` are O(n). A watch keeps a position and no updates; the last 256 changes are kept
/// once, for all of them.
///
/// # Cancel safety
/// No method but `Watch::next` ever suspends, so a future that was polled has done its work.
pub struct MemoryDiscovery {
    shared: Arc<Shared>,
}

/// What the backend and its watches share.
pub(crate) struct Shared {
    leases: Mutex<Leases>,
    clock: Arc<dyn Clock>,
    bell: tokio::sync::watch::Sender<()>,
}

impl MemoryDiscovery {
    /// An empty fleet on `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let leases = Mutex::new(Leases::new(clock.now()));
        Self {
            shared: Arc::new(Shared {
                leases,
                clock,
                bell: tokio::sync::watch::Sender::new(()),
            }),
        }
    }
}

impl Shared {
    /// Does `work` at the time of now, and rings the bell when it changed anything.
    fn with<R>(&self, work: impl FnOnce(&mut Leases, Duration) -> R) -> R {
        // A panic under the lock can only come from the clock, before anything was changed.
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let before = leases.pulse();
        // Read under the lock, so that the fleet never sees time go back.
        let time = self.clock.now();
        let result = work(&mut leases, time);
        let rings = leases.pulse() != before;
        drop(leases);
        if rings {
            self.bell.send_replace(());
        }
        result
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDiscovery").finish_non_exhaustive()
    }
}

#[async_trait]
impl Discovery for MemoryDiscovery {
    async fn register(&self, request: RegisterNode) -> Result<Registered> {
        self.shared.with(|leases, time| leases.register(time, &request))
    }

    async fn renew(&self, request: RenewLease) -> Result<Renewed> {
        self.shared.with(|leases, time| leases.renew(time, request))
    }

    async fn leave(&self, request: LeaveFleet) -> Result<Departed> {
        self.shared.with(|leases, time| leases.leave(time, &request));
        Ok(Departed::default())
    }

    async fn evict(&self, request: EvictNode) -> Result<Evicted> {
        let was_member = self.shared.with(|leases, time| leases.evict(time, &request));
        Ok(Evicted::new(was_member))
    }

    async fn members(&self) -> Result<Membership> {
        Ok(self.shared.with(|leases, time| {
            let membership = leases.membership(time);
            leases.tick(time);
            membership
        }))
    }

    async fn timing(&self) -> Result<Option<Timing>> {
        Ok(self.shared.with(|leases, _| leases.timing()))
    }

    async fn watch(&self, after: Option<Revision>) -> Result<Box<dyn Watch>> {
        let position = self.shared.with(|leases, _| leases.position(after));
        Ok(Box::new(MemoryWatch::new(Arc::clone(&self.shared), position)))
    }
}
