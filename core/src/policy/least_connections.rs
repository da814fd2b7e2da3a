//! The node that carries least.

use std::ops::Range;

use super::{BalancingPolicy, Candidates};
use crate::view::{PlaceRequest, View};

/// The nodes that would carry least for their weight with one stay more.
///
/// What a node carries are its sessions, as it last told, and the places reserved here. Nodes are
/// compared by `(carried + 1) / weight`, exactly; where that is equal, the request's random bits say
/// with which node to begin. O(n) in the number of nodes, with a few instructions for each.
///
/// Loads come with heartbeats. Where many servers place at the same time, each sees the others'
/// stays a heartbeat late, and the least node of that moment gets them all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeastConnections;

impl LeastConnections {
    /// The node that carries least.
    pub const fn new() -> Self {
        Self
    }
}

impl BalancingPolicy for LeastConnections {
    fn rank(&self, view: &View, request: &PlaceRequest<'_>, out: &mut Candidates) {
        out.clear();
        let len = view.nodes().len();
        let start = start_of(request.random, len);
        // The last of those that are ranked, once there is no room for more: most nodes are behind it,
        // and are passed by a single comparison.
        let mut last = None;
        let burden = |position: usize| Burden::all(view, position..position + 1, request).next();
        for positions in [start..len, 0..start] {
            for (position, own) in Burden::all(view, positions, request) {
                if last.is_some_and(|last| !own.is_less(last)) {
                    continue;
                }
                // One that has become full meanwhile is the last of all.
                out.insert_before(position, |other| {
                    burden(other).is_none_or(|(_, other)| own.is_less(other))
                });
                if out.is_full() {
                    last = out.iter().next_back().and_then(burden).map(|(_, burden)| burden);
                }
            }
        }
    }
}

/// What a node would carry with one stay more, for its weight.
#[derive(Clone, Copy)]
struct Burden {
    carried: u64,
    weight: u64,
}

impl Burden {
    /// Those of the nodes at these positions that take the request.
    #[inline]
    fn all(
        view: &View,
        positions: Range<usize>,
        request: &PlaceRequest<'_>,
    ) -> impl Iterator<Item = (usize, Self)> {
        let all = view.carried(positions, request);
        all.map(|(position, carried, weight)| {
            let burden = Self {
                carried: u64::from(carried) + 1,
                weight: u64::from(weight),
            };
            (position, burden)
        })
    }

    /// Whether it is less than another: two fractions of at most 2^32 and 2^8.
    #[inline]
    fn is_less(self, other: Self) -> bool {
        self.carried * other.weight < other.carried * self.weight
    }
}

/// Where to begin among `len` nodes: every one as likely as the others, but for one part in 2^32.
fn start_of(random: u64, len: usize) -> usize {
    let len = u128::try_from(len).unwrap_or_default();
    usize::try_from((u128::from(random) * len) >> 64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_in_range() {
        assert_eq!(start_of(u64::MAX, 0), 0);
        assert_eq!(start_of(0, 3), 0);
        assert_eq!(start_of(u64::MAX, 3), 2);
        assert_eq!(start_of(u64::MAX / 2, 3), 1);
    }
}
