//! A shard that does not answer, and has no replica that could take its place.

use std::collections::BTreeSet;
use std::time::Duration;

use ringhold::{SessionId, Timing, Ttl};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster};
use ringhold_testkit::{Make, wait_for};
use tokio::time::Instant;

use crate::support::{Bed, LONG, slot_of};

/// The time to live of the sessions: long enough for the shard to be stuck before they expire.
const TTL: Duration = Duration::from_secs(3);

/// Sessions of 150 players: those of the other masters, and those of `stuck`.
async fn sessions(bed: &Bed, stuck: usize) -> [BTreeSet<SessionId>; 2] {
    let (backend, make) = (bed.backend().await, Make::new("stuck shard"));
    let mut ids = Vec::new();
    for _ in 0..150 {
        let login = make.login(&make.player(), &make.owner(), Ttl::new(TTL).unwrap());
        ids.push(backend.sessions.create(login).await.unwrap().session.id);
    }
    bed.with(move |cluster| {
        let mut sessions = [BTreeSet::new(), BTreeSet::new()];
        for id in ids {
            let is_stuck = cluster.master_of_slot(slot_of(&id))? == stuck;
            sessions[usize::from(is_stuck)].insert(id);
        }
        Ok(sessions)
    })
    .await
}

async fn are_handled(bed: &Bed, what: &str, ids: &BTreeSet<SessionId>) {
    wait_for(what, LONG, async || {
        let expired: BTreeSet<_> = bed.expired().iter().map(|session| session.id).collect();
        match ids.difference(&expired).count() {
            0 => Ok(()),
            left => Err(format!("{left} of {} are not handled", ids.len())),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_stuck_shard_delays_no_expiry_of_other_shards() {
    let options = ClusterOptions::new()
        .replicas_per_master(0)
        .node_timeout(Duration::from_secs(60));
    let bed = Bed::start_with(options).await;
    let timing = Timing::new(Duration::from_millis(600), Duration::from_secs(3)).unwrap();
    let node = bed
        .builder("n0", Duration::from_secs(6))
        .await
        .timing(timing)
        .join()
        .await
        .unwrap();
    let home = bed.slot_of_membership().await;
    let home = bed.master_of(home).await;
    let masters = bed.with(RedisCluster::masters).await;
    let stuck = masters.into_iter().find(|master| *master != home).unwrap();
    let [healthy, waiting] = sessions(&bed, stuck).await;
    assert!(
        healthy.len() > 50 && waiting.len() > 20,
        "{} {}",
        healthy.len(),
        waiting.len()
    );

    let stopped = Instant::now();
    bed.with(move |cluster| cluster.stop(stuck)).await;
    are_handled(&bed, "expiries of the other shards", &healthy).await;
    // Never, where a request to all shards is given up as a whole, and a grace period follows.
    let took = stopped.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "the other shards waited for {took:?}"
    );
    let handled = bed.expired();
    let early = handled
        .iter()
        .filter(|session| waiting.contains(&session.id))
        .count();
    assert!(early < waiting.len(), "the shard was not stuck");
    bed.with(move |cluster| cluster.resume(stuck)).await;
    are_handled(&bed, "expiries of the shard that was stuck", &waiting).await;
    println!("{took:?} until the expiries of the other shards were handled");
    node.leave().await.unwrap();
}
