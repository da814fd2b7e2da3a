//! The ring's choice, within a bound on what a node carries.

#[cfg(all(test, not(ringhold_loom)))]
mod tests;

use super::{BalancingPolicy, Candidates};
use crate::view::{PlaceRequest, View};
use crate::{Error, ErrorKind, Result};

/// How many steps make 1: what is kept of an epsilon are 32 bits behind the point.
const ONE: u64 = 1 << 32;

/// How many points of the ring are looked at before it is counted how many nodes are below their bounds.
const SOON: usize = 64;

/// The owner of the key on the ring, unless it carries more than its share; then its successors.
///
/// No node gets a stay that would put it above `1 + epsilon` times its fair share, rounded up. Its share is
/// the part that its weight is of all weights, of all that is carried, the stay to come included. Both are
/// summed over the nodes that take the request: what a draining or full node carries, or one of another zone
/// than was asked for, is no part of it. So some node is always below its bound. What a node carries are its
/// sessions, as it last told, and the places reserved here.
///
/// As long as nobody is at the bound this is [`ConsistentHash`](super::ConsistentHash), key by key. Beyond it
/// a node's keys go to its successors, and come to it again when it has room. A small epsilon balances better
/// and moves more keys away from their owners: with 0.25, the default, no node is more than a quarter above its share. It is the
/// `hash-balance-factor` of `HAProxy` and the `hash_balance_factor` of Envoy, where 125 percent is an
/// epsilon of 0.25 here.
///
/// Behind the nodes below their bounds stand the others, these too in the order of the ring. So the ranked nodes are as
/// many as with `ConsistentHash`, and there are some whenever a node takes the request at all.
///
/// Loads come with heartbeats. Servers that place at the same time each keep the bound by what they
/// know, so together they can pass it by what they place within a heartbeat.
///
/// O(n) in the number of nodes n, with 16 instructions for each (`benches/counts`), and in the points of the ring that
/// are looked at: one or two for each ranked node, and more where most nodes are at their bounds, at most all.
/// Nothing is allocated for 8 candidates or fewer, however many nodes are at their bounds or take nothing.
///
/// # Algorithm
/// Mirrokni, Thorup and Zadimoghaddam, *Consistent Hashing with Bounded Loads* (SODA 2018), with weights, and
/// without moving what was placed before: a bound holds for what is new.
///
/// ```
/// use ringhold_core::membership::Member;
/// use ringhold_core::node::Load;
/// use ringhold_core::policy::{BalancingPolicy, BoundedLoad, Candidates};
/// use ringhold_core::view::{PlaceRequest, View};
/// use ringhold_core::{Incarnation, Membership, NodeId, NodeRecord, Nonce, Revision};
///
/// let members = ["eu-1", "eu-2"].map(|id| {
///     let incarnation = Incarnation { number: 1, nonce: Nonce::from_bytes([1; 16]) };
///     let record = NodeRecord::new(NodeId::new(id).expect("a node id"), incarnation);
///     Member::new(record, Load::default())
/// });
/// let membership = Membership::new(Revision::new(1, 7), members.into());
/// let view = View::empty().next(&membership, None, |_| false);
///
/// let (policy, mut out) = (BoundedLoad::new(0.5)?, Candidates::new());
/// let owner = view.ring().owner_index(b"a popular key").expect("somebody owns it");
/// let mut places = Vec::new();
/// for _ in 0..100 {
///     policy.rank(&view, &PlaceRequest::new(b"a popular key", 0), &mut out);
///     places.push(view.reserve(out.first().expect("both take it")));
/// }
/// // Half of a hundred, and half as much again.
/// assert_eq!(view.nodes()[owner].counters.reserved(), 75);
///
/// assert!(BoundedLoad::new(0.0).is_err(), "not everybody can be at their share exactly");
/// # Ok::<(), ringhold_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundedLoad {
    /// In steps of which [`ONE`] make 1; never 0.
    epsilon: u64,
}

impl BoundedLoad {
    /// The greatest epsilon. Who wants no bound at all has [`ConsistentHash`](super::ConsistentHash).
    pub const EPSILON_MAX: f64 = 65_535.0;

    /// How far a node may be above its fair share, as a part of that: 0.25 for a quarter.
    ///
    /// It is kept in steps of 2^-32 and rounded down to one; less than a step counts as a step.
    ///
    /// # Errors
    /// `InvalidArgument` unless it is above 0 and at most [`EPSILON_MAX`](Self::EPSILON_MAX). What is not a
    /// number is neither.
    pub fn new(epsilon: f64) -> Result<Self> {
        let is_in_range = epsilon > 0.0 && epsilon <= Self::EPSILON_MAX;
        if !is_in_range {
            let context = format!("{epsilon} is not above 0 and at most {}", Self::EPSILON_MAX);
            return Err(Error::new(ErrorKind::InvalidArgument, "epsilon", context));
        }
        #[expect(clippy::cast_precision_loss, reason = "a power of two")]
        let steps = epsilon * ONE as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "above 0 and below 2^48, and rounding down is what is wanted"
        )]
        let steps = steps as u64;
        Ok(Self {
            epsilon: steps.max(1),
        })
    }

    /// The epsilon, as it was rounded.
    #[expect(clippy::cast_precision_loss, reason = "both have at most 48 bits")]
    pub fn epsilon(self) -> f64 {
        self.epsilon as f64 / ONE as f64
    }
}

impl Default for BoundedLoad {
    /// A quarter.
    fn default() -> Self {
        Self { epsilon: ONE / 4 }
    }
}

impl BalancingPolicy for BoundedLoad {
    fn rank(&self, view: &View, request: &PlaceRequest<'_>, out: &mut Candidates) {
        out.clear();
        let all = 0..view.nodes().len();
        let (count, bound) = Bound::of(view.carried(all.clone(), request), self.epsilon);
        let wanted = out.limit().min(count);
        let around = || view.ring().points(request.key);
        let takes = |position: usize| view.carried(position..position + 1, request).next();
        let is_below = |position| takes(position).is_some_and(|taker| bound.is_above(taker));

        // Most often that is all. Only a walk that knows how many it can find ends before it is all around.
        add(out, wanted, around().take(SOON), is_below);
        if out.len() == wanted {
            return;
        }
        let below = view.carried(all, request).filter(|taker| bound.is_above(*taker));
        add(out, wanted.min(below.count()), around(), is_below);
        add(out, wanted, around(), |position| takes(position).is_some());
    }
}

/// Adds the first of these positions that suit and are not there yet, until there are so many.
///
/// It remembers none that do not suit, so that it need not allocate: who is met again is asked again.
fn add(
    out: &mut Candidates,
    wanted: usize,
    mut around: impl Iterator<Item = usize>,
    suits: impl Fn(usize) -> bool,
) {
    for _ in out.len()..wanted {
        let Some(next) = around.find(|position| !out.contains(*position) && suits(*position)) else {
            return;
        };
        out.push(next);
    }
}

/// What a node may carry for its weight, as a fraction.
#[derive(Debug, Clone, Copy)]
struct Bound {
    /// `1 + epsilon` of all that is carried with the stay to come, in steps. At most 48 and 65 bits.
    whole: u128,
    /// Of all weights, in steps. At most 40 and 33 bits.
    parts: u128,
}

impl Bound {
    /// The bound of those that take a request, which are also counted. Of each comes its position, what it
    /// carries, and its weight.
    fn of(takers: impl Iterator<Item = (usize, u32, u16)>, epsilon: u64) -> (usize, Self) {
        // A fold, since a loop over the same takes four times the instructions.
        let nobody = (0, 0_u64, 0_u64);
        let (count, all, weights) = takers.fold(nobody, |(count, all, weights), (_, carried, weight)| {
            (count + 1, all + u64::from(carried), weights + u64::from(weight))
        });
        let bound = Self {
            whole: u128::from(ONE + epsilon) * (u128::from(all) + 1),
            parts: u128::from(ONE) * u128::from(weights),
        };
        (count, bound)
    }

    /// Whether it leaves a node room for one stay more.
    ///
    /// That is `carried + 1 <= ceil(whole * weight / parts)`. A whole number is less than a fraction rounded up
    /// where it is less than the fraction, so nothing has to be divided.
    #[inline]
    fn is_above(&self, (_, carried, weight): (usize, u32, u16)) -> bool {
        u128::from(carried) * self.parts < u128::from(weight) * self.whole
    }
}
