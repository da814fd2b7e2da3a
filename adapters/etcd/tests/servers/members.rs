//! Members that die and hang, one after another, while sessions are saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::session::SaveSession;
use ringhold_testkit::Make;
use ringhold_testkit::launch::{EtcdCluster, EtcdOptions};

use crate::support::{open, start, ttl};

const LIMIT: Duration = Duration::from_secs(30);
const WRITERS: u64 = 10;

/// Blocks, as all that is done to members does.
async fn with<T: Send + 'static>(
    cluster: &Arc<EtcdCluster>,
    work: impl FnOnce(&EtcdCluster) -> T + Send + 'static,
) -> T {
    let cluster = Arc::clone(cluster);
    tokio::task::spawn_blocking(move || work(&cluster))
        .await
        .expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_members_that_die_or_hang_are_no_error_and_lose_nothing() {
    let cluster = Arc::new(start(EtcdOptions::new()).await);
    let make = Arc::new(Make::new(
        "slow_members_that_die_or_hang_are_no_error_and_lose_nothing",
    ));
    let store = open(&cluster.url("members")).await.unwrap().sessions;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let (store, make, stop) = (Arc::clone(&store), Arc::clone(&make), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let login = make.login(&make.player(), &make.owner(), ttl(600));
            let mut session = store.create(login).await.unwrap().session;
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let data = Bytes::from(number.to_string());
                let (id, fence, version) = (session.id, session.fence, session.version);
                let save = SaveSession::new(id, fence, version, session.ttl, data, make.operation());
                session.version = store.save(save).await.unwrap().version;
                // sleep: a game does not save without a pause
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (session.id, number)
        }));
    }
    for follower in [false, true] {
        let leader = with(&cluster, |cluster| cluster.wait_for_leader(LIMIT))
            .await
            .unwrap();
        let victim = (leader + usize::from(follower)) % cluster.len();
        with(&cluster, move |cluster| cluster.stop(victim)).await.unwrap();
        with(&cluster, |cluster| cluster.wait_for_leader(LIMIT))
            .await
            .unwrap();
        // sleep: it hangs for longer than attempts wait
        tokio::time::sleep(Duration::from_secs(2)).await;
        with(&cluster, move |cluster| cluster.resume(victim))
            .await
            .unwrap();
        with(&cluster, |cluster| cluster.wait_until_ok(LIMIT))
            .await
            .unwrap();
        let leader = with(&cluster, |cluster| cluster.wait_for_leader(LIMIT))
            .await
            .unwrap();
        let victim = (leader + usize::from(follower)) % cluster.len();
        with(&cluster, move |cluster| cluster.kill(victim)).await;
        with(&cluster, |cluster| cluster.wait_for_leader(LIMIT))
            .await
            .unwrap();
        with(&cluster, move |cluster| cluster.restart(victim))
            .await
            .unwrap();
        with(&cluster, |cluster| cluster.wait_until_ok(LIMIT))
            .await
            .unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        // A writer that was told an error has panicked.
        let (id, last) = writer.await.unwrap();
        let stands = store.get(&id).await.unwrap().expect("it lives");
        assert_eq!(stands.data, Bytes::from(last.to_string()));
        assert!(last > 20, "{last} saves");
    }
}
