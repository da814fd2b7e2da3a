//! The requests that write.

use std::time::Duration;

use ringhold_core::discovery::{
    Changes, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered, RenewLease, Renewed,
};
use ringhold_core::id::NUMBER_MAX;
use ringhold_core::membership::LeftReason;
use ringhold_core::{
    Error, ErrorKind, Incarnation, NodeId, NodeIncarnation, NodeRecord, Result, Timing, codec,
};

use super::form::{Change, Fleet, Lease, Runs, millis};
use super::log::{self, Log};
use super::read;
use super::table::{REAPED_MAX, Table, held_lease, remove};
use super::{Step, departed};
use crate::schema;
use crate::transaction::Transaction;

const REGISTER: &str = "register";
const RENEW: &str = "renew";

/// Registers a node.
///
/// A run that is over does not come back: while a later one lives, a late repetition is `Superseded` and
/// puts nobody out. Where nobody lives under the id, it is a new run with the next number.
///
/// # Errors
/// `Corrupt` where the fleet or the id's runs cannot be read.
pub fn register<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    request: &RegisterNode,
) -> Result<Step<Registered>, T::Stop> {
    let RegisterNode { record, timing, .. } = request;
    let id = &record.id;
    let nonce = record.incarnation.nonce;
    let seed = nonce.to_bytes();
    let (lease_key, runs_key) = (schema::lease(id), schema::runs(id));
    Table::expect(tx);
    read::expect_records(tx);
    tx.expect(&[schema::FLEET, &lease_key, &runs_key])?;
    let mut table = Table::read(tx)?;
    if !table.reap(tx, now_ms, seed)? {
        return Ok(Step::More);
    }
    // From here on no member comes or goes, so it holds that there are none, too.
    let mut log = Log::open(tx)?;
    if let Some(stored) = log
        .timing()
        .filter(|stored| *stored != timing.shared() && !table.is_empty())
    {
        return Ok(Step::Refused(other_timing(stored, *timing)));
    }
    let deadline_ms = now_ms.saturating_add(millis(timing.lease()));
    let live = held_lease(tx, id, deadline_ms)?;
    if let Some(lease) = live.filter(|lease| lease.incarnation.nonce == nonce) {
        tx.put(lease_key, Lease { deadline_ms, ..lease }.encode());
        return registered(tx, now_ms, lease.incarnation);
    }
    let mut runs = Runs::decode(tx.get(&runs_key)?.as_deref())?;
    if live.is_some() && runs.nonces.contains(&nonce) {
        let context = format!("a later run of {id} has registered since; stop this one");
        let error = Error::new(ErrorKind::Superseded, REGISTER, context);
        return Ok(Step::Refused(error));
    }
    let known = record.incarnation.number;
    let last = log.fleet().last_number.max(runs.number).max(known);
    if last >= NUMBER_MAX {
        let context = format!("incarnation numbers are used up at {last}; the node knows of {known}");
        let error = Error::new(ErrorKind::InvalidArgument, REGISTER, context);
        return Ok(Step::Refused(error));
    }
    let mut record = NodeRecord::clone(record);
    let incarnation = Incarnation {
        number: last + 1,
        nonce,
    };
    record.incarnation = incarnation;
    let bytes = codec::encode_node(&record)?;

    if let Some(old) = live {
        remove(
            tx,
            &mut log,
            now_ms,
            id,
            old.incarnation,
            LeftReason::Superseded,
            seed,
        )?;
    }
    let fleet = log.fleet();
    (fleet.timing, fleet.last_number) = (timing.shared(), incarnation.number);
    departed::forget_end(tx, fleet, id, &runs);
    log.push(tx, seed, &Change::Joined(&bytes));
    tx.put(schema::node(id), bytes);
    tx.put(lease_key, Lease::new(incarnation, deadline_ms).encode());
    runs.add(incarnation.number, nonce);
    tx.put(runs_key, runs.encode());
    registered(tx, now_ms, incarnation)
}

fn registered<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    incarnation: Incarnation,
) -> Result<Step<Registered>, T::Stop> {
    let membership = read::members(tx, now_ms)?;
    Ok(Step::Done(Registered::new(incarnation, membership)))
}

/// While anybody lives, the fleet's timing is the one that it began with.
fn other_timing(stored: Timing, asked: Timing) -> Error {
    let words = |timing: Timing| format!("{:?} / {:?}", timing.heartbeat(), timing.lease());
    let context = format!(
        "the fleet runs by heartbeat / lease {} and the node asks for {}; start it with the fleet's, or stop \
         every node first",
        words(stored),
        words(asked)
    );
    Error::new(ErrorKind::InvalidArgument, REGISTER, context)
}

/// Renews a lease and answers what is new.
///
/// # Errors
/// `InvalidArgument` for the record of another run, `Corrupt` where the fleet cannot be read.
pub fn renew<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    request: &RenewLease,
) -> Result<Step<Renewed>, T::Stop> {
    let RenewLease {
        node, after, load, ..
    } = request;
    let id = &node.node;
    let record = new_record(request)?;
    expect_renewal(tx, request)?;
    let (lease_key, node_key) = (schema::lease(id), schema::node(id));
    let seed = request.operation.to_bytes();
    let mut table = Table::read(tx)?;
    if !table.reap(tx, now_ms, seed)? {
        return Ok(Step::More);
    }
    let lease = held_lease(tx, id, 0)?.filter(|lease| lease.incarnation == node.incarnation);
    let Some(mut lease) = lease else {
        return Ok(Step::Refused(lost(tx, node)?));
    };
    lease.renewals = lease.renewals.wrapping_add(1);
    lease.load = *load;
    if let Some(record) = record
        && tx.get(&node_key)?.as_deref() != Some(&record[..])
    {
        let mut log = Log::open(tx)?;
        log.push(tx, seed, &Change::Changed(&record));
        tx.put(node_key, record);
    }
    // Nothing holds the fleet's key here: its timing stays while this lease is held, and its head only has
    // to be of the same moment as the changes that are told.
    let Fleet { head, timing, .. } = Fleet::peek(tx)?.unwrap_or_default();
    lease.deadline_ms = now_ms.saturating_add(millis(timing.lease()));
    tx.put(lease_key, lease.encode());
    table.set(id, lease);

    let updates = log::after(tx, head, *after, Changes::MAX as u64)?;
    let mut renewed = Renewed::new(updates.map_or(Changes::ResetNeeded, Changes::Updates));
    // The others' leases may have been renewed since: a lapse that is told too early costs one renewal.
    let next = table.next_lapse(id);
    renewed.next_lapse = next.map(|deadline_ms| Duration::from_millis(deadline_ms.saturating_sub(now_ms)));
    let tells_loads =
        table.len() <= Renewed::SMALL_FLEET || lease.renewals.is_multiple_of(Renewed::RENEWALS_PER_TABLE);
    renewed.loads = tells_loads.then(|| table.loads());
    Ok(Step::Done(renewed))
}

/// Says what a renewal will read, the lease clock with it: who reads the clock behind this and then runs
/// [`renew`] fetches once.
pub fn expect_renewal<T: Transaction>(tx: &mut T, request: &RenewLease) -> Result<(), T::Stop> {
    let id = &request.node.node;
    let (lease_key, node_key) = (schema::lease(id), schema::node(id));
    Table::expect(tx);
    log::expect_after(tx, request.after);
    let mut keys = vec![schema::LEASE_CLOCK, schema::FLEET, &lease_key];
    keys.extend(request.record.is_some().then_some(&node_key[..]));
    tx.expect(&keys)
}

/// The new record of a renewal in its stored form.
fn new_record(request: &RenewLease) -> Result<Option<Vec<u8>>> {
    request.check()?;
    let Some(record) = &request.record else {
        return Ok(None);
    };
    codec::encode_node(record).map(Some)
}

/// Why an incarnation that is no member cannot renew. Nothing holds the number: it only grows, and who is
/// told too early that the lease is lost learns the rest when it registers.
fn lost<T: Transaction>(tx: &mut T, node: &NodeIncarnation) -> Result<Error, T::Stop> {
    let runs = tx.peek(&schema::runs(&node.node))?;
    let stored = Runs::decode(runs.as_deref())?.number;
    if stored > node.incarnation.number {
        let context = format!("{}#{stored} registered after {node}; stop this one", node.node);
        return Ok(Error::new(ErrorKind::Superseded, RENEW, context));
    }
    let context = format!("{node} is no member any more; register again with a new incarnation");
    Ok(Error::new(ErrorKind::LeaseLost, RENEW, context))
}

/// Lets a node go; one that is no member has gone already. Reaps nothing.
///
/// # Errors
/// `Corrupt` where the fleet cannot be read.
pub fn leave<T: Transaction>(tx: &mut T, now_ms: u64, request: &LeaveFleet) -> Result<(), T::Stop> {
    let LeaveFleet { node, operation, .. } = request;
    expect_removal(tx, &node.node)?;
    put_out(tx, now_ms, node, LeftReason::Leave, operation.to_bytes())?;
    Ok(())
}

/// Announces what [`put_out`] will ask for.
fn expect_removal<T: Transaction>(tx: &mut T, id: &NodeId) -> Result<(), T::Stop> {
    departed::expect(tx);
    tx.expect(&[schema::FLEET, &schema::lease(id), &schema::runs(id)])
}

/// Puts exactly this incarnation out.
///
/// # Errors
/// `Corrupt` where the fleet cannot be read.
pub fn evict<T: Transaction>(tx: &mut T, now_ms: u64, request: &EvictNode) -> Result<Step<Evicted>, T::Stop> {
    let EvictNode {
        target, operation, ..
    } = request;
    Table::expect(tx);
    expect_removal(tx, &target.node)?;
    let seed = operation.to_bytes();
    if !Table::read(tx)?.reap(tx, now_ms, seed)? {
        return Ok(Step::More);
    }
    let was_member = put_out(tx, now_ms, target, LeftReason::Evicted, seed)?;
    Ok(Step::Done(Evicted::new(was_member)))
}

/// Lets exactly this run of this node go; `false` where it is no member.
fn put_out<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    node: &NodeIncarnation,
    reason: LeftReason,
    seed: [u8; 16],
) -> Result<bool, T::Stop> {
    let lease = held_lease(tx, &node.node, 0)?;
    let is_member = lease.is_some_and(|lease| lease.incarnation == node.incarnation);
    if is_member {
        let mut log = Log::open(tx)?;
        remove(tx, &mut log, now_ms, &node.node, node.incarnation, reason, seed)?;
        departed::drop_old(tx, &mut log, now_ms)?;
    }
    Ok(is_member)
}

/// Puts every member out: what a store does at opening whose members cannot have outlived the last process
/// that had it open. `seed` is 128 random bits.
///
/// # Errors
/// `Corrupt` where the fleet cannot be read.
pub fn evict_all<T: Transaction>(tx: &mut T, now_ms: u64, seed: [u8; 16]) -> Result<Step<()>, T::Stop> {
    let table = Table::read(tx)?;
    if table.is_empty() {
        return Ok(Step::Done(()));
    }
    let mut log = Log::open(tx)?;
    for entry in table.entries().iter().take(REAPED_MAX) {
        if let Some(lease) = held_lease(tx, &entry.id, 0)? {
            remove(
                tx,
                &mut log,
                now_ms,
                &entry.id,
                lease.incarnation,
                LeftReason::Evicted,
                seed,
            )?;
        }
    }
    departed::drop_old(tx, &mut log, now_ms)?;
    let done = table.len() <= REAPED_MAX;
    Ok(if done { Step::Done(()) } else { Step::More })
}
