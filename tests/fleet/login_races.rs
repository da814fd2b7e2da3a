//! Many logins of one player at once: whatever their order, one of them holds the session.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold::{Fleet, Login, LoginOptions, SessionEvent, Timing};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::hooks::Hooks;
use crate::support::{LONG, fleet_of, memory, player};

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
    // In real time, so that they see each other soon.
    let timing = Timing::new(Duration::from_millis(200), Duration::from_secs(2)).unwrap();
    let nodes = fleet_of(&backend, 5, timing).await;
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

/// The same with every request and every answer held up for a while, and with connections that go
/// as soon as they have come.
#[tokio::test(start_paused = true)]
async fn logins_in_any_order_leave_one_holder() {
    for seed in 0..20 {
        let options = LoginOptions::new();
        logins_in_some_order(
            seed,
            if seed % 2 == 0 {
                options.displace()
            } else {
                options
            },
        )
        .await;
    }
}

async fn logins_in_some_order(seed: u64, options: LoginOptions) {
    let (backend, hooks) = (memory().await, Hooks::default());
    let nodes = fleet_of(&hooks.wrap(&backend), 3, Timing::default()).await;
    let delays = Delays(Arc::new(Mutex::new(seed)));
    let delay = move |method: &'static str| {
        let delay = delays.next();
        async move {
            if method != "renew" {
                // sleep: how long this request or this answer travels, in simulated time
                tokio::time::sleep(delay).await;
            }
            Ok(())
        }
    };
    let delay_answer = delay.clone();
    hooks.before(move |call| delay(call.method));
    hooks.after(move |call| delay_answer(call.method));
    let mut tasks = JoinSet::new();
    for index in 0..60 {
        let node = nodes[index % 3].clone();
        tasks.spawn(async move {
            // sleep: the players come one after the other, in simulated time
            tokio::time::sleep(Duration::from_millis(index as u64 * 7 % 90)).await;
            let login = node.login::<u64>(&player("ada"), options).await.unwrap();
            let stays = index % 4 != 0;
            stays.then_some(login)
        });
    }
    let mut sessions = Vec::new();
    for login in tasks.join_all().await {
        if let Some(Login::Here(session)) = login {
            sessions.push(session);
        }
    }
    hooks.heal();
    // sleep: simulated time in which everybody learns what became of them
    tokio::time::sleep(LONG).await;
    let stored = backend.sessions.find(&player("ada")).await.unwrap();
    assert!(stored.len() <= 1, "seed {seed}: {} sessions remain", stored.len());
    let mut holders = 0;
    for session in &mut sessions {
        match timeout(Duration::from_millis(1), session.event()).await {
            Err(_) => {
                holders += 1;
                assert_eq!(
                    Some(session.fence()),
                    stored.first().map(|stored| stored.fence),
                    "seed {seed}"
                );
            }
            Ok(event) => assert!(
                matches!(event, SessionEvent::Displaced { .. }),
                "seed {seed}: {event:?}"
            ),
        }
    }
    assert!(
        holders <= 1,
        "seed {seed}: {holders} connections hold the session"
    );
    let attached: usize = nodes.iter().map(Fleet::attached).sum();
    assert_eq!(attached, holders, "seed {seed}: who is gone is counted");
    drop(sessions);
    let attached: usize = nodes.iter().map(Fleet::attached).sum();
    assert_eq!(attached, 0, "seed {seed}: everybody is gone");
}

/// Below 50 ms each, and the same for the same seed.
#[derive(Clone)]
struct Delays(Arc<Mutex<u64>>);

impl Delays {
    fn next(&self) -> Duration {
        let mut state = self.0.lock().unwrap();
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((*state >> 33) % 50)
    }
}
