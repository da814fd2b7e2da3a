//! How the points of one slice are written down: exactly in 64 bits, and shortly in 32.
//!
//! Both begin with the high bits of where in its slice the point is, and end with the number of its
//! node. Exact words keep all of the place that is left open by the slice. Short ones keep 17 bits of
//! it among 10,000 nodes, and 20 among 1,000, which is nearly always enough to tell a key from a point;
//! where it is not, the exact words are asked.

/// A short word has 31 bits, so that the highest bit of a difference says which is below the other.
pub(super) type Short = u32;

/// What stands in the place of a short word where exact ones have to be asked. No node's number is all
/// ones, so no word looks like it, and it is greater than all.
pub(super) const ASK: Short = Short::MAX >> 1;

/// 1 where a word is below another, otherwise 0: for sums, of which a comparison would not make vector
/// instructions on each processor.
#[inline]
pub(super) fn is_below(word: Short, other: Short) -> u32 {
    word.wrapping_sub(other) >> 31
}

/// Where in a word its node is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// The low bits that are the node's number; less than 32.
    mask: u32,
}

impl Words {
    /// Words for node numbers below `end`.
    pub(super) fn new(end: u32) -> Self {
        let bits = u32::BITS - end.leading_zeros();
        let mask = 1_u64.checked_shl(bits).map_or(0, |above| above - 1);
        Self {
            // There are less than 2^26 pages, and three nodes for each.
            mask: u32::try_from(mask).unwrap_or(u32::MAX),
        }
    }

    /// A place in a slice without a node: where a key is.
    #[inline]
    pub(super) fn key(self, place: u64) -> u64 {
        place & !u64::from(self.mask)
    }

    /// A place in a slice with a node.
    pub(super) fn exact(self, place: u64, node: u32) -> u64 {
        self.key(place) | u64::from(node)
    }

    /// The last word at the place of another.
    pub(super) fn last_at(self, word: u64) -> u64 {
        word | u64::from(self.mask)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask has less than 32 bits")]
    pub(super) fn node(self, word: u64) -> u32 {
        word as u32 & self.mask
    }

    /// The short form of an exact word.
    #[inline]
    pub(super) fn short(self, word: u64) -> Short {
        self.short_key(word) | self.node(word)
    }

    /// The short form of where a key is.
    #[inline]
    pub(super) fn short_key(self, place: u64) -> Short {
        (place >> 33) as u32 & !self.mask
    }

    /// The short word of a node behind all places of the slice. `short` gives none from here on for a
    /// point that is not at the very end.
    pub(super) fn behind(self, node: u32) -> Short {
        ASK & !self.mask | node
    }

    /// Whether these words do not tell which of both is at the lower place.
    #[inline]
    pub(super) fn are_close(self, one: Short, other: Short) -> bool {
        (one ^ other) & !self.mask == 0
    }

    #[inline]
    pub(super) fn node_of(self, word: Short) -> u32 {
        word & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_their_nodes_and_short_ones_sort_alike() {
        for end in [1, 31, 32, 1_000, 40_000_000] {
            let words = Words::new(end);
            let mut before = 0;
            for place in [0, 1 << 40, 1 << 61, 1 << 63, u64::MAX - (1 << 60)] {
                for node in [0, end / 2, end - 1] {
                    let exact = words.exact(place, node);
                    let short = words.short(exact);
                    assert_eq!((words.node(exact), words.node_of(short)), (node, node));
                    assert!(before <= short && short < words.behind(0), "{end} {place}");
                    assert!(words.are_close(short, words.short_key(place)));
                    assert!(words.last_at(exact) >= exact);
                    before = words.short_key(place);
                }
            }
            assert!(words.behind(0) <= words.behind(end - 1) && words.behind(end - 1) < ASK);
        }
    }

    #[test]
    fn what_differs_in_the_low_bits_is_close() {
        let words = Words::new(1_000);
        let [one, other] = [7 << 40, (7 << 40) + 500].map(|place| words.short_key(place));
        assert!(words.are_close(one, other));
        let next = words.short_key(8 << 42);
        assert!(!words.are_close(one, next));
    }
}
