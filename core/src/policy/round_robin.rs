//! Smooth weighted turns.

mod scan;
mod turns;

pub(crate) use turns::{Groups, Turns};

use super::{BalancingPolicy, Candidates};
use crate::view::{PlaceRequest, View};

/// Turns in proportion to weights, as evenly spread as they can be: with the weights 5, 1 and 1 the
/// turns are `a b a a c a a`, not five times `a` in a row.
///
/// The node ranked first has taken its turn; the rest stand in the order of their turns. Without
/// other requests in between, no node is ever a whole turn ahead of its share, or behind it. A node
/// that joins starts at the present: it gets its share from now on and nothing for the past. The
/// same holds for one that was passed over for a while, because it was full or suspect. Requests that
/// ask for a zone or for labels take turns of their own. Turns are of this process alone, and they go on
/// when the view changes.
///
/// O(g) in the number of different weights g, for each node that is looked at: those that are
/// ranked, and full ones in between. Threads take turns one after the other, each behind a lock for
/// that long. Requests for a zone or labels, and any where 64 full nodes in a row had a turn, are O(n) in
/// the number of nodes, without a lock.
///
/// # Algorithm
/// Worst-case fair weighted fair queueing, WF2Q+ (Bennett and Zhang, *Hierarchical Packet Fair
/// Queueing Algorithms*, 1997), with a place for a packet. Nodes of one weight are a group, which
/// has the virtual time at which its last turn is used up. That is the start of its next one, which takes
/// `TURN / (weights of the group)`. Of the groups whose start has come, the one that would finish first
/// is next. Virtual time moves on by `TURN / (all weights)` with each turn, and never stays behind
/// the earliest start. A group gives its turns to its nodes in the order of their ids, around and
/// around, which is what the algorithm does with them one by one. A full node's turn goes by.
///
/// Start-time fair queueing would be simpler, but it gives a heavy node its turns in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundRobin;

impl RoundRobin {
    /// Smooth weighted turns.
    pub const fn new() -> Self {
        Self
    }
}

/// A next turn. Turns that have come are first, by their finish; the others by their start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn<T> {
    Due { finish: T },
    Later { start: T },
}

impl BalancingPolicy for RoundRobin {
    fn rank(&self, view: &View, request: &PlaceRequest<'_>, out: &mut Candidates) {
        out.clear();
        let is_for_all = request.zone.is_none() && request.labels.is_empty();
        if !is_for_all || !turns::rank(view, request, out) {
            scan::rank(view, request, out);
        }
    }
}
