//! Requests that come twice, since their answers were lost: done once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringhold::{CallOptions, Error, ErrorKind, Fleet, Kicked, OperationId, PeerRequest, SessionEvent};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::line::{Answering, Line, hearing, serving};
use crate::support::{LONG, here, join, login, memory, player, sees};

fn key(byte: u8) -> CallOptions {
    CallOptions::new().key(OperationId::from_bytes([byte; 16]))
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_key_whose_answers_are_lost_is_handled_once() {
    let (backend, line) = (memory().await, Line::new());
    let (nodes, heard) = hearing(&line.wrap(&backend), 2).await;
    let to = nodes[1].node();
    line.lose_answers(3);
    assert_eq!(
        nodes[0].call(&to, "", CallOptions::new().once()).await.unwrap(),
        "n1"
    );
    assert_eq!((line.sent().len(), heard[1].count()), (4, 1), "sent, and handled");
    line.lose_answers(1);
    let lost = nodes[0].call(&to, "", CallOptions::new()).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(
        (line.sent().len(), heard[1].count()),
        (5, 2),
        "without a key nothing is sent again"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_runtime_sends_is_done_once() {
    let (backend, line) = (memory().await, Line::new());
    let (nodes, _) = hearing(&line.wrap(&backend), 2).await;
    let mut ada = here(login(&nodes[1], "ada").await);
    line.lose_answers(2);
    nodes[0].send_to_player(&player("ada"), "hello").await.unwrap();
    assert_eq!(line.sent().len(), 3);
    let SessionEvent::Message(message) = ada.event().await else {
        panic!("no message")
    };
    assert_eq!(message.body, "hello");
    let second = timeout(Duration::from_secs(1), ada.event()).await;
    assert!(second.is_err(), "{second:?} came twice");
    line.lose_answers(2);
    assert_eq!(
        nodes[0].kick(&player("ada"), "rude").await.unwrap(),
        Kicked::Told,
        "as the first answer said"
    );
}

#[tokio::test(start_paused = true)]
async fn a_repetition_waits_for_the_first_and_other_callers_are_not_meant() {
    let backend = memory().await;
    let (runs, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, gate) = (Arc::clone(&runs), Arc::clone(&go));
    let handler = Answering(move |_: PeerRequest| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&gate);
        async move {
            if run == 0 {
                gate.notified().await;
            }
            Ok(Bytes::from(run.to_string()))
        }
    });
    let nodes = [
        serving(&backend, "a", handler).await,
        join(&backend, "b").await,
        join(&backend, "c").await,
    ];
    sees(&nodes, 3).await;
    let to = nodes[0].node();
    let call = |caller: &Fleet| {
        let (caller, to) = (caller.clone(), to.clone());
        tokio::spawn(async move { caller.call(&to, "", key(1)).await.unwrap() })
    };
    let first = call(&nodes[1]);
    while runs.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let second = call(&nodes[1]);
    let (other, own) = (call(&nodes[2]).await.unwrap(), call(&nodes[0]).await.unwrap());
    assert_eq!(
        (&other[..], &own[..]),
        (&b"1"[..], &b"2"[..]),
        "the same key of other callers"
    );
    assert!(!second.is_finished());
    go.notify_one();
    assert_eq!(first.await.unwrap(), "0");
    assert_eq!(second.await.unwrap(), "0");
    assert_eq!(call(&nodes[1]).await.unwrap(), "0", "and later, too");
    assert_eq!(nodes[1].call(&to, "", key(2)).await.unwrap(), "3");
    // sleep: simulated time in which the answer is forgotten
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(call(&nodes[1]).await.unwrap(), "4");
}

/// The caller goes away; what it has asked for goes on, and its repetition gets the answer.
#[tokio::test(start_paused = true)]
async fn a_call_with_a_key_outlives_its_caller() {
    let backend = memory().await;
    let (runs, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, gate) = (Arc::clone(&runs), Arc::clone(&go));
    let handler = Answering(move |_: PeerRequest| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            Ok(Bytes::from("done"))
        }
    });
    let nodes = [serving(&backend, "a", handler).await, join(&backend, "b").await];
    sees(&nodes, 2).await;
    let to = nodes[0].node();
    // The node itself: nothing lies between, so that dropping the call would drop the handler.
    for caller in &nodes {
        let before = runs.load(Ordering::SeqCst);
        let given_up = timeout(Duration::from_secs(1), caller.call(&to, "", key(1))).await;
        assert!(given_up.is_err());
        go.notify_one();
        assert_eq!(caller.call(&to, "", key(1)).await.unwrap(), "done");
        assert_eq!(runs.load(Ordering::SeqCst), before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_remembered_unless_repeating_may_help() {
    let backend = memory().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let handler = Answering(move |request: PeerRequest| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let kind = if request.body == "busy" {
                ErrorKind::Overloaded
            } else {
                ErrorKind::NotFound
            };
            Err(Error::new(kind, "test", request.target.to_string()))
        }
    });
    let nodes = [serving(&backend, "a", handler).await, join(&backend, "b").await];
    sees(&nodes, 2).await;
    let to = nodes[0].node();
    for (body, byte, runs_then) in [("no", 1, 1), ("busy", 2, 3)] {
        for _ in 0..2 {
            let error = timeout(LONG, nodes[1].call(&to, body, key(byte)))
                .await
                .unwrap()
                .unwrap_err();
            assert_eq!(error.context(), "a#1");
        }
        assert_eq!(runs.load(Ordering::SeqCst), runs_then, "{body}");
    }
}
