//! What outlives an unlucky moment: a panicking adapter, an answer that is lost twice, a login that
//! is dropped, a change that waits while its player comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhold::core::Nonce;
use ringhold::core::session::RestoreSession;
use ringhold::{Error, ErrorKind, Fleet, LoginOptions, NodeStatus, SessionEvent, Ttl};
use ringhold_testkit::{Log, Make};
use tokio::time::{Instant, sleep, timeout};

use crate::hooks::{Hooks, no_answer};
use crate::support::{
    LONG, evict, here, is_now, join, login, login_until_here, memory, player, registered_again, sees, stored,
};

/// A counter for a hook: how often a method was called before.
fn counter() -> Arc<AtomicUsize> {
    Arc::default()
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_session_is_restored_ends_no_touching() {
    let hooks = Hooks::default();
    let backend = hooks.wrap(&memory().await);
    let node = join(&backend, "a").await;
    let session = here(login(&node, "ada").await);
    let restorations = counter();
    hooks.before(move |call| {
        let first = call.method == "restore" && restorations.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            assert!(!first, "on purpose");
            Ok(())
        }
    });
    hooks.lose_sessions().await;
    // sleep: simulated time, five times the time to live
    sleep(Duration::from_secs(300)).await;
    assert!(backend.sessions.get(&session.id()).await.unwrap().is_some());
}

/// A partition has thousands of sessions: one line for each would flood the log, and one by one they would take a whole
/// period.
#[tokio::test(start_paused = true)]
async fn sessions_of_a_lost_partition_are_restored_together_and_logged_in_few_lines() {
    const PLAYERS: u64 = 50;
    let hooks = Hooks::default();
    let backend = hooks.wrap(&memory().await);
    let node = join(&backend, "a").await;
    let make = Make::new("a lost partition");
    let partition = make.player().partition();
    let mut held = Vec::new();
    for _ in 0..PLAYERS {
        held.push(here(login(&node, make.player_in(partition).as_str()).await));
        // sleep: simulated time, so that they are not due at once
        sleep(Duration::from_millis(250)).await;
    }
    let log = Log::default();
    let _listening = log.listen();
    hooks.lose_sessions().await;
    while backend.sessions.count(partition).await.unwrap() == 0 {
        // sleep: simulated time until the first of them is due
        sleep(Duration::from_millis(100)).await;
    }
    // sleep: simulated time, far below a period
    sleep(Duration::from_secs(1)).await;
    assert_eq!(backend.sessions.count(partition).await.unwrap(), PLAYERS);
    let text = log.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("restored")).collect();
    assert!((1..=4).contains(&lines.len()), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn closed_session_that_the_store_had_lost_ends_in_the_store() {
    let hooks = Hooks::default();
    let backend = hooks.wrap(&memory().await);
    let node = join(&backend, "a").await;
    let session = here(login(&node, "ada").await);
    let id = session.id();
    let record = backend.sessions.get(&id).await.unwrap().unwrap();
    hooks.lose_sessions().await;
    session.close().await.unwrap();
    let restore = RestoreSession::new(record, Nonce::from_bytes([7; 16]));
    let error = backend.sessions.restore(restore).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}

/// The login has the lane of the session, and the store waits for its owner.
#[tokio::test(start_paused = true)]
async fn login_on_the_owner_restores_a_session_that_the_store_waits_for() {
    let hooks = Hooks::default();
    let backend = hooks.wrap(&memory().await);
    let node = join(&backend, "a").await;
    let session = here(login(&node, "ada").await);
    hooks.lose_sessions().await;
    let restored = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&restored);
    hooks.after(move |call| {
        let is_restored = call.method == "restore";
        seen.fetch_add(usize::from(is_restored), Ordering::SeqCst);
        async { Ok(()) }
    });
    let seen = Arc::clone(&restored);
    hooks.before(move |call| {
        let waits = call.method == "create" && seen.load(Ordering::SeqCst) == 0;
        async move {
            if waits {
                Err(Error::recovering("create", "it recovers"))
            } else {
                Ok(())
            }
        }
    });
    let start = Instant::now();
    let again = here(login(&node, "ada").await);
    assert_eq!(again.id(), session.id());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// The first refusal of a login says nothing of the session that this node holds.
#[tokio::test(start_paused = true)]
async fn refused_login_after_a_long_outage_does_not_fence_the_attached_session() {
    for recovering in [false, true] {
        let hooks = Hooks::default();
        let node = join(&hooks.wrap(&memory().await), "a").await;
        let options = LoginOptions::new().ttl(Ttl::from_millis(600_000).unwrap());
        let mut session = here(node.login::<u64>(&player("ada"), options).await);
        let logins = counter();
        hooks.before(move |call| {
            let fails = match call.method {
                "touch_many" => Some(no_answer()),
                "create" if logins.fetch_add(1, Ordering::SeqCst) == 0 => Some(if recovering {
                    Error::recovering("create", "it recovers")
                } else {
                    no_answer()
                }),
                _ => None,
            };
            async move { fails.map_or(Ok(()), Err) }
        });
        // sleep: simulated time, longer than tombstones are kept
        sleep(Duration::from_secs(90)).await;
        let again = here(login(&node, "ada").await);
        assert_eq!(again.id(), session.id());
        let event = timeout(LONG, session.event()).await;
        assert!(
            matches!(event, Ok(SessionEvent::Displaced { .. })),
            "recovering: {recovering}: {event:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn login_without_the_lane_of_a_stuck_save_restores_nothing() {
    let hooks = Hooks::default();
    let node = join(&hooks.wrap(&memory().await), "a").await;
    let mut session = here(login(&node, "ada").await);
    let id = session.id();
    let (logins, restored) = (counter(), counter());
    let restorations = Arc::clone(&restored);
    hooks.before(move |call| {
        let stuck = call.method == "save";
        let waits = call.method == "create" && logins.fetch_add(1, Ordering::SeqCst) == 0;
        restorations.fetch_add(usize::from(call.method == "restore"), Ordering::SeqCst);
        async move {
            if stuck {
                std::future::pending::<()>().await;
            }
            if waits {
                return Err(Error::recovering("create", "it recovers"));
            }
            Ok(())
        }
    });
    *session.value_mut() = 7;
    let saving = session.save();
    let again = async {
        // sleep: simulated time, so that the save has the lane
        sleep(Duration::from_millis(1)).await;
        here(login(&node, "ada").await)
    };
    tokio::select! {
        saved = saving => panic!("it is stuck: {saved:?}"),
        again = again => assert_eq!(again.id(), id),
    }
    assert_eq!(restored.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_session_is_claimed_again_ends_no_touching() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let session = here(login(&node, "ada").await);
    let claims = counter();
    hooks.before(move |call| {
        let number = if call.method == "claim" {
            claims.fetch_add(1, Ordering::SeqCst)
        } else {
            usize::MAX
        };
        async move {
            assert_ne!(number, 1, "on purpose");
            if number == 0 { Err(no_answer()) } else { Ok(()) }
        }
    });
    evict(&backend, &node).await;
    // sleep: simulated time, five times the time to live
    sleep(Duration::from_secs(300)).await;
    assert!(backend.sessions.get(&session.id()).await.unwrap().is_some());
}

/// Who superseded this run is asked of the members; stopping is for ever, so it waits for the answer.
#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_ask_who_superseded_it_does_not_stop() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let start = Instant::now();
    hooks.after(move |call| async move {
        let lost = matches!(call.method, "register" | "members");
        if lost && start.elapsed() < Duration::from_secs(25) {
            Err(no_answer())
        } else {
            Ok(())
        }
    });
    evict(&backend, &node).await;
    // sleep: simulated time in which it could stop by mistake
    sleep(LONG).await;
    assert_eq!(node.status(), NodeStatus::Attached);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_finds_the_change_that_still_waited() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    hooks.before(|call| async move {
        if call.method == "save" {
            // sleep: simulated time that a save takes
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    });
    // At once, and while the last save is on its way.
    for (value, pause) in [(5, Duration::ZERO), (6, Duration::from_millis(2))] {
        let mut session = here(login(&node, "ada").await);
        session.save_every(Duration::from_secs(5));
        *session.value_mut() = value;
        drop(session);
        // sleep: simulated time until the player is back
        sleep(pause).await;
        assert_eq!(*here(login(&node, "ada").await).value(), value);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_outlives_a_failed_save() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut session = here(login(&node, "ada").await);
    session.save_every(Duration::from_secs(1));
    hooks.fail("save");
    *session.value_mut() = 5;
    assert!(session.save().await.is_err());
    hooks.heal();
    // sleep: simulated time in which it is tried again
    sleep(LONG).await;
    assert_eq!(stored(&backend, &session.id()).await, 5);
}

/// The lease is lost twice, and between the two a claim is done whose answer nobody hears.
#[tokio::test(start_paused = true)]
async fn a_player_outlives_two_lost_leases_and_a_lost_answer() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut session = here(login(&node, "ada").await);
    let claims = hooks.lose_next_answer("claim");
    let first = evict(&backend, &node).await;
    registered_again(&node, &first).await;
    while claims.load(Ordering::SeqCst) == 0 {
        // sleep: simulated time until the claim is done
        sleep(Duration::from_millis(1)).await;
    }
    let second = evict(&backend, &node).await;
    registered_again(&node, &second).await;
    let told = timeout(Duration::from_secs(120), session.event()).await;
    assert!(told.is_err(), "nobody else ever wanted this player: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn players_lost_before_the_node_registers_again_are_told_too() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let a = join(&hooks.wrap(&backend), "a").await;
    let b = join(&backend, "b").await;
    let mut session = here(login(&a, "ada").await);
    hooks.fail("renew");
    sees(std::slice::from_ref(&b), 1).await;
    let _there = login_until_here(&b, "ada").await;
    timeout(LONG, session.event()).await.expect("a touch tells");
    hooks.heal();
    is_now(&a, NodeStatus::Attached).await;
    assert!(
        timeout(LONG, a.fenced()).await.is_ok(),
        "a player was claimed and nobody is told"
    );
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_dropped_on_its_way_holds_no_place() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = Fleet::builder(hooks.wrap(&backend))
        .node("a")
        .capacity(1)
        .join()
        .await
        .unwrap();
    hooks.before(|call| async move {
        match call.method {
            // sleep: simulated time in which the node registers again
            "create" => sleep(Duration::from_secs(10)).await,
            "claim" => std::future::pending().await,
            _ => {}
        }
        Ok(())
    });
    let login_of_ada = {
        let node = node.clone();
        tokio::spawn(async move {
            node.login::<u64>(&player("ada"), LoginOptions::new())
                .await
                .map(drop)
        })
    };
    // sleep: simulated time until the login waits for the store
    sleep(Duration::from_secs(1)).await;
    evict(&backend, &node).await;
    // sleep: simulated time until it waits for its claim
    sleep(Duration::from_secs(11)).await;
    login_of_ada.abort();
    assert!(login_of_ada.await.unwrap_err().is_cancelled());
    hooks.heal();
    here(login(&node, "bob").await);
}
