//! `ringhold demo --processes`, and the hidden commands that it starts: what they are told, what they
//! say, and that they end with whoever started them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};

fn ringhold(line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
    command
        .args(line)
        .env_remove("RINGHOLD_BACKEND")
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A hidden command that was given its first line.
fn child(command: &str, order: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = ringhold(&[command]).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    tell(&mut child, order);
    (child, stdout)
}

fn tell(child: &mut Child, line: &str) {
    let mut stdin = child.stdin.as_ref().unwrap();
    stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn said(stdout: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// Closes the child's standard input, and waits for its end. The test's own time limit is the deadline.
fn end(child: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn node_order(backend: &str) -> String {
    let timing = json!({ "heartbeat": { "secs": 1, "nanos": 0 }, "lease": { "secs": 5, "nanos": 0 } });
    json!({ "backend": backend, "name": "node-1", "timing": timing }).to_string()
}

#[test]
fn processes_need_a_backend_that_they_can_share() {
    let output = ringhold(&["demo", "--processes", "--json"]).output().unwrap();
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(3), 0),
        "{error}"
    );
    assert_eq!(error["error"]["kind"], "unsupported");
    let message = error["error"]["message"].as_str().unwrap();
    for part in [
        "`ringhold demo --processes`",
        "memory: is embedded",
        "redis-cluster://",
        "without --processes",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_node_ends_with_its_standard_input() {
    let (child, mut stdout) = child("demo-node", &node_order("memory:?fleet=apart"));
    let started = said(&mut stdout);
    assert_eq!(started["started"]["node"]["node"], "node-1", "{started}");
    assert!(
        started["started"]["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert_eq!(said(&mut stdout)["view"], json!({ "nodes": 1, "left": [] }));
    assert_eq!(end(child), (Some(0), String::new()));
}

#[test]
fn the_players_answer_and_end_with_their_standard_input() {
    let (mut child, mut stdout) = child("demo-players", &json!({ "tag": "p-", "players": 3 }).to_string());
    for (ask, key) in [
        (json!({ "let_in": 2 }), "done"),
        (json!("look"), "seen"),
        (json!({ "condemn": ["127.0.0.1:1"] }), "condemned"),
        (json!({ "stage": "stop" }), "done"),
    ] {
        tell(&mut child, &json!([7, ask]).to_string());
        let answer = said(&mut stdout);
        assert_eq!(answer[0], 7, "{answer}");
        assert!(
            answer[1] == key || answer[1].get(key).is_some(),
            "{ask}: {answer}"
        );
    }
    let mut stopped = 0;
    loop {
        tell(&mut child, &json!([8, "collect"]).to_string());
        let page = &said(&mut stdout)[1]["stopped"];
        stopped += page["players"].as_array().unwrap().len();
        if page["all"] == true {
            break;
        }
    }
    assert_eq!(stopped, 2);
    assert_eq!(end(child), (Some(0), String::new()));
}

#[test]
fn whoever_has_no_parent_has_nothing_to_do() {
    for command in ["demo-node", "demo-players"] {
        let output = ringhold(&[command]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(0), 0),
            "{command}"
        );
    }
}

#[test]
fn what_is_no_order_is_refused_without_its_text() {
    for (command, order, code, words) in [
        ("demo-node", "hunter2", 5, "no JSON"),
        (
            "demo-node",
            "{\"backend\":\"redis://:hunter2@h\"}",
            5,
            "does not belong here",
        ),
        ("demo-node", "", 5, "half a JSON value"),
        (
            "demo-node",
            &node_order("memry://:hunter2@h"),
            2,
            "unknown scheme",
        ),
        ("demo-players", "{\"tag\":\"hunter2\"}", 5, "does not belong here"),
        (
            "demo-players",
            "{\"tag\":\"hunter2\",\"players\":100001}",
            2,
            "at most 100000",
        ),
    ] {
        let (child, mut stdout) = child(command, order);
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "");
        let (ended, stderr) = end(child);
        assert_eq!(ended, Some(code), "{order}: {stderr}");
        assert!(
            stderr.contains(words) && !stderr.contains("hunter2"),
            "{order}: {stderr}"
        );
    }
    let (mut child, _stdout) = child("demo-players", &json!({ "tag": "p-", "players": 3 }).to_string());
    tell(&mut child, "[1,\"dance\"]");
    assert_eq!(end(child).0, Some(5));
}

#[test]
fn hidden_commands_are_not_in_the_help() {
    let help = ringhold(&["--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    assert!(
        help.contains("demo ") && !help.contains("demo-node") && !help.contains("demo-players"),
        "{help}"
    );
}
