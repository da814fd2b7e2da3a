//! The node that carries least.

use super::{BalancingPolicy, Candidates};
use crate::view::{PlaceRequest, View};

/// The nodes that would carry least for their weight with one stay more.
///
/// What a node carries are its sessions, as it last told, and the places reserved here. Nodes are
/// compared by `(carried + 1) / weight`, exactly; where that is equal, the request's random bits say
/// with which node to begin. O(n) in the number of nodes.
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
        let nodes = view.nodes();
        // A fraction: what the node would carry, and its weight. At most 2^32 times 2^8.
        let fraction = |position: usize| {
            let node = &nodes[position];
            (
                u64::from(node.counters.total()) + 1,
                u64::from(node.record.weight.get()),
            )
        };
        let start = start_of(request.random, nodes.len());
        for position in (start..nodes.len()).chain(0..start) {
            if view.takes(position, request) {
                let (carried, weight) = fraction(position);
                out.insert_before(position, |other| {
                    let (other_carried, other_weight) = fraction(other);
                    carried * other_weight < other_carried * weight
                });
            }
        }
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
