//! Writers of the same sessions at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringhold_core::session::{SessionRecord, Touch, Touched};
use ringhold_core::{SessionStore, Version};
use ringhold_testkit::launch::EtcdOptions;
use ringhold_testkit::{Make, within};

use crate::support::{open, start, ttl};

async fn sessions(store: &dyn SessionStore, make: &Make, count: usize) -> Vec<SessionRecord> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        sessions.push(store.create(login).await.unwrap().session);
    }
    sessions
}

/// Sessions that are saved all the time lose every race of a whole batch.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_saved_all_the_time_hold_up_no_touches() {
    let cluster = start(EtcdOptions::new()).await;
    let make = Arc::new(Make::new(
        "sessions_that_are_saved_all_the_time_hold_up_no_touches",
    ));
    let store = open(&cluster.url("races")).await.unwrap().sessions;
    let all = sessions(&*store, &make, 50).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for session in all.iter().take(8).cloned() {
        let (store, make, stop) = (Arc::clone(&store), Arc::clone(&make), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let mut session = session;
            let mut saves = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                // A touch that was faster is no conflict: it leaves fence and version alone.
                session.version = store.save(make.save(&session, b"data")).await.unwrap().version;
                saves += 1;
            }
            (session.version, saves)
        }));
    }
    let touches: Vec<Touch> = all
        .iter()
        .map(|session| Touch::new(session.id, session.fence, ttl(600)))
        .collect();
    for _ in 0..5 {
        let outcome = within("a batch", store.touch_many(&touches)).await.unwrap();
        assert!(
            outcome.answers.iter().all(|answer| *answer == Touched::Renewed),
            "{outcome:?}"
        );
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        let (version, saves) = within("a writer", writer).await.unwrap();
        assert_ne!(version, Version::new(0));
        assert!(saves > 0, "nobody was saved meanwhile");
    }
}

/// Many processes move one clock on, and every login is one.
#[tokio::test(flavor = "multi_thread")]
async fn logins_of_one_player_through_many_clients_leave_one_session() {
    let cluster = start(EtcdOptions::new()).await;
    let make = Arc::new(Make::new(
        "logins_of_one_player_through_many_clients_leave_one_session",
    ));
    let player = make.player();
    let mut clients = Vec::new();
    for _ in 0..6 {
        let store = open(&cluster.url("races")).await.unwrap().sessions;
        let (make, player) = (Arc::clone(&make), player.clone());
        clients.push(tokio::spawn(async move {
            let mut last = None;
            for _ in 0..5 {
                let rule = ringhold_core::session::OnExisting::Replace;
                let login = make.login_with(&player, &make.owner(), ttl(600), rule);
                last = Some(store.create(login).await.unwrap().session);
            }
            (store, last)
        }));
    }
    let mut stores = Vec::new();
    for client in clients {
        stores.push(within("a client", client).await.unwrap());
    }
    let (store, _) = &stores[0];
    let left = store.find(&player).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    let last = stores.iter().filter_map(|(_, last)| last.as_ref());
    assert_eq!(last.filter(|last| last.id == left[0].id).count(), 1);
}
