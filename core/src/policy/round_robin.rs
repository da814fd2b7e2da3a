//! Smooth weighted turns.

use super::{BalancingPolicy, Candidates};
use crate::sync::atomic::Ordering;
use crate::view::{PlaceRequest, View};

/// What a turn costs at weight 1, in virtual time. Virtual time begins at 0 and advances by this
/// per turn and unit of weight, so it lasts for 2^40 turns each: 34 years of a thousand a second.
const TURN: u64 = 1 << 24;

/// How often a ranking starts over because another thread took the same turn.
const RETRIES: usize = 8;

/// Turns in proportion to weights, as evenly spread as they can be: with the weights 5, 1 and 1 the
/// turns are `a b a a c a a`, not five times `a` in a row.
///
/// The node ranked first has taken its turn; the rest stand in the order of their turns. Without
/// other requests in between, no node is ever a whole turn ahead of its share, or behind it. A node
/// that joins starts at the present: it gets its share from now on and nothing for the past. The
/// same holds for one that was passed over for a while, because it was full, suspect or not asked
/// for. Turns are of this process alone, and they go on when the view changes.
///
/// O(n) in the number of nodes, without a lock.
///
/// # Algorithm
/// Worst-case fair weighted fair queueing, WF2Q+ (Bennett and Zhang, *Hierarchical Packet Fair
/// Queueing Algorithms*, 1997), with a place for a packet. Each node has the virtual time at which
/// its last turn is used up, which is the start of its next one, and that takes `TURN / weight`. Of
/// the nodes whose start has come, the one that would finish first is next. Virtual time moves on by
/// `TURN / (all weights)` with each turn, and never stays behind the earliest start.
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

/// A node's next turn. Turns that have come are first, by their finish; the others by their start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Due { finish: u64 },
    Later { start: u64 },
}

/// Virtual time at the moment of one ranking.
struct Present {
    now: u64,
    // What one turn moves it by.
    step: u64,
}

impl Present {
    /// Looks at all nodes that take this request.
    fn of(view: &View, request: &PlaceRequest<'_>) -> Self {
        let mut present = Self {
            now: view.turns.load(Ordering::Relaxed),
            step: 0,
        };
        let (mut weights, mut earliest) = (0_u64, u64::MAX);
        for (position, node) in view.nodes().iter().enumerate() {
            if view.takes(position, request) {
                weights += u64::from(node.record.weight.get());
                earliest =
                    earliest.min(present.start(node.counters.finish.load(Ordering::Relaxed), length(node)));
            }
        }
        // Where nobody takes it, there will be no turn, and virtual time stands.
        if let Some(step) = TURN.checked_div(weights) {
            present = Self {
                now: present.now.max(earliest),
                step,
            };
        }
        present
    }

    /// When a node's next turn starts: when its last one is used up, or now where that is more than
    /// a turn ago. Who is served all the time is never that late; who is not, saves nothing up.
    fn start(&self, finish: u64, length: u64) -> u64 {
        if finish.saturating_add(length).saturating_add(self.step) < self.now {
            self.now
        } else {
            finish
        }
    }
}

/// How long a turn of this node is. Only of one with a weight.
fn length(node: &crate::view::ViewNode) -> u64 {
    TURN / u64::from(node.record.weight.get()).max(1)
}

impl BalancingPolicy for RoundRobin {
    fn rank(&self, view: &View, request: &PlaceRequest<'_>, out: &mut Candidates) {
        let nodes = view.nodes();
        for attempt in 0..=RETRIES {
            out.clear();
            let present = Present::of(view, request);
            let turn = |position: usize| {
                let node = &nodes[position];
                let start = present.start(node.counters.finish.load(Ordering::Relaxed), length(node));
                if start <= present.now {
                    Turn::Due {
                        finish: start.saturating_add(length(node)),
                    }
                } else {
                    Turn::Later { start }
                }
            };
            for position in (0..nodes.len()).filter(|position| view.takes(*position, request)) {
                let own = turn(position);
                out.insert_before(position, |other| own < turn(other));
            }
            let Some(first) = out.first() else { return };
            let (counter, length) = (&nodes[first].counters.finish, length(&nodes[first]));
            let seen = counter.load(Ordering::Relaxed);
            let used = present.start(seen, length).saturating_add(length);
            // Another thread may have taken this turn meanwhile: then it is no longer this node's.
            // Relaxed is enough, as nothing else is read through these numbers.
            let taken = counter
                .compare_exchange(seen, used, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
            if taken || attempt == RETRIES {
                if !taken {
                    counter.fetch_add(length, Ordering::Relaxed);
                }
                view.turns.fetch_max(present.now, Ordering::Relaxed);
                view.turns.fetch_add(present.step, Ordering::Relaxed);
                return;
            }
        }
    }
}
