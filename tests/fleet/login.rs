//! Logging in: here, elsewhere, back, displaced, refused.

use std::collections::HashSet;
use std::time::Duration;

use ringhold::{ErrorKind, Fleet, Login, LoginOptions, NodeState, SessionEvent, Timing, Ttl};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{LONG, elsewhere, fleet_of, here, join, login, memory, player};

#[tokio::test]
async fn a_player_is_here_then_elsewhere_then_back_with_the_data() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let mut session = here(login(&nodes[0], "ada").await);
    assert!(session.is_new());
    *session.value_mut() = 7;
    assert_eq!(session.save().await.unwrap().version, session.version());
    let to = elsewhere(login(&nodes[1], "ada").await);
    assert_eq!(to.address("player").unwrap().as_str(), "n0.test:4000");
    let id = session.id();
    drop(session);
    let session = here(login(&nodes[0], "ada").await);
    assert_eq!((*session.value(), session.id(), session.is_new()), (7, id, false));
    assert_eq!(session.fence().epoch, 2);
}

#[tokio::test]
async fn a_second_login_on_the_same_node_displaces_the_first() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut first = here(login(&node, "ada").await);
    let second = here(login(&node, "ada").await);
    let event = timeout(LONG, first.event()).await.unwrap();
    assert_eq!(
        event,
        SessionEvent::Displaced {
            by: Some(node.node())
        }
    );
    assert_eq!(first.save().await.unwrap_err().kind(), ErrorKind::Fenced);
    assert_eq!(
        first.close().await.unwrap_err().kind(),
        ErrorKind::Fenced,
        "a late close ends nothing"
    );
    assert_eq!(node.attached(), 1);
    assert!(node.backend().sessions.get(&second.id()).await.unwrap().is_some());
}

#[tokio::test]
async fn displacing_takes_a_player_from_a_live_node_and_tells_it_at_once() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let mut held = here(login(&nodes[0], "ada").await);
    *held.value_mut() = 9;
    held.save().await.unwrap();
    let options = LoginOptions::new().displace();
    let taken = here(nodes[1].login::<u64>(&player("ada"), options).await);
    assert_eq!((*taken.value(), taken.id()), (9, held.id()));
    // Far sooner than the touch, which comes after 16 s at the earliest.
    let event = timeout(Duration::from_secs(5), held.event()).await.unwrap();
    assert_eq!(
        event,
        SessionEvent::Displaced {
            by: Some(nodes[1].node())
        }
    );
}

/// Without `displace`, one of a hundred tasks on five nodes gets the session and stays; who comes
/// to the same node later takes it over, everybody else is told where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_logins_of_one_player_make_one_session() {
    hundred(LoginOptions::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_displacing_logins_of_one_player_leave_one_session() {
    hundred(LoginOptions::new().displace()).await;
}

async fn hundred(options: LoginOptions) {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 5, Timing::default()).await;
    let mut tasks = JoinSet::new();
    for index in 0..100 {
        let node: Fleet = nodes[index % 5].clone();
        tasks.spawn(async move {
            (
                node.node(),
                node.login::<u64>(&player("ada"), options).await.unwrap(),
            )
        });
    }
    let mut sessions = Vec::new();
    let mut told = 0;
    for (node, login) in tasks.join_all().await {
        match login {
            Login::Here(session) => sessions.push((node, session)),
            Login::Elsewhere(to) => {
                told += 1;
                assert_ne!(to.node, node);
            }
        }
    }
    assert_eq!(sessions.len() + told, 100);
    assert!(
        options.displace == (told == 0),
        "{told} were told to go elsewhere"
    );
    let stored = backend.sessions.find(&player("ada")).await.unwrap();
    let [stored] = &stored[..] else {
        panic!("{} sessions remain", stored.len())
    };
    let fences: HashSet<_> = sessions.iter().map(|(_, session)| session.fence()).collect();
    assert_eq!(fences.len(), sessions.len(), "each fence had one owner");
    assert_eq!(stored.fence.epoch, sessions.len() as u64);
    for (node, mut session) in sessions {
        assert_eq!(session.id(), stored.id);
        if session.fence() == stored.fence {
            assert_eq!(stored.owner, node);
            session.save().await.unwrap();
        } else {
            let event = timeout(LONG, session.event()).await;
            assert!(matches!(event, Ok(SessionEvent::Displaced { .. })), "{event:?}");
        }
    }
}

#[tokio::test]
async fn resuming_takes_exactly_this_session_of_this_player() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let session = here(login(&node, "ada").await);
    let id = session.id();
    let resume = |name: &str| {
        let (node, name) = (node.clone(), player(name));
        async move { node.login::<u64>(&name, LoginOptions::new().resume(id)).await }
    };
    assert_eq!(
        resume("bob").await.unwrap_err().kind(),
        ErrorKind::NotFound,
        "an id is no credential"
    );
    let session = {
        drop(session);
        here(resume("ada").await)
    };
    assert_eq!(session.id(), id);
    session.close().await.unwrap();
    assert_eq!(resume("ada").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(here(login(&node, "ada").await).is_new());
}

#[tokio::test]
async fn a_full_node_takes_its_own_players_back_and_nobody_else() {
    let backend = memory().await;
    let node = Fleet::builder(backend)
        .node("a")
        .capacity(1)
        .join()
        .await
        .unwrap();
    let ada = here(login(&node, "ada").await);
    assert_eq!(
        login(&node, "bob").await.unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    let ada = {
        let back = here(login(&node, "ada").await);
        drop(ada);
        back
    };
    assert_eq!((node.attached(), ada.is_new()), (1, false));
    drop(ada);
    here(login(&node, "bob").await);
}

#[tokio::test]
async fn a_draining_node_keeps_its_players_and_takes_none() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let ada = here(login(&nodes[0], "ada").await);
    nodes[0]
        .update(|record| record.state = NodeState::Draining)
        .await
        .unwrap();
    assert_eq!(
        login(&nodes[0], "bob").await.unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    nodes[1]
        .wait_for(|view| view.nodes()[0].record.state == NodeState::Draining)
        .await;
    for index in 0..50 {
        let place = nodes[1].place(format!("player-{index}")).unwrap();
        assert_eq!(place.record().id.as_str(), "n1");
    }
    drop(ada);
    here(login(&nodes[0], "ada").await);
}

#[tokio::test]
async fn a_value_of_another_type_is_corrupt_and_stays() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(node.login::<String>(&player("ada"), LoginOptions::new()).await);
    session.value_mut().push_str("not a pair of numbers");
    session.save().await.unwrap();
    drop(session);
    let error = node
        .login::<(u8, u8)>(&player("ada"), LoginOptions::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(node.attached(), 0);
    let raw = here(node.login_raw(&player("ada"), LoginOptions::new()).await);
    assert!(raw.value().ends_with(b"numbers"), "nothing was overwritten");
}

#[tokio::test]
async fn odd_player_ids_are_players_like_others() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let wide = "\u{1F3AE}".repeat(32);
    let mut sessions = Vec::new();
    for name in ["{", "}", "{a}", "a\0b", "a\r\nb", " ", &wide] {
        sessions.push(here(login(&nodes[0], name).await));
        elsewhere(login(&nodes[1], name).await);
        let located = nodes[1].locate(&player(name)).await.unwrap().unwrap();
        assert_eq!(located.node.unwrap().id.as_str(), "n0");
    }
    assert_eq!(nodes[0].attached(), sessions.len());
}

#[tokio::test(start_paused = true)]
async fn a_login_may_have_its_own_time_to_live() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let ttl = Ttl::new(Duration::from_secs(3)).unwrap();
    let session = here(
        node.login::<u64>(&player("ada"), LoginOptions::new().ttl(ttl))
            .await,
    );
    let mut events = node.events();
    drop(session);
    let expired = timeout(LONG, async {
        while let Some(event) = events.next().await {
            if let ringhold::FleetEvent::SessionExpired(session) = event {
                return session.player.clone();
            }
        }
        panic!("the fleet stopped");
    });
    assert_eq!(expired.await.unwrap(), player("ada"));
}
