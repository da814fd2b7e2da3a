//! A fleet under the rules of membership, one transaction at a time.

use std::time::Duration;

use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed};
use ringhold_core::node::Load;
use ringhold_core::{ErrorKind, Membership, NodeIncarnation, NodeRecord, Result, Revision, Timing, Update};
use ringhold_kv::discovery::{self, Polled, Position, Step};
use ringhold_testkit::Make;

use super::{Cost, Reach, TestStore, TestTx};

pub(crate) const LEASE_MS: u64 = 5_000;

/// A fleet whose clock a test reads as it likes: processes need not agree on it.
pub(crate) struct Fleet {
    pub(crate) make: Make,
    pub(crate) store: TestStore,
}

pub(crate) fn done<R>(step: Step<R>) -> R {
    match step {
        Step::Done(answer) => answer,
        Step::Refused(error) => panic!("refused: {error}"),
        Step::More => panic!("few have lapsed"),
    }
}

pub(crate) fn refused<R>(step: Step<R>) -> ErrorKind {
    match step {
        Step::Refused(error) => error.kind(),
        Step::Done(_) | Step::More => panic!("it must be refused"),
    }
}

impl Fleet {
    pub(crate) fn both(name: &'static str) -> [Self; 2] {
        [Reach::Near, Reach::Far].map(|reach| Self {
            make: Make::new(name),
            store: TestStore::new(reach),
        })
    }

    pub(crate) fn registration(&self) -> RegisterNode {
        RegisterNode::new(self.make.node(), Timing::default())
    }

    pub(crate) fn register(&self, now_ms: u64, request: &RegisterNode) -> Result<Step<Registered>> {
        self.store.run(|tx| discovery::register(tx, now_ms, request))
    }

    pub(crate) fn join(&self, now_ms: u64) -> NodeIncarnation {
        self.join_as(now_ms, self.make.node())
    }

    pub(crate) fn join_as(&self, now_ms: u64, record: NodeRecord) -> NodeIncarnation {
        let request = RegisterNode::new(record, Timing::default());
        let registered = done(self.register(now_ms, &request).unwrap());
        NodeIncarnation::new(request.record.id.clone(), registered.incarnation)
    }

    pub(crate) fn renewal(&self, node: &NodeIncarnation) -> RenewLease {
        let after = self.members(0).revision;
        RenewLease::new(node.clone(), after, Load::new(1), self.make.operation())
    }

    pub(crate) fn renew(&self, now_ms: u64, request: &RenewLease) -> Step<Renewed> {
        self.store
            .run(|tx| discovery::renew(tx, now_ms, request))
            .unwrap()
    }

    /// A renewal, and what it cost while `between` came between.
    pub(crate) fn race_renewal(
        &self,
        now_ms: u64,
        request: &RenewLease,
        between: impl FnOnce(),
    ) -> (Step<Renewed>, Cost) {
        let rule = |tx: &mut TestTx| discovery::renew(tx, now_ms, request);
        self.store.race(between, rule).unwrap()
    }

    pub(crate) fn leave(&self, node: &NodeIncarnation) {
        self.leave_at(0, node);
    }

    pub(crate) fn leave_at(&self, now_ms: u64, node: &NodeIncarnation) {
        let request = LeaveFleet::new(node.clone(), self.make.operation());
        self.store
            .run(|tx| discovery::leave(tx, now_ms, &request))
            .unwrap();
    }

    pub(crate) fn evict(&self, now_ms: u64, node: &NodeIncarnation) -> bool {
        let request = EvictNode::new(node.clone(), self.make.operation());
        let step = self.store.run(|tx| discovery::evict(tx, now_ms, &request));
        done(step.unwrap()).was_member
    }

    pub(crate) fn members(&self, now_ms: u64) -> Membership {
        self.store.run(|tx| discovery::members(tx, now_ms)).unwrap()
    }

    /// A look of a watcher.
    pub(crate) fn poll(&self, now_ms: u64, position: &Position) -> Polled {
        let rule = |tx: &mut TestTx| discovery::poll(tx, now_ms, Duration::ZERO, position);
        self.store.run(rule).unwrap()
    }

    /// All that ever changed, in words.
    pub(crate) fn history(&self) -> Vec<String> {
        let mut position = Position::new(Some(Revision::default()));
        let mut words = Vec::new();
        loop {
            let polled = self.poll(0, &position);
            position = polled.position;
            words.extend(polled.updates.iter().map(|update| match update {
                Update::Joined { node, .. } => format!("{} joined", node.node()),
                Update::Changed { node, .. } => format!("{} changed", node.node()),
                Update::Left { node, reason, .. } => format!("{node} left: {}", reason.as_str()),
                other => panic!("{other:?}"),
            }));
            if !polled.more {
                return words;
            }
        }
    }
}
