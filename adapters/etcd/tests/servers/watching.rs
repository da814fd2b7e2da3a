//! A watch over compactions, defragmentations and members that go.

use std::time::{Duration, Instant};

use etcd_client::Client;
use ringhold_core::discovery::{LeaveFleet, RegisterNode, Watch};
use ringhold_core::{Discovery, Membership, NodeIncarnation, Timing, Update};
use ringhold_testkit::launch::EtcdOptions;
use ringhold_testkit::{Make, within};

use crate::support::{one, open, raw, start};

/// One node comes and goes; the watch tells exactly that.
async fn comes_and_goes(discovery: &dyn Discovery, watch: &mut dyn Watch, make: &Make, after: u64) -> u64 {
    let record = make.node();
    let registered = discovery
        .register(RegisterNode::new(record.clone(), Timing::default()))
        .await
        .unwrap();
    let node = NodeIncarnation::new(record.id, registered.incarnation);
    discovery
        .leave(LeaveFleet::new(node, make.operation()))
        .await
        .unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        let update = within("a change", watch.next()).await.unwrap();
        match update {
            Update::Joined { .. } | Update::Left { .. } => told.push(update.revision().unwrap().number),
            Update::Loads(_) => {}
            other => panic!("neither joined nor left: {other:?}"),
        }
    }
    assert_eq!(told, [after + 1, after + 2]);
    after + 2
}

async fn first(watch: &mut dyn Watch) -> Membership {
    match within("the first reset", watch.next()).await.unwrap() {
        Update::Reset(membership) => membership,
        other => panic!("a reset is expected, not {other:?}"),
    }
}

async fn compact(raw: &Client) {
    let revision = raw.kv_client().get("-", None).await.unwrap();
    let revision = revision.header().unwrap().revision();
    raw.kv_client().compact(revision, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_and_defragmentation_hide_nothing_from_a_watch() {
    let cluster = one().await;
    let make = Make::new("compaction_and_defragmentation_hide_nothing_from_a_watch");
    let backend = open(&(cluster.url("watch") + "&poll_ms=200")).await.unwrap();
    let raw = raw(&cluster).await;
    let discovery = &*backend.discovery;
    let mut watch = discovery.watch(None).await.unwrap();
    let mut at = first(&mut *watch).await.revision.number;
    for _ in 0..3 {
        at = comes_and_goes(discovery, &mut *watch, &make, at).await;
        compact(&raw).await;
        at = comes_and_goes(discovery, &mut *watch, &make, at).await;
        raw.maintenance_client().defragment().await.unwrap();
    }
    assert_eq!(discovery.members().await.unwrap().revision.number, at);
    // One that begins at an old revision finds the changes: they are keys, not etcd's history.
    let old = discovery.members().await.unwrap().revision;
    comes_and_goes(discovery, &mut *watch, &make, at).await;
    compact(&raw).await;
    let mut resumed = discovery.watch(Some(old)).await.unwrap();
    let update = within("a change", resumed.next()).await.unwrap();
    assert!(matches!(update, Update::Joined { .. }), "{update:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bell_makes_a_watch_look_at_once() {
    let cluster = one().await;
    let make = Make::new("the_bell_makes_a_watch_look_at_once");
    // Without the bell, the next look is a minute away.
    let backend = open(&(cluster.url("bell") + "&poll_ms=60000")).await.unwrap();
    let discovery = &*backend.discovery;
    let mut watch = discovery.watch(None).await.unwrap();
    let at = first(&mut *watch).await.revision.number;
    let began = Instant::now();
    comes_and_goes(discovery, &mut *watch, &make, at).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_bell_whose_member_is_gone_rings_from_another() {
    let cluster = start(EtcdOptions::new()).await;
    let make = Make::new("slow_a_bell_whose_member_is_gone_rings_from_another");
    let backend = open(&(cluster.url("bell") + "&poll_ms=60000")).await.unwrap();
    let discovery = &*backend.discovery;
    let mut watch = discovery.watch(None).await.unwrap();
    let mut at = first(&mut *watch).await.revision.number;
    let cluster = std::sync::Arc::new(cluster);
    // Whichever member it listens to is among them.
    for index in 0..cluster.len() {
        at = comes_and_goes(discovery, &mut *watch, &make, at).await;
        cluster.kill(index);
        at = comes_and_goes(discovery, &mut *watch, &make, at).await;
        let restarted = std::sync::Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || restarted.restart(index).expect("it starts again"))
            .await
            .unwrap();
    }
}
