//! What the ring is measured against: sorted points under a guide table, as good as an array that is
//! never changed in place gets.
//!
//! The hash space is cut into `2^bits` slices, at least as many as there are points. The guide says
//! where the points of a slice begin. A point is one word: what the slice leaves open of its place,
//! and its node in the low `bits` bits. To change it is to build it anew.

use ringhold_core::ring::{Ring, VIRTUAL_NODES, key_hash, point_hash};

pub(crate) struct Guide {
    /// Points in order, and behind them the first once more.
    words: Box<[u64]>,
    /// Where the points of each slice begin, and where they end.
    starts: Box<[u32]>,
    bits: u32,
}

impl Guide {
    /// The points of a ring.
    pub(crate) fn new(ring: &Ring) -> Self {
        let mut points = Vec::with_capacity(ring.virtual_nodes() + 1);
        for (node, (id, weight)) in ring.nodes().iter().enumerate() {
            let numbers = 0..u32::from(weight.get()) * VIRTUAL_NODES;
            points.extend(numbers.map(|number| (point_hash(id, number), node as u64)));
        }
        points.sort_unstable();
        let slices = points.len().max(2).next_power_of_two();
        let bits = slices.trailing_zeros();
        let mut starts = vec![0; slices + 1];
        for (place, _) in &points {
            starts[slice_of(*place, bits) + 1] += 1;
        }
        let mut before = 0;
        for entry in &mut starts {
            before += *entry;
            *entry = before;
        }
        let mut words: Vec<u64> = points.iter().map(|(place, node)| place << bits | node).collect();
        words.extend(words.first().copied());
        Self {
            words: words.into(),
            starts: starts.into(),
            bits,
        }
    }

    /// The owner of a key, as its position among the nodes.
    #[inline]
    pub(crate) fn owner(&self, key: &[u8]) -> Option<usize> {
        let place = key_hash(key);
        let slice = slice_of(place, self.bits);
        let (start, end) = (self.starts[slice] as usize, self.starts[slice + 1] as usize);
        let word = place << self.bits;
        let below = |position: usize| self.words.get(position).is_some_and(|point| *point < word);
        // Whether the first point is passed is a coin toss, so it is added instead of branched upon.
        let passed = (start < end) & below(start);
        let mut position = start + usize::from(passed);
        while (position < end) & passed && below(position) {
            position += 1;
        }
        let word = self.words.get(position)?;
        Some(low_bits(*word, self.bits))
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "fewer than 32 bits are left of it"
)]
fn low_bits(word: u64, bits: u32) -> usize {
    (word & ((1 << bits) - 1)) as usize
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "fewer than 32 bits are left of it"
)]
fn slice_of(place: u64, bits: u32) -> usize {
    (place >> (u64::BITS - bits)) as usize
}
