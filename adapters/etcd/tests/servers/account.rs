//! Clients are killed amid what they do, and then every key is looked at: the books balance.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use ringhold_core::codec::{SessionHeader, decode_session_parts, decode_tombstone};
use ringhold_core::session::{OnExisting, RemoveSession, Touch};
use ringhold_core::{ErrorKind, NodeIncarnation, PlayerId, Result, SessionId, SessionStore};
use ringhold_testkit::Make;

use crate::support::{one, open, raw, stored, ttl};

const URL: &str = "RINGHOLD_TEST_ACCOUNT";
const SEED: &str = "RINGHOLD_TEST_ACCOUNT_SEED";

const CLIENTS: u64 = 25;
/// How many operations a client makes at most before it is killed.
const LIFE_MAX: usize = 60;
const TASKS: usize = 8;
/// How many players there are, so that clients meet each other's sessions.
const PLAYERS: usize = 12;

/// Does nothing, but in the processes that the other test starts, which are its clients.
#[tokio::test(flavor = "multi_thread")]
async fn client() {
    let Ok(url) = std::env::var(URL) else { return };
    let seed = std::env::var(SEED).expect("a seed").parse().expect("a number");
    let store = open(&url).await.expect("an etcd that runs").sessions;
    let make = Arc::new(Make::with_seed("client", seed));
    let tasks = (0..TASKS).map(|_| {
        let (store, make) = (Arc::clone(&store), Arc::clone(&make));
        tokio::spawn(async move {
            for _ in 0..LIFE_MAX {
                let word = match operation(&*store, &make).await {
                    Ok(()) => "\nop\n".to_owned(),
                    Err(error) if error.kind() == ErrorKind::Fenced => "\nop\n".to_owned(),
                    Err(error) if error.kind() == ErrorKind::NotFound => "\nop\n".to_owned(),
                    Err(error) if error.kind() == ErrorKind::VersionConflict => "\nop\n".to_owned(),
                    Err(error) => format!("\nbad {error:?}\n"),
                };
                std::io::stdout()
                    .lock()
                    .write_all(word.as_bytes())
                    .expect("a parent that listens");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
}

/// A login, and what often follows.
async fn operation(store: &dyn SessionStore, make: &Make) -> Result<()> {
    let player = PlayerId::new(format!("player-{}", make.below(PLAYERS)))?;
    let owner: NodeIncarnation = make.owner();
    let rule = match make.below(4) {
        0 => OnExisting::Replace,
        1 => OnExisting::Allow { max: 3 },
        _ => OnExisting::Takeover {
            from: ringhold_core::session::TakeoverFrom::Anyone,
        },
    };
    let session = store
        .create(make.login_with(&player, &owner, ttl(3_600), rule))
        .await?
        .session;
    match make.below(4) {
        0 => {
            let remove = RemoveSession::new(session.id, session.fence, make.operation());
            store.remove(remove).await?;
        }
        1 => {
            store.save(make.save(&session, b"data")).await?;
        }
        2 => {
            // Shorter than it had: it is armed anew.
            let touch = Touch::new(session.id, session.fence, ttl(60));
            store.touch_many(&[touch]).await?;
        }
        _ => {}
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_the_books_balance_after_clients_that_are_killed() {
    let cluster = one().await;
    let make = Make::new("slow_the_books_balance_after_clients_that_are_killed");
    let url = cluster.url("account");
    let mut killed_amid = 0;
    for seed in 0..CLIENTS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "account::client", "--nocapture"])
            .env(URL, &url)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let most = 1 + make.below(LIFE_MAX);
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut done = 0;
        for line in lines {
            let line = line.expect("a pipe");
            assert!(!line.starts_with("bad "), "{line}");
            done += usize::from(line == "op");
            if done == most {
                // SIGKILL, while others of its operations are under way.
                child.kill().expect("a client that runs");
                killed_amid += 1;
                break;
            }
        }
        child.wait().expect("a client that ends");
    }
    assert_eq!(killed_amid, CLIENTS, "each of them was killed");
    let raw = raw(&cluster).await;
    let sessions = account(&stored(&raw, "/ringhold/account/").await);
    assert!(sessions > 0, "players are left");
}

/// Checks what always holds between two transactions; answers how many sessions there are.
fn account(stored: &[etcd_client::KeyValue]) -> usize {
    let mut by_kind: BTreeMap<&str, BTreeMap<&str, &[u8]>> = BTreeMap::new();
    for kv in stored {
        let key = kv.key_str().expect("keys are text");
        let name = key.strip_prefix("/ringhold/account/").expect("it was asked for");
        if let Some((kind, rest)) = name.split_once('/') {
            by_kind.entry(kind).or_default().insert(rest, kv.value());
        }
    }
    let none = BTreeMap::new();
    let of = |kind: &str| by_kind.get(kind).unwrap_or(&none);
    let ids = |kind: &str| of(kind).keys().copied().collect::<BTreeSet<_>>();
    assert_eq!(
        ids("session"),
        ids("body"),
        "each session has a body, and no other is there"
    );
    let mut listed = BTreeSet::new();
    for list in of("player").values() {
        let (ids, rest) = list.as_chunks::<18>();
        assert!(!ids.is_empty() && rest.is_empty(), "lists are never empty");
        for id in ids {
            let id = SessionId::from_bytes(*id).expect("an id").to_string();
            assert!(listed.insert(id), "a session is listed once");
        }
    }
    let mut due = BTreeSet::new();
    for (id, value) in of("session") {
        let (armed, header) = value.split_at(8);
        let (header, player) = header.split_at(SessionHeader::LEN);
        let session = decode_session_parts(header, of("body")[id]).expect("a session");
        assert_eq!(
            (
                session.id.to_string().as_str(),
                session.player.as_str().as_bytes()
            ),
            (*id, player)
        );
        assert_eq!(listed.remove(*id), !session.unlinked, "linked is listed");
        let armed = u64::from_le_bytes(armed.try_into().expect("8 bytes"));
        assert!(
            armed <= session.header().due_ms(),
            "armed is never later than due"
        );
        due.insert(format!("{armed:016x}/{id}"));
    }
    assert_eq!(listed, BTreeSet::new(), "nothing is listed that is not there");
    let found: BTreeSet<String> = of("due").keys().map(|key| (*key).to_owned()).collect();
    assert_eq!(due, found, "each session has its due key");
    for (id, value) in of("tombstone") {
        let deadline = decode_tombstone(value).expect("a tombstone").deadline_ms;
        let grave = format!("{deadline:016x}/{id}");
        assert!(
            of("grave").contains_key(grave.as_str()),
            "a tombstone has its grave"
        );
    }
    of("session").len()
}
