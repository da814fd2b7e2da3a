//! Placing: who gets the next player, and who is suspect and gets none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ringhold::{
    BoundedLoad, Error, ErrorKind, Fleet, FleetEvent, HealthCheck, LeastConnections, NodeRecord, NodeStatus,
    Reservation, Result, RoundRobin, Timing,
};
use tokio::time::timeout;

use crate::support::{LONG, fleet_of, here, join, login, memory, sees};

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
    held.into_iter().for_each(Reservation::release);
    assert_eq!(
        nodes[0].place("x").unwrap().record().id.as_str(),
        "b",
        "released reservations no longer count"
    );
    let told = nodes[1].wait_for(|view| view.nodes()[0].counters.sessions() == 10);
    timeout(LONG, told).await.unwrap();
}

/// A gateway that answers each `place` over HTTP drops the reservation at once.
#[tokio::test(start_paused = true)]
async fn dropped_reservations_spread_players_over_the_nodes_before_any_load_is_reported() {
    const NODES: [&str; 3] = ["a", "b", "c"];
    let backend = memory().await;
    let mut nodes = Vec::new();
    for id in NODES {
        nodes.push(join(&backend, id).await);
    }
    let gateway = Fleet::builder(backend.clone())
        .policy(LeastConnections)
        .observe()
        .await
        .unwrap();
    let totals = || {
        gateway
            .view()
            .nodes()
            .iter()
            .map(|node| node.counters.total())
            .collect::<Vec<_>>()
    };
    let mut placed = [0_u32; NODES.len()];
    let mut sessions = Vec::new();
    for index in 0..300 {
        let name = format!("player-{index}");
        let chosen = gateway.place(&name).unwrap().record().id.clone();
        let position = NODES.iter().position(|id| *id == chosen.as_str()).unwrap();
        placed[position] += 1;
        sessions.push((position, name));
    }
    assert!(
        placed.iter().all(|placed| placed.abs_diff(100) <= 1),
        "{placed:?}"
    );
    assert_eq!(totals(), placed);
    // Half of them log in: with the next report each player counts once.
    let mut held = Vec::new();
    for (position, name) in sessions.iter().take(150) {
        held.push(here(login(&nodes[*position], name).await));
    }
    let reported = gateway.wait_for(|view| {
        let sessions: u32 = view.nodes().iter().map(|node| node.counters.sessions()).sum();
        sessions == 150
    });
    timeout(LONG, reported).await.unwrap();
    assert_eq!(
        totals(),
        placed,
        "none counts twice, and the others are still expected"
    );
    // sleep: simulated time until the others, who do not come, are no longer expected
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(totals().iter().sum::<u32>(), 150);
}

#[tokio::test(start_paused = true)]
async fn an_expected_login_counts_for_two_load_periods_and_at_least_three_seconds() {
    for (timing, limit) in [(Timing::default(), 3), (Timing::relaxed(), 10)] {
        let backend = memory().await;
        let nodes = fleet_of(&backend, 2, timing).await;
        let gateway = Fleet::builder(backend.clone()).observe().await.unwrap();
        // sleep: simulated time until the gateway has read the fleet's timing
        tokio::time::sleep(timing.heartbeat() * 2).await;
        for fleet in [&*nodes[0], &gateway] {
            let counters = {
                let place = fleet.place("ada").unwrap();
                let view = fleet.view();
                Arc::clone(&view.node(&place.record().id).unwrap().counters)
            };
            // sleep: simulated time
            tokio::time::sleep(Duration::from_secs(limit)).await;
            assert_eq!(counters.reserved(), 1, "after {limit} s");
            // sleep: simulated time
            tokio::time::sleep(Duration::from_secs(limit) / 4).await;
            assert_eq!(counters.reserved(), 0, "after {limit} s and a quarter of it");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bounded_node_passes_its_keys_on_and_gets_them_back() {
    let backend = memory().await;
    let mut nodes = Vec::new();
    for id in ["a", "b"] {
        let builder = Fleet::builder(backend.clone()).node(id);
        let builder = builder.policy(BoundedLoad::new(0.5).unwrap());
        nodes.push(builder.join().await.unwrap());
    }
    sees(&nodes, 2).await;
    let owner = nodes[0].owner("x").unwrap().id.clone();
    let place = || nodes[0].place("x").unwrap();
    let held: Vec<_> = (0..40).map(|_| place()).collect();
    let of_owner = held.iter().filter(|place| place.record().id == owner).count();
    assert_eq!(of_owner, 30, "half of 40, and half as much again");
    held.into_iter().for_each(Reservation::release);
    assert_eq!(place().record().id, owner, "it has room again");

    // Players count as places do; those of another node once it has told of them.
    let position = usize::from(owner.as_str() == "b");
    let mut sessions = Vec::new();
    for index in 0..10 {
        sessions.push(here(login(&nodes[position], format!("player-{index}")).await));
    }
    let told = nodes[0].wait_for(|view| view.nodes()[position].counters.sessions() == 10);
    timeout(LONG, told).await.unwrap();
    assert_ne!(place().record().id, owner);
}

/// A node probes 16 others. One that it found sick and probes no longer, because of a node that
/// joined in between, would otherwise be suspect for ever.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_no_longer_probed_is_no_longer_suspect() {
    let backend = memory().await;
    let sick = Arc::new(AtomicBool::new(true));
    let node = Fleet::builder(backend.clone())
        .node("a")
        .health_check(Probe("n99", Arc::clone(&sick)))
        .join()
        .await
        .unwrap();
    let mut others = Vec::new();
    for index in (84..=99).rev() {
        others.push(join(&backend, &format!("n{index}")).await);
    }
    let suspects = || {
        let view = node.view();
        let suspects = view.nodes().iter().filter(|node| node.suspect);
        suspects
            .map(|node| node.record.id.to_string())
            .collect::<Vec<_>>()
    };
    let found = node.wait_for(|view| view.nodes().iter().any(|node| node.suspect));
    timeout(LONG, found).await.unwrap();
    assert_eq!(suspects(), ["n99"]);
    // Now n99 is the 17th.
    others.push(join(&backend, "n10").await);
    sees(std::slice::from_ref(&node), 18).await;
    // sleep: simulated time for a few rounds of probes
    tokio::time::sleep(Duration::from_secs(3)).await;
    sick.store(false, Ordering::SeqCst);
    // sleep: simulated time for very many rounds of probes
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(
        suspects().is_empty(),
        "{:?} have been well for 10 minutes",
        suspects()
    );
}

/// Only nodes reap the dead. When all of them are dead their leases have lapsed all the same.
#[tokio::test(start_paused = true)]
async fn an_observer_of_a_dead_fleet_suspects_it_and_places_nobody() {
    let backend = memory().await;
    let timing = Timing::default();
    let nodes = fleet_of(&backend, 2, timing).await;
    let observer = Fleet::builder(backend.clone()).observe().await.unwrap();
    // sleep: simulated time, in which nobody may be suspect: the nodes renew
    tokio::time::sleep(LONG).await;
    assert!(
        observer.view().nodes().iter().all(|node| !node.suspect),
        "they live"
    );
    drop(observer.place("ada").unwrap());
    drop(nodes);
    let seen = observer.wait_for(|view| view.nodes().iter().all(|node| node.suspect));
    let seen = timeout(timing.lease() + timing.heartbeat() * 2, seen).await;
    assert!(seen.is_ok(), "{:?}", observer.view().nodes());
    let error = observer.place("ada").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::Unavailable),
        "{error}"
    );
}
