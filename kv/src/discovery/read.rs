//! What readers see of the membership, and how a watcher follows it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::discovery::Renewed;
use ringhold_core::membership::{Member, UnreadableMember};
use ringhold_core::node::Load;
use ringhold_core::{Membership, NodeId, NodeRecord, Result, Revision, Timing, Update, codec};

use super::form::{Fleet, Lease, bad_record, millis, node_id};
use super::log::{self, LEN_MAX};
use super::table::{Entry, Table};
use crate::schema;
use crate::transaction::Transaction;

/// The membership at `now_ms` on the lease clock. How long the clock stood is the caller's to fill in.
///
/// # Errors
/// `Corrupt` where the fleet cannot be read.
pub fn members<T: Transaction>(tx: &mut T, now_ms: u64) -> Result<Membership, T::Stop> {
    Table::expect(tx);
    expect_records(tx);
    tx.expect(&[schema::FLEET])?;
    let head = Fleet::peek(tx)?.unwrap_or_default().head;
    let table = Table::read(tx)?;
    membership(tx, now_ms, head, &table)
}

/// Announces that all records will be read.
pub(super) fn expect_records<T: Transaction>(tx: &mut T) {
    tx.expect_range(schema::NODES, &schema::end_of(schema::NODES), usize::MAX);
}

/// Nothing holds what it reads: all of it is of one moment, and so is the membership.
fn membership<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    head: Revision,
    table: &Table,
) -> Result<Membership, T::Stop> {
    let records = tx.range(schema::NODES, &schema::end_of(schema::NODES), usize::MAX)?;
    let records = records.into_iter().filter_map(|(key, bytes)| {
        let id = node_id(key.strip_prefix(schema::NODES)?)?;
        Some((id, bytes))
    });
    let records: BTreeMap<NodeId, Bytes> = records.collect();
    let (mut members, mut unreadable) = (Vec::new(), Vec::new());
    for Entry { id, lease } in table.entries() {
        match record_of(id, lease.as_ref(), records.get(id)) {
            Ok(record) => {
                let mut member = Member::new(record, lease.map_or_else(Load::default, |lease| lease.load));
                member.lapsed = lease.is_some_and(|lease| lease.deadline_ms <= now_ms);
                members.push(member);
            }
            Err(error) => unreadable.push(UnreadableMember::new(id.clone(), &error)),
        }
    }
    let mut membership = Membership::new(head, members);
    membership.unreadable = unreadable;
    Ok(membership)
}

fn record_of(id: &NodeId, lease: Option<&Lease>, bytes: Option<&Bytes>) -> Result<NodeRecord> {
    let bytes = bytes.ok_or_else(|| bad_record("it is missing"))?;
    let record = codec::decode_node(bytes)?;
    if record.id != *id {
        return Err(bad_record("it stands under the id of another node"));
    }
    if lease.is_some_and(|lease| lease.incarnation != record.incarnation) {
        return Err(bad_record("it is of another run than the lease"));
    }
    Ok(record)
}

/// How far a watcher has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The revision up to which it was told; none before its first reset.
    at: Option<Revision>,
    loads: Option<Loads>,
}

/// The table of loads that a watcher has seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loads {
    version: u64,
    fleet_len: usize,
    /// When that was, on the lease clock.
    at_ms: u64,
}

impl Loads {
    fn of(table: &Table, at_ms: u64) -> Self {
        Self {
            version: table.loads_version(),
            fleet_len: table.len(),
            at_ms,
        }
    }

    /// Whether it is time to look at the loads again: a table has an entry per node, and every node changes
    /// its load about once a heartbeat, so watchers of large fleets look once a heartbeat.
    fn is_due(&self, now_ms: u64, timing: Timing) -> bool {
        self.fleet_len <= Renewed::SMALL_FLEET
            || now_ms.saturating_sub(self.at_ms) >= millis(timing.heartbeat())
    }
}

impl Position {
    /// Where a watcher begins that goes on from `after`.
    pub const fn new(after: Option<Revision>) -> Self {
        Self {
            at: after,
            loads: None,
        }
    }

    /// Where a watcher begins anew, with a reset.
    pub const fn start() -> Self {
        Self::new(None)
    }
}

/// What a watcher's look brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// In order: changes, then loads, or a reset alone. Empty where nothing is new.
    pub updates: Vec<Update>,
    /// Where the next look goes on.
    pub position: Position,
    /// There are more changes than one answer holds: look again at once.
    pub more: bool,
    /// The periods that the fleet runs by; `None` before the first registration.
    pub timing: Option<Timing>,
}

/// What is new for a watcher at `position`. `lag` is how long the lease clock stood before this look.
///
/// Changes come before loads, so that loads never hold up a change; of loads only the newest are told.
///
/// # Errors
/// `Corrupt` where the fleet cannot be read.
pub fn poll<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    lag: Duration,
    position: &Position,
) -> Result<Polled, T::Stop> {
    expect_poll(tx, position)?;
    let fleet = Fleet::peek(tx)?;
    let timing = fleet.map(|fleet| fleet.timing);
    let head = fleet.unwrap_or_default().head;
    let known = match position.at {
        Some(at) => log::after(tx, head, at, LEN_MAX)?.map(|updates| (at, updates)),
        None => None,
    };
    let Some((at, mut updates)) = known else {
        Table::expect(tx);
        expect_records(tx);
        tx.expect(&[])?;
        let table = Table::read(tx)?;
        let mut membership = membership(tx, now_ms, head, &table)?;
        membership.clock_lag = lag;
        return Ok(Polled {
            updates: vec![Update::Reset(membership)],
            position: Position {
                at: Some(head),
                loads: Some(Loads::of(&table, now_ms)),
            },
            more: false,
            timing,
        });
    };
    let mut next = *position;
    let at = updates.last().and_then(Update::revision).unwrap_or(at);
    next.at = Some(at);
    let more = at != head;
    let due = next
        .loads
        .is_none_or(|loads| loads.is_due(now_ms, timing.unwrap_or_default()));
    if !more && due {
        let table = Table::read(tx)?;
        let loads = Loads::of(&table, now_ms);
        // Who begins with a resume point has its own idea of the loads: it is told those that change.
        if next.loads.is_some_and(|before| before.version != loads.version) {
            updates.push(Update::Loads(table.loads()));
        }
        next.loads = Some(loads);
    }
    Ok(Polled {
        updates,
        position: next,
        more,
        timing,
    })
}

/// Says what a look of a watcher will read, the lease clock with it: who reads the clock behind this and
/// then runs [`poll`] fetches once, or twice where the watcher has to start over.
pub fn expect_poll<T: Transaction>(tx: &mut T, position: &Position) -> Result<(), T::Stop> {
    if let Some(at) = position.at {
        log::expect_after(tx, at);
    } else {
        expect_records(tx);
    }
    if position
        .loads
        .is_none_or(|loads| loads.fleet_len <= Renewed::SMALL_FLEET)
    {
        Table::expect(tx);
    }
    tx.expect(&[schema::LEASE_CLOCK, schema::FLEET])
}
