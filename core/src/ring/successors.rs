//! The walk around the ring.

use std::iter::FusedIterator;

use super::Inner;
use super::table::Cursor;

/// How many nodes are remembered without allocating.
const INLINE: usize = 8;

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
        nodes: [usize; INLINE],
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
    /// Remembers a node, one of `nodes`; whether it is new.
    fn insert(&mut self, node: usize, nodes: usize) -> bool {
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
                let mut bits = vec![0_u64; nodes.div_ceil(64)];
                for node in few.iter().copied().chain([node]) {
                    bits[node / 64] |= 1 << (node % 64);
                }
                *self = Self::Many(bits);
                true
            }
            Self::Many(bits) => {
                let (word, bit) = (&mut bits[node / 64], 1 << (node % 64));
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
            let node = self.ring.position(self.ring.table.next(&mut self.cursor));
            if self.met.insert(node, self.ring.members.len()) {
                self.left -= 1;
                return Some(node);
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
    fn the_memory_spills_behind_the_eighth_node() {
        let mut met = Met::Few {
            nodes: [0; INLINE],
            len: 0,
        };
        for node in [0, 129, 64, 1, 2, 3, 4, 5] {
            assert!(met.insert(node, 130));
            assert!(!met.insert(node, 130));
            assert!(matches!(met, Met::Few { .. }));
        }
        assert!(met.insert(63, 130));
        assert!(matches!(met, Met::Many(_)));
        for node in [0, 129, 64, 1, 2, 3, 4, 5, 63] {
            assert!(!met.insert(node, 130));
        }
        assert!(met.insert(128, 130));
    }
}
