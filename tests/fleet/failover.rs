//! Nodes that die, join, restart and leave: who notices, when, and what becomes of their players.

use std::time::Duration;

use ringhold::{Fleet, FleetEvent, LeftReason, Timing};
use tokio::time::{Instant, timeout};

use crate::support::{LONG, elsewhere, fleet_of, here, join_with, login, login_until_here, memory, sees};

/// A node dies without a goodbye: how long until its players play elsewhere, with their data?
async fn time_to_play_again(timing: Timing) -> Duration {
    let backend = memory().await;
    let mut nodes = fleet_of(&backend, 5, timing).await;
    let mut sessions = Vec::new();
    for index in 0..40 {
        let mut session = here(login(&nodes[index % 5], format!("player-{index}")).await);
        *session.value_mut() = index as u64;
        session.save().await.unwrap();
        sessions.push(session);
    }
    // Several renewals later, at no particular moment of them.
    // sleep: simulated time passes while the fleet runs
    tokio::time::sleep(timing.heartbeat() * 7 + Duration::from_millis(137)).await;
    let killed = Instant::now();
    let dead = nodes.remove(2);
    let dead_name = dead.node();
    // The process is gone: its connections with it.
    let (theirs, ours): (Vec<_>, Vec<_>) = sessions
        .into_iter()
        .partition(|session| session.player().as_str().ends_with(['2', '7']));
    drop(theirs);
    drop(dead);
    assert_eq!(
        elsewhere(login(&nodes[0], "player-2").await).node,
        dead_name,
        "not before it is noticed"
    );
    for (index, number) in [2, 7, 12, 17, 22, 27, 32, 37].into_iter().enumerate() {
        let session = login_until_here(&nodes[index % 4], &format!("player-{number}")).await;
        assert_eq!((*session.value(), session.fence().epoch), (number, 2));
    }
    let took = killed.elapsed();
    for mut session in ours {
        session
            .save()
            .await
            .expect("the players of live nodes notice nothing");
        assert_eq!(session.fence().epoch, 1);
    }
    sees(&nodes, 4).await;
    took
}

#[tokio::test(start_paused = true)]
async fn players_of_a_dead_node_play_again_within_7_s() {
    let took = time_to_play_again(Timing::default()).await;
    assert!(took < Duration::from_secs(7), "it took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn players_of_a_dead_node_play_again_within_20_s_by_relaxed_timing() {
    let took = time_to_play_again(Timing::relaxed()).await;
    assert!(took < Duration::from_secs(20), "it took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_join_moves_nobody() {
    let backend = memory().await;
    let mut nodes = fleet_of(&backend, 3, Timing::default()).await;
    let mut sessions = Vec::new();
    for index in 0..60 {
        sessions.push(here(login(&nodes[index % 3], format!("player-{index}")).await));
    }
    nodes.push(join_with(&backend, "n3", Timing::default()).await);
    sees(&nodes, 4).await;
    assert!(
        nodes[0].view().ring().shares().all(|(_, share)| share > 0.1),
        "the ring has changed"
    );
    // sleep: simulated time for a few touches
    tokio::time::sleep(LONG).await;
    for session in &mut sessions {
        session.save().await.unwrap();
        assert_eq!(session.fence().epoch, 1, "{} was moved", session.player());
    }
    elsewhere(login(&nodes[3], "player-0").await);
    here(login(&nodes[3], "newcomer").await);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_says_goodbye_is_gone_at_once() {
    let backend = memory().await;
    let mut nodes = fleet_of(&backend, 2, Timing::default()).await;
    let mut session = here(login(&nodes[0], "ada").await);
    *session.value_mut() = 5;
    session.save_every(Duration::from_secs(10));
    *session.value_mut() = 6;
    let mut events = nodes[1].events();
    let leaving = nodes.remove(0);
    let left = Instant::now();
    leaving.leave().await.unwrap();
    leaving.leave().await.unwrap();
    assert_eq!(
        timeout(LONG, session.event()).await.unwrap(),
        ringhold::SessionEvent::Fenced
    );
    let back = login_until_here(&nodes[0], "ada").await;
    assert!(left.elapsed() < Duration::from_secs(2), "{:?}", left.elapsed());
    assert_eq!(*back.value(), 6);
    assert!(login(&leaving, "bob").await.is_err(), "who has left takes nobody");
    let reason = timeout(LONG, async {
        loop {
            if let Some(FleetEvent::Left { reason, .. }) = events.next().await {
                return reason;
            }
        }
    });
    assert_eq!(reason.await.unwrap(), Some(LeftReason::Leave));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_takes_its_own_players_back_at_once() {
    let backend = memory().await;
    let mut nodes = fleet_of(&backend, 2, Timing::default()).await;
    let mut session = here(login(&nodes[0], "ada").await);
    *session.value_mut() = 8;
    session.save().await.unwrap();
    let first = nodes[0].node();
    drop((session, nodes.remove(0)));
    let restarted = Instant::now();
    let again = join_with(&backend, "n0", Timing::default()).await;
    assert_eq!(again.node().incarnation.number, first.incarnation.number + 1);
    let session = here(login(&again, "ada").await);
    assert_eq!(*session.value(), 8);
    assert!(restarted.elapsed() < Duration::from_secs(1));
}

/// The last fleet handle is dropped while a session handle is still there: the node is dead all
/// the same.
#[tokio::test(start_paused = true)]
async fn a_dropped_fleet_is_a_dead_fleet() {
    let backend = memory().await;
    let mut nodes = fleet_of(&backend, 2, Timing::default()).await;
    let session = here(login(&nodes[0], "ada").await);
    let clone: Fleet = nodes[0].clone();
    drop(nodes.remove(0));
    // sleep: simulated time, far longer than a lease
    tokio::time::sleep(Duration::from_secs(15)).await;
    sees(&nodes, 2).await;
    drop(clone);
    sees(&nodes, 1).await;
    let back = login_until_here(&nodes[0], "ada").await;
    assert_eq!(back.id(), session.id());
}
