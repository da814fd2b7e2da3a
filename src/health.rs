//! Health checks of other nodes: what fails them is suspect here, and gets nothing new.

use std::collections::HashMap;
use std::sync::Arc;

use ringhold_core::{HealthCheck, NodeIncarnation, NodeRecord};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::node::Node;
use crate::progress::tick;
use crate::retry;

/// The most nodes that one node looks at: those that follow it by id.
const WATCHED_MAX: usize = 16;
/// So many failures in a row make a node suspect.
const FAILURES: u32 = 3;
/// So many successes in a row clear it again.
const SUCCESSES: u32 = 2;

/// What is known of one node.
#[derive(Debug, Default)]
struct Record {
    failures: u32,
    successes: u32,
    suspect: bool,
}

impl Record {
    /// Counts one probe. Answers whether the node is reachable, where that changed.
    fn count(&mut self, well: bool) -> Option<bool> {
        if well {
            (self.failures, self.successes) = (0, self.successes + 1);
        } else {
            (self.failures, self.successes) = (self.failures + 1, 0);
        }
        let turns = if self.suspect {
            self.successes >= SUCCESSES
        } else {
            self.failures >= FAILURES
        };
        if turns {
            self.suspect = !self.suspect;
        }
        turns.then_some(!self.suspect)
    }
}

/// Probes others once per heartbeat, for as long as the node runs.
pub(crate) async fn run(node: Arc<Node>, check: Arc<dyn HealthCheck>) {
    let mut known: HashMap<NodeIncarnation, Record> = HashMap::new();
    let period = node.timing.heartbeat();
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let late = tick(&mut ticks).await;
        // If our own lease is overdue or our runtime stood still, skip probing: our view may be stale.
        if node.contact.age().max(late) > node.timing.soft() {
            continue;
        }
        let watched = watched(&node);
        known.retain(|name, record| {
            let stays = watched.iter().any(|watched| watched.node() == *name);
            if !stays && record.suspect {
                // Nobody here looks at it any more, so nothing is known against it.
                node.shared.note_reachable(name, true, Some(&node.me()));
            }
            stays
        });
        let mut probes = JoinSet::new();
        let deadline = Instant::now() + period;
        for record in watched {
            let check = Arc::clone(&check);
            probes.spawn(async move {
                let well = matches!(timeout(period, check.probe(&record)).await, Ok(Ok(())));
                (record.node(), well)
            });
        }
        while let Some(probe) = probes.join_next().await {
            // A probe that panics says nothing about the node.
            let Ok((name, well)) = probe else { continue };
            // Nor does one that failed while this runtime stood still.
            if !well && retry::lateness(deadline).is_some() {
                continue;
            }
            if let Some(reachable) = known.entry(name.clone()).or_default().count(well) {
                node.shared.note_reachable(&name, reachable, Some(&node.me()));
            }
        }
    }
}

/// The nodes that this one looks at: the next ones by id, around to the first.
fn watched(node: &Node) -> Vec<Arc<NodeRecord>> {
    let view = node.shared.view.latest();
    let own = node.me().node;
    let start = view.nodes().partition_point(|other| other.record.id <= own);
    let around = view.nodes()[start..].iter().chain(&view.nodes()[..start]);
    around
        .filter(|other| other.record.id != own)
        .take(WATCHED_MAX)
        .map(|other| Arc::clone(&other.record))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_and_two_successes_back() {
        let mut record = Record::default();
        let told: Vec<_> = [
            false, false, true, false, false, false, false, true, false, true, true, true,
        ]
        .into_iter()
        .map(|well| record.count(well))
        .collect();
        let changes: Vec<_> = told
            .iter()
            .enumerate()
            .filter_map(|(at, told)| told.map(|reachable| (at, reachable)))
            .collect();
        assert_eq!(changes, [(5, false), (10, true)]);
    }
}
