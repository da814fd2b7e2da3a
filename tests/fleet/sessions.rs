//! Attached sessions: staying alive, being lost by the store, expiring, being removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold::core::session::RemoveSession;
use ringhold::{ErrorKind, Fleet, LoginOptions, OperationId, SessionEvent, SessionId, Timing, Ttl};
use tokio::time::timeout;

use crate::hooks::{Hooks, no_answer};
use crate::support::{LONG, fleet_of, here, join, login, login_until_here, memory, player, sees, stored};

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
    let expired: Arc<Mutex<Vec<SessionId>>> = Arc::default();
    let mut nodes = Vec::new();
    for id in ["n0", "n1", "n2"] {
        let expired = Arc::clone(&expired);
        let node = Fleet::builder(backend.clone())
            .node(id)
            .on_expired(move |session| {
                expired.lock().unwrap().push(session.id);
                async { Ok::<(), &str>(()) }
            });
        nodes.push(node.join().await.unwrap());
    }
    sees(&nodes, 3).await;
    let mut session = here(login(&nodes[0], "ada").await);
    *session.value_mut() = 3;
    session.save().await.unwrap();
    let id = session.id();
    drop(session);
    // sleep: simulated time in which it expires, is swept, and could be swept again
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(backend.sessions.get(&id).await.unwrap().is_none());
    assert!(nodes[1].locate(&player("ada")).await.unwrap().is_none());
    let fresh = here(login(&nodes[1], "ada").await);
    assert!(fresh.is_new() && *fresh.value() == 0 && fresh.id() != id);
    assert_eq!(*expired.lock().unwrap(), [id]);
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

/// The store fails over to a replica that has nothing: who plays goes on with what was saved.
#[tokio::test(start_paused = true)]
async fn a_session_that_the_store_lost_is_brought_back() {
    let hooks = Hooks::default();
    let backend = hooks.wrap(&memory().await);
    let node = join(&backend, "a").await;
    let mut session = here(login(&node, "ada").await);
    *session.value_mut() = 7;
    session.save().await.unwrap();
    hooks.lose_sessions().await;
    let told = timeout(Duration::from_secs(120), session.event()).await;
    assert!(told.is_err(), "nobody else ever wanted this player: {told:?}");
    assert_eq!(
        (stored(&backend, &session.id()).await, session.fence().epoch),
        (7, 2)
    );
    session.save().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_player_whose_restoration_was_not_answered_stays() {
    let hooks = Hooks::default();
    let node = join(&hooks.wrap(&memory().await), "a").await;
    let mut session = here(login(&node, "ada").await);
    hooks.lose_sessions().await;
    let restorations = hooks.lose_next_answer("restore");
    let told = timeout(Duration::from_secs(120), session.event()).await;
    assert!(told.is_err(), "nobody else ever wanted this player: {told:?}");
    assert!(restorations.load(Ordering::SeqCst) > 0, "no answer was lost");
    session.save().await.unwrap();
}

/// The store lost the session, and the player has come back elsewhere before this node noticed.
#[tokio::test(start_paused = true)]
async fn a_save_of_a_session_that_began_anew_elsewhere_is_fenced() {
    let hooks = Hooks::default();
    let nodes = fleet_of(&hooks.wrap(&memory().await), 2, Timing::default()).await;
    let mut session = here(login(&nodes[0], "ada").await);
    hooks.lose_sessions().await;
    let _anew = here(login(&nodes[1], "ada").await);
    let error = session.save().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    let told = timeout(LONG, session.event()).await;
    assert_eq!(told, Ok(SessionEvent::Displaced { by: None }));
}

/// The store remembers for 60 s what has ended. Who was away longer cannot tell a session that was
/// lost from one that was ended, and must not bring the latter back.
#[tokio::test(start_paused = true)]
async fn a_session_that_ended_while_its_node_was_away_stays_ended() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let away = join(&hooks.wrap(&backend), "away").await;
    let other = join(&backend, "other").await;
    sees(&[away.clone(), other.clone()], 2).await;
    let mut session = here(login(&away, "ada").await);
    hooks.cut_off();
    login_until_here(&other, "ada").await.close().await.unwrap();
    // sleep: simulated time until the store has forgotten that the session was closed
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert!(other.locate(&player("ada")).await.unwrap().is_none());
    hooks.heal();
    assert_eq!(timeout(LONG, session.event()).await, Ok(SessionEvent::Fenced));
    assert!(
        backend.sessions.find(&player("ada")).await.unwrap().is_empty(),
        "it came back"
    );
}

/// However long a session may live, a lost message is made good within 20 s.
#[tokio::test(start_paused = true)]
async fn a_touch_tells_within_20_s_whatever_the_time_to_live() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let mut deaf = hooks.wrap(&backend);
    deaf.transport = None;
    let (a, b) = (join(&deaf, "a").await, join(&deaf, "b").await);
    sees(&[a.clone(), b.clone()], 2).await;
    let month = LoginOptions::new().ttl(Ttl::MAX);
    let mut session = here(a.login::<u64>(&player("ada"), month).await);
    here(b.login::<u64>(&player("ada"), month.displace()).await);
    let told = timeout(Duration::from_secs(21), session.event()).await;
    assert_eq!(told, Ok(SessionEvent::Displaced { by: Some(b.node()) }));
}

#[tokio::test(start_paused = true)]
async fn partitions_that_hang_delay_the_touches_of_no_other() {
    let hooks = Hooks::default();
    let store = hooks.clone();
    let stop_half = move || {
        store.before(|call| async move {
            if call.method == "touch_many" && is_stuck(call.partition) {
                std::future::pending::<()>().await;
            }
            Ok(())
        });
    };
    others_are_touched(&hooks, 600, stop_half).await;
}

/// As with an adapter that gives up each attempt by itself, with sessions in all partitions.
#[tokio::test(start_paused = true)]
async fn partitions_that_fail_slowly_delay_the_touches_of_no_other() {
    let hooks = Hooks::default();
    let store = hooks.clone();
    let stop_half = move || {
        store.before(|call| async move {
            if call.method == "touch_many" && is_stuck(call.partition) {
                // sleep: how long the attempt takes, in simulated time
                tokio::time::sleep(Duration::from_millis(500)).await;
                return Err(no_answer());
            }
            Ok(())
        });
    };
    others_are_touched(&hooks, 3_000, stop_half).await;
}

fn is_stuck(partition: Option<ringhold::Partition>) -> bool {
    partition.is_some_and(|partition| partition.get() % 2 == 0)
}

/// Sessions that expire unless they are touched every few seconds.
async fn others_are_touched(hooks: &Hooks, players: usize, stop_half: impl FnOnce()) {
    let backend = memory().await;
    let node = join(&hooks.wrap(&backend), "a").await;
    let options = LoginOptions::new().ttl(Ttl::new(Duration::from_secs(12)).unwrap());
    let mut sessions = Vec::new();
    for index in 0..players {
        sessions.push(here(
            node.login::<u64>(&player(format!("player-{index}")), options)
                .await,
        ));
    }
    stop_half();
    // sleep: simulated time, ten times the time to live
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (mut others, mut alive) = (0, 0);
    for session in sessions
        .iter()
        .filter(|session| !is_stuck(Some(session.id().partition())))
    {
        others += 1;
        if backend.sessions.get(&session.id()).await.unwrap().is_some() {
            alive += 1;
        }
    }
    assert!(
        others > players / 4,
        "{others} of {players} are in partitions that answer"
    );
    assert_eq!(alive, others, "alive in partitions that answer");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_store_ends_no_session() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let session = here(login(&node, "ada").await);
    let panicked = Arc::new(AtomicBool::new(false));
    let panicking = Arc::clone(&panicked);
    hooks.before(move |call| {
        let panics = call.method == "touch_many" && !panicking.swap(true, Ordering::SeqCst);
        async move {
            assert!(!panics, "on purpose");
            Ok(())
        }
    });
    // sleep: simulated time, five times the time to live
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(panicked.load(Ordering::SeqCst), "nothing was touched");
    let stored = backend.sessions.get(&session.id()).await.unwrap();
    assert!(stored.is_some(), "it is touched no more");
}
