//! Sorted points under a guide table.
//!
//! The hash space is cut into `2^bits` slices, at least as many as there are points and as there are
//! nodes. `guide[s]` is the position of the first point in slice `s` or after it. A point is one word:
//! the low `64 - bits` bits of its place, shifted up, and the node's number in the low `bits` bits. The
//! high bits of its place are those of its slice. So words of one slice sort like (place, node), and a
//! node's number sorts like its id: the tie-break of the specification is the order of the words.

/// The points of a ring.
pub(super) struct PointIndex {
    /// Points in order, and behind them the first once more: who falls off the end gets that.
    words: Box<[u64]>,
    /// `2^bits + 1` positions in `words`.
    guide: Box<[u32]>,
    /// 1 to 32.
    bits: u32,
}

/// Packs points that come in ascending order.
pub(super) struct Builder {
    words: Vec<u64>,
    /// Shifted by one slice, and counts until `finish` sums them up.
    guide: Vec<u32>,
    bits: u32,
}

impl Builder {
    /// `len` is how many points will come, `nodes` is above every node number.
    pub(super) fn new(len: usize, nodes: usize) -> Self {
        // The guide's entries are 32 bits wide to keep it small; the ring documents this limit.
        assert!(
            u32::try_from(len).is_ok(),
            "a ring has at most u32::MAX virtual nodes"
        );
        let slices = len.max(nodes).max(2).next_power_of_two();
        let words = Vec::with_capacity(len + 1);
        Self {
            words,
            guide: vec![0; slices + 1],
            bits: slices.trailing_zeros(),
        }
    }

    /// Takes the next point, by (place, node) not below the one before.
    #[inline]
    pub(super) fn push(&mut self, place: u64, node: u32) {
        self.guide[slice_of(place, self.bits) + 1] += 1;
        self.words.push(place << self.bits | u64::from(node));
    }

    pub(super) fn finish(mut self) -> PointIndex {
        self.words.extend(self.words.first().copied());
        let mut before = 0;
        for entry in &mut self.guide {
            before += *entry;
            *entry = before;
        }
        PointIndex {
            words: self.words.into(),
            guide: self.guide.into(),
            bits: self.bits,
        }
    }
}

impl PointIndex {
    /// How many points there are.
    pub(super) fn len(&self) -> usize {
        self.words.len().saturating_sub(1)
    }

    /// The node of the first point at or after a place.
    #[inline]
    pub(super) fn owner(&self, place: u64) -> Option<usize> {
        self.words.get(self.position(place)).map(|word| self.node(*word))
    }

    /// The position of the first point at or after a place; `len()` where there is none.
    #[inline]
    pub(super) fn position(&self, place: u64) -> usize {
        let slice = slice_of(place, self.bits);
        let (start, end) = (self.guide[slice] as usize, self.guide[slice + 1] as usize);
        // With the node's bits 0, so that a point at this very place is not below it.
        let word = place << self.bits;
        let below = |position: usize| self.words.get(position).is_some_and(|point| *point < word);
        // Whether the first point is passed is a coin toss, so it is added instead of branched upon.
        let passed = (start < end) & below(start);
        let mut position = start + usize::from(passed);
        while (position < end) & passed && below(position) {
            position += 1;
        }
        position
    }

    /// The node of the point at a position, up to and with `len()`, which is the first point again.
    pub(super) fn node_at(&self, position: usize) -> usize {
        self.node(self.words[position])
    }

    /// The points as (place, node), in order.
    pub(super) fn points(&self) -> impl Iterator<Item = (u64, u32)> {
        let slices = self.guide.windows(2).zip(0_u64..);
        slices.flat_map(move |(ends, slice)| {
            let words = &self.words[ends[0] as usize..ends[1] as usize];
            words
                .iter()
                .map(move |word| (self.place(slice, *word), self.node_number(*word)))
        })
    }

    /// Tells every point's node and how many places fall to it, in the order of points.
    pub(super) fn for_each_arc(&self, mut each: impl FnMut(usize, u128)) {
        let Some(last) = self.points().last().map(|(place, _)| place) else {
            return;
        };
        let mut before = None;
        for (place, node) in self.points() {
            let length = match before {
                Some(before) => u128::from(place - before),
                // From behind the last point over the top to here; the whole ring where both are one.
                None => (1 << 64) - u128::from(last) + u128::from(place),
            };
            each(node as usize, length);
            before = Some(place);
        }
    }

    #[inline]
    fn place(&self, slice: u64, word: u64) -> u64 {
        slice << (u64::BITS - self.bits) | word >> self.bits
    }

    #[inline]
    fn node_number(&self, word: u64) -> u32 {
        low_bits(word, self.bits)
    }

    #[inline]
    fn node(&self, word: u64) -> usize {
        self.node_number(word) as usize
    }
}

/// A position in the member list as a node number.
pub(super) fn node_number(position: usize) -> u32 {
    u32::try_from(position).expect("a ring has at most u32::MAX members")
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 32 bits are left of it")]
fn slice_of(place: u64, bits: u32) -> usize {
    (place >> (u64::BITS - bits)) as usize
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 32 bits are left of it")]
fn low_bits(word: u64, bits: u32) -> u32 {
    (word & ((1 << bits) - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(points: &[(u64, u32)], nodes: usize) -> PointIndex {
        let mut builder = Builder::new(points.len(), nodes);
        for (place, node) in points {
            builder.push(*place, *node);
        }
        builder.finish()
    }

    fn index(points: &[(u64, u32)]) -> PointIndex {
        let index = built(points, 4);
        assert_eq!(index.points().collect::<Vec<_>>(), points);
        index
    }

    fn arcs(index: &PointIndex) -> Vec<(usize, u128)> {
        let mut arcs = Vec::new();
        index.for_each_arc(|node, length| arcs.push((node, length)));
        arcs
    }

    #[test]
    fn a_place_belongs_to_the_next_point_and_wraps() {
        let index = index(&[(5, 1), (9, 3), (1 << 63, 2)]);
        for (place, node) in [
            (0, 1),
            (5, 1),
            (6, 3),
            (9, 3),
            (10, 2),
            (1 << 63, 2),
            ((1 << 63) + 1, 1),
        ] {
            assert_eq!(index.owner(place), Some(node), "{place}");
        }
        assert_eq!(index.owner(u64::MAX), Some(1));
        assert_eq!(index.position(u64::MAX), 3);
    }

    #[test]
    fn points_at_one_place_go_to_the_smallest_node() {
        let index = index(&[(7, 0), (7, 2), (u64::MAX, 1), (u64::MAX, 3)]);
        assert_eq!(index.owner(7), Some(0));
        assert_eq!(index.owner(8), Some(1));
        assert_eq!(index.owner(u64::MAX), Some(1));
        assert_eq!(
            arcs(&index),
            [(0, 8), (2, 0), (1, u128::from(u64::MAX) - 7), (3, 0)]
        );
    }

    #[test]
    fn arcs_make_up_the_whole_ring() {
        for points in [
            &[(0, 0)][..],
            &[(u64::MAX, 2)],
            &[(3, 0), (3, 1)],
            &[(0, 1), (u64::MAX, 0)],
        ] {
            let sum: u128 = arcs(&index(points)).iter().map(|(_, length)| length).sum();
            assert_eq!(sum, 1 << 64, "{points:?}");
        }
        assert!(arcs(&index(&[])).is_empty());
    }

    #[test]
    fn a_crowded_slice_is_searched_to_its_end() {
        let points: Vec<(u64, u32)> = (0..100)
            .map(|place| (place, u32::try_from(place % 4).unwrap()))
            .collect();
        let index = index(&points);
        for (place, node) in points {
            assert_eq!(index.owner(place), Some(node as usize));
        }
        assert_eq!(index.owner(100), Some(0));
    }

    #[test]
    fn numbers_of_many_nodes_fit_beside_few_points() {
        let index = built(&[(42, 69_999)], 70_000);
        assert_eq!(index.owner(43), Some(69_999));
        assert_eq!(index.points().collect::<Vec<_>>(), [(42, 69_999)]);
    }
}
