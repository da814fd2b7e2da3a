//! Nodes that handle, discard or leave expired sessions.

use std::time::Duration;

use ringhold::{Expired, ExpiryMode};
use ringhold_testkit::Make;

use super::{Calls, SECOND, all_handled, lasting, left, node, pass, short_sessions};
use crate::support::{join, memory, sees};

#[tokio::test(start_paused = true)]
async fn discarding_begins_one_grace_period_after_join() {
    let (backend, make) = (memory().await, Make::new("discard"));
    short_sessions(&backend, &make, 100).await;
    let node = join(&backend, "a").await;
    // The grace period is 20 s for sessions of the default time to live.
    pass(19).await;
    assert_eq!(node.expiry_counts().discarded, 0);
    pass(4).await;
    assert_eq!(node.expiry_counts().discarded, 100);
    assert_eq!(left(&backend, &make).await, 0);
}

#[tokio::test(start_paused = true)]
async fn discarding_begins_one_grace_period_after_the_last_handler_left() {
    let (backend, make, calls) = (memory().await, Make::new("restart"), Calls::default());
    let server = join(&backend, "a").await;
    let handles = lasting(&backend, "b", &calls, Duration::ZERO)
        .join()
        .await
        .unwrap();
    sees(&[server.clone(), handles.clone()], 2).await;
    // Longer than a grace period.
    pass(60).await;
    handles.leave().await.unwrap();
    let ids = short_sessions(&backend, &make, 100).await;
    pass(15).await;
    assert_eq!(server.expiry_counts().discarded, 0);
    let handles = lasting(&backend, "b", &calls, Duration::ZERO)
        .join()
        .await
        .unwrap();
    all_handled(&[&handles], &calls, &ids).await;
    handles.leave().await.unwrap();
    short_sessions(&backend, &make, 100).await;
    pass(30).await;
    assert_eq!(server.expiry_counts().discarded, 100);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_left_in_the_store_until_a_member_handles_them() {
    let (backend, make, calls) = (memory().await, Make::new("left"), Calls::default());
    let server = node(&backend, "a").expired(Expired::Leave).join().await.unwrap();
    let ids = short_sessions(&backend, &make, 100).await;
    // Longer than a grace period.
    pass(120).await;
    assert!(
        backend
            .sessions
            .get(ids.first().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    let handles = lasting(&backend, "b", &calls, Duration::ZERO)
        .join()
        .await
        .unwrap();
    all_handled(&[&handles], &calls, &ids).await;
    assert_eq!(server.expiry_counts(), ringhold::ExpiryCounts::default());
}

#[tokio::test(start_paused = true)]
async fn expiry_mode_is_in_the_node_record_and_stays() {
    let (backend, calls) = (memory().await, Calls::default());
    let nodes = [
        lasting(&backend, "handle", &calls, SECOND).join().await.unwrap(),
        node(&backend, "leave")
            .expired(Expired::Leave)
            .join()
            .await
            .unwrap(),
        join(&backend, "none").await,
        lasting(&backend, "last", &calls, SECOND)
            .expired(Expired::Discard)
            .join()
            .await
            .unwrap(),
    ];
    sees(&nodes, 4).await;
    nodes[0]
        .update(|record| record.expiry = ExpiryMode::Discard)
        .await
        .unwrap();
    let view = nodes[2].view();
    let modes = view
        .nodes()
        .iter()
        .map(|node| (node.record.id.as_str(), node.record.expiry));
    let expected = [
        ("handle", ExpiryMode::Handle),
        ("last", ExpiryMode::Discard),
        ("leave", ExpiryMode::Leave),
        ("none", ExpiryMode::Discard),
    ];
    assert_eq!(modes.collect::<Vec<_>>(), expected);
}
