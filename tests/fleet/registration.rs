//! A node whose lease was taken away registers again: what happens beside that, and what becomes of
//! its players when answers are late or lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ringhold::{NodeStatus, SessionEvent, Timing, Weight};
use tokio::time::{Instant, timeout};

use crate::hooks::{Hooks, no_answer};
use crate::support::{
    LONG, elsewhere, evict, here, is_now, join, join_with, login, login_until_here, memory, registered_again,
    sees,
};

/// In real time, on two threads: the update holds a record that the registration has outdated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_beside_a_registration_leaves_the_node_alive() {
    let backend = memory().await;
    let timing = Timing::new(Duration::from_millis(50), Duration::from_millis(500)).unwrap();
    let node = join_with(&backend, "a", timing).await;
    let before = node.node();
    let evicting = tokio::spawn({
        let (backend, node) = (backend.clone(), node.clone());
        async move { evict(&backend, &node).await }
    });
    let start = Instant::now();
    let update = node.update(|record| {
        while node.node() == before && start.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
        record.weight = Weight::new(2).unwrap();
    });
    timeout(LONG, update).await.unwrap().unwrap();
    evicting.await.unwrap();
    assert_ne!(node.node(), before, "it has registered again");
    // sleep: real time for several renewals, each of which could be refused
    tokio::time::sleep(timing.heartbeat() * 5).await;
    assert_ne!(node.status(), NodeStatus::Fenced, "it was superseded by itself");
    is_now(&node, NodeStatus::Attached).await;
    assert_eq!(node.record().weight.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_update_during_a_registration_is_not_lost() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    hooks.delay("register", Duration::from_secs(2));
    evict(&backend, &node).await;
    // sleep: simulated time until a registration is on its way
    tokio::time::sleep(Duration::from_secs(2)).await;
    node.update(|record| record.weight = Weight::new(7).unwrap())
        .await
        .unwrap();
    assert_eq!(node.record().weight.get(), 7, "the backend has it, says update()");
    let members = backend.discovery.members().await.unwrap();
    assert_eq!(members.members[0].record.weight.get(), 7, "the backend has it");
}

/// The store takes each registration, and the node learns of none: what then supersedes the node
/// is the node itself.
#[tokio::test(start_paused = true)]
async fn a_node_whose_registration_was_not_answered_is_not_superseded_by_it() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let start = Instant::now();
    hooks.after(move |call| async move {
        if call.method == "register" && start.elapsed() < Duration::from_secs(25) {
            return Err(no_answer());
        }
        Ok(())
    });
    evict(&backend, &node).await;
    // sleep: simulated time, longer than answers are lost and than one registration is tried for
    tokio::time::sleep(LONG).await;
    let fenced = timeout(Duration::from_millis(1), node.fenced()).await;
    assert_eq!(node.status(), NodeStatus::Attached, "{fenced:?}");
}

#[tokio::test(start_paused = true)]
async fn a_player_whose_claim_was_not_answered_stays() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut session = here(login(&node, "ada").await);
    let claims = hooks.lose_next_answer("claim");
    evict(&backend, &node).await;
    let told = timeout(Duration::from_secs(120), session.event()).await;
    assert!(told.is_err(), "nobody else ever wanted this player: {told:?}");
    assert!(claims.load(Ordering::SeqCst) > 0, "no answer was lost");
    session.save().await.unwrap();
}

/// The players come back while the claims of their sessions are on their way: these claims then
/// fail, and no other node is to blame.
#[tokio::test(start_paused = true)]
async fn who_comes_back_during_the_claims_is_not_counted_as_claimed_by_others() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut sessions = Vec::new();
    for index in 0..20 {
        sessions.push(here(login(&node, format!("player-{index}")).await));
    }
    hooks.delay("claim", Duration::from_millis(100));
    let before = evict(&backend, &node).await;
    registered_again(&node, &before).await;
    is_now(&node, NodeStatus::Attached).await;
    let mut again = Vec::new();
    for index in 0..20 {
        again.push(here(login(&node, format!("player-{index}")).await));
    }
    let fenced = timeout(LONG, node.fenced()).await;
    assert!(fenced.is_err(), "there is no other node: {fenced:?}");
    assert_eq!(node.attached(), 20);
}

/// The claim after the new registration fails for a while, so that it is a touch that tells.
#[tokio::test(start_paused = true)]
async fn a_player_whose_loss_a_touch_tells_is_counted_too() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let other = join(&backend, "b").await;
    sees(&[node.clone(), other.clone()], 2).await;
    let mut session = here(login(&node, "ada").await);
    hooks.fail("claim");
    let before = evict(&backend, &node).await;
    let _ada = login_until_here(&other, "ada").await;
    registered_again(&node, &before).await;
    hooks.heal();
    let told = timeout(LONG, session.event()).await;
    assert!(
        matches!(told, Ok(SessionEvent::Fenced | SessionEvent::Displaced { .. })),
        "{told:?}"
    );
    let fenced = timeout(LONG, node.fenced()).await;
    assert_eq!(
        fenced,
        Ok(ringhold::FencedReason::SessionsClaimed(1)),
        "the lease was lost, and another node has the player"
    );
}

/// A login that was sent under the last incarnation finds the session under the present one.
#[tokio::test(start_paused = true)]
async fn a_login_beside_a_registration_is_not_sent_to_its_own_node() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let _held = here(login(&node, "ada").await);
    hooks.delay("create", Duration::from_secs(2));
    let coming = tokio::spawn({
        let node = node.clone();
        async move { login(&node, "ada").await }
    });
    tokio::task::yield_now().await;
    evict(&backend, &node).await;
    here(coming.await.unwrap());
}

/// The session of such a login is claimed for the present incarnation like all others.
#[tokio::test(start_paused = true)]
async fn a_login_beside_a_registration_is_not_free_for_others() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let other = join(&backend, "b").await;
    sees(&[node.clone(), other.clone()], 2).await;
    hooks.delay("create", Duration::from_secs(2));
    let coming = tokio::spawn({
        let node = node.clone();
        async move { login(&node, "ada").await }
    });
    tokio::task::yield_now().await;
    evict(&backend, &node).await;
    let _session = here(coming.await.unwrap());
    // sleep: simulated time until the claims are done
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(node.status(), NodeStatus::Attached);
    assert_eq!(elsewhere(login(&other, "ada").await).node, node.node());
}
