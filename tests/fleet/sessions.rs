//! Attached sessions: saving, coalescing, staying alive, expiring, being removed.

use std::time::Duration;

use ringhold::core::session::RemoveSession;
use ringhold::{ErrorKind, FleetEvent, LoginOptions, OperationId, SessionEvent, Timing};
use tokio::time::timeout;

use crate::support::{LONG, fleet_of, here, join, login, memory, player};

#[tokio::test(start_paused = true)]
async fn an_attached_session_outlives_its_time_to_live_many_times() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let session = here(login(&node, "ada").await);
    // sleep: simulated time, ten times the time to live
    tokio::time::sleep(Duration::from_secs(600)).await;
    let stored = backend
        .sessions
        .get(&session.id())
        .await
        .unwrap()
        .expect("it is touched");
    assert_eq!(stored.fence, session.fence());
    assert!(stored.remaining > Duration::from_secs(30));
    assert_eq!(stored.version.get(), 1, "touches do not write");
}

#[tokio::test(start_paused = true)]
async fn a_detached_session_expires_once_and_the_player_starts_anew() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 3, Timing::default()).await;
    let mut events: Vec<_> = nodes
        .iter()
        .map(ringhold::Fleet::clone)
        .map(|node| node.events())
        .collect();
    let mut session = here(login(&nodes[0], "ada").await);
    *session.value_mut() = 3;
    session.save().await.unwrap();
    let id = session.id();
    drop(session);
    // sleep: simulated time in which it expires, is swept, and could be swept again
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(backend.sessions.get(&id).await.unwrap().is_none());
    assert!(nodes[1].locate(&player("ada")).await.unwrap().is_none());
    let mut expiries = Vec::new();
    drop(nodes.clone());
    let fresh = here(login(&nodes[1], "ada").await);
    assert!(fresh.is_new() && *fresh.value() == 0 && fresh.id() != id);
    drop(fresh);
    drop(nodes);
    for events in &mut events {
        while let Ok(Some(event)) = timeout(Duration::from_secs(1), events.next()).await {
            if let FleetEvent::SessionExpired(session) = event {
                expiries.push(session.id);
            }
        }
    }
    assert_eq!(
        expiries.iter().filter(|expired| **expired == id).count(),
        1,
        "{expiries:?}"
    );
}

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
    let stored = backend.sessions.get(&id).await.unwrap().unwrap();
    assert_eq!(postcard::from_bytes::<u64>(&stored.data).unwrap(), 1_000);
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
async fn a_session_that_an_operator_removes_is_fenced_at_its_next_touch() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(login(&node, "ada").await);
    let operation = OperationId::from_bytes([9; 16]);
    backend
        .sessions
        .remove(RemoveSession::new(session.id(), session.fence(), operation))
        .await
        .unwrap();
    assert_eq!(
        timeout(LONG, session.event()).await.unwrap(),
        SessionEvent::Fenced
    );
    assert_eq!(
        session.event().await,
        SessionEvent::Fenced,
        "the last event is answered again"
    );
    assert_eq!(node.attached(), 0);
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
