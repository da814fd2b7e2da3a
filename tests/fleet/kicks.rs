//! Kicks: the holder tells the connection, or the store forgets the session.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhold::{ErrorKind, Fleet, Kicked, LoginOptions, SessionEvent};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};

use crate::hooks::Hooks;
use crate::line::{Line, hearing};
use crate::support::{LONG, here, login, memory, player, sees};

#[tokio::test(start_paused = true)]
async fn a_kick_ends_the_session_and_tells_the_connection_why() {
    let backend = memory().await;
    let (nodes, _) = hearing(&backend, 2).await;
    let gateway = Fleet::builder(backend.clone()).observe().await.unwrap();
    for kicking in [&*nodes[0], &*nodes[1], &gateway] {
        let mut ada = here(login(&nodes[1], "ada").await);
        assert!(ada.is_new());
        assert_eq!(
            kicking.kick(&player("ada"), "was rude").await.unwrap(),
            Kicked::Told
        );
        let reason = "was rude".to_owned();
        assert_eq!(
            timeout(LONG, ada.event()).await.unwrap(),
            SessionEvent::Kicked { reason }
        );
        assert_eq!(ada.save().await.unwrap_err().kind(), ErrorKind::Fenced);
        assert!(backend.sessions.find(&player("ada")).await.unwrap().is_empty());
        assert_eq!(nodes[1].attached(), 0);
        assert_eq!(
            kicking.kick(&player("ada"), "again").await.unwrap(),
            Kicked::Absent
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_its_player_is_kicked_too() {
    let backend = memory().await;
    let (nodes, _) = hearing(&backend, 2).await;
    drop(here(login(&nodes[1], "ada").await));
    assert_eq!(nodes[0].kick(&player("ada"), "").await.unwrap(), Kicked::Untold);
    assert!(here(login(&nodes[0], "ada").await).is_new());
    let reason = "x".repeat(257);
    let long = nodes[0].kick(&player("ada"), &reason).await.unwrap_err();
    assert_eq!(long.kind(), ErrorKind::TooLarge);
}

/// The line to the holder is cut, or it hangs: the store is told, and the holder's touch.
#[tokio::test(start_paused = true)]
async fn a_player_is_kicked_from_a_node_that_cannot_be_reached() {
    for hangs in [false, true] {
        let (backend, line) = (memory().await, Line::new());
        let (nodes, _) = hearing(&line.wrap(&backend), 2).await;
        let mut ada = here(login(&nodes[1], "ada").await);
        if hangs {
            line.hang("n1");
        } else {
            line.cut("n1");
        }
        let start = Instant::now();
        assert_eq!(
            nodes[0].kick(&player("ada"), "rude").await.unwrap(),
            Kicked::Untold
        );
        assert!(start.elapsed() < Duration::from_secs(5), "hangs: {hangs}");
        let event = timeout(Duration::from_secs(21), ada.event()).await;
        assert_eq!(
            event.unwrap(),
            SessionEvent::Fenced,
            "told by the touch; hangs: {hangs}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_player_is_kicked_from_a_node_that_has_died() {
    let backend = memory().await;
    let (mut nodes, _) = hearing(&backend, 2).await;
    let _ada = here(login(&nodes[1], "ada").await);
    drop(nodes.pop());
    sees(&nodes, 1).await;
    assert_eq!(nodes[0].kick(&player("ada"), "").await.unwrap(), Kicked::Untold);
    assert!(here(login(&nodes[0], "ada").await).is_new());
}

#[tokio::test(start_paused = true)]
async fn a_kick_without_a_store_ends_nothing_and_says_so() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (nodes, _) = hearing(&hooks.wrap(&backend), 2).await;
    let mut ada = here(login(&nodes[1], "ada").await);
    hooks.fail("remove");
    let start = Instant::now();
    let error = nodes[0].kick(&player("ada"), "rude").await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable),
        "{error}"
    );
    assert!(start.elapsed() <= Duration::from_secs(5));
    hooks.heal();
    ada.save().await.expect("she is still there");
}

/// The holder has ended the session and its answer never comes: that there is none now is no news.
#[tokio::test(start_paused = true)]
async fn a_kick_whose_answer_is_lost_was_a_kick() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (nodes, _) = hearing(&hooks.wrap(&backend), 2).await;
    let mut ada = here(login(&nodes[1], "ada").await);
    hooks.after(|call| async move {
        if call.method == "remove" {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    assert_eq!(
        nodes[0].kick(&player("ada"), "rude").await.unwrap(),
        Kicked::Untold
    );
    hooks.heal();
    let event = timeout(Duration::from_secs(21), ada.event()).await;
    assert_eq!(event.unwrap(), SessionEvent::Fenced);
}

/// The kick waits for a save of the stay that it found, and meanwhile the player logs in again: the new
/// stay is what is kicked, and told.
#[tokio::test(start_paused = true)]
async fn a_kick_that_races_a_new_login_tells_the_new_connection() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (nodes, _) = hearing(&hooks.wrap(&backend), 2).await;
    let mut first = here(login(&nodes[1], "ada").await);
    let (saving, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (entered, gate) = (Arc::clone(&saving), Arc::clone(&go));
    hooks.before(move |call| {
        let (entered, gate) = (Arc::clone(&entered), Arc::clone(&gate));
        async move {
            if call.method == "save" {
                entered.notify_one();
                gate.notified().await;
            }
            Ok(())
        }
    });
    let save = tokio::spawn(async move { first.save().await });
    saving.notified().await;
    let node = nodes[1].clone();
    let kick = tokio::spawn(async move { node.kick(&player("ada"), "rude").await });
    // Simulated time in which all that can run has run: the kick waits behind the save.
    assert!(timeout(Duration::from_secs(1), go.notified()).await.is_err());
    let mut second = here(login(&nodes[1], "ada").await);
    go.notify_one();
    assert_eq!(save.await.unwrap().unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(kick.await.unwrap().unwrap(), Kicked::Told);
    let reason = "rude".to_owned();
    let event = timeout(Duration::from_secs(1), second.event()).await;
    assert_eq!(event.expect("nothing"), SessionEvent::Kicked { reason });
}

/// The player comes back between the holder's look into the store and the removal there.
#[tokio::test(start_paused = true)]
async fn a_kick_that_finds_a_waiting_session_tells_who_came_back_to_it() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (nodes, _) = hearing(&hooks.wrap(&backend), 2).await;
    drop(here(login(&nodes[1], "ada").await));
    let (back, looks) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let (node, stay) = (nodes[1].clone(), Arc::clone(&back));
    hooks.before(move |call| {
        let (node, stay, looks) = (node.clone(), Arc::clone(&stay), Arc::clone(&looks));
        async move {
            // Two looks are the caller's, the third that of the node.
            if call.method == "find" && looks.fetch_add(1, Ordering::SeqCst) == 2 {
                *stay.lock().await = Some(here(login(&node, "ada").await));
            }
            Ok(())
        }
    });
    assert_eq!(nodes[0].kick(&player("ada"), "rude").await.unwrap(), Kicked::Told);
    let mut ada = back.lock().await.take().expect("she came back");
    let event = timeout(Duration::from_secs(1), ada.event()).await;
    assert!(matches!(event, Ok(SessionEvent::Kicked { .. })), "{event:?}");
}

/// The store has taken a login in that has not come back from there when the session is kicked.
#[tokio::test(start_paused = true)]
async fn a_login_on_its_way_that_was_kicked_is_told() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (nodes, _) = hearing(&hooks.wrap(&backend), 2).await;
    let (created, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (entered, gate) = (Arc::clone(&created), Arc::clone(&go));
    hooks.after(move |call| {
        let (entered, gate) = (Arc::clone(&entered), Arc::clone(&gate));
        async move {
            if call.method == "create" {
                entered.notify_one();
                gate.notified().await;
            }
            Ok(())
        }
    });
    let node = nodes[1].clone();
    let coming = tokio::spawn(async move { here(login(&node, "ada").await) });
    created.notified().await;
    assert_eq!(
        nodes[0].kick(&player("ada"), "rude").await.unwrap(),
        Kicked::Untold
    );
    go.notify_one();
    let mut ada = coming.await.unwrap();
    let event = timeout(Duration::from_secs(1), ada.event()).await;
    assert!(matches!(event, Ok(SessionEvent::Kicked { .. })), "{event:?}");
}

/// Each node that is asked has lost the player to the next one by then. The store is not where a player ends
/// whose node can be reached: the connection would be told by its touch alone.
#[tokio::test(start_paused = true)]
async fn a_player_who_moves_on_and_on_is_told_by_whoever_holds_it_at_last() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (nodes, _) = hearing(&hooks.wrap(&backend), 4).await;
    let _first = here(login(&nodes[1], "ada").await);
    let (stays, looks) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (moves, to) = (Arc::clone(&stays), [nodes[2].clone(), nodes[3].clone()]);
    hooks.after(move |call| {
        let (moves, to, looks) = (Arc::clone(&moves), to.clone(), Arc::clone(&looks));
        async move {
            if call.method != "find" {
                return Ok(());
            }
            // The second look says whom the caller asks, the third whom that names.
            let look = looks.fetch_add(1, Ordering::SeqCst);
            if let Some(node) = look.checked_sub(1).and_then(|at| to.get(at)) {
                let options = LoginOptions::new().displace();
                let session = here(node.login::<u64>(&player("ada"), options).await);
                moves.lock().await.push(session);
            }
            Ok(())
        }
    });
    assert_eq!(nodes[0].kick(&player("ada"), "rude").await.unwrap(), Kicked::Told);
    let mut stays = stays.lock().await;
    assert_eq!(stays.len(), 2);
    let event = timeout(Duration::from_secs(1), stays[1].event()).await;
    assert!(matches!(event, Ok(SessionEvent::Kicked { .. })), "{event:?}");
}
