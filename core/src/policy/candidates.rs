//! The ranked nodes of one request, kept without allocating.

use std::fmt;

/// How many positions are kept inline.
const INLINE: usize = 8;

/// Positions of nodes in a view, the best first.
///
/// It holds at most [`limit`](Self::limit) of them, 8 unless asked otherwise, and allocates only
/// where that limit is above 8. Keep one and [`clear`](Self::clear) it rather than making many.
///
/// ```
/// use ringhold_core::policy::Candidates;
///
/// let mut candidates = Candidates::with_limit(2);
/// assert!(!candidates.push(7), "there is room for another");
/// assert!(candidates.push(3), "now it is full");
/// assert!(candidates.push(5), "and takes no more");
/// assert_eq!(candidates.iter().collect::<Vec<_>>(), [7, 3]);
/// assert_eq!(candidates.first(), Some(7));
/// ```
#[derive(Clone)]
pub struct Candidates {
    // In use where the limit is at most `INLINE`; `spilled` is, where it is above.
    inline: [u32; INLINE],
    inline_len: usize,
    spilled: Vec<u32>,
    limit: usize,
}

impl Candidates {
    /// Room for 8 positions.
    pub const fn new() -> Self {
        Self::with_limit(INLINE)
    }

    /// Room for `limit` positions; with 0 it is full from the start. Allocates only above 8, and
    /// then as positions come.
    pub const fn with_limit(limit: usize) -> Self {
        Self {
            inline: [0; INLINE],
            inline_len: 0,
            spilled: Vec::new(),
            limit,
        }
    }

    /// The most positions that it holds.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Adds a position behind the others, unless it is full. Answers whether it is full now.
    ///
    /// Positions are kept in 32 bits, more than a ring can have nodes; a greater one is not added.
    pub fn push(&mut self, position: usize) -> bool {
        self.insert(self.len(), position);
        self.is_full()
    }

    /// Adds a position before the first one that it precedes, keeps the order of the others, and
    /// drops the last one where there are more than the limit.
    ///
    /// `precedes` says whether `position` comes before one that is there. With a strict order,
    /// positions that are equal in it keep the order in which they came.
    pub(crate) fn insert_before(&mut self, position: usize, mut precedes: impl FnMut(usize) -> bool) {
        let mut at = self.len();
        while at > 0 && precedes(index(self.as_slice()[at - 1])) {
            at -= 1;
        }
        self.insert(at, position);
    }

    fn insert(&mut self, at: usize, position: usize) {
        let Ok(position) = u32::try_from(position) else {
            return;
        };
        if at >= self.limit {
            return;
        }
        if self.limit > INLINE {
            self.spilled.truncate(self.limit - 1);
            self.spilled.insert(at, position);
        } else {
            self.inline_len = (self.inline_len + 1).min(self.limit);
            self.inline[at..self.inline_len].rotate_right(1);
            self.inline[at] = position;
        }
    }

    fn as_slice(&self) -> &[u32] {
        if self.limit > INLINE {
            &self.spilled
        } else {
            &self.inline[..self.inline_len]
        }
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Whether it takes no more.
    pub fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// The best position.
    pub fn first(&self) -> Option<usize> {
        self.as_slice().first().copied().map(index)
    }

    /// All positions, the best first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + DoubleEndedIterator {
        self.as_slice().iter().copied().map(index)
    }

    /// Whether this position is among them.
    pub fn contains(&self, position: usize) -> bool {
        self.iter().any(|known| known == position)
    }

    /// Takes all positions out; limit and memory stay.
    pub fn clear(&mut self) {
        self.inline_len = 0;
        self.spilled.clear();
    }
}

/// Back from the 32 bits in which a position is kept.
fn index(position: u32) -> usize {
    position as usize
}

impl Default for Candidates {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_up_and_no_further() {
        for limit in [0, 1, 2, 7, 8, 9, 20] {
            let mut candidates = Candidates::with_limit(limit);
            assert_eq!((candidates.limit(), candidates.is_full()), (limit, limit == 0));
            for position in 0..30 {
                assert_eq!(candidates.push(position), position + 1 >= limit, "limit {limit}");
            }
            assert_eq!(
                candidates.iter().collect::<Vec<_>>(),
                (0..limit).collect::<Vec<_>>()
            );
            assert_eq!(candidates.first(), (limit > 0).then_some(0));
            candidates.clear();
            assert!(candidates.is_empty() && candidates.first().is_none());
        }
    }

    #[test]
    fn up_to_eight_nothing_is_allocated() {
        let mut candidates = Candidates::new();
        (0..100).for_each(|position| candidates.insert_before(position, |_| true));
        assert_eq!((candidates.len(), candidates.spilled.capacity()), (8, 0));
        let mut candidates = Candidates::with_limit(9);
        candidates.push(1);
        assert!(candidates.spilled.capacity() > 0);
        assert!(candidates.contains(1) && !candidates.contains(0) && !candidates.is_empty());
        assert_eq!(format!("{candidates:?}"), "[1]");
    }

    #[test]
    fn the_best_are_kept_in_order() {
        // Keys of the positions 0 to 9; equal ones keep the order in which they came.
        let keys = [5, 3, 9, 3, 0, 7, 5, 1, 8, 3];
        let sorted = [4, 7, 1, 3, 9, 0, 6, 5, 8, 2];
        for limit in 0..12 {
            let mut candidates = Candidates::with_limit(limit);
            for position in 0..keys.len() {
                candidates.insert_before(position, |other| keys[position] < keys[other]);
            }
            let most = limit.min(sorted.len());
            assert_eq!(
                candidates.iter().collect::<Vec<_>>(),
                sorted[..most],
                "limit {limit}"
            );
        }
    }
}
