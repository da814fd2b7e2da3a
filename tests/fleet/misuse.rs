//! What applications do wrong, or do where nobody thought of it.

use std::cell::Cell;
use std::sync::mpsc;
use std::time::Duration;

use ringhold::{
    ErrorKind, Events, Fleet, FleetEvent, LoginOptions, Observer, Reservation, Router, Session, Timing,
};
use tokio::time::timeout;

use crate::support::{LONG, here, join, join_with, login, memory, player, stored};

#[tokio::test]
async fn bad_values_are_told_at_the_join() {
    let builder = || async { Fleet::builder(memory().await) };
    let kinds = [
        builder().await.join().await.err(),
        builder().await.node("").join().await.err(),
        builder().await.node("a b").join().await.err(),
        builder().await.node("a").weight(u32::MAX).join().await.err(),
        builder()
            .await
            .node("a")
            .endpoint("player", "two words")
            .join()
            .await
            .err(),
        builder().await.node("a").endpoint("", "a:1").join().await.err(),
        builder()
            .await
            .node("a")
            .endpoint("player", "ws://0.0.0.0:1/play")
            .join()
            .await
            .err(),
        builder()
            .await
            .node("a")
            .label("k", "v".repeat(256))
            .join()
            .await
            .err(),
        builder().await.node("a").zone("z".repeat(65)).join().await.err(),
        builder()
            .await
            .node("a")
            .session_ttl(Duration::ZERO)
            .join()
            .await
            .err(),
        builder()
            .await
            .node("a")
            .session_ttl(Duration::MAX)
            .join()
            .await
            .err(),
    ];
    for (index, error) in kinds.into_iter().enumerate() {
        assert_eq!(
            error.map(|error| error.kind()),
            Some(ErrorKind::InvalidArgument),
            "case {index}"
        );
    }
    let mut crowded = builder().await.node("a");
    for index in 0..9 {
        crowded = crowded.endpoint(format!("e{index}"), "a:1");
    }
    assert_eq!(crowded.join().await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn another_timing_than_the_fleets_is_refused_and_both_are_named() {
    let backend = memory().await;
    let _first = join(&backend, "a").await;
    let error = Fleet::builder(backend)
        .node("b")
        .timing(Timing::relaxed())
        .join()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.context().contains("1s") && error.context().contains("15s"),
        "{error}"
    );
}

#[tokio::test]
async fn a_callback_that_panics_is_called_again_and_harms_nobody() {
    let backend = memory().await;
    let observer = Fleet::builder(backend.clone()).observe().await.unwrap();
    let (told, heard) = mpsc::channel();
    observer.on_event(move |event| {
        if let FleetEvent::Joined(node) = event {
            told.send(node.id.to_string()).unwrap();
            assert_ne!(node.id.as_str(), "b", "on purpose");
        }
    });
    let mut nodes = Vec::new();
    for id in ["a", "b", "c"] {
        nodes.push(join(&backend, id).await);
        observer.wait_for(|view| view.nodes().len() == nodes.len()).await;
    }
    let names = tokio::task::spawn_blocking(move || {
        (0..3)
            .map(|_| heard.recv_timeout(LONG).unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(names.await.unwrap(), ["a", "b", "c"]);
}

/// A game server has threads of its own, and these have no tokio runtime.
#[test]
fn callbacks_and_coalescing_can_be_set_from_a_thread_without_a_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // In real time, so that the other node is seen soon.
    let timing = Timing::new(Duration::from_millis(50), Duration::from_millis(500)).unwrap();
    let (backend, node, mut session) = runtime.block_on(async {
        let backend = memory().await;
        let node = join_with(&backend, "a", timing).await;
        let session = here(login(&node, "ada").await);
        (backend, node, session)
    });
    let (told, heard) = mpsc::channel();
    node.on_event(move |event| {
        if let FleetEvent::Joined(node) = event {
            told.send(node.id.to_string()).unwrap();
        }
    });
    session.save_every(Duration::from_millis(20));
    *session.value_mut() = 4;
    let _other = runtime.block_on(join_with(&backend, "b", timing));
    let joined = heard.recv_timeout(LONG);
    assert_eq!(
        joined.as_deref(),
        Ok("b"),
        "callbacks run on the runtime of the fleet"
    );
    runtime.block_on(async {
        let saved = timeout(LONG, async {
            while stored(&backend, &session.id()).await != 4 {
                // sleep: between two looks; nothing tells of a coalesced save
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(saved.await.is_ok(), "the change was never stored");
    });
}

/// Handles go to other threads, and futures into tasks, with values that are `Send` and no more.
#[test]
fn handles_can_be_shared_and_their_futures_spawned() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>(_: &T) {}
    async fn everything(fleet: Fleet, mut session: Session<Cell<u64>>) {
        let _ = fleet
            .login::<Cell<u64>>(&player("ada"), LoginOptions::new())
            .await;
        let _ = fleet.update(|_| {}).await;
        let _ = fleet.wait_for(|_| true).await;
        let _ = fleet.wait_for_status(|_| true).await;
        let _ = fleet.fenced().await;
        let _ = fleet.leave().await;
        let _ = session.save().await;
        let _ = session.event().await;
        let _ = session.close().await;
    }
    is_shared::<Fleet>();
    is_shared::<Observer>();
    is_shared::<Router>();
    is_shared::<Reservation>();
    is_shared::<Events>();
    is_shared::<Session<u64>>();
    // It compiles, which is all that is asked.
    let _ = |fleet, session| is_sent(&everything(fleet, session));
}
