//! Faults planted one by one among what a server stores: each is found and repaired.

use std::time::Duration;

use ringhold_core::session::{
    OnExisting, RemoveSession, RepairCursor, RepairSessions, RestoreSession, SessionFault, SessionProblem,
    Touch,
};
use ringhold_core::{ErrorKind, Partition, SessionRecord, SessionStore};
use ringhold_testkit::launch::{RedisServer, ServerClock};
use ringhold_testkit::{Make, run};

use crate::each_client::on_each_client;
use crate::real::{Stored, open, ttl};
use crate::suite::servers;

/// How a stored entry is spoiled, and what is found.
const PLANTS: &[(&str, SessionProblem)] = &[
    ("no session", SessionProblem::Dangling),
    ("no body", SessionProblem::Unreadable),
    ("no list", SessionProblem::NotIndexed),
    ("no deadline", SessionProblem::NotIndexed),
    ("another deadline", SessionProblem::NotIndexed),
    ("a session of other bytes", SessionProblem::Unreadable),
    ("a body of other bytes", SessionProblem::Unreadable),
    ("a body that only a decoder refuses", SessionProblem::Unreadable),
    ("a list of other bytes", SessionProblem::Unreadable),
    ("a list with a session twice", SessionProblem::Dangling),
    ("a deadline of no session", SessionProblem::Dangling),
    ("a body of no session", SessionProblem::Dangling),
    ("a foreign field", SessionProblem::Unreadable),
    ("a tombstone of other bytes", SessionProblem::Unreadable),
];

/// Two sessions and a tombstone in one partition, so that each key is there once.
async fn scene(sessions: &dyn SessionStore, make: &Make) -> ([SessionRecord; 2], SessionRecord) {
    let first = make.player();
    let mut created = Vec::new();
    for player in [
        first.clone(),
        make.player_in(first.partition()),
        make.player_in(first.partition()),
    ] {
        let login = make.login(&player, &make.owner(), ttl(600));
        created.push(sessions.create(login).await.unwrap().session);
    }
    let removed = created.pop().expect("three sessions");
    let remove = RemoveSession::new(removed.id, removed.fence, make.operation());
    sessions.remove(remove).await.unwrap();
    (created.try_into().expect("two sessions"), removed)
}

fn plant(server: &RedisServer, fleet: &str, what: &str, session: &SessionRecord, removed: &SessionRecord) {
    let [all, players, deadlines] = ["s", "p", "d"].map(|name| server.key(fleet, name));
    let (id, player) = (session.id.to_bytes(), session.player.as_str().as_bytes());
    let mut other = id;
    other[17] ^= 1;
    let of = |id: &[u8]| [id, b"b"].concat();
    let text = b"other bytes".as_slice();
    match what {
        "no session" => server.ask(&[b"HDEL", &all, &id]),
        "no body" => server.ask(&[b"HDEL", &all, &of(&id)]),
        "no list" => server.ask(&[b"HDEL", &players, player]),
        "no deadline" => server.ask(&[b"ZREM", &deadlines, &id]),
        "another deadline" => server.ask(&[b"ZADD", &deadlines, b"7", &id]),
        "a session of other bytes" => server.ask(&[b"HSET", &all, &id, text]),
        "a body of other bytes" => server.ask(&[b"HSET", &all, &of(&id), text]),
        "a body that only a decoder refuses" => {
            let mut body = server.bytes(&[b"HGET", &all, &of(&id)]);
            body.push(0);
            server.ask(&[b"HSET", &all, &of(&id), &body])
        }
        "a list of other bytes" => server.ask(&[b"HSET", &players, player, text]),
        "a list with a session twice" => server.ask(&[b"HSET", &players, player, &id.repeat(2)]),
        "a deadline of no session" => server.ask(&[b"ZADD", &deadlines, b"7", &other]),
        "a body of no session" => server.ask(&[b"HSET", &all, &of(&other), text]),
        "a foreign field" => server.ask(&[b"HSET", &all, b"foreign", text]),
        "a tombstone of other bytes" => server.ask(&[b"HSET", &all, &removed.id.to_bytes(), text]),
        other => panic!("{other} is not a way to spoil"),
    };
}

/// The faults of the part that begins with a partition, and the number of its entries.
async fn faults(
    sessions: &dyn SessionStore,
    request: RepairSessions,
    partition: Partition,
) -> (Vec<SessionFault>, u64) {
    let first = RepairCursor::from_bytes(partition.get().to_be_bytes().to_vec());
    let part = sessions.repair(request.after(first)).await.unwrap();
    (part.faults, part.entries)
}

fn problems(faults: &[SessionFault]) -> Vec<(SessionProblem, bool)> {
    faults
        .iter()
        .map(|fault| (fault.problem, fault.repaired))
        .collect()
}

fn dumps(server: &RedisServer, fleet: &str) -> Vec<Vec<u8>> {
    server.dump(&server.keys(fleet, &["p", "d"]))
}

fn planted_fault_is_found_and_repaired(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("repairs", async {
        let make = Make::new("repairs");
        for (number, (what, problem)) in PLANTS.iter().enumerate() {
            let fleet = format!("repair-{number}");
            let sessions = open(&(server.url(&fleet) + client)).await.unwrap().sessions;
            let ([session, other], removed) = scene(&*sessions, &make).await;
            let partition = session.id.partition();
            assert_eq!(
                faults(&*sessions, RepairSessions::check(), partition).await,
                (Vec::new(), 3),
                "{what}"
            );
            plant(&server, &fleet, what, &session, &removed);
            let before = dumps(&server, &fleet);
            let (found, _) = faults(&*sessions, RepairSessions::check(), partition).await;
            assert!(
                found.iter().any(|fault| fault.problem == *problem),
                "{what}: {found:?}"
            );
            assert!(found.iter().all(|fault| !fault.repaired), "{what}: {found:?}");
            assert_eq!(dumps(&server, &fleet), before, "{what}: a check changes nothing");

            let (repaired, _) = faults(&*sessions, RepairSessions::repair(), partition).await;
            assert_eq!(repaired.len(), found.len(), "{what}: {repaired:?}");
            assert!(
                repaired.iter().all(|fault| fault.repaired),
                "{what}: {repaired:?}"
            );
            let (left, _) = faults(&*sessions, RepairSessions::check(), partition).await;
            assert_eq!(left, Vec::new(), "{what}");

            // Players with a readable session keep it, and others log in again.
            assert_eq!(
                sessions.find(&other.player).await.unwrap()[0].id,
                other.id,
                "{what}"
            );
            let login = make.login_with(&session.player, &make.owner(), ttl(600), OnExisting::Existing);
            let created = sessions.create(login).await.unwrap().session;
            let is_lost = what.contains("body") && *what != "a body of no session"
                || matches!(*what, "no session" | "a session of other bytes");
            assert_eq!(created.id != session.id, is_lost, "{what}");
            assert_eq!(sessions.find(&session.player).await.unwrap().len(), 1, "{what}");
            assert_eq!(sessions.count(session.id.partition()).await.unwrap(), 2, "{what}");
        }
    });
}

fn record_of_a_newer_format_and_an_expired_one_stay(client: &str) {
    let server = RedisServer::start(&servers().clock(ServerClock::Settable)).unwrap();
    run("a newer format", async {
        let make = Make::new("a newer format");
        let sessions = open(&(server.url("newer") + client)).await.unwrap().sessions;
        let ([session, other], _) = scene(&*sessions, &make).await;
        let partition = session.id.partition();
        let key = server.key("newer", "s");
        let mut header = server.bytes(&[b"HGET", &key, &session.id.to_bytes()]);
        header[4] += 1;
        server.ask(&[b"HSET", &key, &session.id.to_bytes(), &header]);
        let touch = Touch::new(other.id, other.fence, ttl(1));
        sessions.touch_many(&[touch]).await.unwrap();
        server
            .clock()
            .expect("it is settable")
            .advance(Duration::from_secs(2))
            .unwrap();
        for request in [RepairSessions::check(), RepairSessions::repair()] {
            let (found, entries) = faults(&*sessions, request, partition).await;
            assert_eq!((found.len(), entries), (1, 3), "{found:?}");
            assert_eq!(
                (found[0].problem, found[0].repaired),
                (SessionProblem::Newer, false)
            );
            assert_eq!(found[0].entry, format!("session/{}", session.id));
        }
        assert_eq!(server.bytes(&[b"HGET", &key, &session.id.to_bytes()]), header);
        let taken = sessions
            .take_expired(make.take(other.id.partition(), 9))
            .await
            .unwrap();
        assert_eq!(taken.sessions[0].session.id, other.id);
        assert_eq!(
            faults(&*sessions, RepairSessions::check(), partition)
                .await
                .0
                .len(),
            1,
            "taken"
        );
        for cursor in [b"".as_slice(), b"session/", b"\xff\xff"] {
            let request = RepairSessions::repair().after(RepairCursor::from_bytes(cursor));
            let error = sessions.repair(request).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
    });
}

fn check_of_all_partitions_finds_each_entry_once(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("a check of all", async {
        let make = Make::new("a check of all");
        let sessions = open(&(server.url("whole") + client)).await.unwrap().sessions;
        for _ in 0..100 {
            let login = make.login(&make.player(), &make.owner(), ttl(600));
            sessions.create(login).await.unwrap();
        }
        let (mut request, mut entries) = (RepairSessions::check(), 0);
        loop {
            let part = sessions.repair(request.clone()).await.unwrap();
            assert_eq!(part.faults, []);
            entries += part.entries;
            match part.next {
                Some(next) => request = request.after(next),
                None => break,
            }
        }
        assert_eq!(entries, 100);
    });
}

/// The ids that its players' lists name are not dangling while their owners may restore them.
fn recovering_partition_has_no_dangling_sessions(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("a repair of a recovery", async {
        let make = Make::new("a repair of a recovery");
        let sessions = open(&(server.url("recovers") + client)).await.unwrap().sessions;
        let ([session, _], _) = scene(&*sessions, &make).await;
        let partition = session.id.partition();
        server.ask(&[b"DEL", &server.key("recovers", "s")]);
        let (found, entries) = faults(&*sessions, RepairSessions::repair(), partition).await;
        assert_eq!(
            (problems(&found), entries),
            (vec![(SessionProblem::Lost, true)], 0)
        );
        let restore = RestoreSession::new(session.clone(), make.nonce());
        sessions.restore(restore).await.unwrap();
        assert_eq!(
            faults(&*sessions, RepairSessions::check(), partition).await,
            (Vec::new(), 1)
        );
    });
}

fn lost_key_is_reported_by_a_check_and_rebuilt_by_a_repair(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("lost keys", async {
        let make = Make::new("lost keys");
        for lost in ["s", "p", "d", "pd"] {
            let fleet = format!("lost-{lost}");
            let sessions = open(&(server.url(&fleet) + client)).await.unwrap().sessions;
            let ([session, _], _) = scene(&*sessions, &make).await;
            let partition = session.id.partition();
            for name in lost.chars() {
                server.ask(&[b"DEL", &server.key(&fleet, &name.to_string())]);
            }
            let left: Vec<&str> = ["s", "p", "d"]
                .into_iter()
                .filter(|name| !lost.contains(name))
                .collect();
            let dump = || server.dump(&server.keys(&fleet, &left));
            let before = dump();
            for _ in 0..2 {
                let (found, _) = faults(&*sessions, RepairSessions::check(), partition).await;
                let expected = vec![(SessionProblem::Lost, false); lost.len()];
                assert_eq!(problems(&found), expected, "{lost}: {found:?}");
                let entry = format!("partition/{}/{}", partition.get(), &lost[..1]);
                assert_eq!(found[0].entry, entry);
            }
            assert_eq!(dump(), before, "{lost}: a check changes nothing");
            let keys = server.keys(&fleet, &["s", "p", "d"]);
            assert_eq!(keys.len(), 3 - lost.len(), "{lost}: a check rebuilds nothing");
            let (repaired, _) = faults(&*sessions, RepairSessions::repair(), partition).await;
            let expected = vec![(SessionProblem::Lost, true); lost.len()];
            assert_eq!(problems(&repaired), expected, "{lost}: {repaired:?}");
            let (left, _) = faults(&*sessions, RepairSessions::check(), partition).await;
            assert_eq!(left, Vec::new(), "{lost}");
        }
    });
}

fn unreadable_partition_is_a_fault_and_others_are_repaired(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("an unreadable partition", async {
        let make = Make::new("an unreadable partition");
        for what in ["clock", "type"] {
            let fleet = format!("unreadable-{what}");
            let sessions = open(&(server.url(&fleet) + client)).await.unwrap().sessions;
            let [first, second] = [40, 41].map(|number| Partition::new(number).unwrap());
            let mut created = Vec::new();
            for partition in [first, second] {
                let login = make.login(&make.player_in(partition), &make.owner(), ttl(600));
                created.push(sessions.create(login).await.unwrap().session);
                if partition == first {
                    let [all, players] = ["s", "p"].map(|name| server.key(&fleet, name));
                    if what == "clock" {
                        server.ask(&[b"HSET", &all, b"c", b"other bytes"]);
                    } else {
                        server.ask(&[b"DEL", &players]);
                        server.ask(&[b"SET", &players, b"other bytes"]);
                    }
                }
            }
            let deadlines = server.keys(&fleet, &["d"]);
            let id = created[1].id.to_bytes();
            let removed: i64 = deadlines
                .iter()
                .map(|key| server.ask(&[b"ZREM", key, &id]).integer().unwrap())
                .sum();
            assert_eq!(removed, 1);
            let (found, entries) = faults(&*sessions, RepairSessions::repair(), first).await;
            assert_eq!(found[0].entry, "partition/40", "{what}");
            let expected = [
                (SessionProblem::Unreadable, false),
                (SessionProblem::NotIndexed, true),
            ];
            assert_eq!(
                (&problems(&found)[..], entries),
                (&expected[..], 1),
                "{what}: {found:?}"
            );
            let (left, _) = faults(&*sessions, RepairSessions::check(), second).await;
            assert_eq!(left, Vec::new(), "{what}");
        }
    });
}

fn session_that_its_list_lacks_is_added_in_the_order_of_touches(client: &str) {
    let server = RedisServer::start(&servers().clock(ServerClock::Settable)).unwrap();
    run("the order of a list", async {
        let make = Make::new("the order of a list");
        let (owner, player) = (make.owner(), make.player());
        let partition = player.partition();
        for lacks in 0..3 {
            let fleet = format!("order-{lacks}");
            let sessions = open(&(server.url(&fleet) + client)).await.unwrap().sessions;
            let mut created = Vec::new();
            for _ in 0..3 {
                let login = make.login_with(&player, &owner, ttl(600), OnExisting::Allow { max: 3 });
                created.push(sessions.create(login).await.unwrap().session.id);
                let clock = server.clock().expect("it is settable");
                clock.advance(Duration::from_secs(1)).unwrap();
            }
            let (key, name) = (server.key(&fleet, "p"), player.as_str().as_bytes());
            let whole = server.bytes(&[b"HGET", &key, name]);
            let mut list = whole.clone();
            list.drain(18 * lacks..18 * (lacks + 1));
            server.ask(&[b"HSET", &key, name, &list]);
            let (repaired, _) = faults(&*sessions, RepairSessions::repair(), partition).await;
            assert_eq!(problems(&repaired), [(SessionProblem::NotIndexed, true)]);
            assert_eq!(
                server.bytes(&[b"HGET", &key, name]),
                whole,
                "{lacks} of {created:?}"
            );
        }
    });
}

on_each_client!(
    session_that_its_list_lacks_is_added_in_the_order_of_touches
    unreadable_partition_is_a_fault_and_others_are_repaired
    lost_key_is_reported_by_a_check_and_rebuilt_by_a_repair
    planted_fault_is_found_and_repaired
    record_of_a_newer_format_and_an_expired_one_stay
    check_of_all_partitions_finds_each_entry_once
    recovering_partition_has_no_dangling_sessions
);
