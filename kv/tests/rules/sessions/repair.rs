//! Faults planted one by one among what is stored: each is found and repaired.

use std::time::Duration;

use ringhold_core::session::{
    OnExisting, RemoveSession, RepairCursor, RepairSessions, SessionFault, SessionProblem,
};
use ringhold_core::{ErrorKind, SessionRecord, SessionStore, Ttl};
use ringhold_testkit::{Make, SimulatedClock};

use crate::common::Reach;
use crate::common::sessions::{KvSessions, account};

/// How a stored entry is spoiled, and what is found.
const PLANTS: &[(&str, SessionProblem)] = &[
    ("no session", SessionProblem::Dangling),
    ("no body", SessionProblem::Unreadable),
    ("no list", SessionProblem::NotIndexed),
    ("no due key", SessionProblem::NotIndexed),
    ("a session of other bytes", SessionProblem::Unreadable),
    ("a body of other bytes", SessionProblem::Unreadable),
    ("a list of other bytes", SessionProblem::Unreadable),
    ("a list with a session twice", SessionProblem::Dangling),
    ("a foreign due key", SessionProblem::Unreadable),
    ("a due key of no session", SessionProblem::Dangling),
    ("a body of no session", SessionProblem::Dangling),
    ("no grave", SessionProblem::NotIndexed),
    ("a tombstone of other bytes", SessionProblem::Unreadable),
    ("no tombstone", SessionProblem::Dangling),
];

/// Two sessions, and the tombstone of a third.
async fn scene() -> (KvSessions, [SessionRecord; 2], Make) {
    let make = Make::new("a repair");
    let kv = KvSessions::new(Reach::Far, SimulatedClock::new());
    let mut created = Vec::new();
    for _ in 0..3 {
        let login = make.login(&make.player(), &make.owner(), Ttl::MAX);
        created.push(kv.create(login).await.expect("a login").session);
    }
    let removed = created.pop().expect("three sessions");
    let remove = RemoveSession::new(removed.id, removed.fence, make.operation());
    kv.remove(remove).await.expect("its end");
    (kv, created.try_into().expect("two sessions"), make)
}

/// The first key that begins so.
fn key_of(kv: &KvSessions, prefix: &str) -> Vec<u8> {
    let keys = kv.store.keys();
    let key = keys.into_iter().find(|key| key.starts_with(prefix.as_bytes()));
    key.expect("it is there")
}

fn plant(kv: &KvSessions, what: &str, session: &SessionRecord, make: &Make) {
    let (id, player) = (session.id, session.player.as_str());
    let other = make.session_id(&session.player);
    let [entry, body, list] = [
        format!("session/{id}"),
        format!("body/{id}"),
        format!("player/{player}"),
    ]
    .map(String::into_bytes);
    let due = kv
        .store
        .keys()
        .into_iter()
        .find(|key| key.starts_with(b"due/") && key.ends_with(id.to_string().as_bytes()));
    let due = due.expect("it is due");
    let text = Some(b"other bytes".as_slice());
    match what {
        "no session" => kv.store.set(&entry, None),
        "no body" => kv.store.set(&body, None),
        "no list" => kv.store.set(&list, None),
        "no due key" => kv.store.set(&due, None),
        "a session of other bytes" => kv.store.set(&entry, text),
        "a body of other bytes" => kv.store.set(&body, text),
        "a list of other bytes" => kv.store.set(&list, text),
        "a list with a session twice" => kv.store.set(&list, Some(&id.to_bytes().repeat(2))),
        "a foreign due key" => kv.store.set(b"due/x", Some(b"")),
        "a due key of no session" => {
            let key = format!("due/{:016x}/{other}", 7);
            kv.store.set(key.as_bytes(), Some(b""));
        }
        "a body of no session" => kv.store.set(format!("body/{other}").as_bytes(), text),
        "no grave" => kv.store.set(&key_of(kv, "grave/"), None),
        "a tombstone of other bytes" => kv.store.set(&key_of(kv, "tombstone/"), text),
        "no tombstone" => kv.store.set(&key_of(kv, "tombstone/"), None),
        other => panic!("{other} is not a way to spoil"),
    }
}

/// All faults, part by part, and the number of entries.
async fn faults(kv: &KvSessions, request: RepairSessions) -> (Vec<SessionFault>, u64) {
    let (mut request, mut faults, mut entries) = (request, Vec::new(), 0);
    loop {
        let part = kv.repair(request.clone()).await.expect("a check");
        faults.extend(part.faults);
        entries += part.entries;
        match part.next {
            Some(next) => request = request.after(next),
            None => return (faults, entries),
        }
    }
}

#[tokio::test]
async fn sound_store_has_no_fault() {
    let (kv, _, _) = scene().await;
    let keys = kv.store.keys();
    for request in [RepairSessions::check(), RepairSessions::repair()] {
        assert_eq!(faults(&kv, request).await, (Vec::new(), 3));
    }
    assert_eq!(kv.store.keys(), keys);
}

#[tokio::test]
async fn planted_fault_is_found_and_repaired() {
    for (what, problem) in PLANTS {
        let (kv, [session, other], make) = scene().await;
        plant(&kv, what, &session, &make);
        let before = kv.store.keys();
        let (found, _) = faults(&kv, RepairSessions::check()).await;
        assert!(
            found.iter().any(|fault| fault.problem == *problem),
            "{what}: {found:?}"
        );
        assert!(found.iter().all(|fault| !fault.repaired), "{what}: {found:?}");
        assert_eq!(kv.store.keys(), before, "{what}: a check changes nothing");

        let (repaired, _) = faults(&kv, RepairSessions::repair()).await;
        assert!(
            !repaired.is_empty() && repaired.iter().all(|fault| fault.repaired),
            "{what}"
        );
        let (left, _) = faults(&kv, RepairSessions::check()).await;
        assert_eq!(left, Vec::new(), "{what}");
        account(&kv.store);

        // Players with a readable session keep it, and others log in again.
        assert_eq!(
            kv.find(&other.player).await.expect("it is sound"),
            [other],
            "{what}"
        );
        let login = make.login_with(&session.player, &make.owner(), Ttl::MAX, OnExisting::Existing);
        let created = kv.create(login).await.expect("a login").session;
        let is_lost = matches!(
            *what,
            "no session" | "no body" | "a session of other bytes" | "a body of other bytes"
        );
        assert_eq!(created.id != session.id, is_lost, "{what}");
        let sessions = kv.find(&session.player).await.expect("it is sound");
        assert_eq!(sessions.len(), 1, "{what}");
        account(&kv.store);
    }
}

#[tokio::test]
async fn session_that_its_list_lacks_is_added_in_the_order_of_touches() {
    let make = Make::new("the order of a list");
    let (owner, player) = (make.owner(), make.player());
    for lacks in 0..3 {
        let clock = SimulatedClock::new();
        let kv = KvSessions::new(Reach::Far, clock.clone());
        for _ in 0..3 {
            let login = make.login_with(&player, &owner, Ttl::MAX, OnExisting::Allow { max: 3 });
            kv.create(login).await.expect("a login");
            clock.advance(Duration::from_secs(1));
        }
        let key = format!("player/{player}").into_bytes();
        let whole = kv.store.value(&key).expect("it is there").to_vec();
        let mut list = whole.clone();
        list.drain(18 * lacks..18 * (lacks + 1));
        kv.store.set(&key, Some(&list));
        let (repaired, _) = faults(&kv, RepairSessions::repair()).await;
        assert_eq!(repaired.len(), 1, "{repaired:?}");
        assert_eq!(kv.store.value(&key).as_deref(), Some(&whole[..]), "{lacks}");
        account(&kv.store);
    }
}

#[tokio::test]
async fn record_of_a_newer_format_is_left_to_a_newer_build() {
    let (kv, [session, _], _) = scene().await;
    let key = format!("session/{}", session.id).into_bytes();
    let mut entry = kv.store.value(&key).expect("it is there").to_vec();
    entry[8 + 4] += 1;
    kv.store.set(&key, Some(&entry));
    for (request, what) in [
        (RepairSessions::check(), "a check"),
        (RepairSessions::repair(), "a repair"),
    ] {
        let (found, _) = faults(&kv, request).await;
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert_eq!(
            (found[0].problem, found[0].repaired),
            (SessionProblem::Newer, false),
            "{what}"
        );
    }
    assert_eq!(kv.store.value(&key).as_deref(), Some(&entry[..]));
}

#[tokio::test]
async fn many_faults_take_several_transactions() {
    let make = Make::new("many faults");
    let kv = KvSessions::new(Reach::Far, SimulatedClock::new());
    for _ in 0..40 {
        let login = make.login(&make.player(), &make.owner(), Ttl::MAX);
        let session = kv.create(login).await.expect("a login").session;
        kv.store
            .set(format!("player/{}", session.player).as_bytes(), None);
    }
    let (found, _) = faults(&kv, RepairSessions::check()).await;
    assert_eq!(found.len(), 40);
    let (repaired, entries) = faults(&kv, RepairSessions::repair()).await;
    assert_eq!((repaired.len(), entries), (40, 40));
    assert_eq!(account(&kv.store), 40);
}

#[tokio::test]
async fn foreign_cursor_is_refused() {
    let (kv, _, _) = scene().await;
    for cursor in [b"".as_slice(), b"node/a", b"\xff\xff"] {
        let request = RepairSessions::repair().after(RepairCursor::from_bytes(cursor));
        let error = kv.repair(request).await.expect_err("it is foreign");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}
