//! Logging in: here, elsewhere, back, displaced, refused.

use std::time::Duration;

use bytes::Bytes;
use ringhold::core::session::{CreateSession, OnExisting};
use ringhold::{ErrorKind, Fleet, LoginOptions, NodeState, Nonce, SessionEvent, SessionId, Timing, Ttl};
use tokio::time::timeout;

use crate::support::{LONG, elsewhere, fleet_of, here, join, login, memory, player, sees};

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
async fn a_value_of_another_type_is_corrupt_and_stays() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(node.login::<String>(&player("ada"), LoginOptions::new()).await);
    session.value_mut().push_str("not a pair of numbers");
    session.save().await.unwrap();
    let id = session.id();
    for held in [Some(session), None] {
        let error = node
            .login::<(u8, u8)>(&player("ada"), LoginOptions::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{held:?}");
        assert_eq!(node.attached(), usize::from(held.is_some()), "{held:?}");
    }
    let raw = here(node.login_raw(&player("ada"), LoginOptions::new()).await);
    assert!(raw.value().ends_with(b"numbers"), "nothing was overwritten");
    assert_eq!(
        (raw.id(), raw.fence().epoch),
        (id, 2),
        "this login alone made a fence"
    );
}

#[tokio::test(start_paused = true)]
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
    let (told, mut expired) = tokio::sync::mpsc::unbounded_channel();
    let node = Fleet::builder(backend.clone())
        .node("a")
        .on_expired(move |session| {
            let told = told.send(session.player);
            async { told }
        });
    let node = node.join().await.unwrap();
    let ttl = Ttl::new(Duration::from_secs(3)).unwrap();
    let session = here(
        node.login::<u64>(&player("ada"), LoginOptions::new().ttl(ttl))
            .await,
    );
    drop(session);
    assert_eq!(timeout(LONG, expired.recv()).await.unwrap(), Some(player("ada")));
}

#[tokio::test(start_paused = true)]
async fn a_full_node_displaces_nobody_from_elsewhere() {
    let backend = memory().await;
    let builder = Fleet::builder(backend.clone()).node("small").capacity(1);
    let small = builder.join().await.unwrap();
    let other = join(&backend, "other").await;
    sees(&[small.clone(), other.clone()], 2).await;
    let _ada = here(login(&small, "ada").await);
    let mut bob = here(login(&other, "bob").await);
    let displacing = small
        .login::<u64>(&player("bob"), LoginOptions::new().displace())
        .await;
    assert_eq!(displacing.unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(small.attached(), 1);
    bob.save().await.expect("he stays where he is");
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_displaces_nobody_from_elsewhere() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let mut bob = here(login(&nodes[1], "bob").await);
    nodes[0]
        .update(|record| record.state = NodeState::Draining)
        .await
        .unwrap();
    let displacing = nodes[0]
        .login::<u64>(&player("bob"), LoginOptions::new().displace())
        .await;
    assert_eq!(displacing.unwrap_err().kind(), ErrorKind::Overloaded);
    bob.save().await.expect("he stays where he is");
}

#[tokio::test(start_paused = true)]
async fn resuming_takes_the_one_that_was_asked_for_of_several() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let ada = player("ada");
    let mut ids = Vec::new();
    for byte in [1, 2] {
        let id = SessionId::new(ada.partition(), [byte; 16]);
        let ttl = Ttl::new(Duration::from_secs(60)).unwrap();
        let request = CreateSession::new(id, ada.clone(), node.node(), Nonce::from_bytes([byte; 16]), ttl)
            .with_data(Bytes::from(vec![byte]))
            .with_on_existing(OnExisting::Allow { max: 2 });
        backend.sessions.create(request).await.unwrap();
        ids.push(id);
    }
    let session = here(node.login::<u64>(&ada, LoginOptions::new().resume(ids[0])).await);
    assert_eq!((session.id(), *session.value()), (ids[0], 1));
}
