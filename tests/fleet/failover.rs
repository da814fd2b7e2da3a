//! Nodes that die, join, restart and leave: who notices, when, and what becomes of their players.

use std::time::Duration;

use ringhold::{Fleet, Login, Timing, Weight};
use tokio::time::Instant;

use crate::hooks::Hooks;
use crate::support::{
    LONG, elsewhere, fleet_of, here, join, join_with, login, login_until_here, memory, sees,
};

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
    assert!(again.node().incarnation.number > first.incarnation.number);
    let session = here(login(&again, "ada").await);
    assert_eq!(*session.value(), 8);
    assert!(restarted.elapsed() < Duration::from_secs(1));
}

/// Two nodes during an upgrade. The second cannot read the record of the first, `newer`, until the
/// hooks are healed.
async fn half_upgraded(backend: &ringhold::Backend, hooks: &Hooks) -> (Fleet, Fleet) {
    let newer = join(backend, "newer").await;
    let older = join(&hooks.wrap(backend), "older").await;
    sees(&[newer.clone(), older.clone()], 2).await;
    hooks.make_unreadable("newer");
    // sleep: simulated time for a few renewals
    tokio::time::sleep(Duration::from_secs(3)).await;
    (newer, older)
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cannot_be_read_keeps_its_players() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (newer, older) = half_upgraded(&backend, &hooks).await;
    let mut session = here(login(&newer, "ada").await);
    let answer = login(&older, "ada").await;
    assert!(!matches!(answer, Ok(Login::Here(_))), "it is live");
    session.save().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_member_that_can_be_read_again_is_not_evicted() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let (newer, older) = half_upgraded(&backend, &hooks).await;
    hooks.heal();
    let before = newer.node();
    newer
        .update(|record| record.weight = Weight::new(2).unwrap())
        .await
        .unwrap();
    // sleep: simulated time for many renewals of both
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(newer.node(), before, "a live node was evicted");
    sees(&[newer, older], 2).await;
}
