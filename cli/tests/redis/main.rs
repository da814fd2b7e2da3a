//! The program on a real Redis Cluster: the demo with processes, and every command over a running fleet.

mod node;
#[cfg(feature = "grpc")]
mod peers;
#[cfg(feature = "redis")]
mod repair;
#[cfg(feature = "grpc")]
mod taken;
#[cfg(feature = "grpc")]
mod tls;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use node::Node;

use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions};
use serde_json::{Value, json};

const SECRET: &str = "hunter2";
const LIMIT: Duration = Duration::from_secs(30);

fn cluster() -> RedisCluster {
    let options = ClusterOptions::new().server(RedisOptions::new().password(SECRET));
    RedisCluster::start(options).unwrap()
}

fn ringhold(url: &str, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
    command
        .args(line)
        .env("RINGHOLD_BACKEND", url)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a command says with `--json`, which must end with this code.
fn lines(url: &str, line: &[&str], code: i32) -> Vec<Value> {
    let Output {
        status,
        stdout,
        stderr,
    } = ringhold(url, line).arg("--json").output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert_eq!(status.code(), Some(code), "{line:?}: {stdout}{stderr}");
    assert!(
        !stdout.contains(SECRET) && !stderr.contains(SECRET),
        "{line:?}: {stdout}{stderr}"
    );
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn slow_nodes_that_are_processes_die_and_cost_nobody_anything() {
    let cluster = cluster();
    let line = [
        "demo",
        "--processes",
        "--nodes",
        "4",
        "--players",
        "80",
        "--kill",
        "2",
        "--seconds",
        "1",
    ];
    let report = &lines(&cluster.url("demo"), &line, 0)[0];
    for key in [
        "sessions_lost",
        "saves_lost",
        "moved_needlessly",
        "kicked",
        "messages_lost",
        "messages_astray",
        "displaced_left",
    ] {
        assert_eq!(report[key], 0, "{key}: {report}");
    }
    if cfg!(feature = "grpc") {
        // Eight guests on each of four nodes.
        assert_eq!(
            (&report["messages_delivered"], &report["displaced_logins"]),
            (&json!(800), &json!(16)),
            "{report}"
        );
    } else {
        assert!(
            report["peers_skipped"].as_str().unwrap().contains("grpc"),
            "{report}"
        );
    }
    assert_eq!(
        (&report["ok"], &report["backend"], &report["fleet"]),
        (&json!(true), &json!("redis-cluster"), &json!("demo"))
    );
    // The fifth joined; the players are a process too.
    assert_eq!(
        (&report["processes"], report["pids"].as_array().unwrap().len()),
        (&json!(5), 6)
    );
    assert_eq!(
        (&report["killed"], &report["sessions_after"]),
        (&json!(2), &json!(80))
    );
    assert!(report["detect_ms"].as_u64().unwrap() > 1_000, "{report}");
    let nodes = report["by_node"].as_array().unwrap();
    assert!(
        nodes.iter().all(|node| node["pid"].as_u64().is_some()),
        "{report}"
    );
    // The demo takes back what it left: its nodes and its sessions.
    let url = cluster.url("demo");
    assert!(lines(&url, &["sessions", "list"], 0).is_empty());
    assert_eq!(lines(&url, &["nodes"], 0)[0]["nodes"], json!([]));
}

/// A command that goes on until it is killed, which it is when this is dropped.
struct Endless(Child);

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_sees_a_fleet_of_other_processes() {
    let cluster = cluster();
    let url = &cluster.url("arena");
    let (mut one, mut two) = (Node::start(url, "one"), Node::start(url, "two"));
    one.sees(2);
    two.sees(2);
    // The ring may want ada on either.
    let (first, (stream, answer)) = match one.tell("LOGIN ada") {
        (_, answer) if answer.starts_with("MOVED ") => ("two", two.tell("LOGIN ada")),
        here => ("one", here),
    };
    assert!(answer.starts_with("HERE "), "{answer}");
    let id = answer.split(' ').nth(1).unwrap();

    let fleet = &lines(url, &["nodes"], 0)[0];
    let ids: Vec<&str> = fleet["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["node"].as_str().unwrap())
        .collect();
    assert_eq!(
        (fleet["fleet"].as_str(), ids),
        (
            Some("arena"),
            vec![one.incarnation.node.as_str(), two.incarnation.node.as_str()]
        )
    );
    let owner = lines(url, &["owner", "ada"], 0)[0].clone();
    assert_eq!(owner["node"], first, "{owner}");
    let located = lines(url, &["locate", "ada"], 0)[0].clone();
    assert!(located.to_string().contains(first), "{located}");
    for line in [
        ["sessions", "list"].as_slice(),
        &["sessions", "list", "--node", first],
        &["sessions", "get", id],
        &["sessions", "find", "ada"],
    ] {
        let rows = lines(url, line, 0);
        assert_eq!(rows.len(), 1, "{line:?}: {rows:?}");
        assert_eq!(
            (&rows[0]["player"], &rows[0]["owner_live"]),
            (&json!("ada"), &json!(true))
        );
        assert_eq!(rows[0]["session"], id, "{line:?}");
    }
    // Another fleet in the same cluster has none of it.
    assert!(lines(url, &["sessions", "list", "--fleet", "other"], 0).is_empty());

    let mut watch = Endless(ringhold(url, &["watch", "--json"]).spawn().unwrap());
    let mut seen = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&seen.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (next()["event"].clone(), next()["event"].clone()),
        (json!("present"), json!("present"))
    );

    assert_eq!(lines(url, &["sessions", "remove", id], 0)[0]["session"], id);
    lines(url, &["sessions", "get", id], 1);
    lines(url, &["locate", "ada"], 1);
    // Whoever held the player is told by the next write at the latest.
    let mut stream = BufReader::new(stream);
    let (started, mut answer) = (Instant::now(), String::new());
    stream.get_mut().write_all(b"MOVE 1 1\n").unwrap();
    stream.read_line(&mut answer).unwrap();
    assert!(
        answer.starts_with("BYE ") || answer.starts_with("ERR "),
        "{answer}"
    );
    assert!(started.elapsed() < LIMIT);

    two.end();
    let left = loop {
        let event = next();
        if event["event"] == "left" {
            break event;
        }
    };
    assert_eq!(
        (&left["node"], &left["reason"]),
        (&json!("two"), &json!("leave")),
        "{left}"
    );
    one.end();
}

#[test]
fn a_password_that_is_wrong_is_not_repeated() {
    let cluster = cluster();
    let url = cluster.url("arena").replace(SECRET, "wrong-hunter2");
    let output = ringhold(&url, &["nodes"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !said.contains(SECRET), "{said}");
}
