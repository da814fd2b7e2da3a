//! The last changes of the membership, and how a reader goes on from a resume point.

use ringhold_core::discovery::Changes;
use ringhold_core::{Result, Revision, Timing, Update};

use super::form::{Change, Fleet};
use crate::schema;
use crate::transaction::Transaction;

/// The most changes that the log keeps; a reader further behind starts over.
///
/// The change before them is kept too: its tag says whether a reader that has seen no later one is of
/// this history.
pub(super) const LEN_MAX: u64 = 256;

/// The log, held by a transaction that changes the membership.
#[derive(Debug)]
pub(super) struct Log(Option<Fleet>);

impl Log {
    pub(super) fn open<T: Transaction>(tx: &mut T) -> Result<Self, T::Stop> {
        Fleet::get(tx).map(Self)
    }

    /// The periods that the fleet runs by; `None` before the first registration.
    pub(super) fn timing(&self) -> Option<Timing> {
        self.0.map(|fleet| fleet.timing)
    }

    /// The fleet's single entry. A change of it is written with the next [`push`](Self::push) or [`store`](Self::store).
    pub(super) fn fleet(&mut self) -> &mut Fleet {
        self.0.get_or_insert_default()
    }

    /// Adds a change, and takes the one away that is too old now. `seed` is the caller's random bits.
    pub(super) fn push<T: Transaction>(&mut self, tx: &mut T, seed: [u8; 16], change: &Change<'_>) {
        let fleet = self.fleet();
        fleet.head = fleet.head.following(seed);
        let Revision { number, tag } = fleet.head;
        tx.put(schema::change(number), change.encode(tag));
        if let Some(old @ 1..) = number.checked_sub(LEN_MAX + 1) {
            tx.delete(schema::change(old));
        }
        self.store(tx);
    }

    /// Writes what there is once in the fleet.
    pub(super) fn store<T: Transaction>(&mut self, tx: &mut T) {
        tx.put(schema::FLEET.to_vec(), self.fleet().encode());
    }
}

/// Announces what [`after`] will ask for.
pub(super) fn expect_after<T: Transaction>(tx: &mut T, point: Revision) {
    let (from, to) = span(point);
    tx.expect_range(&from, &to, LIMIT);
}

/// The first changes since `point`, in order, at most [`Changes::MAX`]; `None` where it is no resume point
/// of this log, or more than `behind_max` changes behind `head`.
///
/// Nothing holds the changes: one that was written stays as it is until it is too old, and `head` is of the
/// same moment as they are. Whatever does not follow on without a gap makes the reader start over.
pub(super) fn after<T: Transaction>(
    tx: &mut T,
    head: Revision,
    point: Revision,
    behind_max: u64,
) -> Result<Option<Vec<Update>>, T::Stop> {
    let Some(behind) = head.number.checked_sub(point.number) else {
        return Ok(None);
    };
    if behind == 0 {
        return Ok((point == head).then(Vec::new));
    }
    if behind > behind_max.min(LEN_MAX) {
        return Ok(None);
    }
    let (from, to) = span(point);
    let entries = tx.range(&from, &to, LIMIT)?;
    let mut entries = entries.iter();
    // Before the first change there is none, and only one point.
    let known = if point.number == 0 {
        point == Revision::default()
    } else {
        let entry = entries.next().filter(|(key, _)| *key == from);
        entry.and_then(|(_, bytes)| Change::tag(bytes)) == Some(point.tag)
    };
    if !known {
        return Ok(None);
    }
    let numbers = point.number + 1..=head.number;
    let updates = numbers.take(Changes::MAX).map(|number| {
        let (key, bytes) = entries.next()?;
        (*key == schema::change(number)).then(|| Change::decode(number, bytes))?
    });
    Ok(updates.collect())
}

/// A resume point's own change, and an answer's worth of those behind it.
const LIMIT: usize = Changes::MAX + 1;

fn span(point: Revision) -> (Vec<u8>, Vec<u8>) {
    (schema::change(point.number), schema::end_of(schema::CHANGES))
}
