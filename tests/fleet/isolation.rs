//! Nodes that are cut off from the store: detached, back, or fenced.

use std::time::Duration;

use ringhold::{ErrorKind, FencedReason, Fleet, FleetEvent, NodeStatus, SessionEvent, Timing};
use tokio::time::{Instant, timeout};

use crate::hooks::Hooks;
use crate::support::{
    LONG, evict, fleet_of, here, is_now, join, join_with, login, login_until_here, memory, sees,
};

/// The store is away for everybody, longer than any lease: players stay where they are, and
/// nobody is declared dead when it returns.
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_kills_nobody() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let nodes = fleet_of(&hooks.wrap(&backend), 3, Timing::default()).await;
    let mut sessions = Vec::new();
    for index in 0..30 {
        sessions.push(here(login(&nodes[index % 3], format!("player-{index}")).await));
    }
    let mut events = nodes[0].events();
    hooks.cut_off();
    let down = Instant::now();
    timeout(
        LONG,
        nodes[0].wait_for_status(|status| status == NodeStatus::Detached),
    )
    .await
    .unwrap();
    let detached = down.elapsed();
    assert!(
        detached <= Timing::default().hard() + Duration::from_secs(1),
        "detached after {detached:?}"
    );
    assert_eq!(
        login(&nodes[0], "late").await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    // sleep: simulated time of the outage, many leases long
    tokio::time::sleep(Duration::from_secs(120)).await;
    let saving = tokio::spawn(async move {
        let saved = sessions[0].save().await;
        (saved, sessions)
    });
    // sleep: simulated time in which the save is tried again
    tokio::time::sleep(Duration::from_secs(10)).await;
    hooks.heal();
    let (saved, mut sessions) = saving.await.unwrap();
    saved.expect("a save outlasts the outage within its deadline");
    for node in &nodes {
        timeout(
            LONG,
            node.wait_for_status(|status| status == NodeStatus::Attached),
        )
        .await
        .unwrap();
    }
    // sleep: simulated time in which somebody could be reaped by mistake
    tokio::time::sleep(Duration::from_secs(30)).await;
    sees(&nodes, 3).await;
    for session in &mut sessions {
        session.save().await.unwrap();
        assert_eq!(session.fence().epoch, 1, "{} was moved", session.player());
    }
    drop(nodes);
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        assert!(
            !matches!(event, FleetEvent::Left { .. } | FleetEvent::Fenced(_)),
            "{event:?}"
        );
        told.push(event);
    }
    assert!(told.iter().any(|event| matches!(event, FleetEvent::Detached)));
    assert!(told.iter().any(|event| matches!(event, FleetEvent::Reattached)));
}

/// One node alone is cut off: its players are claimed by others. When it is back it registers
/// again, keeps whom nobody claimed, and tells whom it lost.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_keeps_whom_nobody_claimed() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let lonely = join(&hooks.wrap(&backend), "lonely").await;
    let other = join(&backend, "other").await;
    sees(&[lonely.clone(), other.clone()], 2).await;
    let mut claimed = here(login(&lonely, "ada").await);
    let mut kept = here(login(&lonely, "bob").await);
    *kept.value_mut() = 4;
    kept.save().await.unwrap();
    let before = lonely.node();
    hooks.cut_off();
    timeout(LONG, other.wait_for(|view| view.nodes().len() == 1))
        .await
        .unwrap();
    let _ada = login_until_here(&other, "ada").await;
    hooks.heal();
    assert_eq!(
        timeout(LONG, lonely.fenced()).await.unwrap(),
        FencedReason::SessionsClaimed(1)
    );
    assert_eq!(
        timeout(LONG, claimed.event()).await.unwrap(),
        SessionEvent::Fenced
    );
    assert!(lonely.node().incarnation.number > before.incarnation.number);
    timeout(
        LONG,
        lonely.wait_for_status(|status| status == NodeStatus::Attached),
    )
    .await
    .unwrap();
    *kept.value_mut() = 5;
    kept.save().await.expect("bob was never elsewhere");
    assert_eq!(kept.fence().epoch, 2, "under the new incarnation");
    sees(&[lonely, other], 2).await;
}

/// Each claimed session is refused twice: to a save and to the touch that is due at the time.
#[tokio::test(start_paused = true)]
async fn sessions_that_others_claimed_are_counted_once_whatever_requests_are_under_way() {
    const PLAYERS: usize = 5;
    let (backend, hooks) = (memory().await, Hooks::default());
    let lonely = join(&hooks.wrap(&backend), "lonely").await;
    let other = join(&backend, "other").await;
    sees(&[lonely.clone(), other.clone()], 2).await;
    let names: Vec<_> = (0..PLAYERS).map(|index| format!("player-{index}")).collect();
    let mut sessions = Vec::new();
    for name in &names {
        sessions.push(here(login(&lonely, name).await));
    }
    hooks.cut_off();
    timeout(LONG, other.wait_for(|view| view.nodes().len() == 1))
        .await
        .unwrap();
    let mut claimed = Vec::new();
    for name in &names {
        claimed.push(login_until_here(&other, name).await);
    }
    // The store is back for sessions alone, and slow: the answers to all touches come while others wait for theirs.
    hooks.before(|call| async move {
        match call.method {
            "renew" | "register" | "members" => Err(crate::hooks::no_answer()),
            _ => Ok(()),
        }
    });
    hooks.after(|call| async move {
        if call.method == "touch_many" {
            // sleep: this is the delay, in simulated time
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        Ok(())
    });
    let saves = sessions.iter_mut().map(|session| async {
        *session.value_mut() = 1;
        session.save().await
    });
    for saved in timeout(LONG, futures_util::future::join_all(saves))
        .await
        .unwrap()
    {
        assert_eq!(saved.unwrap_err().kind(), ErrorKind::Fenced);
    }
    // sleep: simulated time until the touches that began before are answered
    tokio::time::sleep(Duration::from_secs(10)).await;
    hooks.heal();
    assert_eq!(
        timeout(LONG, lonely.fenced()).await.unwrap(),
        FencedReason::SessionsClaimed(PLAYERS)
    );
}

/// A node wakes up after its lease was given away: it must not act on its old view.
#[tokio::test(start_paused = true)]
async fn a_late_write_of_a_node_that_lost_its_player_is_fenced() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let lonely = join(&hooks.wrap(&backend), "lonely").await;
    let other = join(&backend, "other").await;
    sees(&[lonely.clone(), other.clone()], 2).await;
    let mut late = here(login(&lonely, "ada").await);
    hooks.cut_off();
    timeout(LONG, other.wait_for(|view| view.nodes().len() == 1))
        .await
        .unwrap();
    let mut winner = login_until_here(&other, "ada").await;
    *winner.value_mut() = 1;
    winner.save().await.unwrap();
    *late.value_mut() = 2;
    let write = tokio::spawn(async move { late.save().await });
    tokio::task::yield_now().await;
    hooks.heal();
    assert_eq!(write.await.unwrap().unwrap_err().kind(), ErrorKind::Fenced);
    let stored = backend.sessions.get(&winner.id()).await.unwrap().unwrap();
    assert_eq!(postcard::from_bytes::<u64>(&stored.data).unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_join_without_a_store_gives_up_at_its_deadline() {
    let (backend, hooks) = (memory().await, Hooks::default());
    hooks.cut_off();
    let start = Instant::now();
    let error = Fleet::builder(hooks.wrap(&backend))
        .node("a")
        .join()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(start.elapsed() <= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_detaches_a_node_at_its_hard_deadline() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let timing = Timing::relaxed();
    let node = join_with(&hooks.wrap(&backend), "a", timing).await;
    // sleep: simulated time for a few renewals
    tokio::time::sleep(Duration::from_secs(30)).await;
    hooks.hang("renew");
    let start = Instant::now();
    is_now(&node, NodeStatus::Detached).await;
    let detached = start.elapsed();
    assert!(
        detached <= timing.hard() + Duration::from_millis(100),
        "detached after {detached:?}"
    );
}

/// With a lease of three heartbeats the hard deadline comes one heartbeat after a renewal: the
/// next one must be back by then, however long it takes. Many nodes, since periods are drawn.
#[tokio::test(start_paused = true)]
async fn a_node_that_nothing_ails_is_never_detached_by_relaxed_timing() {
    let mut nodes = Vec::new();
    for _ in 0..80 {
        let (backend, hooks) = (memory().await, Hooks::default());
        hooks.delay("renew", Duration::from_millis(50));
        let node = join_with(&hooks.wrap(&backend), "a", Timing::relaxed()).await;
        nodes.push((node, backend));
    }
    let mut detached = 0;
    for look in 0..600 {
        // sleep: between two looks, in simulated time
        tokio::time::sleep(Duration::from_millis(50)).await;
        if look == 300 {
            // From a new registration it is the same way.
            for (node, backend) in &nodes {
                evict(backend, node).await;
            }
            // sleep: simulated time until each has found out and registered again
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        detached += nodes
            .iter()
            .filter(|(node, _)| node.status() != NodeStatus::Attached)
            .count();
    }
    assert_eq!(detached, 0, "of 600 looks at 80 nodes");
    here(login(&nodes[0].0, "ada").await);
}

/// Under tokio's paused clock the time that a test computes for is not time in which a lease lapses.
#[tokio::test(start_paused = true)]
async fn under_a_paused_clock_real_time_detaches_nobody() {
    let backend = memory().await;
    let timing = Timing::new(Duration::from_millis(50), Duration::from_millis(200)).unwrap();
    let node = join_with(&backend, "a", timing).await;
    let start = std::time::Instant::now();
    while start.elapsed() < timing.hard() * 2 {
        std::hint::spin_loop();
    }
    assert_eq!(node.status(), NodeStatus::Attached);
    here(login(&node, "ada").await);
}
