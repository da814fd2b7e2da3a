//! Partitions that lose one of their three keys, as by an eviction or a mistaken `DEL`.

use std::time::{Duration, Instant};

use ringhold_core::session::{
    AckExpired, ClaimSession, CreateOutcome, ListSessions, OnExisting, RemoveSession, RestoreSession,
    TakeExpired, Touch, Touched,
};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, Result, SessionRecord, SessionStore};
use ringhold_testkit::launch::{RedisServer, ServerClock};
use ringhold_testkit::{Log, Make, run};

use crate::each_client::on_each_client;
use crate::real::{Stored, open, ttl};
use crate::suite::servers;

const OPERATIONS: [&str; 12] = [
    "create", "get", "find", "save", "touch", "claim", "remove", "restore", "take", "list", "count", "ack",
];

/// One operation on a session, and what it returns: how many sessions it saw or changed.
async fn operate(
    operation: &str,
    sessions: &dyn SessionStore,
    make: &Make,
    session: &SessionRecord,
) -> Result<u64> {
    let owner = &session.owner;
    match operation {
        "create" => {
            let login = make.login_with(&session.player, owner, ttl(60), OnExisting::Existing);
            let created = sessions.create(login).await?;
            assert_eq!(created.outcome, CreateOutcome::Existing);
            assert_eq!(created.session.id, session.id);
        }
        "get" => return Ok(u64::from(sessions.get(&session.id).await?.is_some())),
        "find" => return Ok(sessions.find(&session.player).await?.len() as u64),
        "save" => {
            sessions.save(make.save(session, b"saved")).await?;
        }
        "touch" => {
            let touches = [Touch::new(session.id, session.fence, ttl(60))];
            let answers = sessions.touch_many(&touches).await?.answers;
            return Ok(u64::from(answers == [Touched::Renewed]));
        }
        "claim" => {
            let claim = ClaimSession::new(session.id, session.fence, owner.clone(), make.nonce(), ttl(60));
            sessions.claim(claim).await?;
        }
        "remove" => {
            let remove = RemoveSession::new(session.id, session.fence, make.operation());
            sessions.remove(remove).await?;
        }
        "restore" => {
            let restored = sessions
                .restore(RestoreSession::new(session.clone(), make.nonce()))
                .await?;
            assert_eq!(restored.session.data, session.data);
        }
        "take" => {
            let taken = sessions
                .take_expired(make.take(session.id.partition(), 9))
                .await?;
            return Ok(taken.sessions.len() as u64);
        }
        "list" => return Ok(sessions.list(ListSessions::all(9)).await?.sessions.len() as u64),
        "count" => return sessions.count(session.id.partition()).await,
        "ack" => {
            sessions
                .ack_expired(AckExpired::new(session.id, make.nonce()))
                .await?;
        }
        other => panic!("{other} is not an operation"),
    }
    Ok(1)
}

fn outcome(result: Result<u64>) -> std::result::Result<u64, ErrorKind> {
    result.map_err(|error| error.kind())
}

/// Two players with sessions in the only partition of a fleet that is in use.
async fn two_sessions(
    sessions: &dyn SessionStore,
    make: &Make,
    owner: &NodeIncarnation,
) -> [SessionRecord; 2] {
    let player = make.player();
    let other = make.player_in(player.partition());
    let mut created = Vec::new();
    for player in [player, other] {
        let login = make.login(&player, owner, ttl(60)).with_data(b"data".as_slice());
        created.push(sessions.create(login).await.unwrap().session);
    }
    created.try_into().expect("two sessions")
}

fn delete(server: &RedisServer, fleet: &str, keys: &str) {
    for key in keys.chars() {
        let key = server.key(fleet, &key.to_string());
        assert_eq!(server.ask(&[b"DEL", &key]).integer().unwrap(), 1);
    }
}

/// The lines that report lost keys.
fn reports(log: &Log, keys: &str, sessions: usize) -> usize {
    let fields = format!("keys=\"{keys}\" sessions={sessions}");
    log.text().lines().filter(|line| line.contains(&fields)).count()
}

fn each_operation_rebuilds_a_lost_index(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("lost indexes", async {
        let make = Make::new("lost indexes");
        for keys in ["p", "d", "pd"] {
            for operation in OPERATIONS {
                let what = format!("{operation} first, after {keys} was lost");
                let fleet = format!("{keys}-{operation}");
                let sessions = open(&(server.url(&fleet) + client)).await.unwrap().sessions;
                let [session, other] = two_sessions(&*sessions, &make, &make.owner()).await;
                let (log, before) = (Log::default(), contents(&server, &fleet));
                let listening = log.listen();
                delete(&server, &fleet, keys);

                let result = outcome(operate(operation, &*sessions, &make, &session).await);
                let expected = match operation {
                    "take" => Ok(0),
                    "list" | "count" => Ok(2),
                    "ack" => Err(ErrorKind::Fenced),
                    _ => Ok(1),
                };
                assert_eq!(result, expected, "{what}");
                if matches!(operation, "get" | "find" | "list" | "count" | "take") {
                    assert_eq!(contents(&server, &fleet), before, "{what}");
                }
                assert_eq!(sessions.find(&other.player).await.unwrap().len(), 1, "{what}");
                assert_eq!(reports(&log, keys, 2), 1, "{what}: {}", log.text());
                drop(listening);

                // The player still has this session and gets no second one, unless it was removed.
                let removed = operation == "remove";
                let login = make.login_with(&session.player, &make.owner(), ttl(60), OnExisting::Existing);
                let created = sessions.create(login).await.unwrap();
                assert_eq!(created.session.id == session.id, !removed, "{what}");
                assert_eq!(sessions.find(&session.player).await.unwrap().len(), 1, "{what}");
                assert_eq!(sessions.count(session.id.partition()).await.unwrap(), 2, "{what}");
                let page = sessions.list(ListSessions::all(9)).await.unwrap();
                assert_eq!(page.sessions.len(), 2, "{what}");
            }
        }
    });
}

/// The members of both indexes of a fleet.
fn contents(server: &RedisServer, fleet: &str) -> [Vec<Vec<u8>>; 2] {
    let mut players = server.list(&[b"HGETALL", &server.key(fleet, "p")]);
    players.sort();
    let deadlines = server.list(&[b"ZRANGE", &server.key(fleet, "d"), b"0", b"-1", b"WITHSCORES"]);
    [players, deadlines]
}

/// Tombstones, expired sessions and sessions that cannot be read.
fn rebuilt_index_has_more_than_live_sessions(client: &str) {
    let server = RedisServer::start(&servers().clock(ServerClock::Settable)).unwrap();
    run("an index of all kinds", async {
        let make = Make::new("an index of all kinds");
        let sessions = open(&(server.url("all") + client)).await.unwrap().sessions;
        let (owner, [removed, unreadable]) =
            (make.owner(), two_sessions(&*sessions, &make, &make.owner()).await);
        let partition = removed.id.partition();
        let several = make.player_in(partition);
        let mut order = Vec::new();
        for _ in 0..3 {
            let login = make.login_with(&several, &owner, ttl(600), OnExisting::Allow { max: 3 });
            order.push(sessions.create(login).await.unwrap().session.id);
            server
                .clock()
                .expect("it is settable")
                .advance(Duration::from_millis(5))
                .unwrap();
        }
        let expired = make.player_in(partition);
        let expired = sessions
            .create(make.login(&expired, &owner, ttl(1)))
            .await
            .unwrap()
            .session;
        let remove = RemoveSession::new(removed.id, removed.fence, make.operation());
        sessions.remove(remove).await.unwrap();
        let key = server.key("all", "s");
        server.ask(&[b"HSET", &key, &unreadable.id.to_bytes(), b"a text"]);

        delete(&server, "all", "pd");
        let late = sessions.save(make.save(&removed, b"late")).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Fenced, "{late}");
        let found = sessions.find(&several).await.unwrap();
        assert_eq!(
            found.iter().map(|it| it.id).collect::<Vec<_>>(),
            order,
            "oldest first"
        );
        let login = make.login_with(&unreadable.player, &owner, ttl(60), OnExisting::Existing);
        let error = sessions.create(login).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let mut taken = Vec::new();
        for _ in 0..3 {
            server
                .clock()
                .expect("it is settable")
                .advance(Duration::from_secs(1))
                .unwrap();
            let found = sessions.take_expired(make.take(partition, 9)).await.unwrap();
            taken.extend(found.sessions.into_iter().map(|it| it.session.id));
        }
        assert_eq!(taken, [expired.id]);
        // Tombstones are due again, too.
        let fields = |server: &RedisServer| server.ask(&[b"HLEN", &key]).integer().unwrap();
        let before = fields(&server);
        for _ in 0..25 {
            server
                .clock()
                .expect("it is settable")
                .advance(Duration::from_secs(3))
                .unwrap();
            sessions.take_expired(make.take(partition, 0)).await.unwrap();
        }
        assert_eq!(fields(&server), before - 1);
    });
}

fn each_operation_starts_the_recovery_of_lost_sessions(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("lost sessions", async {
        let make = Make::new("lost sessions");
        for keys in ["s", "sd"] {
            for operation in OPERATIONS {
                let what = format!("{operation} first, after {keys} was lost");
                let fleet = format!("{keys}-{operation}");
                let sessions = open(&(server.url(&fleet) + client)).await.unwrap().sessions;
                let [session, other] = two_sessions(&*sessions, &make, &make.owner()).await;
                let log = Log::default();
                let listening = log.listen();
                delete(&server, &fleet, keys);

                let result = outcome(operate(operation, &*sessions, &make, &session).await);
                let expected = match operation {
                    "create" | "find" => Err(ErrorKind::Unavailable),
                    "get" | "touch" | "take" | "list" | "count" => Ok(0),
                    "restore" => Ok(1),
                    _ => Err(ErrorKind::NotFound),
                };
                assert_eq!(result, expected, "{what}");
                let error = log_in(&*sessions, &make, &other).await.unwrap_err();
                assert!(
                    error.is_retryable() && error.context().contains("try again"),
                    "{what}: {error}"
                );
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}");
                assert!(error.is_recovering(), "{what}: {error}");
                assert_eq!(reports(&log, keys, 2), 1, "{what}: {}", log.text());
                drop(listening);

                // Players without a session log in; an owner restores what it holds, and its player has that again.
                let new = make.player_in(session.id.partition());
                sessions
                    .create(make.login(&new, &make.owner(), ttl(60)))
                    .await
                    .unwrap();
                for session in [&session, &other] {
                    let restore = RestoreSession::new(session.clone(), make.nonce());
                    match sessions.restore(restore).await {
                        Ok(restored) => assert_eq!(restored.session.fence.epoch, 2),
                        // Restored by the operation.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Fenced, "{what}: {error}"),
                    }
                    let created = log_in(&*sessions, &make, session).await.unwrap();
                    assert_eq!((created.id, &created.data), (session.id, &session.data), "{what}");
                    assert_eq!(sessions.find(&session.player).await.unwrap().len(), 1, "{what}");
                }
                assert_eq!(sessions.count(session.id.partition()).await.unwrap(), 3, "{what}");
            }
        }
    });
}

/// A login of the session's player by its owner that takes nothing over.
async fn log_in(
    sessions: &dyn SessionStore,
    make: &Make,
    session: &SessionRecord,
) -> Result<SessionRecord, Error> {
    let login = make.login_with(&session.player, &session.owner, ttl(60), OnExisting::Existing);
    sessions.create(login).await.map(|created| created.session)
}

fn sessions_that_no_owner_restores_are_dropped_after_a_touch_period(client: &str) {
    let server = RedisServer::start(&servers().clock(ServerClock::Settable)).unwrap();
    run("a recovery", async {
        let make = Make::new("a recovery");
        let sessions = open(&(server.url("recovery") + client)).await.unwrap().sessions;
        let [session, other] = two_sessions(&*sessions, &make, &make.owner()).await;
        let partition = session.id.partition();
        delete(&server, "recovery", "s");
        let mut seconds = 0;
        let login = loop {
            match log_in(&*sessions, &make, &session).await {
                Ok(created) => break created,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            server
                .clock()
                .expect("it is settable")
                .advance(Duration::from_secs(1))
                .unwrap();
            let take = TakeExpired::new(vec![partition], 0, make.nonce());
            sessions.take_expired(take).await.unwrap();
            seconds += 1;
            assert!(seconds < 60, "the recovery does not end");
        };
        assert!(
            (20..=24).contains(&seconds),
            "a touch period and a cap, not {seconds} s"
        );
        assert_ne!(login.id, session.id);
        assert_eq!((login.version.get(), login.fence.epoch), (1, 1));
        // The lost id is dropped from the list, and nothing tells that it has ended.
        let players = server.key("recovery", "p");
        let ids = server.bytes(&[b"HGET", &players, session.player.as_str().as_bytes()]);
        assert_eq!(ids, login.id.to_bytes());
        let late = sessions.save(make.save(&session, b"late")).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::NotFound, "{late}");
        let restore = RestoreSession::new(session, make.nonce());
        let error = sessions.restore(restore).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        // A late owner still restores a session that no other one has replaced.
        assert!(sessions.find(&other.player).await.unwrap().is_empty());
        sessions
            .restore(RestoreSession::new(other.clone(), make.nonce()))
            .await
            .unwrap();
        assert_eq!(sessions.find(&other.player).await.unwrap()[0].id, other.id);
        assert_eq!(sessions.count(partition).await.unwrap(), 2);
    });
}

fn partition_without_sessions_and_lists_refuses_logins_until_it_has_recovered(client: &str) {
    let server = RedisServer::start(&servers().clock(ServerClock::Settable)).unwrap();
    run("lost lists", async {
        let make = Make::new("lost lists");
        for (number, losses) in [["sp"].as_slice(), &["s", "p"], &["p", "s"]].iter().enumerate() {
            let fleet = format!("lists-{number}");
            let sessions = open(&(server.url(&fleet) + client)).await.unwrap().sessions;
            let [session, other] = two_sessions(&*sessions, &make, &make.owner()).await;
            let partition = session.id.partition();
            for keys in *losses {
                delete(&server, &fleet, keys);
                sessions.count(partition).await.unwrap();
            }
            if losses == &["p", "s"] {
                // The lists had been rebuilt.
                let new = make.login(&make.player_in(partition), &make.owner(), ttl(60));
                sessions.create(new).await.unwrap();
                continue;
            }
            let error = log_in(&*sessions, &make, &session).await.unwrap_err();
            assert!(error.is_recovering(), "{losses:?}: {error}");
            let restore = RestoreSession::new(session.clone(), make.nonce());
            sessions.restore(restore).await.unwrap();
            let login = log_in(&*sessions, &make, &session).await.unwrap();
            assert_eq!(login.id, session.id, "{losses:?}");
            let error = log_in(&*sessions, &make, &other).await.unwrap_err();
            assert!(error.is_recovering(), "{losses:?}: {error}");
            for _ in 0..24 {
                let clock = server.clock().expect("it is settable");
                clock.advance(Duration::from_secs(1)).unwrap();
                sessions.take_expired(make.take(partition, 0)).await.unwrap();
            }
            let login = log_in(&*sessions, &make, &other).await.unwrap();
            assert_ne!(login.id, other.id, "{losses:?}");
        }
    });
}

fn partition_without_its_clock_keeps_its_sessions_and_their_deadlines(client: &str) {
    let server = RedisServer::start(&servers().clock(ServerClock::Settable)).unwrap();
    run("a lost clock", async {
        let make = Make::new("a lost clock");
        for keys in ["", "p", "d", "pd"] {
            let fleet = format!("clock-{keys}");
            let sessions = open(&(server.url(&fleet) + client)).await.unwrap().sessions;
            let partition = make.player().partition();
            let pass = async |seconds: u64| {
                for _ in 0..seconds {
                    let clock = server.clock().expect("it is settable");
                    clock.advance(Duration::from_secs(1)).unwrap();
                    sessions.take_expired(make.take(partition, 0)).await.unwrap();
                }
            };
            let login = make.login(&make.player_in(partition), &make.owner(), ttl(60));
            sessions.create(login).await.unwrap();
            pass(100).await;
            let login = make.login(&make.player_in(partition), &make.owner(), ttl(20));
            let session = sessions.create(login).await.unwrap().session;
            let removed = server.ask(&[b"HDEL", &server.key(&fleet, "s"), b"c"]);
            assert_eq!(removed.integer().unwrap(), 1);
            delete(&server, &fleet, keys);
            pass(15).await;
            assert_eq!(
                sessions.find(&session.player).await.unwrap()[0].id,
                session.id,
                "{keys}"
            );
            pass(10).await;
            assert!(sessions.find(&session.player).await.unwrap().is_empty(), "{keys}");
        }
    });
}

/// The list of a player is older than the loss: what it does not name had ended before.
fn displaced_session_is_not_restored_in_place_of_a_lost_one(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("a displaced session", async {
        let make = Make::new("a displaced session");
        let sessions = open(&(server.url("displaced") + client)).await.unwrap().sessions;
        let [old, _] = two_sessions(&*sessions, &make, &make.owner()).await;
        let login = make.login_with(&old.player, &make.owner(), ttl(60), OnExisting::Replace);
        let new = sessions.create(login).await.unwrap().session;
        delete(&server, "displaced", "s");
        let restore = RestoreSession::new(old, make.nonce());
        let error = sessions.restore(restore).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        sessions
            .restore(RestoreSession::new(new.clone(), make.nonce()))
            .await
            .unwrap();
        assert_eq!(sessions.find(&new.player).await.unwrap()[0].id, new.id);
    });
}

/// Copies a session, past the adapter, until the partition has so many, each of another player.
fn multiply(server: &RedisServer, session: &SessionRecord, sessions: usize) {
    let [all, players, deadlines] = ["s", "p", "d"].map(|name| server.key("large", name));
    let id = session.id.to_bytes();
    let header = server.bytes(&[b"HGET", &all, &id]);
    let body = server.bytes(&[b"HGET", &all, &[&id[..], b"b"].concat()]);
    let rest = &body[1 + session.player.as_str().len()..];
    let score = server.bytes(&[b"ZSCORE", &deadlines, &id]);
    let numbers: Vec<usize> = (1..sessions).collect();
    for numbers in numbers.chunks(500) {
        let (mut to_all, mut to_players, mut to_deadlines) = (Vec::new(), Vec::new(), Vec::new());
        for number in numbers {
            let mut id = id;
            id[10..].copy_from_slice(&number.to_be_bytes());
            let player = format!("player-{number}").into_bytes();
            let len = u8::try_from(player.len()).expect("a short name");
            to_all.extend([id.to_vec(), header.clone()]);
            to_all.extend([[&id[..], b"b"].concat(), [&[len], &player[..], rest].concat()]);
            to_players.extend([player, id.to_vec()]);
            to_deadlines.extend([score.clone(), id.to_vec()]);
        }
        for (command, key, words) in [
            (b"HSET", &all, to_all),
            (b"HSET", &players, to_players),
            (b"ZADD", &deadlines, to_deadlines),
        ] {
            let words = words.iter().map(Vec::as_slice);
            let command: Vec<&[u8]> = [command.as_slice(), key].into_iter().chain(words).collect();
            server.ask(&command);
        }
    }
}

/// Prints what it costs the server: `cargo nextest run -p ringhold-redis rebuild_of_10_000 --no-capture`.
fn rebuild_of_10_000_sessions_ends_within_an_attempt(client: &str) {
    const SESSIONS: usize = 10_000;
    let server = RedisServer::start(&servers()).unwrap();
    run("a large partition", async {
        let make = Make::new("a large partition");
        let sessions = open(&(server.url("large") + client)).await.unwrap().sessions;
        let (owner, first) = (make.owner(), make.player());
        let partition = first.partition();
        let session = sessions
            .create(make.login(&first, &owner, ttl(600)))
            .await
            .unwrap()
            .session;
        multiply(&server, &session, SESSIONS);
        assert_eq!(sessions.count(partition).await.unwrap(), SESSIONS as u64);
        let before = contents(&server, "large");
        for keys in ["p", "d", "pd"] {
            delete(&server, "large", keys);
            let start = Instant::now();
            assert_eq!(sessions.find(&first).await.unwrap().len(), 1, "{keys}");
            println!(
                "{SESSIONS} sessions, {keys} lost: found after {:?}",
                start.elapsed()
            );
            assert_eq!(contents(&server, "large"), before, "{keys}");
        }
    });
}

on_each_client!(
    each_operation_rebuilds_a_lost_index
    rebuilt_index_has_more_than_live_sessions
    each_operation_starts_the_recovery_of_lost_sessions
    sessions_that_no_owner_restores_are_dropped_after_a_touch_period
    partition_without_sessions_and_lists_refuses_logins_until_it_has_recovered
    partition_without_its_clock_keeps_its_sessions_and_their_deadlines
    displaced_session_is_not_restored_in_place_of_a_lost_one
    rebuild_of_10_000_sessions_ends_within_an_attempt
);
