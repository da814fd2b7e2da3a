//! Joining, observing and being superseded.

use std::time::Duration;

use ringhold::{ErrorKind, FencedReason, Fleet, NodeStatus, SessionEvent, Timing};
use tokio::time::{Instant, timeout};

use crate::hooks::{Hooks, no_answer};
use crate::support::{LONG, fleet_of, here, is_now, join, login, login_until_here, memory, sees};

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

/// It takes nobody any more, and its application may still want to know where to send players.
#[tokio::test(start_paused = true)]
async fn a_superseded_node_still_sees_the_fleet() {
    let backend = memory().await;
    let older = join(&backend, "a").await;
    let _newer = join(&backend, "a").await;
    timeout(LONG, older.fenced()).await.unwrap();
    let _other = join(&backend, "b").await;
    sees(&[older], 2).await;
}

#[tokio::test(start_paused = true)]
async fn being_superseded_is_told_after_claimed_sessions_too() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let lonely = join(&hooks.wrap(&backend), "lonely").await;
    let other = join(&backend, "other").await;
    sees(&[lonely.clone(), other.clone()], 2).await;
    let _claimed = here(login(&lonely, "ada").await);
    hooks.cut_off();
    sees(std::slice::from_ref(&other), 1).await;
    let _ada = login_until_here(&other, "ada").await;
    hooks.heal();
    let first = timeout(LONG, lonely.fenced()).await.unwrap();
    assert_eq!(first, FencedReason::SessionsClaimed(1));
    let _newer = join(&backend, "lonely").await;
    is_now(&lonely, NodeStatus::Fenced).await;
    let last = timeout(LONG, lonely.fenced()).await.unwrap();
    assert_eq!(
        last,
        FencedReason::Superseded,
        "the last reason is the one that stays"
    );
}

/// The answer counts from when the attempt was sent that was answered, not from the first one.
#[tokio::test(start_paused = true)]
async fn a_node_that_joined_after_several_attempts_is_attached() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let start = Instant::now();
    hooks.before(move |call| async move {
        if call.method == "register" && start.elapsed() < Duration::from_secs(5) {
            return Err(no_answer());
        }
        Ok(())
    });
    let node = join(&hooks.wrap(&backend), "a").await;
    assert!(start.elapsed() >= Duration::from_secs(5), "it joined at once");
    assert_eq!(node.status(), NodeStatus::Attached);
    here(login(&node, "ada").await);
}
