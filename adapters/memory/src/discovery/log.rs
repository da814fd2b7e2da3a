//! The last changes of the membership, and how a reader goes on from a resume point.

use std::collections::VecDeque;

use ringhold_core::{Revision, Update};

/// The last [`ChangeLog::LEN_MAX`] changes, with the revision that each made.
#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    /// The revision before the first change that is still here.
    base: Revision,
    changes: VecDeque<(Revision, Update)>,
}

impl ChangeLog {
    /// The most changes that it keeps; a reader further behind starts over.
    pub(crate) const LEN_MAX: usize = 256;

    /// The revision of the last change; the default one before the first.
    pub(crate) fn head(&self) -> Revision {
        self.changes.back().map_or(self.base, |(revision, _)| *revision)
    }

    /// Adds the change that `make` makes of its revision. `seed` is the caller's random bits.
    pub(crate) fn push(&mut self, seed: [u8; 16], make: impl FnOnce(Revision) -> Update) {
        let revision = self.head().following(seed);
        self.changes.push_back((revision, make(revision)));
        if self.changes.len() > Self::LEN_MAX
            && let Some((first, _)) = self.changes.pop_front()
        {
            self.base = first;
        }
    }

    /// The changes since `point`, oldest first; `None` when it is too far behind or not one of
    /// this log's. O(1).
    pub(crate) fn after(&self, point: Revision) -> Option<impl ExactSizeIterator<Item = &Update>> {
        let offset = usize::try_from(point.number.checked_sub(self.base.number)?).ok()?;
        let known = match offset.checked_sub(1) {
            None => Some(self.base),
            Some(index) => self.changes.get(index).map(|(revision, _)| *revision),
        };
        (known == Some(point)).then(|| self.changes.range(offset..).map(|(_, update)| update))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(len: usize) -> ChangeLog {
        let mut log = ChangeLog::default();
        for _ in 0..len {
            log.push([7; 16], left);
        }
        log
    }

    fn left(revision: Revision) -> Update {
        use ringhold_core::{Incarnation, NodeId, NodeIncarnation, Nonce, membership::LeftReason};
        let incarnation = Incarnation {
            number: revision.number,
            nonce: Nonce::from_bytes([0; 16]),
        };
        let node = NodeIncarnation::new(NodeId::new("n").unwrap(), incarnation);
        Update::Left {
            revision,
            node,
            reason: LeftReason::Leave,
        }
    }

    #[test]
    fn a_known_point_goes_on_without_a_gap() {
        let log = log(5);
        let third = log
            .after(Revision::default())
            .unwrap()
            .nth(2)
            .and_then(Update::revision)
            .unwrap();
        let rest: Vec<u64> = log
            .after(third)
            .unwrap()
            .filter_map(Update::revision)
            .map(|r| r.number)
            .collect();
        assert_eq!(rest, [4, 5]);
        assert_eq!(log.after(log.head()).unwrap().len(), 0);
    }

    #[test]
    fn a_foreign_point_is_not_known() {
        let log = log(5);
        let head = log.head();
        assert!(
            log.after(Revision::new(head.number, head.tag ^ 1)).is_none(),
            "another tag"
        );
        assert!(
            log.after(Revision::new(head.number + 1, head.tag)).is_none(),
            "of the future"
        );
        assert!(log.after(Revision::new(0, 1)).is_none(), "another beginning");
        assert!(log.after(Revision::new(u64::MAX, 0)).is_none());
    }

    #[test]
    fn it_forgets_the_oldest_and_says_so() {
        let log = log(ChangeLog::LEN_MAX + 10);
        assert!(log.after(Revision::default()).is_none());
        assert_eq!(log.base.number, 10);
        assert_eq!(log.after(log.base).unwrap().len(), ChangeLog::LEN_MAX);
    }
}
