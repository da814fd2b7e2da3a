//! Which session comes up next, found without looking at the others.

use std::collections::BTreeSet;
use std::time::Duration;

use ringhold_core::SessionId;

/// An ordered index of times at which sessions have to be looked at.
///
/// Every session has exactly one entry, at its *armed* time, which is never later than the time at
/// which it is due. A touch moves the due time later, so it leaves the entry alone and is free;
/// the entry is armed anew when it comes up, at most once per time to live. Only a due time that
/// moves earlier is written through. An ended session takes its entry with it, so the index never
/// holds more entries than there are sessions, however often these are touched.
///
/// Every operation is O(log n) in the sessions of one partition.
#[derive(Debug, Default)]
pub(crate) struct ExpiryIndex {
    entries: BTreeSet<(Duration, SessionId)>,
}

impl ExpiryIndex {
    /// Enters a session that is due at `due`.
    pub(crate) fn insert(&mut self, id: SessionId, due: Duration) {
        self.entries.insert((due, id));
    }

    /// Takes out the session whose entry is armed at `armed`.
    pub(crate) fn remove(&mut self, id: SessionId, armed: Duration) {
        self.entries.remove(&(armed, id));
    }

    /// Says that a session is now due at `due`, and answers the time at which it is armed then.
    #[must_use]
    pub(crate) fn moved(&mut self, id: SessionId, armed: Duration, due: Duration) -> Duration {
        if due < armed {
            self.rearm(id, armed, due)
        } else {
            armed
        }
    }

    /// Arms an entry anew, earlier or later, and answers the time at which it is armed then.
    #[must_use]
    pub(crate) fn rearm(&mut self, id: SessionId, armed: Duration, due: Duration) -> Duration {
        self.entries.remove(&(armed, id));
        self.entries.insert((due, id));
        due
    }

    /// The first entry that is armed at `now` or before.
    pub(crate) fn first_armed(&self, now: Duration) -> Option<(Duration, SessionId)> {
        self.entries.first().copied().filter(|(armed, _)| *armed <= now)
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a session has its entry at this time.
    #[cfg(test)]
    pub(crate) fn holds(&self, id: SessionId, armed: Duration) -> bool {
        self.entries.contains(&(armed, id))
    }
}

#[cfg(test)]
mod tests {
    use ringhold_core::Partition;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(byte: u8) -> SessionId {
        SessionId::new(Partition::new(0).unwrap(), [byte; 16])
    }

    #[test]
    fn later_is_lazy_and_earlier_is_at_once() {
        let mut index = ExpiryIndex::default();
        index.insert(id(1), SECOND * 10);
        assert_eq!(index.moved(id(1), SECOND * 10, SECOND * 20), SECOND * 10);
        assert_eq!(index.first_armed(SECOND * 9), None);
        assert_eq!(index.first_armed(SECOND * 10), Some((SECOND * 10, id(1))));
        assert_eq!(index.moved(id(1), SECOND * 10, SECOND * 4), SECOND * 4);
        assert_eq!(index.first_armed(SECOND * 5), Some((SECOND * 4, id(1))));
        assert_eq!(index.len(), 1);
    }

    #[test]
    fn it_comes_up_by_time_and_goes_with_its_session() {
        let mut index = ExpiryIndex::default();
        for (byte, due) in [(1, 3), (2, 1), (3, 2)] {
            index.insert(id(byte), SECOND * due);
        }
        assert_eq!(index.first_armed(SECOND * 9), Some((SECOND, id(2))));
        index.remove(id(2), SECOND);
        assert_eq!(index.first_armed(SECOND * 9), Some((SECOND * 2, id(3))));
        assert_eq!(index.rearm(id(3), SECOND * 2, SECOND * 8), SECOND * 8);
        assert_eq!(index.first_armed(SECOND * 9), Some((SECOND * 3, id(1))));
        assert_eq!(index.len(), 2);
    }
}
