//! What readers see of the membership, and how a watcher follows it.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::membership::Member;
use ringhold_core::node::Load;
use ringhold_core::{Membership, NodeIncarnation, Revision, Timing, Update};

use super::leases::Leases;

/// How far a watcher has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// The revision up to which it was told; none before its first reset.
    at: Option<Revision>,
    /// The version of the load table that it was told.
    loads: u64,
}

impl Leases {
    /// Moves the lease clock on and reaps nothing.
    pub(crate) fn tick(&mut self, time: Duration) {
        self.clock.advance(time);
    }

    /// The membership now. O(members).
    pub(crate) fn membership(&self, time: Duration) -> Membership {
        let now = self.clock.read(time);
        let members = self.members.values().map(|lease| {
            let mut member = Member::new(Arc::clone(&lease.record), lease.load);
            member.lapsed = lease.deadline <= now;
            member
        });
        let mut membership = Membership::new(self.log.head(), members.collect());
        membership.clock_lag = self.clock.lag(time);
        membership
    }

    /// The periods that the fleet runs by.
    pub(crate) fn timing(&self) -> Option<Timing> {
        self.timing
    }

    /// What each member carried at its last renewal, by id.
    pub(crate) fn load_table(&self) -> Vec<(NodeIncarnation, Load)> {
        self.members
            .values()
            .map(|lease| (lease.record.node(), lease.load))
            .collect()
    }

    /// Where a watcher begins that goes on from `after`.
    pub(crate) fn position(&self, after: Option<Revision>) -> Position {
        Position {
            at: after,
            loads: self.loads.version(),
        }
    }

    /// The next update for a watcher, and the step past it; none when it has seen everything.
    ///
    /// Changes come before loads, so that loads never hold up a change; of loads only the newest
    /// are told.
    pub(crate) fn follow(&self, time: Duration, position: &mut Position) -> Option<Update> {
        let changes = position.at.and_then(|at| self.log.after(at));
        let Some(mut changes) = changes else {
            let membership = self.membership(time);
            *position = self.position(Some(membership.revision));
            return Some(Update::Reset(membership));
        };
        if let Some(change) = changes.next() {
            position.at = change.revision();
            return Some(change.clone());
        }
        if position.loads != self.loads.version() {
            position.loads = self.loads.version();
            return Some(Update::Loads(self.load_table()));
        }
        None
    }

    /// What changes whenever there is something new for watchers.
    pub(crate) fn pulse(&self) -> (Revision, u64) {
        (self.log.head(), self.loads.version())
    }
}
