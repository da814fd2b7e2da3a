//! Joining, observing, events and placing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use ringhold::{
    Error, ErrorKind, FencedReason, Fleet, FleetEvent, HealthCheck, LeastConnections, NodeRecord, NodeStatus,
    Result, RoundRobin, SessionEvent, Timing,
};
use tokio::time::timeout;

use crate::support::{LONG, fleet_of, here, join, login, memory, sees};

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

/// Two processes of one id: the older one stops, tells its application, and never comes back.
#[tokio::test(start_paused = true)]
async fn the_older_of_two_nodes_of_one_id_stops() {
    let backend = memory().await;
    let older = join(&backend, "a").await;
    let mut session = here(login(&older, "ada").await);
    let newer = join(&backend, "a").await;
    assert_eq!(
        timeout(LONG, older.fenced()).await.unwrap(),
        FencedReason::Superseded
    );
    assert_eq!(older.status(), NodeStatus::Fenced);
    assert_eq!(
        timeout(LONG, session.event()).await.unwrap(),
        SessionEvent::Fenced
    );
    assert_eq!(
        login(&older, "bob").await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    // sleep: simulated time in which the older one could fight back
    tokio::time::sleep(LONG).await;
    assert_eq!(newer.status(), NodeStatus::Attached);
    assert_eq!(newer.node().incarnation.number, 2);
    here(login(&newer, "ada").await);
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

#[tokio::test(start_paused = true)]
async fn an_observer_sees_everything_and_nodes_agree_on_owners() {
    let backend = memory().await;
    let observer = Fleet::builder(backend.clone()).observe().await.unwrap();
    assert!(observer.owner("ada").is_none());
    assert_eq!(observer.place("ada").unwrap_err().kind(), ErrorKind::Unavailable);
    let mut nodes = fleet_of(&backend, 4, Timing::default()).await;
    observer.wait_for(|view| view.nodes().len() == 4).await;
    let mut router = observer.router();
    for index in 0..200 {
        let key = format!("player-{index}");
        let owner = observer.owner(&key).unwrap();
        assert_eq!(router.owner(key.as_bytes()).unwrap().id, owner.id);
        assert!(nodes.iter().all(|node| node.owner(&key).unwrap().id == owner.id));
        assert_eq!(
            observer.place(&key).unwrap().record().id,
            owner.id,
            "consistent hashing follows the ring"
        );
    }
    drop(nodes.pop());
    timeout(LONG, observer.wait_for(|view| view.nodes().len() == 3))
        .await
        .unwrap();
}

/// Fails for one node, while it is told to.
#[derive(Debug)]
struct Probe(&'static str, Arc<AtomicBool>);

#[async_trait]
impl HealthCheck for Probe {
    async fn probe(&self, record: &NodeRecord) -> Result<()> {
        if record.id.as_str() == self.0 && self.1.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "probe", "refused"));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_its_health_checks_gets_nothing_new_and_is_not_dead() {
    let backend = memory().await;
    let sick = Arc::new(AtomicBool::new(true));
    let probe = Probe("b", Arc::clone(&sick));
    let node = Fleet::builder(backend.clone())
        .node("a")
        .health_check(probe)
        .join()
        .await
        .unwrap();
    let other = join(&backend, "b").await;
    let mut events = node.events();
    let suspect = node.wait_for(|view| view.nodes().len() == 2 && view.nodes()[1].suspect);
    timeout(LONG, suspect).await.unwrap();
    for index in 0..50 {
        assert_eq!(
            node.place(format!("player-{index}"))
                .unwrap()
                .record()
                .id
                .as_str(),
            "a"
        );
    }
    sick.store(false, Ordering::SeqCst);
    timeout(LONG, node.wait_for(|view| !view.nodes()[1].suspect))
        .await
        .unwrap();
    assert_eq!(other.status(), NodeStatus::Attached);
    drop(node);
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        told.push(event);
    }
    assert!(
        told.iter()
            .any(|event| matches!(event, FleetEvent::Suspect(who) if who.node.as_str() == "b"))
    );
    assert!(!told.iter().any(|event| matches!(event, FleetEvent::Left { .. })));
}

#[tokio::test(start_paused = true)]
async fn round_robin_takes_turns_by_weight() {
    let backend = memory().await;
    let mut nodes = Vec::new();
    for (id, weight) in [("a", 3), ("b", 1)] {
        let builder = Fleet::builder(backend.clone())
            .node(id)
            .weight(weight)
            .policy(RoundRobin);
        nodes.push(builder.join().await.unwrap());
    }
    sees(&nodes, 2).await;
    let places: Vec<_> = (0..400)
        .map(|_| nodes[0].place("x").unwrap().record().id.to_string())
        .collect();
    assert_eq!(places.iter().filter(|id| *id == "a").count(), 300);
}

#[tokio::test(start_paused = true)]
async fn least_connections_counts_players_and_reservations() {
    let backend = memory().await;
    let mut nodes = Vec::new();
    for id in ["a", "b"] {
        let builder = Fleet::builder(backend.clone()).node(id).policy(LeastConnections);
        nodes.push(builder.join().await.unwrap());
    }
    sees(&nodes, 2).await;
    let mut sessions = Vec::new();
    for index in 0..10 {
        sessions.push(here(login(&nodes[0], format!("player-{index}")).await));
    }
    // Known here at once, and on the other node with the next heartbeats.
    let held: Vec<_> = (0..10).map(|_| nodes[0].place("x").unwrap()).collect();
    assert!(held.iter().all(|place| place.record().id.as_str() == "b"));
    let spread: Vec<_> = (0..2)
        .map(|_| nodes[0].place("x").unwrap().record().id.to_string())
        .collect();
    assert!(spread.contains(&"a".to_owned()) || spread.contains(&"b".to_owned()));
    drop(held);
    assert_eq!(
        nodes[0].place("x").unwrap().record().id.as_str(),
        "b",
        "dropped places are free again"
    );
    let told = nodes[1].wait_for(|view| view.nodes()[0].counters.sessions() == 10);
    timeout(LONG, told).await.unwrap();
}
