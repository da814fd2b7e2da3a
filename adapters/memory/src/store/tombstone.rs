//! What is remembered of sessions and logins that have ended.

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::RandomState;
use ringhold_core::session::{EndReason, TOMBSTONE_TTL};
use ringhold_core::{Nonce, OperationId, SessionId};

use super::head::nanos;
use super::records::tag;
use super::table::Table;

/// How a session or a login ended, with what tells a repetition of the write that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Removed by this operation.
    Removed(OperationId),
    /// Ended by a later login or a claim.
    Displaced,
    /// Expired, and acknowledged with this token.
    Expired(Nonce),
}

impl Ending {
    /// The reason without the proof.
    pub(crate) const fn reason(self) -> EndReason {
        match self {
            Self::Removed(_) => EndReason::Removed,
            Self::Displaced => EndReason::Displaced,
            Self::Expired(_) => EndReason::Expired,
        }
    }
}

#[derive(Debug)]
struct Tombstone {
    id: SessionId,
    ending: Ending,
    /// In nanoseconds of the partition's clock.
    deadline: u64,
}

/// The tombstones of one partition, each kept for [`TOMBSTONE_TTL`] on the partition's clock.
///
/// All live equally long and the clock never goes back, so a queue in the order of burial is in the
/// order of deadlines too. They are found by their number in that order. Looking one up is O(1), purging is
/// O(1) for each that goes.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    queue: VecDeque<Tombstone>,
    by_id: Table,
    /// The number of the oldest; numbers wrap.
    first: u32,
    hash: RandomState,
}

/// The end of the numbers: one less than there are, since a table has no room for the last.
const NUMBERS: u32 = u32::MAX;

impl Tombstones {
    /// Remembers how `id` ended.
    pub(crate) fn bury(&mut self, id: SessionId, ending: Ending, now: Duration) {
        let deadline = nanos(now.saturating_add(TOMBSTONE_TTL));
        let tag = self.tag(&id);
        let old = self.number(tag, &id);
        let number = self.number_at(self.queue.len());
        self.queue.push_back(Tombstone { id, ending, deadline });
        // Of several burials of one id the last counts.
        match old {
            Some(old) => self.by_id.replace(tag, old, number),
            None => self.by_id.insert(tag, number),
        }
    }

    /// How `id` ended, as long as that is remembered.
    pub(crate) fn get(&self, id: &SessionId) -> Option<Ending> {
        if self.queue.is_empty() {
            return None;
        }
        let number = self.number(self.tag(id), id)?;
        self.queue
            .get(self.position(number))
            .map(|tombstone| tombstone.ending)
    }

    /// Forgets what is due, at most `limit`; whether more is due then.
    pub(crate) fn purge(&mut self, now: Duration, limit: usize) -> bool {
        let now = nanos(now);
        let mut purged = 0;
        while let Some(tombstone) = self.queue.front()
            && tombstone.deadline <= now
        {
            if purged == limit {
                return true;
            }
            purged += 1;
            // A later burial of the same id has taken its place in the index: then this takes nothing out.
            let tag = self.tag(&tombstone.id);
            self.by_id.remove(tag, self.first);
            self.queue.pop_front();
            self.first = self.number_at(1);
        }
        if self.queue.len() < self.queue.capacity() / 4 {
            self.queue.shrink_to(self.queue.len() * 2);
        }
        false
    }

    fn number(&self, tag: u32, id: &SessionId) -> Option<u32> {
        let is_meant = |number| {
            let tombstone = self.queue.get(self.position(number));
            tombstone.is_some_and(|tombstone| tombstone.id == *id)
        };
        self.by_id.find(tag, is_meant)
    }

    /// The number of what stands at `position` in the queue.
    fn number_at(&self, position: usize) -> u32 {
        let number = (u64::from(self.first) + position as u64) % u64::from(NUMBERS);
        u32::try_from(number).unwrap_or_default()
    }

    fn position(&self, number: u32) -> usize {
        let ahead = u64::from(number) + u64::from(NUMBERS) - u64::from(self.first);
        usize::try_from(ahead % u64::from(NUMBERS)).unwrap_or(usize::MAX)
    }

    fn tag(&self, id: &SessionId) -> u32 {
        tag(&self.hash, id)
    }

    /// How many are remembered, and how long the queue is.
    #[cfg(test)]
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.by_id.len(), self.queue.len())
    }
}

#[cfg(test)]
mod tests {
    use ringhold_core::Partition;

    use super::*;

    #[test]
    fn they_go_in_order_and_the_newest_burial_counts() {
        let id = |byte| SessionId::new(Partition::new(0).unwrap(), [byte; 16]);
        let at = Duration::from_secs;
        let mut tombstones = Tombstones::default();
        tombstones.bury(id(1), Ending::Displaced, at(0));
        tombstones.bury(id(2), Ending::Expired(Nonce::from_bytes([9; 16])), at(1));
        tombstones.bury(id(1), Ending::Removed(OperationId::from_bytes([8; 16])), at(5));
        assert!(!tombstones.purge(at(59), 1));
        assert_eq!(tombstones.len(), (2, 3));
        assert!(tombstones.purge(at(61), 1), "the other one is due too");
        assert!(!tombstones.purge(at(61), 1));
        assert_eq!(tombstones.get(&id(2)), None);
        assert_eq!(
            tombstones.get(&id(1)).map(Ending::reason),
            Some(EndReason::Removed)
        );
        assert!(!tombstones.purge(at(65), 1));
        assert_eq!(tombstones.len(), (0, 0));
    }
}
