//! `ringhold repair` on a server whose entries do not fit together.

use std::process::Output;

use ringhold_testkit::launch::{RedisServer, Reply};
use ringhold_testkit::{Make, run};
use serde_json::json;

use crate::{SECRET, lines, ringhold};
use ringhold_testkit::launch::RedisOptions;

const PLAYERS: usize = 30;

/// The key that ends in `name`, of a fleet that uses one partition.
fn key(server: &RedisServer, name: &str) -> Vec<u8> {
    let pattern = format!("ringhold:*:arena:{name}");
    let keys = server
        .command(&["KEYS", &pattern])
        .and_then(Reply::check)
        .unwrap();
    let Reply::Array(mut keys) = keys else {
        panic!("{keys:?}")
    };
    match keys.pop() {
        Some(Reply::Bytes(key)) if keys.is_empty() => key,
        other => panic!("one key, not {other:?} and {keys:?}"),
    }
}

/// The output of a command for people, once its exit code is checked.
fn printed(url: &str, line: &[&str], code: i32) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = ringhold(url, line).output().unwrap();
    let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{line:?}: {said}");
    assert!(!said.contains(SECRET), "{said}");
    said
}

#[test]
fn repair_reports_faults_and_repairs_them_on_request() {
    let server = RedisServer::start(&RedisOptions::new().password(SECRET)).unwrap();
    let url = server.url("arena");
    run("a repair", async {
        let store = ringhold::open(&url).await.unwrap().sessions;
        let make = Make::new("a repair");
        let partition = make.player().partition();
        for _ in 0..PLAYERS {
            let ttl = ringhold::Ttl::from_millis(600_000).unwrap();
            let login = make.login(&make.player_in(partition), &make.owner(), ttl);
            store.create(login).await.unwrap();
        }
    });
    let sound = lines(&url, &["repair"], 0);
    assert_eq!(sound.len(), 1, "{sound:?}");
    assert_eq!(sound[0]["entries"], PLAYERS);

    // All players lose their lists but the sentinel, which says that the key is not lost.
    let players = key(&server, "p");
    server
        .command(&[b"DEL".as_slice(), &players])
        .and_then(Reply::check)
        .unwrap();
    server
        .command(&[b"HSET".as_slice(), &players, b"", b""])
        .and_then(Reply::check)
        .unwrap();
    let found = lines(&url, &["repair"], 1);
    let (report, faults) = found.split_last().unwrap();
    assert_eq!(faults.len(), PLAYERS);
    for fault in faults {
        assert_eq!(
            (&fault["problem"], &fault["repaired"]),
            (&json!("not_indexed"), &json!(false))
        );
        assert!(
            fault["entry"].as_str().unwrap().starts_with("session/"),
            "{fault}"
        );
    }
    let expected = json!({
        "entries": PLAYERS, "faults": PLAYERS, "repaired": 0, "newer": 0, "complete": true,
    });
    assert_eq!(report, &expected);
    let said = printed(&url, &["repair"], 1);
    for words in [
        "ENTRY",
        "not_indexed",
        "left",
        "and 10 more, which --json names",
        "30 faults, 0 repaired",
        "--apply",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }

    let said = printed(&url, &["repair", "--apply"], 0);
    assert!(said.contains("30 faults, 30 repaired"), "{said}");
    assert_eq!(lines(&url, &["repair"], 0).len(), 1);
    assert_eq!(lines(&url, &["sessions", "list"], 0).len(), PLAYERS);
}
