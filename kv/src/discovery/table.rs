//! All leases as they stand at one moment, and how the lapsed among them are reaped.

use ringhold_core::codec::NodeHeader;
use ringhold_core::membership::LeftReason;
use ringhold_core::node::Load;
use ringhold_core::{Incarnation, NodeId, NodeIncarnation, Nonce, Result};
use xxhash_rust::xxh3::xxh3_64;

use super::departed;
use super::form::{Change, Fleet, Lease, Runs, incarnation_bytes, millis, node_id};
use super::log::Log;
use crate::schema;
use crate::transaction::Transaction;

/// The most leases that one transaction reaps, and the most that it mends.
pub(super) const REAPED_MAX: usize = 10;

/// All members are read at once.
const ALL: usize = usize::MAX;

/// The leases of all members, by id.
#[derive(Debug)]
pub(super) struct Table(Vec<Entry>);

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: NodeId,
    /// `None` where it cannot be read.
    pub(super) lease: Option<Lease>,
}

impl Table {
    /// Announces what [`read`](Self::read) will ask for.
    pub(super) fn expect<T: Transaction>(tx: &mut T) {
        tx.expect_range(schema::LEASES, &schema::end_of(schema::LEASES), ALL);
    }

    /// Reads all leases. Nothing holds them: who is to be reaped is looked at again.
    pub(super) fn read<T: Transaction>(tx: &mut T) -> Result<Self, T::Stop> {
        let found = tx.range(schema::LEASES, &schema::end_of(schema::LEASES), ALL)?;
        // A key that names no node is none of ours.
        let entries = found.iter().filter_map(|(key, bytes)| {
            let id = node_id(key.strip_prefix(schema::LEASES)?)?;
            let lease = Lease::decode(bytes);
            Some(Entry { id, lease })
        });
        Ok(Self(entries.collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Puts a lease in the place of the one that was read.
    pub(super) fn set(&mut self, id: &NodeId, lease: Lease) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.id == *id) {
            entry.lease = Some(lease);
        }
    }

    /// When the first of the others' leases lapses.
    pub(super) fn next_lapse(&self, but: &NodeId) -> Option<u64> {
        let others = self.0.iter().filter(|entry| entry.id != *but);
        others.filter_map(|entry| Some(entry.lease?.deadline_ms)).min()
    }

    /// What each member carried at its last renewal, by id.
    pub(super) fn loads(&self) -> Vec<(NodeIncarnation, Load)> {
        let loads = self.0.iter().filter_map(|entry| {
            let lease = entry.lease?;
            Some((
                NodeIncarnation::new(entry.id.clone(), lease.incarnation),
                lease.load,
            ))
        });
        loads.collect()
    }

    /// A number that another table of loads does not have.
    ///
    /// A counter in the store would be written by every renewal, and renewals must touch no common key.
    /// This is XXH3-64 over the incarnations that carry something, and how much: the same in every
    /// process, and a node that joins does not change it, since it carries nothing yet, and that is what
    /// its `Joined` says. Two tables have one number once in 2⁶⁴ times, and until the next change.
    pub(super) fn loads_version(&self) -> u64 {
        let mut bytes = Vec::new();
        for lease in self.0.iter().filter_map(|entry| entry.lease) {
            if lease.load != Load::default() {
                bytes.extend_from_slice(&incarnation_bytes(lease.incarnation));
                bytes.extend_from_slice(&lease.load.sessions.to_le_bytes());
            }
        }
        xxh3_64(&bytes)
    }

    /// Lets those go whose leases have lapsed, the longest lapsed first, and mends what cannot be read.
    /// `false`: there are more than one transaction may reap.
    pub(super) fn reap<T: Transaction>(
        &mut self,
        tx: &mut T,
        now_ms: u64,
        seed: [u8; 16],
    ) -> Result<bool, T::Stop> {
        self.mend(tx, now_ms)?;
        let lapsed = self.0.iter().filter_map(|entry| {
            let lease = entry.lease.filter(|lease| lease.deadline_ms <= now_ms)?;
            Some((lease.deadline_ms, entry.id.clone()))
        });
        let mut lapsed: Vec<_> = lapsed.collect();
        if lapsed.is_empty() {
            return Ok(true);
        }
        lapsed.sort_unstable();
        let done = lapsed.len() <= REAPED_MAX;
        lapsed.truncate(REAPED_MAX);

        let keys = lapsed
            .iter()
            .flat_map(|(_, id)| [schema::lease(id), schema::runs(id)]);
        let keys: Vec<_> = keys.collect();
        let mut expected: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        expected.push(schema::FLEET);
        departed::expect(tx);
        tx.expect(&expected)?;
        let mut log = Log::open(tx)?;
        for (_, id) in &lapsed {
            // It is held from here on: a renewal that comes between undoes all of this.
            if let Some(lease) = held_lease(tx, id, 0)? {
                remove(
                    tx,
                    &mut log,
                    now_ms,
                    id,
                    lease.incarnation,
                    LeftReason::LeaseLapsed,
                    seed,
                )?;
            }
        }
        departed::drop_old(tx, &mut log, now_ms)?;
        self.0
            .retain(|entry| !lapsed.iter().any(|(_, id)| *id == entry.id));
        Ok(done)
    }

    /// Gives leases that cannot be read their full length again. Those that are too many for one
    /// transaction wait for the next.
    fn mend<T: Transaction>(&mut self, tx: &mut T, now_ms: u64) -> Result<(), T::Stop> {
        let unread = self.0.iter_mut().filter(|entry| entry.lease.is_none());
        for entry in unread.take(REAPED_MAX) {
            // While anybody has a lease, the timing stays as it is.
            let timing = Fleet::peek(tx)?.unwrap_or_default().timing;
            let deadline_ms = now_ms.saturating_add(millis(timing.lease()));
            entry.lease = held_lease(tx, &entry.id, deadline_ms)?;
            if let Some(lease) = &entry.lease {
                tx.put(schema::lease(&entry.id), lease.encode());
            }
        }
        Ok(())
    }
}

/// The lease of `id`, held to the end of the transaction. One that cannot be read is taken for a fresh one
/// until `otherwise_ms` of the run that is known.
pub(super) fn held_lease<T: Transaction>(
    tx: &mut T,
    id: &NodeId,
    otherwise_ms: u64,
) -> Result<Option<Lease>, T::Stop> {
    let Some(bytes) = tx.get(&schema::lease(id))? else {
        return Ok(None);
    };
    if let Some(lease) = Lease::decode(&bytes) {
        return Ok(Some(lease));
    }
    // Record and runs name another run only after the lease was written anew.
    let record = tx.peek(&schema::node(id))?;
    let by_record = record.and_then(|record| NodeHeader::read(&record).ok());
    let incarnation = if let Some(header) = by_record {
        header.incarnation
    } else {
        let runs = tx.peek(&schema::runs(id))?;
        let runs = Runs::decode(runs.as_deref()).unwrap_or_default();
        let nonce = runs.nonces.last().copied();
        Incarnation {
            number: runs.number,
            nonce: nonce.unwrap_or(Nonce::from_bytes([0; 16])),
        }
    };
    Ok(Some(Lease::new(incarnation, otherwise_ms)))
}

/// Takes a member out and logs why. An id that was superseded has its next member at once; any other is
/// remembered for a time.
pub(super) fn remove<T: Transaction>(
    tx: &mut T,
    log: &mut Log,
    now_ms: u64,
    id: &NodeId,
    incarnation: Incarnation,
    reason: LeftReason,
    seed: [u8; 16],
) -> Result<(), T::Stop> {
    tx.delete(schema::lease(id));
    tx.delete(schema::node(id));
    if reason != LeftReason::Superseded {
        departed::note(tx, log, now_ms, id, incarnation)?;
    }
    log.push(tx, seed, &Change::Left(id, incarnation, reason));
    Ok(())
}
