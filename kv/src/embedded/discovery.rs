//! Membership: each method runs its rule in the writer, and a watch looks whenever the bell rings.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::discovery::{
    Departed, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed, Watch,
};
use ringhold_core::{Discovery, Error, ErrorKind, Membership, Result, Revision, Timing, Update};
use tokio::sync::watch;

use super::fleet::{Reading, Write};
use super::handle::Handle;
use super::overlay::Overlay;
use crate::clock::ClockKind;
use crate::discovery::{self, Position, Step};

/// How long a watch waits after a look that failed.
const PAUSE: Duration = Duration::from_millis(250);

/// The membership of one fleet in an open file.
#[derive(Clone)]
pub struct EmbeddedDiscovery {
    handle: Handle,
}

impl EmbeddedDiscovery {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Who registers, leaves or is put out stays so: no number is given twice.
    fn firm(&self) -> Write {
        self.handle.firm(ClockKind::Leases)
    }

    /// Runs a rule until it has come to its end.
    async fn write<R, Q>(
        &self,
        write: Write,
        request: Q,
        rule: fn(&mut Overlay<'_>, u64, &Q) -> Result<Step<R>>,
    ) -> Result<R>
    where
        R: Send + 'static,
        Q: Clone + Send + 'static,
    {
        self.handle.fleet.members_are_sound()?;
        loop {
            let request = request.clone();
            let run = move |tx: &mut Overlay<'_>, now: Reading| rule(tx, now.ms, &request);
            match self.handle.write(write, run).await? {
                Step::Done(answer) => return Ok(answer),
                Step::Refused(error) => return Err(error),
                Step::More => {}
            }
        }
    }
}

impl fmt::Debug for EmbeddedDiscovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedDiscovery").finish_non_exhaustive()
    }
}

#[async_trait]
impl Discovery for EmbeddedDiscovery {
    async fn register(&self, request: RegisterNode) -> Result<Registered> {
        self.write(self.firm(), request, |tx, now, request| {
            discovery::register(tx, now, request)
        })
        .await
    }

    /// A crash puts all members out, so nothing of a renewal need outlive one.
    async fn renew(&self, request: RenewLease) -> Result<Renewed> {
        request.check()?;
        self.write(Write::soft(ClockKind::Leases), request, |tx, now, request| {
            discovery::renew(tx, now, request)
        })
        .await
    }

    async fn leave(&self, request: LeaveFleet) -> Result<Departed> {
        self.write(self.firm(), request, |tx, now, request| {
            discovery::leave(tx, now, request).map(Step::Done)
        })
        .await?;
        Ok(Departed::default())
    }

    async fn evict(&self, request: EvictNode) -> Result<Evicted> {
        self.write(self.firm(), request, |tx, now, request| {
            discovery::evict(tx, now, request)
        })
        .await
    }

    async fn members(&self) -> Result<Membership> {
        self.handle.fleet.members_are_sound()?;
        let write = Write::soft(ClockKind::Leases);
        let rule = |tx: &mut Overlay<'_>, now: Reading| {
            let mut membership = discovery::members(tx, now.ms)?;
            membership.clock_lag = now.lag;
            Ok(membership)
        };
        self.handle.write(write, rule).await
    }

    async fn timing(&self) -> Result<Option<Timing>> {
        self.handle.fleet.members_are_sound()?;
        self.handle
            .read(ClockKind::Leases, |tx, _| discovery::timing(tx))
            .await
    }

    async fn watch(&self, after: Option<Revision>) -> Result<Box<dyn Watch>> {
        self.handle.fleet.members_are_sound()?;
        Ok(Box::new(EmbeddedWatch {
            bell: self.handle.fleet.bell(),
            handle: self.handle.clone(),
            position: Position::new(after),
            fetched: VecDeque::new(),
        }))
    }
}

/// Looks whenever something was written; what a look brought is handed out one by one, and nothing is read
/// while something is left, so that a watcher that does not listen costs nothing.
struct EmbeddedWatch {
    handle: Handle,
    bell: watch::Receiver<()>,
    position: Position,
    fetched: VecDeque<Update>,
}

impl fmt::Debug for EmbeddedWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedWatch")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Watch for EmbeddedWatch {
    async fn next(&mut self) -> Result<Update> {
        loop {
            if let Some(update) = self.fetched.pop_front() {
                return Ok(update);
            }
            self.bell.mark_unchanged();
            let position = self.position;
            let look =
                move |tx: &mut Overlay<'_>, now: Reading| discovery::poll(tx, now.ms, now.lag, &position);
            // Nothing is taken over before it is whole, so a dropped future loses no update.
            let polled = match self.handle.read(ClockKind::Leases, look).await {
                Err(error) if error.is_retryable() => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                polled => polled?,
            };
            self.position = polled.position;
            self.fetched.extend(polled.updates);
            if self.fetched.is_empty() && !polled.more && self.bell.changed().await.is_err() {
                // The fleet lives in what this watch holds.
                let context = "the store was closed";
                return Err(Error::new(ErrorKind::Unavailable, "watch", context));
            }
        }
    }
}
