//! What is remembered of sessions and logins that have ended.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ringhold_core::session::{EndReason, TOMBSTONE_TTL};
use ringhold_core::{Nonce, OperationId, SessionId};

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
    ending: Ending,
    deadline: Duration,
}

/// The tombstones of one partition, each kept for [`TOMBSTONE_TTL`] on the partition's clock.
///
/// All live equally long and the clock never goes back, so a queue in the order of burial is in the
/// order of deadlines too. Looking one up is O(1), purging is O(1) for each that goes.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    by_id: HashMap<SessionId, Tombstone>,
    queue: VecDeque<(Duration, SessionId)>,
}

impl Tombstones {
    /// Remembers how `id` ended.
    pub(crate) fn bury(&mut self, id: SessionId, ending: Ending, now: Duration) {
        let deadline = now.saturating_add(TOMBSTONE_TTL);
        self.by_id.insert(id, Tombstone { ending, deadline });
        self.queue.push_back((deadline, id));
    }

    /// How `id` ended, as long as that is remembered.
    pub(crate) fn get(&self, id: &SessionId) -> Option<Ending> {
        self.by_id.get(id).map(|tombstone| tombstone.ending)
    }

    /// Forgets what is due, at most `limit`; whether more is due then.
    pub(crate) fn purge(&mut self, now: Duration, limit: usize) -> bool {
        let mut purged = 0;
        while let Some((deadline, id)) = self.queue.front().copied()
            && deadline <= now
        {
            if purged == limit {
                return true;
            }
            purged += 1;
            self.queue.pop_front();
            // A later burial of the same id has a later deadline and an entry of its own.
            if self
                .by_id
                .get(&id)
                .is_some_and(|tombstone| tombstone.deadline <= now)
            {
                self.by_id.remove(&id);
            }
        }
        false
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
