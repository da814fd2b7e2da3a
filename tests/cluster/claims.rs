//! Nodes that die, and many who want the same player.

use std::sync::Arc;
use std::time::Duration;

use ringhold::{ErrorKind, Login, LoginOptions};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Bed, LONG, here, is_undisturbed, login, login_until_here, player, sees};

const TTL: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_a_dead_node_loses_only_its_own_players_and_they_lose_nothing() {
    let bed = Bed::start().await;
    let mut fleet = bed.fleet(3, TTL).await;
    let mut sessions = Vec::new();
    for index in 0..30 {
        let mut session = here(login(&fleet[index % 3], format!("player-{index}")).await);
        *session.value_mut() = 100 + index as u64;
        session.save().await.unwrap();
        sessions.push(session);
    }
    // The last handle goes without a word, as the process would.
    let dead = fleet.remove(0);
    assert_eq!(dead.node().node.as_str(), "n0");
    let start = Instant::now();
    drop(dead);
    sees(&fleet, 2).await;
    let noticed = start.elapsed();
    assert!(noticed < Duration::from_secs(15), "noticed after {noticed:?}");
    for index in (0..30).step_by(3) {
        let session = login_until_here(&fleet[index / 3 % 2], &format!("player-{index}")).await;
        assert_eq!(
            (*session.value(), session.id()),
            (100 + index as u64, sessions[index].id())
        );
        assert!(session.fence().epoch > 1, "it was claimed");
        // Who was declared dead and is not could still write, but for the fence.
        *sessions[index].value_mut() = 0;
        assert!(sessions[index].save().await.is_err());
    }
    for index in (0..30).filter(|index| index % 3 != 0) {
        is_undisturbed(&mut sessions[index]).await;
        assert_eq!(sessions[index].fence().epoch, 1);
        sessions[index].save().await.unwrap();
    }
}

/// With and without taking it from a live node: one session of the player stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_a_hundred_logins_of_one_player_leave_one_session() {
    let bed = Bed::start().await;
    let fleet = bed.fleet(5, TTL).await;
    for (name, displaces) in [("ada", false), ("bob", true)] {
        let together = Arc::new(Barrier::new(100));
        let mut tasks = JoinSet::new();
        for task in 0..100 {
            let (node, together) = (fleet[task % 5].clone(), Arc::clone(&together));
            tasks.spawn(async move {
                let mut options = LoginOptions::new();
                options.displace = displaces && task % 2 == 0;
                together.wait().await;
                node.login::<u64>(&player(name), options).await
            });
        }
        let (mut held, mut elsewhere) = (Vec::new(), 0);
        for login in tasks.join_all().await {
            match login {
                Ok(Login::Here(session)) => held.push(session),
                Ok(Login::Elsewhere(_)) => elsewhere += 1,
                // Another one took the place between two looks.
                Err(error) if displaces => assert!(matches!(error.kind(), ErrorKind::Fenced), "{error}"),
                Err(error) => panic!("{error}"),
            }
        }
        let located = fleet[0]
            .locate(&player(name))
            .await
            .unwrap()
            .expect("somebody has it");
        let mut writers = Vec::new();
        for session in &mut held {
            *session.value_mut() += 1;
            if session.save().await.is_ok() {
                writers.push((session.id(), session.fence()));
            }
        }
        assert_eq!(writers, [(located.session.id, located.session.fence)], "{name}");
        if !displaces {
            assert!(
                elsewhere >= 80,
                "{elsewhere} were sent on, of the 80 on other nodes"
            );
        }
        // The handles that lost are told, those on other nodes by the touch at the latest.
        let mut displaced = 0;
        for session in &mut held {
            if session.fence() != located.session.fence {
                tokio::time::timeout(LONG, session.event())
                    .await
                    .expect("it is told");
                displaced += 1;
            }
        }
        assert_eq!(displaced + 1, held.len());
        let attached: usize = fleet.iter().map(ringhold::Fleet::attached).sum();
        assert_eq!(attached, 1, "{name}");
    }
}
