//! The stored form: what is written, byte for byte, and what becomes of bytes that nobody wrote.

use std::sync::LazyLock;
use std::time::Duration;

use crate::common::Reach;
use crate::common::sessions::{KvSessions, account};
use ringhold_core::codec::SessionHeader;
use ringhold_core::session::{
    AckExpired, CreateSession, EndReason, ListSessions, OnExisting, RemoveSession, TakeExpired, Touch,
    Touched,
};
use ringhold_core::{
    ErrorKind, Incarnation, NodeId, NodeIncarnation, Nonce, OperationId, PlayerId, SessionId, SessionStore,
    Ttl,
};
use ringhold_kv::sessions::create;
use ringhold_testkit::{Make, SimulatedClock};

/// A login whose every bit is known.
fn login(player: &str, byte: u8) -> CreateSession {
    let (player, nonce) = (
        PlayerId::new(player).expect("a player"),
        Nonce::from_bytes([0xb0; 16]),
    );
    let owner = NodeIncarnation::new(
        NodeId::new("eu-1").expect("a node"),
        Incarnation { number: 3, nonce },
    );
    let id = SessionId::new(player.partition(), [byte; 16]);
    let ttl = Ttl::from_millis(5_000).expect("a time");
    CreateSession::new(id, player, owner, Nonce::from_bytes([byte; 16]), ttl).with_data("hi")
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// One session and one that ended, as they are stored. Schema 1 is these bytes: they never change.
#[tokio::test]
async fn keys_and_values_are_these() {
    let clock = SimulatedClock::new();
    let kv = KvSessions::new(Reach::Near, clock.clone());
    kv.create(login("ada", 0x11)).await.expect("a login");
    clock.advance(Duration::from_millis(700));
    let bob = kv.create(login("bob", 0x22)).await.expect("a login").session;
    let operation = OperationId::from_bytes([0x33; 16]);
    kv.remove(RemoveSession::new(bob.id, bob.fence, operation))
        .await
        .expect("its end");
    let stored: Vec<String> = kv
        .store
        .keys()
        .into_iter()
        .map(|key| {
            let value = kv.store.value(&key).expect("it is there");
            let value = if value.is_empty() {
                "-".to_owned()
            } else {
                hex(&value)
            };
            format!("{} {value}", String::from_utf8_lossy(&key))
        })
        .collect();
    let golden = include_str!("golden/sessions-1.txt");
    assert_eq!(stored, golden.lines().collect::<Vec<_>>());
}

/// Two sessions of two players of one partition, both expired, and the store that has them.
async fn scene(name: &'static str) -> (KvSessions, [CreateSession; 2], SimulatedClock, Make) {
    let (make, clock) = (Make::new(name), SimulatedClock::new());
    let kv = KvSessions::new(Reach::Far, clock.clone());
    let first = make.player();
    let second = make.player_in(first.partition());
    let logins = [first, second].map(|player| make.login(&player, &make.owner(), Ttl::MIN));
    for login in &logins {
        kv.create(login.clone()).await.expect("a login");
    }
    (kv, logins, clock, make)
}

/// Bytes that are something else, in many forms: cut off anywhere, a bit flipped in any byte, and ten megabytes of
/// noise, alone and behind each part that is good.
fn spoiled(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![Vec::new(), b"something else".to_vec(), vec![0xff; 4_096]];
    for at in 0..value.len() {
        forms.push(value[..at].to_vec());
        let mut flipped = value.to_vec();
        flipped[at] ^= 0x80;
        forms.push(flipped);
    }
    forms.push([value, b"more"].concat());
    // Behind nothing, the time at which it is due, the header, and all.
    for good in [0, 8, 8 + SessionHeader::LEN, value.len()] {
        forms.push([&value[..good.min(value.len())], &NOISE].concat());
    }
    forms
}

/// From a generator of its own (xorshift).
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..10_000_000 / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
});

/// Whatever stands where a session's parts should: no panic, and the other session is as it was, in reads,
/// listings and sweeps.
#[tokio::test]
async fn one_bad_record_stops_nobody_else() {
    let (kv, [bad, good], _, _) = scene("bad records").await;
    let keys = [
        format!("session/{}", bad.id),
        format!("body/{}", bad.id),
        format!("player/{}", bad.player.as_str()),
    ];
    for key in &keys {
        let value = kv.store.value(key.as_bytes()).expect("it is there");
        for form in spoiled(&value) {
            let (copy, make) = (kv.copied(), Make::new("bad again"));
            copy.store.set(key.as_bytes(), Some(&form));
            for refused in [
                copy.get(&bad.id).await.map(drop),
                copy.find(&bad.player).await.map(drop),
                copy.create(make.login(&bad.player, &make.owner(), Ttl::MIN))
                    .await
                    .map(drop),
            ] {
                let kind = refused.err().map(|error| error.kind());
                assert!(
                    matches!(kind, None | Some(ErrorKind::Corrupt | ErrorKind::Unsupported)),
                    "{key} {:02x?}: {kind:?}",
                    &form[..form.len().min(300)]
                );
            }
            let touches = [&bad, &good].map(|login| {
                let session = login.clone();
                let fence = ringhold_core::Fence {
                    epoch: 1,
                    nonce: session.nonce,
                };
                Touch::new(session.id, fence, Ttl::MIN)
            });
            let answers = copy.touch_many(&touches).await.expect("answers").answers;
            assert_eq!(answers[1], Touched::Renewed, "{key}");
            let page = copy.list(ListSessions::all(10)).await.expect("a page");
            assert!(page.sessions.iter().any(|session| session.id == good.id), "{key}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_swept_and_told_each_time() {
    for part in ["session", "body"] {
        let (kv, [bad, good], clock, make) = scene("bad sweeps").await;
        kv.store
            .set(format!("{part}/{}", bad.id).as_bytes(), Some(b"something else"));
        clock.advance(Duration::from_millis(1_500));
        for round in 0..2 {
            let take = make
                .take(good.id.partition(), 9)
                .with_visibility(Duration::from_secs(1));
            let taken = kv.take_expired(take).await.expect("a sweep");
            let told: Vec<_> = taken.unreadable.iter().map(|one| (one.id, one.kind)).collect();
            assert_eq!(told, [(bad.id, ErrorKind::Corrupt)], "{part} in round {round}");
            assert_eq!(taken.sessions.len(), 1, "{part} in round {round}");
            clock.advance(Duration::from_millis(1_100));
        }
        // Without its body it can be acknowledged and is gone; where nothing can be read, nothing is.
        let take = make.take(good.id.partition(), 9);
        let ack = AckExpired::new(bad.id, take.token);
        kv.take_expired(take).await.expect("a sweep");
        let acked = kv.ack_expired(ack).await.map(drop).map_err(|error| error.kind());
        let expected = if part == "body" {
            Ok(())
        } else {
            Err(ErrorKind::Corrupt)
        };
        assert_eq!(acked, expected, "{part}");
    }
}

/// A session of a newer format: its header is read for ever, so it expires and is acknowledged, and a login
/// passes it once it has expired.
#[tokio::test]
async fn a_newer_format_is_told_and_swept() {
    let (kv, [newer, _], clock, make) = scene("newer").await;
    let key = format!("session/{}", newer.id);
    let mut value = kv.store.value(key.as_bytes()).expect("it is there").to_vec();
    // Behind the armed time: magic, kind, format.
    value[12..14].copy_from_slice(&9_u16.to_le_bytes());
    kv.store.set(key.as_bytes(), Some(&value));
    let kind = |error: ringhold_core::Error| error.kind();
    assert_eq!(kv.get(&newer.id).await.map_err(kind), Err(ErrorKind::Unsupported));
    let page = kv.list(ListSessions::all(10)).await.expect("a page");
    assert_eq!((page.sessions.len(), page.unreadable.len()), (1, 1));
    clock.advance(Duration::from_millis(1_500));
    let login = make.login_with(&newer.player, &make.owner(), Ttl::MIN, OnExisting::Reject);
    kv.create(login).await.expect("the newer one has expired");
    let take = make.take(newer.id.partition(), 9);
    let ack = AckExpired::new(newer.id, take.token);
    let taken = kv.take_expired(take).await.expect("a sweep");
    assert_eq!(taken.unreadable.len(), 1);
    kv.ack_expired(ack).await.expect("it was taken");
    let fence = ringhold_core::Fence {
        epoch: 1,
        nonce: newer.nonce,
    };
    let touch = [Touch::new(newer.id, fence, Ttl::MIN)];
    let touched = kv.touch_many(&touch).await.expect("an answer").answers;
    assert_eq!(touched, [Touched::Ended(EndReason::Expired)]);
    account(&kv.store);
}

/// Keys that no rule wrote are passed over, and those that lead nowhere are taken away.
#[tokio::test]
async fn stray_keys_do_no_harm() {
    let (kv, [first, _], clock, make) = scene("stray").await;
    let gone = make.session_id(&first.player);
    for key in [
        "session/".to_owned(),
        "session/zzz".to_owned(),
        "due/zzz".to_owned(),
        "due/0000000000000001/zzz".to_owned(),
        "grave/0000000000000001/".to_owned(),
        format!("due/0000000000000001/{gone}"),
        format!("due/0000000000000002/{}", first.id),
        format!("grave/0000000000000001/{gone}"),
    ] {
        kv.store.set(key.as_bytes(), Some(b"?"));
    }
    let page = kv.list(ListSessions::all(10)).await.expect("a page");
    assert_eq!((page.sessions.len(), page.next), (2, None));
    clock.advance(Duration::from_millis(1_500));
    let take = TakeExpired::new(vec![first.id.partition()], 9, make.nonce());
    let taken = kv.take_expired(take).await.expect("a sweep");
    assert_eq!(taken.sessions.len(), 2);
    let strays: Vec<Vec<u8>> = kv
        .store
        .keys()
        .into_iter()
        .filter(|key| kv.store.value(key).is_some_and(|value| &value[..] == b"?"))
        .collect();
    assert_eq!(
        strays,
        [
            b"due/0000000000000001/zzz".to_vec(),
            b"due/zzz".to_vec(),
            b"grave/0000000000000001/".to_vec(),
            b"session/".to_vec(),
            b"session/zzz".to_vec(),
        ]
    );
}

/// Very many that expire at once come in parts of bounded size, and all of them come.
#[tokio::test]
async fn very_many_expire_in_parts() {
    const MANY: usize = 5_000;
    let (make, clock) = (Make::new("many"), SimulatedClock::new());
    let kv = KvSessions::new(Reach::Near, clock.clone());
    let owner = make.owner();
    let logins: Vec<CreateSession> = (0..MANY)
        .map(|number| {
            let player = PlayerId::new(format!("player {number}")).expect("a player");
            make.login(&player, &owner, Ttl::MIN)
        })
        .collect();
    kv.write(|tx, now| {
        for login in &logins {
            create(tx, now, login)?;
        }
        Ok(())
    })
    .expect("logins");
    clock.advance(Duration::from_secs(2));
    let (mut got, mut rounds) = (std::collections::BTreeSet::new(), 0);
    loop {
        let all = ringhold_core::Partition::all().collect();
        let part = kv
            .take_expired(TakeExpired::new(all, 100, make.nonce()))
            .await
            .expect("a part");
        rounds += 1;
        assert!(part.sessions.len() <= 512, "{}", part.sessions.len());
        got.extend(part.sessions.iter().map(|taken| taken.session.id));
        if part.more.is_empty() {
            break;
        }
    }
    assert_eq!((got.len(), rounds), (MANY, MANY.div_ceil(512)));
    account(&kv.store);
}

/// A backlog of partitions that others sweep, longer than what one sweep reads, holds this one up for some
/// rounds and no longer.
#[tokio::test]
async fn a_backlog_of_others_is_passed() {
    let (make, clock) = (Make::new("backlog"), SimulatedClock::new());
    let kv = KvSessions::new(Reach::Far, clock.clone());
    let (player, owner) = (make.player(), make.owner());
    let others = make.player_outside(player.partition());
    kv.write(|tx, _| {
        // What is due and not there: as long as a backlog, and quicker made.
        for number in 0..20_000_u64 {
            let id = make.session_id(&others);
            ringhold_kv::Transaction::put(tx, format!("due/{number:016x}/{id}").into_bytes(), Vec::new());
        }
        Ok(())
    })
    .expect("a backlog");
    clock.advance(Duration::from_secs(3));
    // Time goes on in steps of one cap.
    for _ in 0..10 {
        kv.take_expired(TakeExpired::new(vec![player.partition()], 0, make.nonce()))
            .await
            .expect("a tick");
        clock.advance(Duration::from_secs(3));
    }
    kv.create(make.login(&player, &owner, Ttl::MIN))
        .await
        .expect("a login");
    clock.advance(Duration::from_secs(2));
    let mut rounds = 0;
    loop {
        let take = make.take(player.partition(), 9);
        let taken = kv.take_expired(take).await.expect("a sweep");
        rounds += 1;
        if taken.sessions.len() == 1 {
            break;
        }
        assert_eq!(
            taken.more,
            [player.partition()],
            "there is more in round {rounds}"
        );
    }
    assert_eq!(rounds, 3);
}

/// A record that could not be read for a while, and is repaired, expires after all.
#[tokio::test]
async fn what_is_repaired_expires_as_ever() {
    let (kv, [bad, _], clock, make) = scene("repaired").await;
    let key = format!("session/{}", bad.id);
    let good = kv.store.value(key.as_bytes()).expect("it is there");
    kv.store.set(key.as_bytes(), Some(b"something else"));
    clock.advance(Duration::from_millis(1_500));
    let take = || {
        make.take(bad.id.partition(), 9)
            .with_visibility(Duration::from_secs(1))
    };
    let taken = kv.take_expired(take()).await.expect("a sweep");
    assert_eq!(taken.unreadable.len(), 1);
    kv.store.set(key.as_bytes(), Some(&good));
    let mut ids = Vec::new();
    for _ in 0..2 {
        clock.advance(Duration::from_millis(1_100));
        let taken = kv.take_expired(take()).await.expect("a sweep");
        ids.extend(taken.sessions.iter().map(|taken| taken.session.id));
    }
    assert!(ids.contains(&bad.id), "{ids:?}");
    account(&kv.store);
}
