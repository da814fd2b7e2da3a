//! Kicks: the holder tells the connection, or the store forgets the session.

use std::time::Duration;

use ringhold::{ErrorKind, Fleet, Kicked, SessionEvent};
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
