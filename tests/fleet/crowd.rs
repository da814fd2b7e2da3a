//! Many at once, on several threads: messages, logins that displace, kicks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringhold::{ErrorKind, Fleet, LoginOptions, Session, SessionEvent, Timing};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::support::{LONG, fleet_of, here, memory, player};

const PLAYERS: usize = 8;

/// The numbers that one stay was sent, until it was told its end. A kick that finds nobody who stays where it is
/// leaves that to the next touch, which comes within 20 s.
async fn listen(mut session: Session<u64>) -> Vec<u64> {
    let mut heard = Vec::new();
    loop {
        match timeout(Duration::from_secs(30), session.event()).await {
            Ok(SessionEvent::Message(message)) => {
                heard.push(u64::from_be_bytes(message.body[..].try_into().unwrap()));
            }
            Ok(SessionEvent::Displaced { .. } | SessionEvent::Kicked { .. } | SessionEvent::Fenced) => {
                return heard;
            }
            other => panic!("{other:?} under {:?}", session.fence()),
        }
    }
}

/// Logs the player in on one node after the other. What each stay heard.
async fn move_about(nodes: Vec<Fleet>, name: String, over: Arc<AtomicBool>) -> Vec<Vec<u64>> {
    let (mut stays, mut turn) = (JoinSet::new(), 0);
    // The last login comes when nobody kicks any more.
    let mut is_last = false;
    loop {
        let node = &nodes[turn * turn % nodes.len()];
        turn += 1;
        let options = LoginOptions::new().displace();
        match node.login::<u64>(&player(&name), options).await {
            // It was kicked on its way.
            Err(error) if error.kind() == ErrorKind::Fenced => yield_now().await,
            login if is_last => {
                drop(here(login));
                return stays.join_all().await;
            }
            login => drop(stays.spawn(listen(here(login)))),
        }
        is_last = over.load(Ordering::SeqCst);
        // sleep: a stay lasts some time
        tokio::time::sleep(Duration::from_millis(turn as u64 % 5)).await;
    }
}

/// Sends numbers to the player, and kicks it now and then. The last number.
async fn tell(node: Fleet, name: String, over: Arc<AtomicBool>) -> u64 {
    let (to, mut sent) = (player(name), 0_u64);
    while !over.load(Ordering::SeqCst) {
        sent += 1;
        if let Err(error) = node.send_to_player(&to, sent.to_be_bytes().to_vec()).await {
            let kinds = [ErrorKind::NotFound, ErrorKind::NotOwner, ErrorKind::Overloaded];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
        if sent % 256 == 0 {
            node.kick(&to, "").await.unwrap();
        }
        // Within this process nothing of it has to wait.
        yield_now().await;
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_messages_come_once_and_in_order_while_players_move_and_are_kicked() {
    let nodes = fleet_of(&memory().await, 3, Timing::default()).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut crowd = Vec::new();
    for index in 0..PLAYERS {
        let (name, node) = (format!("player-{index}"), nodes[index % nodes.len()].clone());
        let stays = tokio::spawn(move_about(nodes.clone(), name.clone(), Arc::clone(&over)));
        crowd.push((stays, tokio::spawn(tell(node, name, Arc::clone(&over)))));
    }
    // sleep: the crowd is let run
    tokio::time::sleep(Duration::from_secs(2)).await;
    over.store(true, Ordering::SeqCst);
    for (stays, sent) in crowd {
        let sent = timeout(LONG, sent).await.expect("it still sends").unwrap();
        let stays = timeout(LONG, stays).await.expect("it still moves").unwrap();
        for stay in &stays {
            assert!(stay.is_sorted(), "out of order: {stay:?}");
        }
        let mut all = stays.concat();
        all.sort_unstable();
        let heard = all.len();
        all.dedup();
        assert_eq!(all.len(), heard, "some came twice");
        assert!(
            heard > 0 && stays.len() > 1,
            "{} stays heard {heard} of {sent}",
            stays.len()
        );
    }
}
