//! The ring's choice.

use super::{BalancingPolicy, Candidates};
use crate::view::{PlaceRequest, View};

/// The owner of the key on the ring, then its successors around the ring.
///
/// Equal keys come to equal nodes on every server that sees the same membership; when a node joins,
/// only its share of the keys comes elsewhere. Nodes that take nothing are stepped over, so the keys
/// of a draining node spread over all others. Loads are not looked at, but for capacities.
///
/// Expected O(1) while most nodes take new stays, and the shares are those of the
/// [ring](crate::Ring::shares). Nothing is allocated unless it has to look at more than 32 nodes,
/// because those that it met first take nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsistentHash;

impl ConsistentHash {
    /// The ring's choice.
    pub const fn new() -> Self {
        Self
    }
}

impl BalancingPolicy for ConsistentHash {
    fn rank(&self, view: &View, request: &PlaceRequest<'_>, out: &mut Candidates) {
        out.clear();
        // Most often the owner is all that is asked for, and it is found without a walk.
        let owner = view.ring().owner_index(request.key);
        if owner.is_some_and(|owner| view.takes(owner, request) && out.push(owner)) {
            return;
        }
        for position in view.ring().successors(request.key).skip(1) {
            if view.takes(position, request) && out.push(position) {
                return;
            }
        }
    }
}
