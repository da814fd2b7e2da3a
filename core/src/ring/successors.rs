//! The walk around the ring.

use std::iter::FusedIterator;

use super::Inner;
use super::table::Cursor;

/// How many nodes are remembered without allocating.
const INLINE: usize = 32;

/// The distinct nodes from a key's owner on, once around; made by
/// [`Ring::successors`](super::Ring::successors).
///
/// Yields positions in [`Ring::nodes`](super::Ring::nodes), each node of a weight above 0 once.
#[derive(Clone)]
pub struct Successors<'a> {
    ring: &'a Inner,
    cursor: Cursor,
    left: usize,
    met: Met,
}

/// The nodes that were yielded.
#[derive(Clone)]
enum Met {
    Few {
        nodes: [u32; INLINE],
        len: usize,
    },
    /// A bit for each node.
    Many(Vec<u64>),
}

impl<'a> Successors<'a> {
    pub(super) fn new(ring: &'a Inner, place: u64) -> Self {
        let met = Met::Few {
            nodes: [0; INLINE],
            len: 0,
        };
        Self {
            ring,
            cursor: ring.table.cursor(place),
            left: ring.placed,
            met,
        }
    }
}

impl Met {
    /// Remembers a node's slot, one of `slots`; whether it is new.
    fn insert(&mut self, node: u32, slots: usize) -> bool {
        match self {
            Self::Few { nodes: few, len } => {
                if few[..*len].contains(&node) {
                    return false;
                }
                if let Some(free) = few.get_mut(*len) {
                    *free = node;
                    *len += 1;
                    return true;
                }
                let mut bits = vec![0_u64; slots.div_ceil(64)];
                for node in few.iter().copied().chain([node]) {
                    bits[node as usize / 64] |= 1 << (node % 64);
                }
                *self = Self::Many(bits);
                true
            }
            Self::Many(bits) => {
                let (word, bit) = (&mut bits[node as usize / 64], 1 << (node % 64));
                let new = *word & bit == 0;
                *word |= bit;
                new
            }
        }
    }
}

impl Iterator for Successors<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        // A node is left, so one of its points is ahead.
        loop {
            let slot = self.ring.table.next(&mut self.cursor);
            if self.met.insert(slot, self.ring.positions.len()) {
                self.left -= 1;
                return Some(self.ring.position(slot));
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Successors<'_> {}
impl FusedIterator for Successors<'_> {}

impl std::fmt::Debug for Successors<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Successors")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_spills_when_it_is_full() {
        let mut met = Met::Few {
            nodes: [0; INLINE],
            len: 0,
        };
        // On both sides of a word's end, and last of all.
        let few: Vec<u32> = (48..80).collect();
        for node in &few {
            assert!(met.insert(*node, 140));
            assert!(!met.insert(*node, 140));
            assert!(matches!(met, Met::Few { .. }));
        }
        assert!(met.insert(0, 140));
        assert!(matches!(met, Met::Many(_)));
        for node in few.iter().chain(&[0]) {
            assert!(!met.insert(*node, 140));
        }
        assert!(met.insert(139, 140));
    }
}
