//! Turns among the nodes that take a request, found by looking at all of them: O(n), without a lock.
//!
//! For requests that not every node can take, since which nodes those are is known of each node
//! alone. Each node has the virtual time at which its last turn is used up.

use super::{Candidates, Turn};
use crate::sync::atomic::Ordering;
use crate::view::{PlaceRequest, View};

/// What a turn costs at weight 1, in virtual time. Virtual time begins at 0 and advances by this
/// per turn and unit of weight, so it lasts for 2^40 turns each: 34 years of a thousand a second.
const TURN: u64 = 1 << 24;

/// How often a ranking starts over because another thread took the same turn.
const RETRIES: usize = 8;

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
            now: view.turns.scanned.load(Ordering::Relaxed),
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

/// Ranks the nodes that take a request, as [`RoundRobin`](super::RoundRobin) does, by looking at all.
pub(super) fn rank(view: &View, request: &PlaceRequest<'_>, out: &mut Candidates) {
    let nodes = view.nodes();
    for attempt in 0..=RETRIES {
        out.clear();
        let present = Present::of(view, request);
        let finish = |position: usize| nodes[position].counters.finish.load(Ordering::Relaxed);
        let turn = |position: usize, finish: u64| {
            let length = length(&nodes[position]);
            let start = present.start(finish, length);
            if start <= present.now {
                Turn::Due {
                    finish: start.saturating_add(length),
                }
            } else {
                Turn::Later { start }
            }
        };
        // What the first one was ranked by.
        let mut seen = 0;
        for position in (0..nodes.len()).filter(|position| view.takes(*position, request)) {
            let own_finish = finish(position);
            let own = turn(position, own_finish);
            out.insert_before(position, |other| own < turn(other, finish(other)));
            if out.first() == Some(position) {
                seen = own_finish;
            }
        }
        let Some(first) = out.first() else { return };
        let (counter, length) = (&nodes[first].counters.finish, length(&nodes[first]));
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
            view.turns.scanned.fetch_max(present.now, Ordering::Relaxed);
            view.turns.scanned.fetch_add(present.step, Ordering::Relaxed);
            return;
        }
    }
}
