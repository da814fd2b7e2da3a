//! Policies: which node a new stay goes to.

mod bounded_load;
mod candidates;
mod consistent_hash;
mod least_connections;
mod round_robin;
#[cfg(all(test, not(ringhold_loom)))]
mod tests;

use std::fmt;

pub use bounded_load::BoundedLoad;
pub use candidates::Candidates;
pub use consistent_hash::ConsistentHash;
pub use least_connections::LeastConnections;
pub use round_robin::RoundRobin;
pub(crate) use round_robin::{Groups, Turns};

use crate::view::{PlaceRequest, View};

/// Ranks the nodes for a new stay.
///
/// # Contract
/// - Synchronous, total and without a panic, for every view and request, an empty one too.
/// - It keeps no state of its own: what it counts, the view keeps, on counters that belong to
///   incarnations or for all views that follow each other. Randomness comes in the request.
/// - It ranks only nodes for which [`View::takes`] holds, each once, the best first, and stops when
///   the candidates are full.
/// - No allocation for 8 candidates or fewer.
pub trait BalancingPolicy: Send + Sync + fmt::Debug {
    /// Puts positions in `view.nodes()` into `out`, the best first. What was in it is dropped.
    fn rank(&self, view: &View, request: &PlaceRequest<'_>, out: &mut Candidates);
}
