//! Watchers and histories: gaps, rollbacks, bounds.

use ringhold_core::discovery::Changes;
use ringhold_core::{NodeRecord, Revision, Update};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, Reply};
use ringhold_testkit::{Make, poll_once, within};
use tokio::task;

use super::scene::{Scene, ids, next, open};
use crate::suite::servers;

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_ahead_of_the_store_starts_over() {
    let scene = Scene::new("ahead").await;
    let keeper = scene.join().await;
    let before = scene.snapshot();
    let lost = scene.join().await;
    let (mut watch, ahead) = scene.watch_from_now().await;
    assert!(ahead.contains(&lost));
    scene.roll_back(&before);
    let Update::Reset(now) = next(&mut watch).await else {
        panic!("a watcher ahead of the store must start over")
    };
    assert!(now.contains(&keeper) && !now.contains(&lost), "{now:?}");
    assert_eq!(scene.changes(&keeper, ahead.revision).await, Changes::ResetNeeded);
    // The same number again, by somebody else.
    let other = scene.join().await;
    assert_eq!(scene.members().await.revision.number, ahead.revision.number);
    assert_eq!(scene.changes(&keeper, ahead.revision).await, Changes::ResetNeeded);
    let Update::Joined { node, .. } = next(&mut watch).await else {
        panic!("after the reset, the changes")
    };
    assert_eq!(node.node(), other);
}

/// A registration that was not answered is repeated after a failover, with the same random bits, and may
/// come to the same number on top of another history.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_change_on_another_history_is_another_revision() {
    let scene = Scene::new("histories").await;
    let keeper = scene.join().await;
    let before = scene.snapshot();
    let repeated = scene.make.node();
    let lost = scene.join().await;
    scene.register(&repeated).await;
    let (mut watch, ahead) = scene.watch_from_now().await;
    scene.roll_back(&before);
    let other = scene.join().await;
    scene.register(&repeated).await;
    let now = scene.members().await;
    assert_eq!(now.revision.number, ahead.revision.number, "the same number");
    assert!(now.contains(&other) && !now.contains(&lost));
    assert_eq!(scene.changes(&keeper, ahead.revision).await, Changes::ResetNeeded);
    let Update::Reset(reset) = next(&mut watch).await else {
        panic!("another history must be another revision")
    };
    assert_eq!(ids(&reset), ids(&now));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_absence_is_a_reset_and_a_shorter_one_no_gap() {
    let scene = Scene::new("absence").await;
    let keeper = scene.join().await;
    let (mut watch, mut known) = scene.watch_from_now().await;
    for changes in [2, 64, 66, 200, 256] {
        scene.churn(changes).await;
        let truth = scene.members().await.revision;
        let mut updates = 0;
        while known.revision != truth {
            let update = next(&mut watch).await;
            assert!(
                !matches!(update, Update::Reset(_)),
                "{changes} changes are no gap"
            );
            known.apply(&update).expect("an update that follows");
            updates += 1;
        }
        assert_eq!(updates, changes);
    }
    let resume = known.revision;
    scene.churn(300).await;
    let Update::Reset(reset) = next(&mut watch).await else {
        panic!("300 changes are too many")
    };
    assert_eq!(reset.revision, scene.members().await.revision);
    assert_eq!(ids(&reset), std::slice::from_ref(&keeper.node));
    assert_eq!(scene.changes(&keeper, resume).await, Changes::ResetNeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_bounded() {
    let scene = Scene::new("bounded").await;
    let fields = || {
        [("n", "HLEN"), ("l", "HLEN"), ("e", "ZCARD"), ("v", "LLEN")]
            .map(|(name, count)| scene.command(&[count.as_bytes(), &scene.key(name)[..]]).integer())
    };
    let keeper = scene.join().await;
    assert_eq!(fields()[3], Some(2), "the base and one change");
    scene.churn(300).await;
    let before = fields();
    assert_eq!(before[3], Some(257));
    // All of one id, so nothing else grows either.
    let id = scene.make.node_id();
    scene
        .leave(&scene.register(&scene.make.run_of(id.clone())).await)
        .await;
    let with_id = fields();
    for _ in 0..40 {
        let node = scene.register(&scene.make.run_of(id.clone())).await;
        scene.renew(&keeper).await;
        scene.evict(&node).await.expect("evict");
    }
    assert_eq!(fields(), with_id);
    let Reply::Integer(bytes) =
        scene.command(&[b"HSTRLEN", &scene.key("n")[..], format!("u{id}").as_bytes()])
    else {
        panic!("the runs of {id}")
    };
    assert_eq!(bytes, 8 + 16 * 16, "the number, and the nonces of 16 runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_dropped_between_updates_loses_none() {
    let scene = Scene::new("dropped").await;
    scene.join().await;
    let (watch, mut known) = scene.watch_from_now().await;
    drop(watch);
    scene.churn(200).await;
    let truth = scene.members().await;
    while known.revision != truth.revision {
        let mut watch = scene.watch(Some(known.revision)).await;
        // A future that was dropped, and then a watch that had fetched more than it told.
        let mut told = poll_once(watch.next())
            .await
            .map(|update| update.expect("an update"));
        for _ in 0..7 {
            let update = match told.take() {
                Some(update) => update,
                None if known.revision == truth.revision => break,
                None => next(&mut watch).await,
            };
            assert!(!matches!(update, Update::Reset(_)), "{update:?}");
            known.apply(&update).expect("an update that follows");
        }
    }
    assert_eq!(ids(&known), ids(&truth));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fleets_in_one_cluster_never_see_each_other() {
    let started = task::spawn_blocking(|| RedisCluster::start(ClusterOptions::new().server(servers())));
    let cluster = started.await.expect("no panic").expect("redis-server");
    // Names that are alike, and one that looks like a part of the other's keys.
    let mut fleets = Vec::new();
    for name in ["a", "b", "a.b"] {
        fleets.push(open(&(cluster.url(name) + "&poll_ms=20")).await);
    }
    let make = Make::new("fleets");
    let ids = [make.node_id(), make.node_id()];
    let mut watches = Vec::new();
    for fleet in &fleets {
        let mut watch = fleet.watch(None).await.expect("a watch");
        let Update::Reset(empty) = next(&mut watch).await else {
            panic!("a watch starts with a reset")
        };
        assert!(empty.members.is_empty() && empty.revision == Revision::default());
        watches.push(watch);
    }
    // The same ids everywhere, with one incarnation more in each fleet.
    for (index, fleet) in fleets.iter().enumerate() {
        for id in &ids {
            for _ in 0..=index {
                let request = ringhold_core::discovery::RegisterNode::new(
                    make.run_of(id.clone()),
                    ringhold_core::Timing::relaxed(),
                );
                fleet.register(request).await.expect("register");
            }
        }
    }
    for (index, (fleet, watch)) in fleets.iter().zip(&mut watches).enumerate() {
        let members = within("members", fleet.members()).await.expect("members");
        let numbers = ids.each_ref().map(|id| {
            let member = members.get(id).expect("a member");
            member.record.incarnation.number
        });
        let incarnations = index as u64 + 1;
        assert_eq!(
            numbers,
            [incarnations, 2 * incarnations],
            "those of this fleet alone"
        );
        // Each run joins, and each but the first puts the one before out.
        assert_eq!(members.revision.number, 2 * (2 * index as u64 + 1));
        let mut seen: Vec<NodeRecord> = Vec::new();
        for _ in 0..members.revision.number {
            if let Update::Joined { node, .. } = next(watch).await {
                seen.push(NodeRecord::clone(&node));
            }
        }
        assert_eq!(seen.len(), 2 * (index + 1));
        assert!(seen.iter().all(|record| ids.contains(&record.id)));
    }
}
