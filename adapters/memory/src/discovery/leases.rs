//! Members and their leases, as a state machine without a lock or a clock of its own.
//!
//! Every operation takes the server's time, never one that goes back. Writers move the lease clock
//! on with it, readers only read it. Lapsed leases are reaped by `register`, `renew` and `evict`
//! and by nothing else. What readers see stands in `read.rs`.
//!
//! What always holds between two operations: each member has exactly one entry among the
//! deadlines, its lease's; no member has a number greater than the fleet's last; and each remembered id has a
//! member or exactly one entry among the departed.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::clock::StoreClock;
use ringhold_core::discovery::{
    Changes, EvictNode, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed,
};
use ringhold_core::id::NUMBER_MAX;
use ringhold_core::membership::LeftReason;
use ringhold_core::node::Load;
use ringhold_core::{
    Error, ErrorKind, Incarnation, NodeId, NodeIncarnation, NodeRecord, Nonce, Result, Timing, Update,
};

use super::loads::LoadTable;
use super::log::ChangeLog;

const REGISTER: &str = "register";
const RENEW: &str = "renew";

/// A member and its lease.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) record: Arc<NodeRecord>,
    pub(super) load: Load,
    /// When it lapses, on the lease clock.
    pub(super) deadline: Duration,
    /// How often it was renewed.
    renewals: u64,
}

/// How long an id is remembered after its last incarnation left.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The most ids without a member that are remembered; beyond, the oldest are dropped at once.
const REMEMBERED_MAX: usize = 1_000;

/// The last incarnations of one id.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The last incarnation number.
    pub(super) number: u64,
    /// When the last of them left, on the lease clock; `None` while the id has a member.
    left: Option<Duration>,
    /// The nonces of the last [`Runs::NONCES_MAX`] runs, oldest first.
    nonces: VecDeque<Nonce>,
}

impl Runs {
    /// A repetition comes within a minute or never; no id has more runs than this in that time
    /// unless its processes fight over it.
    pub(super) const NONCES_MAX: usize = 16;

    fn add(&mut self, number: u64, nonce: Nonce) {
        (self.number, self.left) = (number, None);
        if self.nonces.len() == Self::NONCES_MAX {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce);
    }
}

/// The membership of a fleet.
#[derive(Debug)]
pub(crate) struct Leases {
    pub(super) clock: StoreClock,
    pub(super) timing: Option<Timing>,
    pub(super) members: BTreeMap<NodeId, Lease>,
    /// The members by the end of their leases.
    pub(super) deadlines: BTreeSet<(Duration, NodeId)>,
    /// The incarnations of every id that is remembered.
    pub(super) runs: HashMap<NodeId, Runs>,
    /// The remembered ids without a member, by when their last incarnation left.
    pub(super) departed: BTreeSet<(Duration, NodeId)>,
    /// The greatest incarnation number that was given.
    last_number: u64,
    pub(super) log: ChangeLog,
    pub(super) loads: LoadTable,
}

impl Leases {
    /// An empty fleet whose lease clock starts at server time `time`.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            // The first registration sets the fleet's own cap; until then there is no lease.
            clock: StoreClock::new(time, Timing::default().clock_cap()),
            timing: None,
            members: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            runs: HashMap::new(),
            departed: BTreeSet::new(),
            last_number: 0,
            log: ChangeLog::default(),
            loads: LoadTable::default(),
        }
    }

    /// Registers a node.
    ///
    /// A run that is over does not come back: while a later one lives, a late repetition is
    /// `Superseded` and puts nobody out. Where nobody lives under the id, it is a new run with the
    /// next number.
    pub(crate) fn register(&mut self, time: Duration, request: &RegisterNode) -> Result<Registered> {
        let now = self.clock.advance(time);
        let RegisterNode { record, timing, .. } = request;
        let nonce = record.incarnation.nonce;
        let seed = nonce.to_bytes();
        self.reap(now, seed);
        self.check_timing(*timing)?;

        let repeated = self.members.get(&record.id).map(|lease| lease.record.incarnation);
        if let Some(incarnation) = repeated.filter(|incarnation| incarnation.nonce == nonce) {
            self.prolong(&record.id, now + timing.lease());
            return Ok(Registered::new(incarnation, self.membership(time)));
        }
        let runs = self.runs.get(&record.id);
        if repeated.is_some() && runs.is_some_and(|runs| runs.nonces.contains(&nonce)) {
            let context = format!("a later run of {} has registered since; stop this one", record.id);
            return Err(Error::new(ErrorKind::Superseded, REGISTER, context));
        }
        let known = record.incarnation.number;
        let last = self.last_number.max(known);
        if last >= NUMBER_MAX {
            let context = format!("incarnation numbers are used up at {last}; the node knows of {known}");
            return Err(Error::new(ErrorKind::InvalidArgument, REGISTER, context));
        }
        let number = last + 1;

        self.remove(&record.id, now, LeftReason::Superseded, seed);
        let mut record = NodeRecord::clone(record);
        record.incarnation = Incarnation { number, nonce };
        let (incarnation, id, node) = (record.incarnation, record.id.clone(), Arc::new(record));
        let deadline = now + timing.lease();
        self.log.push(seed, |revision| Update::Joined {
            revision,
            node: Arc::clone(&node),
        });
        self.members.insert(
            id.clone(),
            Lease {
                record: node,
                load: Load::default(),
                deadline,
                renewals: 0,
            },
        );
        self.deadlines.insert((deadline, id.clone()));
        let runs = self.runs.entry(id.clone()).or_default();
        if let Some(left) = runs.left {
            self.departed.remove(&(left, id));
        }
        runs.add(number, nonce);
        self.last_number = number;
        self.timing = Some(timing.shared());
        self.clock.set_cap(timing.clock_cap());
        Ok(Registered::new(incarnation, self.membership(time)))
    }

    /// Renews a lease and answers what is new.
    pub(crate) fn renew(&mut self, time: Duration, request: RenewLease) -> Result<Renewed> {
        request.check()?;
        let RenewLease {
            node,
            after,
            load,
            record,
            operation,
            ..
        } = request;
        let id = &node.node;
        let now = self.clock.advance(time);
        let seed = operation.to_bytes();
        self.reap(now, seed);
        let timing = self.timing.unwrap_or_default();
        let fleet_len = self.members.len();
        let Some(lease) = self
            .members
            .get_mut(id)
            .filter(|lease| lease.record.incarnation == node.incarnation)
        else {
            return Err(self.lost(&node));
        };
        lease.renewals += 1;
        let wants_loads = LoadTable::answers(fleet_len, lease.renewals);
        if lease.load == load {
            self.loads.publish(fleet_len, now, timing.heartbeat());
        } else {
            lease.load = load;
            self.loads.changed(fleet_len, now, timing.heartbeat());
        }
        if let Some(record) = record
            && lease.record != record
        {
            lease.record = Arc::clone(&record);
            self.log.push(seed, |revision| Update::Changed {
                revision,
                node: record,
            });
        }
        self.prolong(id, now + timing.lease());

        let changes = match self.log.after(after) {
            Some(changes) if changes.len() <= Changes::MAX => Changes::Updates(changes.cloned().collect()),
            _ => Changes::ResetNeeded,
        };
        let mut renewed = Renewed::new(changes);
        let next = self.deadlines.iter().find(|(_, other)| other != id);
        renewed.next_lapse = next.map(|(deadline, _)| deadline.saturating_sub(now));
        renewed.loads = wants_loads.then(|| self.load_table());
        Ok(renewed)
    }

    /// Lets a node go; one that is no member has gone already. Reaps nothing.
    pub(crate) fn leave(&mut self, time: Duration, request: &LeaveFleet) {
        let now = self.clock.advance(time);
        if self.is_member(&request.node) {
            let seed = request.operation.to_bytes();
            self.remove(&request.node.node, now, LeftReason::Leave, seed);
            self.drop_old(now);
        }
    }

    /// Puts exactly this incarnation out; `false` when it is no member.
    pub(crate) fn evict(&mut self, time: Duration, request: &EvictNode) -> bool {
        let now = self.clock.advance(time);
        let seed = request.operation.to_bytes();
        self.reap(now, seed);
        let found = self.is_member(&request.target);
        if found {
            self.remove(&request.target.node, now, LeftReason::Evicted, seed);
            self.drop_old(now);
        }
        found
    }

    /// Lets everybody go whose lease has lapsed, the longest lapsed first.
    fn reap(&mut self, now: Duration, seed: [u8; 16]) {
        let members = self.members.len();
        while let Some((deadline, id)) = self.deadlines.first()
            && *deadline <= now
        {
            let id = id.clone();
            self.remove(&id, now, LeftReason::LeaseLapsed, seed);
        }
        if self.members.len() < members {
            self.drop_old(now);
        }
    }

    /// Drops ids that have been remembered for long enough, or that are too many, the oldest first. Called when
    /// nodes were let go.
    fn drop_old(&mut self, now: Duration) {
        while let Some((left, id)) = self.departed.first()
            && (self.departed.len() > REMEMBERED_MAX || now.saturating_sub(*left) >= REMEMBERED)
        {
            self.runs.remove(id);
            self.departed.pop_first();
        }
    }

    /// Takes a member out and logs why. An id that was superseded has its next member at once; any other is
    /// remembered for a time.
    fn remove(&mut self, id: &NodeId, now: Duration, reason: LeftReason, seed: [u8; 16]) {
        if let Some(lease) = self.members.remove(id) {
            self.deadlines.remove(&(lease.deadline, id.clone()));
            if reason != LeftReason::Superseded
                && let Some(runs) = self.runs.get_mut(id)
            {
                runs.left = Some(now);
                self.departed.insert((now, id.clone()));
            }
            let node = lease.record.node();
            self.log.push(seed, |revision| Update::Left {
                revision,
                node,
                reason,
            });
        }
    }

    /// Lets a lease last until `deadline`.
    fn prolong(&mut self, id: &NodeId, deadline: Duration) {
        if let Some(lease) = self.members.get_mut(id) {
            self.deadlines.remove(&(lease.deadline, id.clone()));
            lease.deadline = deadline;
            self.deadlines.insert((deadline, id.clone()));
        }
    }

    fn is_member(&self, node: &NodeIncarnation) -> bool {
        self.members
            .get(&node.node)
            .is_some_and(|lease| lease.record.incarnation == node.incarnation)
    }

    /// While anybody lives, the fleet's timing is the one that it began with.
    fn check_timing(&self, asked: Timing) -> Result<()> {
        match self
            .timing
            .filter(|stored| *stored != asked.shared() && !self.members.is_empty())
        {
            None => Ok(()),
            Some(stored) => {
                let words = |timing: Timing| format!("{:?} / {:?}", timing.heartbeat(), timing.lease());
                let context = format!(
                    "the fleet runs by heartbeat / lease {} and the node asks for {}; start it with the \
                     fleet's, or stop every node first",
                    words(stored),
                    words(asked)
                );
                Err(Error::new(ErrorKind::InvalidArgument, REGISTER, context))
            }
        }
    }

    /// Why an incarnation that is no member cannot renew.
    fn lost(&self, node: &NodeIncarnation) -> Error {
        let stored = self.runs.get(&node.node).map_or(0, |runs| runs.number);
        if stored > node.incarnation.number {
            let context = format!("{}#{stored} registered after {node}; stop this one", node.node);
            return Error::new(ErrorKind::Superseded, RENEW, context);
        }
        let context = format!("{node} is no member any more; register again with a new incarnation");
        Error::new(ErrorKind::LeaseLost, RENEW, context)
    }
}
