//! The program, from one Redis to a Redis Cluster.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ringhold::{Backend, PlayerId};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions, RedisServer, Reply};
use ringhold_testkit::{Make, wait_for};
use serde_json::Value;

use crate::support::{all, login, populate, ttl};

const SECRET: &str = "hunter2";
const LONG: Duration = Duration::from_secs(30);

/// Servers on both sides, with passwords and a collation that is not by bytes.
struct Bed {
    from: RedisServer,
    to: RedisCluster,
}

impl Bed {
    async fn start() -> Self {
        let starting = tokio::task::spawn_blocking(|| {
            let options = RedisOptions::new().password(SECRET).locale("en_US");
            let cluster = ClusterOptions::new()
                .replicas_per_master(0)
                .server(options.clone());
            Self {
                from: RedisServer::start(&options).unwrap(),
                to: RedisCluster::start(cluster).unwrap(),
            }
        });
        starting.await.unwrap()
    }

    async fn backends(&self) -> (Backend, Backend) {
        let (from, to) = (self.from.url("arena"), self.to.url("arena"));
        (
            ringhold::open(&from).await.unwrap(),
            ringhold::open(&to).await.unwrap(),
        )
    }

    /// `ringhold copy` between them, with the URLs where they are not shown to others.
    fn copy(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
        command
            .arg("copy")
            .args(line)
            .env("RINGHOLD_COPY_FROM", self.from.url("arena"))
            .env("RINGHOLD_COPY_TO", self.to.url("arena"))
            .env_remove("RINGHOLD_BACKEND")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What a copy says with `--json`, line by line, and on standard error.
    fn said(&self, line: &[&str], code: i32) -> (Vec<Value>, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.copy(line).arg("--json").output().unwrap();
        let (stdout, stderr) = (
            String::from_utf8(stdout).unwrap(),
            String::from_utf8(stderr).unwrap(),
        );
        assert_eq!(status.code(), Some(code), "{stdout}{stderr}");
        assert!(
            !stdout.contains(SECRET) && !stderr.contains(SECRET),
            "{stdout}{stderr}"
        );
        let lines = stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        (lines.collect(), stderr)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_a_copy_that_is_killed_half_way_goes_on() {
    let bed = Bed::start().await;
    let (from, to) = bed.backends().await;
    let make = Make::new("a killed copy");
    // So many that a copy takes seconds, and one that is ended when the first have arrived is far from done.
    let sessions = populate(&from, &make, 8_000).await;

    let begun = async |more_than: usize| {
        let copying = bed.copy(&["--json"]).spawn().unwrap();
        wait_for("more sessions at the target", LONG, async || {
            let there = all(&to).await.len();
            if there > more_than { Ok(()) } else { Err(there) }
        })
        .await;
        copying
    };
    // Ctrl-c, and then with no chance to say anything.
    let interrupted = begun(0).await;
    let pid = interrupted.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let Output { status, stdout, .. } = interrupted.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(130));
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert!(
        report["error"].as_str().unwrap().contains("interrupted"),
        "{report}"
    );
    let mut killed = begun(all(&to).await.len()).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    let before = all(&to).await.len();
    assert!(
        (1..usize::try_from(sessions).unwrap()).contains(&before),
        "{before} of {sessions}"
    );

    let (lines, stderr) = bed.said(&[], 0);
    let [report] = &lines[..] else { panic!("{lines:?}") };
    for key in ["sessions", "copied", "verified"] {
        assert_eq!(report[key], sessions, "{key}: {report}");
    }
    // Nobody sits at a terminal.
    assert_eq!(stderr, "");
    // What time they have left is what passed since their last touch.
    let now = all(&to).await;
    for (id, source) in all(&from).await {
        let copy = &now[&id];
        assert_eq!(
            (&copy.player, &copy.owner, copy.version, copy.ttl, &copy.data),
            (
                &source.player,
                &source.owner,
                source.version,
                source.ttl,
                &source.data
            )
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_sessions_and_other_fleets_of_one_server() {
    let bed = Bed::start().await;
    let (from, to) = bed.backends().await;
    let make = Make::new("odd sessions");
    let owner = make.owner();
    let long = "\u{1F3AE}".repeat(32);
    for player in ["{a}", "\u{1b}[2J", "a\0b\r\n", " ", &long] {
        let player = PlayerId::new(player).unwrap();
        login(&from, &make, &player, &owner, ttl(60)).await;
        login(&from, &make, &player, &owner, ttl(3_600)).await;
    }
    // The largest data, and bytes that are no text.
    let full = login(&from, &make, &make.player(), &owner, ttl(60)).await;
    let data: &'static [u8] = vec![0xff; 64 * 1024].leak();
    from.sessions.save(make.save(&full, data)).await.unwrap();

    // Two records are spoiled; one of them belongs to a player with another one that is whole.
    let pair = make.player();
    let spoiled = [
        login(&from, &make, &make.player(), &owner, ttl(60)).await,
        login(&from, &make, &pair, &owner, ttl(60)).await,
    ];
    login(&from, &make, &pair, &owner, ttl(60)).await;
    let whole = login(&from, &make, &pair, &owner, ttl(60)).await;
    let Reply::Array(keys) = bed.from.command(&["KEYS", "*:arena:s"]).unwrap() else {
        panic!("keys are a list")
    };
    for session in &spoiled {
        let id = session.id.to_bytes();
        let mut spoilt = 0;
        for key in &keys {
            let Reply::Bytes(key) = key else {
                panic!("{key:?} is no key")
            };
            let exists = bed.from.command(&[b"HEXISTS".as_slice(), key, &id]).unwrap();
            if exists.integer() == Some(1) {
                bed.from
                    .command(&[b"HSET".as_slice(), key, &id, b"no record"])
                    .unwrap()
                    .check()
                    .unwrap();
                spoilt += 1;
            }
        }
        assert_eq!(spoilt, 1);
    }

    let (mut lines, stderr) = bed.said(&[], 1);
    let report = lines.pop().unwrap();
    let mut unreadable: Vec<&str> = lines
        .iter()
        .map(|line| line["session"].as_str().unwrap())
        .collect();
    unreadable.sort_unstable();
    let mut expected = spoiled.each_ref().map(|session| session.id.to_string());
    expected.sort_unstable();
    assert_eq!(unreadable, expected, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line["problem"] == "unreadable" && line["message"] != "")
    );
    assert_eq!(
        (&report["copied"], &report["verified"]),
        (&13.into(), &13.into()),
        "{report}"
    );
    assert_eq!(report["data_bytes"], 64 * 1024);
    assert!(stderr.contains("2 unreadable at the source"), "{stderr}");
    assert!(to.sessions.get(&whole.id).await.unwrap().is_some());
    assert_eq!(to.sessions.get(&full.id).await.unwrap().unwrap().data, data);

    // The copy, to another fleet of the same cluster; and not onto itself.
    let url = bed.to.url("arena");
    let (lines, _) = bed.said(&["--from", &url, "--to-fleet", "other"], 0);
    assert_eq!(
        (&lines[0]["copied"], &lines[0]["to"]["fleet"]),
        (&13.into(), &"other".into())
    );
    let other = ringhold::open(&bed.to.url("other")).await.unwrap();
    let (copies, again) = (all(&to).await, all(&other).await);
    assert_eq!(
        copies.keys().collect::<Vec<_>>(),
        again.keys().collect::<Vec<_>>()
    );
    let (lines, stderr) = bed.said(&["--from", &url, "--fleet", "arena"], 2);
    assert!(
        lines.is_empty() && stderr.contains("one fleet of one backend"),
        "{stderr}"
    );
    // A password that is wrong is not repeated either.
    let wrong = bed.from.url("arena").replace(SECRET, "wrong-hunter2");
    let (_, stderr) = bed.said(&["--from", &wrong], 2);
    assert!(stderr.contains("--from: "), "{stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_that_no_listing_shows_fails_the_copy() {
    let bed = Bed::start().await;
    let (from, _) = bed.backends().await;
    let make = Make::new("an incomplete listing");
    let sessions = populate(&from, &make, 50).await;
    let lost = login(&from, &make, &make.player(), &make.owner(), ttl(60)).await;
    let (lines, _) = bed.said(&[], 0);
    for key in ["copied", "counted", "counted_at_target"] {
        assert_eq!(lines[0][key], sessions + 1, "{key}: {}", lines[0]);
    }

    // The index by deadline loses it, and with it each listing.
    let Reply::Array(keys) = bed.from.command(&["KEYS", "*:arena:d"]).unwrap() else {
        panic!("keys are a list")
    };
    let id = lost.id.to_bytes();
    let mut removed = 0;
    for key in &keys {
        let Reply::Bytes(key) = key else {
            panic!("{key:?} is no key")
        };
        let reply = bed.from.command(&[b"ZREM".as_slice(), key, &id]).unwrap();
        removed += reply.integer().unwrap();
    }
    assert_eq!(removed, 1);
    let (lines, stderr) = bed.said(&["--to-fleet", "other"], 1);
    let report = &lines[0];
    assert_eq!(
        (&report["copied"], &report["verified"]),
        (&sessions.into(), &sessions.into())
    );
    assert!(report["unlisted"].as_u64() > Some(0), "{report}");
    assert!(
        stderr.contains("counted by the source and not in its listing"),
        "{stderr}"
    );
}
