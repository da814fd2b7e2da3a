//! The sessions of each partition, as the stores count them and as a copy saw them.
//!
//! A listing that leaves sessions out leaves them out each time, so what it shows twice proves little. Stores count
//! apart from their listings, and these numbers must agree with what was listed, copied and verified.

use std::sync::Arc;

use ringhold::core::session::SessionPage;
use ringhold::{Partition, SessionId, SessionStore};
use tokio::task::JoinSet;

use super::{IN_FLIGHT, joined, stopped};
use crate::exit::Failure;

/// One number for each partition.
#[derive(Debug, Clone)]
pub(super) struct Numbers(Vec<u64>);

impl Numbers {
    pub(super) fn zero() -> Self {
        Self(vec![0; usize::from(Partition::COUNT)])
    }

    /// The live sessions in each partition of `store`, by its own count.
    pub(super) async fn count(store: &Arc<dyn SessionStore>, doing: &'static str) -> Result<Self, Failure> {
        let mut numbers = Self::zero();
        let mut counting = JoinSet::new();
        let mut partitions = Partition::all();
        loop {
            while counting.len() < IN_FLIGHT
                && let Some(partition) = partitions.next()
            {
                let store = Arc::clone(store);
                counting.spawn(async move {
                    let count = store.count(partition).await;
                    Ok((partition, count.map_err(|error| stopped(error, doing))?))
                });
            }
            if counting.is_empty() {
                return Ok(numbers);
            }
            let (partition, count) = joined(counting.join_next().await)?;
            numbers.0[usize::from(partition.get())] = count;
        }
    }

    pub(super) fn add(&mut self, id: SessionId) {
        self.0[usize::from(id.partition().get())] += 1;
    }

    pub(super) fn add_page(&mut self, page: &SessionPage) {
        let unreadable = page.unreadable.iter().map(|unreadable| unreadable.id);
        let ids = page.sessions.iter().map(|session| session.id).chain(unreadable);
        ids.for_each(|id| self.add(id));
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The numbers of one copy.
#[derive(Debug)]
pub(super) struct Counts {
    /// Before the copy.
    pub(super) source: Numbers,
    pub(super) target: Numbers,
    /// By the listing that was copied, and by the one that was verified.
    pub(super) listed: [Numbers; 2],
    /// On the target by this copy or an earlier one.
    pub(super) copied: Numbers,
}

/// Where the numbers do not agree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disagreement {
    /// Sessions in whose number the source's count and its listing differ, where the count did not change.
    pub(super) unlisted: u64,
    /// Partitions in which a side got or lost sessions during the copy, other than by the copy.
    pub(super) partitions_changed: u64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            source: Numbers::zero(),
            target: Numbers::zero(),
            listed: [Numbers::zero(), Numbers::zero()],
            copied: Numbers::zero(),
        }
    }

    /// Compares what was seen with the counts after the copy.
    pub(super) fn compare(&self, source: &Numbers, target: &Numbers) -> Disagreement {
        let mut found = Disagreement::default();
        for (at, (source, target)) in source.0.iter().zip(&target.0).enumerate() {
            let before = self.target.0[at];
            // An earlier copy may have brought some of them, and others may be the target's own.
            let possible = before.max(self.copied.0[at])..=before + self.copied.0[at];
            if *source != self.source.0[at] || !possible.contains(target) {
                found.partitions_changed += 1;
            } else {
                let differs = |listed: &Numbers| listed.0[at].abs_diff(*source);
                found.unlisted += self.listed.iter().map(differs).max().unwrap_or(0);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts in which the first partition has these numbers.
    fn counts(source: u64, target: u64, listed: [u64; 2], copied: u64) -> Counts {
        let first = |number| {
            let mut numbers = Numbers::zero();
            numbers.0[0] = number;
            numbers
        };
        Counts {
            source: first(source),
            target: first(target),
            listed: listed.map(first),
            copied: first(copied),
        }
    }

    #[test]
    fn sessions_missing_in_the_listing_are_told_from_a_fleet_that_changed() {
        let compare = |counts: &Counts, source, target| {
            let mut after = [Numbers::zero(), Numbers::zero()];
            (after[0].0[0], after[1].0[0]) = (source, target);
            let found = counts.compare(&after[0], &after[1]);
            (found.unlisted, found.partitions_changed)
        };
        let whole = counts(3, 0, [3, 3], 3);
        assert_eq!(compare(&whole, 3, 3), (0, 0));
        assert_eq!(
            compare(&counts(3, 0, [1, 1], 1), 3, 1),
            (2, 0),
            "the listing skips two"
        );
        assert_eq!(compare(&whole, 2, 3), (0, 1), "the source lost one");
        assert_eq!(compare(&whole, 3, 2), (0, 1), "the target lost one");
        assert_eq!(compare(&whole, 3, 4), (0, 1), "the target got one");
        // Two of three came by an earlier copy, and the target has one of its own.
        let again = counts(3, 3, [3, 3], 3);
        assert_eq!(compare(&again, 3, 4), (0, 0));
        assert_eq!(compare(&again, 3, 2), (0, 1));
    }
}
