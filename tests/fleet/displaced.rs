//! One login across nodes: whoever loses a player to another node is told at once, and by the touch where
//! that message is lost.

use std::collections::HashSet;
use std::time::Duration;

use ringhold::{Fleet, LoginOptions, Session, SessionEvent, Timing};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::line::Line;
use crate::support::{LONG, fleet_of, here, join, login, memory, player};

/// Sooner than any touch, which comes after 16 s at the earliest.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Logs the player in a hundred times on five nodes at once; answers who got it, in the order of the fences.
async fn hundred(nodes: &[Fleet]) -> Vec<(Fleet, Session<u64>)> {
    let mut tasks = JoinSet::new();
    for index in 0..100 {
        let node = nodes[index % nodes.len()].clone();
        tasks.spawn(async move {
            // sleep: the players come one after the other, in simulated time
            tokio::time::sleep(Duration::from_millis(index as u64 * 7 % 30)).await;
            let session = here(node.login(&player("ada"), LoginOptions::new().displace()).await);
            (node, session)
        });
    }
    let mut held = tasks.join_all().await;
    held.sort_by_key(|(_, session)| session.fence().epoch);
    held
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_displacing_logins_on_five_nodes_one_stays_and_the_others_are_told_at_once() {
    for lost in [0, 40] {
        let (backend, line) = (memory().await, Line::new());
        let nodes = fleet_of(&line.wrap(&backend), 5, Timing::default()).await;
        line.lose_answers(lost);
        let mut held = hundred(&nodes).await;
        let fences: HashSet<_> = held.iter().map(|(_, session)| session.fence()).collect();
        let epochs: Vec<_> = held.iter().map(|(_, session)| session.fence().epoch).collect();
        assert_eq!(fences.len(), 100, "each fence had one owner");
        assert_eq!(epochs, (1..=100).collect::<Vec<_>>());
        let stored = backend.sessions.find(&player("ada")).await.unwrap();
        let (node, mut last) = held.pop().unwrap();
        assert_eq!(
            (stored.len(), &stored[0].fence, &stored[0].owner),
            (1, &last.fence(), &node.node())
        );
        let deadline = Instant::now() + AT_ONCE;
        for (node, session) in &mut held {
            let event = tokio::time::timeout_at(deadline, session.event()).await;
            let fence = session.fence();
            assert!(
                matches!(event, Ok(SessionEvent::Displaced { by: Some(_) })),
                "{} under {fence:?}: {event:?}, {lost} answers lost",
                node.node()
            );
        }
        assert!(timeout(LONG, last.event()).await.is_err(), "the last one stays");
        last.save().await.unwrap();
        assert_eq!(nodes.iter().map(Fleet::attached).sum::<usize>(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_reached_the_touch_tells() {
    let (backend, line) = (memory().await, Line::new());
    let nodes = fleet_of(&line.wrap(&backend), 5, Timing::default()).await;
    for index in 0..5 {
        if index % 2 == 0 {
            line.cut(&format!("n{index}"));
        } else {
            line.hang(&format!("n{index}"));
        }
    }
    let mut held = hundred(&nodes).await;
    let (_, mut last) = held.pop().unwrap();
    for (_, session) in &mut held {
        let event = timeout(Duration::from_secs(21), session.event()).await;
        assert!(matches!(event, Ok(SessionEvent::Displaced { .. })), "{event:?}");
    }
    assert!(timeout(LONG, last.event()).await.is_err());
    last.save().await.unwrap();
}

/// Who took the player has not seen the holder yet: it waits for its record.
#[tokio::test(start_paused = true)]
async fn a_holder_that_has_just_joined_is_told_as_soon_as_it_is_seen() {
    let backend = memory().await;
    let old = join(&backend, "old").await;
    let new = join(&backend, "new").await;
    let mut held = here(login(&new, "ada").await);
    assert_eq!(old.view().nodes().len(), 1, "it has not seen the new one");
    let _taken = here(
        old.login::<u64>(&player("ada"), LoginOptions::new().displace())
            .await,
    );
    let event = timeout(AT_ONCE, held.event()).await;
    assert_eq!(event.unwrap(), SessionEvent::Displaced { by: Some(old.node()) });
}
