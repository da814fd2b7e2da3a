//! Messages to players, to all players, and calls to all nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringhold::{
    CallOptions, Delivered, Error, ErrorKind, Fleet, LoginOptions, MESSAGE_BYTES_MAX, Session, SessionEvent,
    Timing,
};
use tokio::time::{Instant, timeout};

use crate::line::{Answering, Line, hearing, serving};
use crate::support::{LONG, fleet_of, here, holds, join, login, memory, player, sees};

/// The next event, which has to be a message.
async fn message<T>(session: &mut Session<T>) -> Bytes {
    match timeout(LONG, session.event()).await {
        Ok(SessionEvent::Message(message)) => message.body,
        other => panic!("{other:?} is no message"),
    }
}

async fn nothing<T>(session: &mut Session<T>) {
    let event = timeout(Duration::from_secs(1), session.event()).await;
    assert!(event.is_err(), "{event:?}");
}

#[tokio::test(start_paused = true)]
async fn messages_reach_a_player_on_another_node_in_their_order() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let gateway = Fleet::builder(backend).observe().await.unwrap();
    let ada = player("ada");
    let mut session = here(login(&nodes[1], "ada").await);
    nothing(&mut session).await;
    for body in ["one", "two"] {
        nodes[0].send_to_player(&ada, body).await.unwrap();
    }
    gateway.send_to_player(&ada, "three").await.unwrap();
    let SessionEvent::Message(first) = session.event().await else {
        panic!("no message")
    };
    assert_eq!(
        (&first.body[..], first.from.as_ref()),
        (&b"one"[..], Some(&nodes[0].node()))
    );
    assert!(
        !format!("{first:?}").contains("one"),
        "what it says is nobody else's business"
    );
    assert_eq!(message(&mut session).await, "two");
    let SessionEvent::Message(third) = session.event().await else {
        panic!("no message")
    };
    assert_eq!((&third.body[..], third.from), (&b"three"[..], None));
    nothing(&mut session).await;
    let waiting = tokio::spawn(async move { message(&mut session).await });
    tokio::task::yield_now().await;
    nodes[0].send_to_player(&ada, "wakes").await.unwrap();
    assert_eq!(waiting.await.unwrap(), "wakes");
}

#[tokio::test(start_paused = true)]
async fn a_player_of_this_node_needs_no_transport() {
    let mut backend = memory().await;
    backend.transport = None;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let mut ada = here(login(&nodes[0], "ada").await);
    nodes[0].send_to_player(&player("ada"), "hello").await.unwrap();
    assert_eq!(message(&mut ada).await, "hello");
    let far = nodes[1]
        .send_to_player(&player("ada"), "hello")
        .await
        .unwrap_err();
    assert_eq!(far.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_full_inbox_fails_its_senders_and_no_other() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let (ada, bob) = (player("ada"), player("bob"));
    let mut session = here(login(&nodes[0], "ada").await);
    let mut other = here(login(&nodes[0], "bob").await);
    let send = async |size: usize| {
        let sent = nodes[1].send_to_player(&ada, vec![7; size]).await;
        sent.map_err(|error| error.kind())
    };
    for _ in 0..64 {
        send(1).await.unwrap();
    }
    assert_eq!(send(0).await, Err(ErrorKind::Overloaded), "64 messages");
    assert_eq!(
        nodes[0].send_to_player(&ada, "").await.unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    nodes[1].send_to_player(&bob, "you").await.unwrap();
    message(&mut session).await;
    send(1).await.unwrap();
    for _ in 0..64 {
        message(&mut session).await;
    }
    for _ in 0..4 {
        send(MESSAGE_BYTES_MAX).await.unwrap();
    }
    assert_eq!(send(1).await, Err(ErrorKind::Overloaded), "256 KiB");
    assert_eq!(send(MESSAGE_BYTES_MAX + 1).await, Err(ErrorKind::TooLarge));
    assert_eq!(message(&mut session).await.len(), MESSAGE_BYTES_MAX);
    send(1).await.unwrap();
    assert_eq!(message(&mut other).await, "you");
}

#[tokio::test(start_paused = true)]
async fn an_end_comes_before_messages_that_wait() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let ada = player("ada");
    let mut first = here(login(&nodes[0], "ada").await);
    nodes[1].send_to_player(&ada, "to the first").await.unwrap();
    let taken = nodes[1].login::<u64>(&ada, LoginOptions::new().displace()).await;
    let mut second = here(taken);
    holds(&nodes[0], 0).await;
    nodes[0].send_to_player(&ada, "to the second").await.unwrap();
    let displaced = SessionEvent::Displaced {
        by: Some(nodes[1].node()),
    };
    for _ in 0..2 {
        assert_eq!(timeout(LONG, first.event()).await.unwrap(), displaced);
    }
    assert_eq!(message(&mut second).await, "to the second");
    nothing(&mut second).await;
    drop(second);
    let gone = nodes[0].send_to_player(&ada, "to nobody").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_tells_by_node_who_answered_and_who_did_not() {
    let (backend, line) = (memory().await, Line::new());
    let (mut nodes, _) = hearing(&line.wrap(&backend), 4).await;
    line.hang("n2");
    drop(nodes.pop());
    let options = CallOptions::new().within(Duration::from_secs(2));
    let start = Instant::now();
    let broadcast = nodes[0].broadcast("who is there?", options).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    let answers: Vec<_> = broadcast
        .answers
        .iter()
        .map(|(node, answer)| (node.node.as_str(), answer.as_deref().map_err(Error::kind)))
        .collect();
    let expected = [
        ("n0", Ok(&b"n0"[..])),
        ("n1", Ok(&b"n1"[..])),
        ("n2", Err(ErrorKind::Timeout)),
        ("n3", Err(ErrorKind::Unavailable)),
    ];
    assert_eq!(answers, expected);
    let failed: Vec<_> = broadcast.failures().map(|(node, _)| node.node.as_str()).collect();
    assert_eq!(failed, ["n2", "n3"]);
    let large = nodes[0].broadcast(vec![0; 1 << 20], CallOptions::new()).await;
    assert_eq!(large.unwrap_err().kind(), ErrorKind::TooLarge);
}

/// Each node has its own time, also the ones whose turn comes late.
#[tokio::test(start_paused = true)]
async fn a_broadcast_asks_32_nodes_at_a_time() {
    let backend = memory().await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut nodes = Vec::new();
    for index in 0..70 {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let handler = Answering(move |_| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let running = Arc::clone(&running);
            async move {
                // sleep: how long this handler works, in simulated time
                tokio::time::sleep(Duration::from_secs(2)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(Bytes::new())
            }
        });
        nodes.push(serving(&backend, &format!("n{index:02}"), handler).await);
    }
    sees(&nodes[..1], 70).await;
    let start = Instant::now();
    let options = CallOptions::new().within(Duration::from_secs(3));
    let broadcast = nodes[0].broadcast("", options).await.unwrap();
    assert_eq!((broadcast.answers.len(), broadcast.failures().count()), (70, 0));
    assert_eq!(most.load(Ordering::SeqCst), 32);
    assert_eq!(start.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn an_announcement_reaches_everybody_who_has_room() {
    let backend = memory().await;
    let mut nodes = fleet_of(&backend, 3, Timing::default()).await;
    let mut sessions = Vec::new();
    for index in 0..6 {
        sessions.push(here(login(&nodes[index % 2], format!("player-{index}")).await));
    }
    for _ in 0..64 {
        nodes[0]
            .send_to_player(&player("player-1"), "fills it")
            .await
            .unwrap();
    }
    drop(nodes.pop());
    let announced = nodes[0].announce("the server restarts").await.unwrap();
    let told: Vec<_> = announced
        .nodes
        .iter()
        .map(|(_, told)| told.as_ref().ok().copied())
        .collect();
    let counts: Vec<_> = told
        .iter()
        .flatten()
        .map(|told| (told.delivered, told.overloaded))
        .collect();
    assert_eq!(counts, [(3, 0), (2, 1)]);
    assert_eq!(told[2], None, "a dead node");
    let Delivered {
        delivered,
        overloaded,
        ..
    } = announced.total();
    assert_eq!((delivered, overloaded, announced.failures().count()), (5, 1, 1));
    for index in [0, 2, 3, 4, 5] {
        assert_eq!(message(&mut sessions[index]).await, "the server restarts");
        nothing(&mut sessions[index]).await;
    }
    let large = nodes[0].announce(vec![0; MESSAGE_BYTES_MAX + 1]).await;
    assert_eq!(large.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_player_who_is_nowhere_gets_no_message() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let nobody = node.send_to_player(&player("nobody"), "hello").await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
}
