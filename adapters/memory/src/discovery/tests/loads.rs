//! What watchers are told of loads.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::discovery::{LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::{Discovery, NodeIncarnation, Timing, Update};
use ringhold_testkit::{Make, SimulatedClock, within};

use super::super::MemoryDiscovery;
use super::{HEARTBEAT, Scene};

#[tokio::test]
async fn a_watch_wakes_and_tells_only_the_newest_loads() {
    let make = Make::new("wakes");
    let discovery = Arc::new(MemoryDiscovery::new(Arc::new(SimulatedClock::new())));
    let mut watch = discovery.watch(None).await.unwrap();
    assert!(matches!(watch.next().await.unwrap(), Update::Reset(_)));

    let waiting = tokio::spawn(async move { (watch.next().await, watch) });
    tokio::task::yield_now().await;
    let record = make.node();
    let registered = discovery
        .register(RegisterNode::new(record.clone(), Timing::default()))
        .await
        .unwrap();
    let (joined, mut watch) = within("the watch wakes", waiting).await.unwrap();
    assert!(matches!(joined.unwrap(), Update::Joined { node, .. } if node.id == record.id));

    let node = NodeIncarnation::new(record.id, registered.incarnation);
    for sessions in 1..=5 {
        let after = registered.membership.revision;
        let renewal = RenewLease::new(node.clone(), after, Load::new(sessions), make.operation());
        let renewed = discovery.renew(renewal).await.unwrap();
        assert_eq!(renewed.loads, Some(vec![(node.clone(), Load::new(sessions))]));
    }
    discovery
        .leave(LeaveFleet::new(node.clone(), make.operation()))
        .await
        .unwrap();
    assert!(
        matches!(watch.next().await.unwrap(), Update::Left { .. }),
        "changes come first"
    );
    assert_eq!(watch.next().await.unwrap(), Update::Loads(vec![]));
    let more = tokio::time::timeout(Duration::ZERO, watch.next()).await;
    assert!(more.is_err(), "that was everything: {more:?}");
}

/// A large fleet in which the last change of a load comes within a heartbeat of one that was told.
#[test]
fn the_last_change_of_a_load_is_told_in_a_large_fleet_too() {
    let mut scene = Scene::new("last-load");
    let nodes: Vec<_> = (0..130).map(|_| scene.join()).collect();
    let mut membership = scene.leases.membership(scene.time);
    let mut position = scene.leases.position(Some(membership.revision));
    let renew = |scene: &mut Scene, node: &NodeIncarnation, load| {
        let after = scene.leases.membership(scene.time).revision;
        let renewal = RenewLease::new(node.clone(), after, Load::new(load), scene.make.operation());
        scene.leases.renew(scene.time, renewal).unwrap();
    };
    let mut told = Vec::new();
    for load in [1, 2] {
        renew(&mut scene, &nodes[0], load);
        scene.time += HEARTBEAT / 100;
        while let Some(update) = scene.leases.follow(scene.time, &mut position) {
            membership.apply(&update).unwrap();
            told.push(membership.get(&nodes[0].node).unwrap().load);
        }
    }
    assert_eq!(told, [Load::new(1)], "the second change has to wait");

    // Everybody renews, no load changes any more.
    for _ in 0..3 {
        scene.time += HEARTBEAT;
        for (index, node) in nodes.iter().enumerate() {
            renew(&mut scene, node, if index == 0 { 2 } else { 0 });
        }
        while let Some(update) = scene.leases.follow(scene.time, &mut position) {
            membership.apply(&update).unwrap();
            told.push(membership.get(&nodes[0].node).unwrap().load);
        }
    }
    assert_eq!(told, [Load::new(1), Load::new(2)], "once more, and that was all");
}
