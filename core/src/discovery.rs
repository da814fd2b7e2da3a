//! Registration, leases and the watch of a fleet's membership.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::membership::{Membership, Revision, Update};
use crate::node::Load;
use crate::session::Durability;
use crate::{Error, ErrorKind, Incarnation, NodeIncarnation, NodeRecord, OperationId, Result, Timing};

/// Registers a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisterNode {
    /// Its record. The incarnation's nonce is the node's and names this registration over all its
    /// attempts; its number is the last one that the node knows of, 0 at first.
    pub record: Arc<NodeRecord>,
    /// The periods that the node runs by. A store keeps and compares their [shared](Timing::shared) part.
    pub timing: Timing,
    /// How many replicas have to know of it; `None` for the backend's default.
    pub durability: Option<Durability>,
}

impl RegisterNode {
    /// Registers `record` in a fleet that runs by `timing`.
    pub fn new(record: impl Into<Arc<NodeRecord>>, timing: Timing) -> Self {
        Self {
            record: record.into(),
            timing,
            durability: None,
        }
    }
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// The incarnation that the node now is.
    pub incarnation: Incarnation,
    /// The fleet, with the node in it.
    pub membership: Membership,
    /// How many replicas acknowledged.
    pub replicated: u8,
}

impl Registered {
    /// An answer.
    pub fn new(incarnation: Incarnation, membership: Membership) -> Self {
        Self {
            incarnation,
            membership,
            replicated: 0,
        }
    }
}

/// Renews a lease and asks what is new.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewLease {
    /// Whose lease.
    pub node: NodeIncarnation,
    /// The caller's resume point.
    pub after: Revision,
    /// What the node carries.
    pub load: Load,
    /// Its new record, where it changed. Id and incarnation are those of `node`.
    pub record: Option<Arc<NodeRecord>>,
    /// Random bits for the tags of changes that this renewal makes by reaping.
    pub operation: OperationId,
}

impl RenewLease {
    /// A renewal without a change of the record.
    pub fn new(node: NodeIncarnation, after: Revision, load: Load, operation: OperationId) -> Self {
        Self {
            node,
            after,
            load,
            record: None,
            operation,
        }
    }

    /// What every adapter checks before any I/O.
    ///
    /// # Errors
    /// `InvalidArgument` for the record of another run than the lease's.
    pub fn check(&self) -> Result<()> {
        match &self.record {
            Some(record) if record.node() != self.node => {
                let context = format!(
                    "the record is of {}, and the lease of {}",
                    record.node(),
                    self.node
                );
                Err(Error::new(ErrorKind::InvalidArgument, "renew", context))
            }
            _ => Ok(()),
        }
    }

    /// The same renewal with a new record.
    #[must_use]
    pub fn with_record(mut self, record: Arc<NodeRecord>) -> Self {
        self.record = Some(record);
        self
    }
}

/// What is new since a resume point.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changes {
    /// The changes in order, at most [`Changes::MAX`]; empty when there are none.
    Updates(Vec<Update>),
    /// Too many, or the resume point is not one of this store's: read the members anew.
    ResetNeeded,
}

impl Changes {
    /// The most changes in one answer.
    pub const MAX: usize = 64;
}

/// The answer to a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewed {
    /// What is new since the caller's resume point.
    pub changes: Changes,
    /// When the next of the others' leases lapses unless it is renewed; `None` when there is none.
    pub next_lapse: Option<Duration>,
    /// What all nodes carry, now and then.
    pub loads: Option<Vec<(NodeIncarnation, Load)>>,
    /// How many replicas acknowledged.
    pub replicated: u8,
}

impl Renewed {
    /// In fleets of up to so many nodes each renewal returns all loads.
    pub const SMALL_FLEET: usize = 128;
    /// In larger fleets one renewal of each node in so many does.
    pub const RENEWALS_PER_TABLE: u64 = 8;

    /// The longest time between two reports of all loads to one node of a fleet of so many nodes, while it renews
    /// each heartbeat.
    pub fn load_period(nodes: usize, heartbeat: Duration) -> Duration {
        if nodes <= Self::SMALL_FLEET {
            heartbeat
        } else {
            heartbeat * u32::try_from(Self::RENEWALS_PER_TABLE).unwrap_or(u32::MAX)
        }
    }

    /// An answer with `changes` alone.
    pub fn new(changes: Changes) -> Self {
        Self {
            changes,
            next_lapse: None,
            loads: None,
            replicated: 0,
        }
    }
}

/// Puts a node out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvictNode {
    /// Exactly this run of this node.
    pub target: NodeIncarnation,
    /// Random bits for the tag of the change.
    pub operation: OperationId,
    /// How many replicas have to know of it; `None` for the backend's default.
    pub durability: Option<Durability>,
}

impl EvictNode {
    /// Puts `target` out.
    pub fn new(target: NodeIncarnation, operation: OperationId) -> Self {
        Self {
            target,
            operation,
            durability: None,
        }
    }
}

/// The answer to an eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// Whether exactly this incarnation was a member until now.
    pub was_member: bool,
    /// How many replicas acknowledged.
    pub replicated: u8,
}

impl Evicted {
    /// An answer.
    pub const fn new(was_member: bool) -> Self {
        Self {
            was_member,
            replicated: 0,
        }
    }
}

/// The answer to a goodbye.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Departed {
    /// How many replicas acknowledged.
    pub replicated: u8,
}

/// Says goodbye.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaveFleet {
    /// Who leaves.
    pub node: NodeIncarnation,
    /// Random bits for the tag of the change.
    pub operation: OperationId,
}

impl LeaveFleet {
    /// `node` leaves.
    pub fn new(node: NodeIncarnation, operation: OperationId) -> Self {
        Self { node, operation }
    }
}

/// A running watch.
#[async_trait]
pub trait Watch: Send + fmt::Debug {
    /// The next update. It retries inside; an `Err` is final.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future loses no update.
    async fn next(&mut self) -> Result<Update>;
}

/// Knows who is alive, the same on every backend.
///
/// # Contract
///
/// Each rule has one function of the same name in `ringhold_testkit::discovery`.
///
/// **Registering**
/// - `register_gives_the_next_incarnation`: the number is `max(the fleet's counter, the caller's last) + 1`, and the
///   counter is never lowered; the nonce is the caller's, and the answered membership has the node in it.
/// - `register_is_idempotent`: a repetition with the same nonce answers the same incarnation and
///   makes no second change; once another run has superseded it, it is `Superseded` and puts nobody out.
/// - `register_supersedes`: where the id is live, its old run leaves (`Superseded`) before the new
///   one joins.
/// - `register_checks_the_timing`: while any node lives, a heartbeat or a lease other than the stored one is
///   `InvalidArgument` and names both; in an empty fleet they are stored. The stall limit is neither stored nor
///   compared.
/// - `dead_is_for_ever`: no incarnation number is given twice, also after a leave or an eviction.
/// - `a_process_of_a_dropped_id_is_refused`: what is stored of an id without a member is dropped 10 minutes of the
///   lease clock after its last incarnation left, by the next request that lets a node go; beyond 1,000 such ids the
///   oldest are dropped at once. A process that continues is `LeaseLost` while its id is free, and `Superseded` once it
///   is registered again.
///
/// **Leases**
/// - `renew_keeps_alive`: a node that renews each heartbeat stays for ever.
/// - `a_silent_node_is_reaped`: once its lease has lapsed on the lease clock, the next `register`,
///   `renew` or `evict` of anybody makes it leave (`LeaseLapsed`); nothing else does.
/// - `a_lapsed_lease_shows`: until then `members` shows it as `lapsed`; each look moves the lease clock
///   on like a renewal, so that it shows also where nobody is left to renew.
/// - `renew_of_the_lapsed_is_lease_lost`, and of the evicted and of those who left.
/// - `renew_of_the_superseded_is_superseded`: when a greater number of this id is stored; any other
///   mismatch is `LeaseLost`.
/// - `renew_tells_the_next_lapse`: of the others, as time left on the lease clock.
/// - `an_outage_reaps_nobody`: while nobody renews, the lease clock moves by at most one cap, 1.5
///   heartbeats; the first renewal after an outage of any length takes nobody's lease who then
///   renews within half a heartbeat. (One heartbeat may have passed before, and a lease is three.)
/// - `evict_is_exact`: only this incarnation leaves (`Evicted`); the answer says whether it was a
///   member, so a repetition says that it was not.
/// - `leave_is_idempotent`: `Ok`, also the second time; its node is gone (`Leave`) at once.
///
/// **Watching**
/// - `renew_answers_the_changes`: those since the resume point, in order and without a gap, its own
///   among them; `ResetNeeded` for more than 64 and for a resume point with a foreign tag.
/// - `renew_takes_a_new_record`: a changed record is a `Changed` to all; the same one is no change.
/// - `watch_starts_with_a_reset`: when it has no resume point, or one that the store does not know.
/// - `watch_resumes`: from a resume point that the store knows, with the changes alone.
/// - `watch_misses_nothing`: whatever order of registrations, leaves and evictions, the updates
///   applied one by one give the membership that `members` answers.
/// - `a_slow_watcher_gets_the_newest`: one that never reads holds up nobody and no unbounded queue;
///   it is told `Reset` with the newest state.
/// - `members_are_whole`: sorted by id, at one revision, loads as of the last renewals.
///
/// **Connecting** (a [`DiscoveryConnector`])
/// - `connect_shares_no_connection`: a [shared](crate::backend::Capabilities::shared) backend has a connector; one
///   inside the process has none. It connects to the same membership. The connections and tasks of the result belong
///   to the runtime that polled `connect`: it makes progress while the runtime that opened the backend is blocked, and
///   the end of its own runtime leaves the backend as it was.
///
/// # Cancel safety
/// Dropping the future of a write is ambiguous; repeat it unchanged.
///
/// # Errors
/// Beside the kinds named above: `Unavailable`, `Timeout` and `Overloaded`, all retryable.
#[async_trait]
pub trait Discovery: Send + Sync + fmt::Debug {
    /// Registers a node.
    async fn register(&self, request: RegisterNode) -> Result<Registered>;

    /// Renews a lease, reaps lapsed ones, and answers what is new.
    async fn renew(&self, request: RenewLease) -> Result<Renewed>;

    /// Says goodbye.
    async fn leave(&self, request: LeaveFleet) -> Result<Departed>;

    /// Puts a node out.
    async fn evict(&self, request: EvictNode) -> Result<Evicted>;

    /// The membership now. Reaps nothing, and moves the lease clock on, so that whoever looks at each
    /// heartbeat sees leases lapse where no node is left to renew.
    async fn members(&self) -> Result<Membership>;

    /// The periods that the fleet runs by, with the default stall limit; `None` before the first registration.
    async fn timing(&self) -> Result<Option<Timing>>;

    /// Watches the membership from a resume point on, or from the start.
    async fn watch(&self, after: Option<Revision>) -> Result<Box<dyn Watch>>;
}

/// Opens one more [`Discovery`] of the same fleet, with connections of its own.
///
/// A node renews its lease on a thread of its own, so that a task of the application that blocks its runtime
/// costs no lease. Connections belong to the runtime that made them, so that thread needs its own.
///
/// Its rule, `connect_shares_no_connection`, is in the contract of [`Discovery`].
#[async_trait]
pub trait DiscoveryConnector: Send + Sync + fmt::Debug {
    /// Connects on the runtime that polls the future. The caller uses the result on that runtime alone.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was connected.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` where no server answers; those of the backend's own way to be opened.
    async fn connect(&self) -> Result<Arc<dyn Discovery>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    #[test]
    fn a_renewal_takes_the_record_of_its_own_run_alone() {
        let run = |id: &str, number| {
            let nonce = crate::Nonce::from_bytes([1; 16]);
            NodeIncarnation::new(NodeId::new(id).unwrap(), crate::Incarnation { number, nonce })
        };
        let operation = OperationId::from_bytes([2; 16]);
        let renewal = || RenewLease::new(run("a", 2), Revision::default(), Load::new(3), operation);
        assert!(renewal().check().is_ok(), "without a record");
        let with = |node: NodeIncarnation| {
            renewal().with_record(Arc::new(NodeRecord::new(node.node, node.incarnation)))
        };
        assert!(with(run("a", 2)).check().is_ok());
        for other in [run("a", 1), run("b", 2)] {
            let error = with(other).check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
