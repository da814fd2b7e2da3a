//! Node ids that come and go.

use std::path::Path;
use std::sync::Arc;

use ringhold_core::discovery::{LeaveFleet, RegisterNode};
use ringhold_core::{Discovery, NodeIncarnation, Timing};
use tokio::task::JoinSet;

use super::{EmbeddedHarness, EmbeddedOpening};
use crate::Make;

/// So many ids come and go at once, so that the writer commits them together.
const AT_ONCE: u16 = 100;

/// Registers and leaves under so many ids, more than 1,200. From there on neither the number of keys nor their bytes
/// grow, and no number is given twice, also not after the store was opened again.
///
/// # Panics
/// Where that does not hold, or `ids` is not a multiple of 100.
pub async fn departed_ids_are_dropped(harness: &dyn EmbeddedHarness, folder: &Path, ids: u64) {
    const FULL: u64 = 1_200;
    let at_once = u64::from(AT_ONCE);
    assert_eq!(ids % at_once, 0);
    let make = Make::new("departed ids");
    let mut opening = EmbeddedOpening::new(folder.join("store"));
    opening.fast = true;
    let backend = harness.open(&opening).await.expect("a new store");
    let mut full = None;
    for last in (at_once..=ids).step_by(usize::from(AT_ONCE)) {
        let nodes = join_all(&backend.discovery, &make).await;
        let numbers: Vec<_> = nodes.iter().map(|node| node.incarnation.number).collect();
        assert_eq!(
            numbers,
            (last - at_once + 1..=last).collect::<Vec<_>>(),
            "no number is given twice"
        );
        leave_all(&backend.discovery, &make, nodes).await;
        if last == FULL {
            full = Some(harness.size(&opening).await.expect("a look"));
        }
    }
    let (keys, bytes) = full.expect("more ids than that");
    let now = harness.size(&opening).await.expect("a look");
    assert_eq!(now.0, keys);
    assert!(now.1 <= bytes + bytes / 10, "{} bytes after {bytes}", now.1);

    // Members that the next opening evicts.
    join_all(&backend.discovery, &make).await;
    drop(backend);
    let backend = harness.open(&opening).await.expect("it opens again");
    let register = RegisterNode::new(make.node(), Timing::default());
    let next = backend.discovery.register(register).await.expect("register");
    assert_eq!(next.incarnation.number, ids + at_once + 1);
}

/// Registers new ids, and returns them by their numbers.
async fn join_all(discovery: &Arc<dyn Discovery>, make: &Make) -> Vec<NodeIncarnation> {
    let mut joining = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (discovery, record) = (Arc::clone(discovery), make.node());
        joining.spawn(async move {
            let id = record.id.clone();
            let registered = discovery
                .register(RegisterNode::new(record, Timing::default()))
                .await;
            NodeIncarnation::new(id, registered.expect("register").incarnation)
        });
    }
    let mut nodes = joining.join_all().await;
    nodes.sort_by_key(|node| node.incarnation.number);
    nodes
}

async fn leave_all(discovery: &Arc<dyn Discovery>, make: &Make, nodes: Vec<NodeIncarnation>) {
    let mut leaving = JoinSet::new();
    for node in nodes {
        let (discovery, leave) = (Arc::clone(discovery), LeaveFleet::new(node, make.operation()));
        leaving.spawn(async move { discovery.leave(leave).await.expect("leave") });
    }
    leaving.join_all().await;
}
