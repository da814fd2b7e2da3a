//! The ids that have no member and are still remembered, and when they are dropped.

use ringhold_core::{Incarnation, NodeId, Result};

use super::form::{Fleet, Runs};
use super::log::Log;
use crate::schema;
use crate::transaction::Transaction;

/// How long an id is remembered after its last incarnation left.
const REMEMBERED_MS: u64 = 600_000;

/// The most ids without a member that are remembered; beyond, the oldest are dropped at once.
const REMEMBERED_MAX: u64 = 1_000;

/// The most ids that one transaction drops: more than it can let go, so that they do not pile up.
const DROPPED_MAX: usize = 12;

/// Announces what [`drop_old`] will ask for.
pub(super) fn expect<T: Transaction>(tx: &mut T) {
    tx.expect_range(schema::DEPARTED, &schema::end_of(schema::DEPARTED), DROPPED_MAX);
}

/// Notes that the last incarnation of `id` left at `now_ms`. The caller pushes a change to `log`.
///
/// Incarnations that cannot be read stay as they are: they stop the registration of their id.
pub(super) fn note<T: Transaction>(
    tx: &mut T,
    log: &mut Log,
    now_ms: u64,
    id: &NodeId,
    incarnation: Incarnation,
) -> Result<(), T::Stop> {
    let runs_key = schema::runs(id);
    let stored = tx.get(&runs_key)?;
    let Ok(mut runs) = Runs::decode(stored.as_deref()) else {
        return Ok(());
    };
    if stored.is_none() {
        runs.add(incarnation.number, incarnation.nonce);
    }
    forget_end(tx, log.fleet(), id, &runs);
    runs.left_ms = Some(now_ms);
    log.fleet().departed = log.fleet().departed.saturating_add(1);
    tx.put(runs_key, runs.encode());
    tx.put(schema::departed(now_ms, id), Vec::new());
    Ok(())
}

/// Takes back what [`note`] wrote, for an id that has a member again.
pub(super) fn forget_end<T: Transaction>(tx: &mut T, fleet: &mut Fleet, id: &NodeId, runs: &Runs) {
    if let Some(left_ms) = runs.left_ms {
        fleet.departed = fleet.departed.saturating_sub(1);
        tx.delete(schema::departed(left_ms, id));
    }
}

/// Drops ids that have been remembered for long enough, or that are too many, the oldest first. Called once by each
/// transaction that lets nodes go.
///
/// Nothing holds the range: an id comes and goes only with a change, and a transaction with a change holds the fleet's key.
pub(super) fn drop_old<T: Transaction>(tx: &mut T, log: &mut Log, now_ms: u64) -> Result<(), T::Stop> {
    let found = tx.range(schema::DEPARTED, &schema::end_of(schema::DEPARTED), DROPPED_MAX)?;
    let fleet = log.fleet();
    if found.is_empty() {
        // Also where something else took the entries away.
        fleet.departed = 0;
    }
    let too_many = usize::try_from(fleet.departed.saturating_sub(REMEMBERED_MAX)).unwrap_or(usize::MAX);
    for (at, (key, _)) in found.into_iter().enumerate() {
        let entry = schema::read_departed(&key);
        let is_old = |left_ms: u64| now_ms.saturating_sub(left_ms) >= REMEMBERED_MS;
        match entry {
            Some((left_ms, _)) if at >= too_many && !is_old(left_ms) => break,
            Some((_, id)) => tx.delete(schema::runs(&id)),
            // It names no id, and would stand before those that do.
            None => {}
        }
        tx.delete(key.to_vec());
        fleet.departed = fleet.departed.saturating_sub(1);
    }
    log.store(tx);
    Ok(())
}
