//! Steps that the rules of this suite share.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::discovery::{
    Changes, EvictNode, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed, Watch,
};
use ringhold_core::node::Load;
use ringhold_core::{
    Discovery, Membership, NodeId, NodeIncarnation, NodeRecord, Result, Revision, Timing, Update,
};

use crate::expect::{done, shorter};
use crate::{DiscoveryHarness, Make, TestTime, within};

/// Lets `duration` pass on the fleet's lease clock.
///
/// The clock moves by at most 1.5 heartbeats between two writes, so `nodes` renew at least once a
/// heartbeat on the way, and at the end. Everybody else is silent, and may be reaped.
///
/// # Panics
/// When there are no `nodes`, one of them is not live, or the fleet has no timing.
pub async fn let_pass(
    discovery: &dyn Discovery,
    time: &dyn TestTime,
    make: &Make,
    nodes: &[NodeIncarnation],
    duration: Duration,
) {
    assert!(!nodes.is_empty(), "where nobody renews, time stands still");
    let timing = done("timing", discovery.timing().await).expect("a fleet with nodes has a timing");
    let steps = duration.as_nanos().div_ceil(timing.heartbeat().as_nanos());
    let steps = u32::try_from(steps).unwrap_or(u32::MAX).max(1);
    let mut left = duration;
    for step in (1..=steps).rev() {
        let part = left / step;
        left -= part;
        time.pass(part).await;
        for node in nodes {
            let renewal = RenewLease::new(
                node.clone(),
                Revision::default(),
                Load::default(),
                make.operation(),
            );
            done("a renewal in time", discovery.renew(renewal).await);
        }
    }
}

/// One rule's fleet, and what it takes to use it.
pub(super) struct Bed<'h> {
    pub(super) discovery: Arc<dyn Discovery>,
    pub(super) make: Make,
    pub(super) timing: Timing,
    /// How far the end of a lease may be off.
    pub(super) slop: Duration,
    pub(super) time: &'h dyn TestTime,
}

impl<'h> Bed<'h> {
    pub(super) async fn new<H: DiscoveryHarness + ?Sized>(rule: &'static str, harness: &'h H) -> Self {
        let (time, timing) = (harness.time(), harness.timing());
        let slop = harness.capabilities().ttl_resolution + time.slack();
        let heartbeat = timing.heartbeat();
        assert!(
            slop < heartbeat / 3,
            "leases that are off by {slop:?} need a heartbeat above {heartbeat:?}"
        );
        Self {
            discovery: harness.discovery().await,
            make: Make::new(rule),
            timing,
            slop,
            time,
        }
    }

    pub(super) async fn try_register(&self, record: &NodeRecord) -> Result<Registered> {
        self.discovery
            .register(RegisterNode::new(record.clone(), self.timing))
            .await
    }

    pub(super) async fn register(&self, record: &NodeRecord) -> Registered {
        done(&format!("register {record:?}"), self.try_register(record).await)
    }

    /// A new node, registered.
    pub(super) async fn join(&self) -> NodeIncarnation {
        self.join_as(self.make.node_id()).await
    }

    /// A new run of the node `id`, registered.
    pub(super) async fn join_as(&self, id: NodeId) -> NodeIncarnation {
        let record = self.make.run_of(id);
        NodeIncarnation::new(record.id.clone(), self.register(&record).await.incarnation)
    }

    pub(super) fn renewal(&self, node: &NodeIncarnation, after: Revision) -> RenewLease {
        RenewLease::new(node.clone(), after, Load::default(), self.make.operation())
    }

    pub(super) async fn try_renew(&self, node: &NodeIncarnation) -> Result<Renewed> {
        self.discovery
            .renew(self.renewal(node, Revision::default()))
            .await
    }

    pub(super) async fn renew(&self, node: &NodeIncarnation) -> Renewed {
        done(&format!("the renewal of {node}"), self.try_renew(node).await)
    }

    /// What a renewal of `node` answers as new since `after`.
    pub(super) async fn changes(&self, node: &NodeIncarnation, after: Revision) -> Vec<Update> {
        let renewed = done("renew", self.discovery.renew(self.renewal(node, after)).await);
        match renewed.changes {
            Changes::Updates(updates) => updates,
            other => panic!("a renewal since {after:?} must answer the changes, and answers {other:?}"),
        }
    }

    pub(super) async fn leave(&self, node: &NodeIncarnation) {
        let request = LeaveFleet::new(node.clone(), self.make.operation());
        done(&format!("leave {node}"), self.discovery.leave(request).await);
    }

    pub(super) async fn evict(&self, node: &NodeIncarnation) -> bool {
        let request = EvictNode::new(node.clone(), self.make.operation());
        done(&format!("evict {node}"), self.discovery.evict(request).await).was_member
    }

    pub(super) async fn members(&self) -> Membership {
        done("members", self.discovery.members().await)
    }

    pub(super) async fn revision(&self) -> Revision {
        self.members().await.revision
    }

    pub(super) async fn watch(&self, after: Option<Revision>) -> Box<dyn Watch> {
        done(
            "watch",
            within("a watch to open", self.discovery.watch(after)).await,
        )
    }

    /// Lets `duration` pass while `nodes` renew.
    pub(super) async fn pass(&self, nodes: &[&NodeIncarnation], duration: Duration) {
        let nodes: Vec<_> = nodes.iter().map(|node| (*node).clone()).collect();
        let_pass(&*self.discovery, self.time, &self.make, &nodes, duration).await;
    }

    /// Lets the leases of all but `nodes` lapse, if they were renewed just now. Nobody has reaped
    /// them: the last heartbeat passed without a renewal.
    pub(super) async fn lapse_all_but(&self, nodes: &[&NodeIncarnation]) {
        let last = self.timing.heartbeat();
        self.pass(nodes, shorter(self.timing.lease(), last)).await;
        self.time.pass(last + self.slop).await;
    }
}

/// The next update, loads left out.
pub(super) async fn next_change(watch: &mut Box<dyn Watch>) -> Update {
    loop {
        match done("watch", within("the next update of a watch", watch.next()).await) {
            Update::Loads(_) => {}
            update => return update,
        }
    }
}

/// The records of a membership, and its revision: what updates carry whole.
pub(super) fn records(membership: &Membership) -> (Revision, Vec<NodeRecord>) {
    let records = membership
        .members
        .iter()
        .map(|member| NodeRecord::clone(&member.record));
    (membership.revision, records.collect())
}

/// Updates without their revisions, in words.
pub(super) fn in_words(updates: &[Update]) -> Vec<String> {
    let words = updates.iter().map(|update| match update {
        Update::Reset(membership) => format!("reset at {:?}", membership.revision),
        Update::Joined { node, .. } => format!("{} joined", node.node()),
        Update::Changed { node, .. } => format!("{} changed", node.node()),
        Update::Left { node, reason, .. } => format!("{node} left: {}", reason.as_str()),
        other => format!("{other:?}"),
    });
    words.collect()
}
