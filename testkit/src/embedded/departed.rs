//! Node ids that come and go.

use std::path::Path;

use ringhold_core::discovery::{LeaveFleet, RegisterNode};
use ringhold_core::{NodeIncarnation, Timing};

use super::{EmbeddedHarness, EmbeddedOpening};
use crate::Make;

/// Registers and leaves under so many ids, more than 1,200. From there on neither the number of keys nor their bytes
/// grow, and no number is given twice, also not after the store was opened again.
pub async fn departed_ids_are_dropped(harness: &dyn EmbeddedHarness, folder: &Path, ids: u64) {
    const FULL: u64 = 1_200;
    let make = Make::new("departed ids");
    let mut opening = EmbeddedOpening::new(folder.join("store"));
    opening.fast = true;
    let backend = harness.open(&opening).await.expect("a new store");
    let discovery = backend.discovery.clone();
    let register = async || {
        let record = make.node();
        let id = record.id.clone();
        let registered = discovery
            .register(RegisterNode::new(record, Timing::default()))
            .await;
        NodeIncarnation::new(id, registered.expect("register").incarnation)
    };
    let mut full = None;
    for number in 1..=ids {
        let node = register().await;
        assert_eq!(node.incarnation.number, number, "no number is given twice");
        let leave = LeaveFleet::new(node, make.operation());
        discovery.leave(leave).await.expect("leave");
        if number == FULL {
            full = Some(harness.size(&opening).await.expect("a look"));
        }
    }
    let (keys, bytes) = full.expect("more ids than that");
    let now = harness.size(&opening).await.expect("a look");
    assert_eq!(now.0, keys);
    assert!(now.1 <= bytes + bytes / 100, "{} bytes after {bytes}", now.1);

    // A member that the next opening evicts.
    let last = register().await;
    drop((discovery, backend));
    let backend = harness.open(&opening).await.expect("it opens again");
    let register = RegisterNode::new(make.node(), Timing::default());
    let next = backend.discovery.register(register).await.expect("register");
    assert_eq!(next.incarnation.number, last.incarnation.number + 1);
}
