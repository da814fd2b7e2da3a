//! Saving: what was acknowledged stays, what changed is stored, and nobody waits for ever.

use std::time::Duration;

use ringhold::{ErrorKind, LoginOptions};
use tokio::time::{Instant, timeout};

use crate::hooks::Hooks;
use crate::support::{evict, here, join, login, memory, player, registered_again, stored};

#[tokio::test(start_paused = true)]
async fn changes_are_coalesced_and_stored_within_the_period() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(login(&node, "ada").await);
    session.save_every(Duration::from_secs(2));
    for step in 1..=100 {
        *session.value_mut() = step;
        // sleep: simulated time between two changes
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let version = session.version().get();
    assert!(
        (4..=7).contains(&version),
        "100 changes in 10 s made {version} versions"
    );
    *session.value_mut() = 1_000;
    let id = session.id();
    drop(session);
    // sleep: simulated time for the last save; it does not wait for its period
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stored(&backend, &id).await, 1_000);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused_and_the_last_value_stays() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(node.login_raw(&player("ada"), LoginOptions::new()).await);
    *session.value_mut() = vec![1; 65_536].into();
    session.save().await.unwrap();
    *session.value_mut() = vec![2; 65_537].into();
    assert_eq!(session.save().await.unwrap_err().kind(), ErrorKind::TooLarge);
    session.save_every(Duration::from_secs(1));
    drop(session.value_mut());
    // sleep: simulated time for the coalesced save
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(session.take_save_error().unwrap().kind(), ErrorKind::TooLarge);
    let stored = backend.sessions.get(&session.id()).await.unwrap().unwrap();
    assert!(stored.data.len() == 65_536 && stored.data.iter().all(|byte| *byte == 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_save_goes_on() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(login(&node, "ada").await);
    for step in 1..=20 {
        *session.value_mut() = step;
        {
            // Polled once, then dropped.
            let save = session.save();
            tokio::pin!(save);
            let _ = futures_util::poll!(save.as_mut());
        }
    }
    *session.value_mut() = 99;
    session
        .save()
        .await
        .expect("the version that is held is the version that is stored");
    let stored = backend.sessions.get(&session.id()).await.unwrap().unwrap();
    assert_eq!(postcard::from_bytes::<u64>(&stored.data).unwrap(), 99);
    assert_eq!(stored.version, session.version());
}

/// On a worker thread, where the task that is spawned last runs first.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dropped_save_never_overwrites_a_later_acknowledged_one() {
    let body = async {
        let backend = memory().await;
        let node = join(&backend, "a").await;
        let mut session = here(login(&node, "ada").await);
        *session.value_mut() = 1;
        {
            // Polled once, then dropped.
            let save = session.save();
            tokio::pin!(save);
            let _ = futures_util::poll!(save.as_mut());
        }
        *session.value_mut() = 2;
        session.save().await.unwrap();
        // sleep: real time for the dropped save to do harm; nothing tells that it did none
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(
            stored(&backend, &session.id()).await,
            2,
            "2 was acknowledged last"
        );
    };
    tokio::spawn(body).await.unwrap();
}

/// What waited under the first period is older than what was saved since.
#[tokio::test(start_paused = true)]
async fn a_replaced_coalescer_never_overwrites_an_acknowledged_save() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(login(&node, "ada").await);
    session.save_every(Duration::from_secs(10));
    *session.value_mut() = 1;
    session.save_every(Duration::from_secs(5));
    *session.value_mut() = 2;
    session.save().await.unwrap();
    // sleep: simulated time, longer than both periods
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(
        stored(&backend, &session.id()).await,
        2,
        "2 was acknowledged last"
    );
}

#[tokio::test(start_paused = true)]
async fn a_coalesced_change_is_stored_after_an_outage_of_the_store() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut session = here(login(&node, "ada").await);
    session.save_every(Duration::from_secs(1));
    hooks.cut_off();
    *session.value_mut() = 5;
    // sleep: simulated time of the outage, longer than any save is tried for
    tokio::time::sleep(Duration::from_secs(60)).await;
    hooks.heal();
    // sleep: simulated time in which the change is tried again
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        stored(&backend, &session.id()).await,
        5,
        "the change was given up"
    );
}

/// A coalesced save that the store does not answer is ahead of it: both share the 20 s.
#[tokio::test(start_paused = true)]
async fn a_save_gives_up_after_20_s_behind_another_one_too() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut session = here(login(&node, "ada").await);
    session.save_every(Duration::from_millis(100));
    *session.value_mut() = 1;
    hooks.cut_off();
    // sleep: simulated time until the coalesced save is on its way
    tokio::time::sleep(Duration::from_millis(500)).await;
    *session.value_mut() = 2;
    let start = Instant::now();
    let error = session.save().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        start.elapsed() <= Duration::from_secs(21),
        "it took {:?}",
        start.elapsed()
    );
}

/// After a lost lease each session is claimed anew. A claim that is never answered must not keep
/// the saves of that session waiting until they give up.
#[tokio::test(start_paused = true)]
async fn a_claim_that_hangs_holds_up_no_save() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut session = here(login(&node, "ada").await);
    hooks.hang("claim");
    let before = evict(&backend, &node).await;
    registered_again(&node, &before).await;
    // sleep: simulated time until the claim is on its way
    tokio::time::sleep(Duration::from_secs(1)).await;
    *session.value_mut() = 3;
    let saved = timeout(Duration::from_secs(60), session.save()).await;
    saved
        .expect("a save answers within its deadline")
        .expect("nobody else has claimed the session");
    assert_eq!(stored(&backend, &session.id()).await, 3);
}
