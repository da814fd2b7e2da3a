//! Leaving, with a goodbye or without one.

use std::time::Duration;

use ringhold::{Fleet, FleetEvent, LeftReason, SessionEvent, Timing};
use tokio::time::{Instant, timeout};

use crate::hooks::Hooks;
use crate::support::{LONG, fleet_of, here, join, login, login_until_here, memory, sees};

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
        SessionEvent::Fenced
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

#[tokio::test(start_paused = true)]
async fn a_session_of_a_dropped_fleet_is_told_to_end() {
    let backend = memory().await;
    let mut nodes = fleet_of(&backend, 2, Timing::default()).await;
    let mut session = here(login(&nodes[0], "ada").await);
    drop(nodes.remove(0));
    let _back = login_until_here(&nodes[0], "ada").await;
    let told = timeout(LONG, session.event()).await;
    assert_eq!(
        told,
        Ok(SessionEvent::Fenced),
        "the player plays elsewhere, and this connection goes on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_leave_is_finished_by_the_next_one() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let leaving = join(&hooks.wrap(&backend), "leaving").await;
    let other = join(&backend, "other").await;
    sees(&[leaving.clone(), other.clone()], 2).await;
    let mut session = here(login(&leaving, "ada").await);
    session.save_every(Duration::from_secs(10));
    *session.value_mut() = 5;
    hooks.cut_off();
    let dropped = timeout(Duration::from_secs(1), leaving.leave()).await;
    assert!(
        dropped.is_err(),
        "it cannot leave while it is cut off: {dropped:?}"
    );
    hooks.heal();
    leaving.leave().await.unwrap();
    sees(std::slice::from_ref(&other), 1).await;
    assert_eq!(
        *login_until_here(&other, "ada").await.value(),
        5,
        "leaving saves what is pending"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leave_that_failed_is_not_ok_the_second_time() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let leaving = join(&hooks.wrap(&backend), "leaving").await;
    let other = join(&backend, "other").await;
    sees(&[leaving.clone(), other.clone()], 2).await;
    hooks.cut_off();
    leaving.leave().await.unwrap_err();
    let second = timeout(Duration::from_secs(1), leaving.leave()).await;
    assert!(!matches!(second, Ok(Ok(()))), "it is still cut off");
}

/// A save that the coalescer has taken is no longer pending, and not yet stored.
#[tokio::test(start_paused = true)]
async fn leaving_waits_for_the_saves_that_are_on_their_way() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let leaving = join(&hooks.wrap(&backend), "leaving").await;
    let other = join(&backend, "other").await;
    sees(&[leaving.clone(), other.clone()], 2).await;
    let mut session = here(login(&leaving, "ada").await);
    session.save_every(Duration::from_millis(100));
    hooks.delay("save", Duration::from_millis(1_500));
    *session.value_mut() = 5;
    // sleep: simulated time until the save is on its way
    tokio::time::sleep(Duration::from_millis(200)).await;
    leaving.leave().await.unwrap();
    let back = login_until_here(&other, "ada").await;
    assert_eq!(*back.value(), 5, "the last save was overtaken");
}
