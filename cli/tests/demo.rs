//! The demo, run as a user runs it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

fn demo(line: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
    command
        .arg("demo")
        .args(line)
        .env_remove("RINGHOLD_BACKEND")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The object on the only line of standard output.
fn object(stdout: &str, stderr: &str) -> Value {
    assert_eq!(stdout.lines().count(), 1, "{stdout}{stderr}");
    serde_json::from_str(stdout).unwrap()
}

#[test]
fn slow_killed_node_costs_no_session() {
    let line = [
        "--nodes",
        "3",
        "--players",
        "60",
        "--kill",
        "1",
        "--seconds",
        "1",
        "--json",
    ];
    let (code, stdout, stderr) = demo(&line);
    let report = object(&stdout, &stderr);
    assert_eq!(code, Some(0), "{report}\n{stderr}");
    let number = |key: &str| {
        report[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key} in {report}"))
    };
    for key in [
        "saves_lost",
        "sessions_lost",
        "moved_needlessly",
        "kicked",
        "processes",
        "messages_lost",
        "messages_astray",
        "displaced_left",
    ] {
        assert!(number(key) == 0.0, "{key}: {report}");
    }
    for (key, value) in [
        ("nodes", 3.0),
        ("players", 60.0),
        ("killed", 1.0),
        ("sessions_before", 60.0),
        // Of eight guests on each node, four of whom are taken over.
        ("messages_sent", 600.0),
        ("messages_delivered", 600.0),
        ("displaced_logins", 12.0),
    ] {
        assert!((number(key) - value).abs() < 0.5, "{key}: {report}");
    }
    for key in [
        "logins_per_s",
        "saves_per_s",
        "owner_ns_p50",
        "detect_ms",
        "recovered_ms",
        "saves_acknowledged",
        "message_ms_p99",
    ] {
        assert!(number(key) > 0.0, "{key}: {report}");
    }
    assert!((number("sessions_after") - 60.0).abs() < 0.5, "{report}");
    assert_eq!(
        (&report["backend"], &report["ok"]),
        (&"memory".into(), &true.into())
    );
    assert!(
        number("message_ms_p50") <= number("message_ms_p99")
            && number("displaced_ms_p50") <= number("displaced_ms_max"),
        "{report}"
    );
    let nodes = report["by_node"].as_array().unwrap();
    assert_eq!(nodes.len(), 4, "{report}");
    assert_eq!(nodes.iter().filter(|node| node["killed"] == true).count(), 1);
    assert_eq!(nodes.iter().filter(|node| node["joined"] == true).count(), 1);
    assert!(stderr.contains("killed node-1: noticed after"), "{stderr}");
}

#[test]
fn without_a_kill_there_is_nothing_to_notice() {
    let line = [
        "--nodes",
        "1",
        "--players",
        "7",
        "--kill",
        "0",
        "--seconds",
        "1",
        "--fleet",
        "quiet",
    ];
    let (code, stdout, stderr) = demo(&line);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let has = |words: &[&str]| {
        stdout
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(
        has(&["node-1"]) && has(&["node-2", "joined"]) && has(&["noticed, with a lease", "-"]),
        "{stdout}"
    );
    assert!(has(&["nothing acknowledged was lost"]), "{stdout}");
    assert!(
        has(&["messages between nodes", "skipped"]) && stderr.contains("one node alone"),
        "{stdout}{stderr}"
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_in_order() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
    command.args([
        "demo",
        "--nodes",
        "2",
        "--players",
        "10",
        "--seconds",
        "600",
        "--json",
    ]);
    command
        .env_remove("RINGHOLD_BACKEND")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let playing = stderr.find(|line| line.as_ref().unwrap().contains("players logged in"));
    assert!(playing.is_some());
    let signal = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    let said: Vec<String> = stderr.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{said:?}");
    let report = object(&String::from_utf8(output.stdout).unwrap(), &said.join("\n"));
    assert_eq!(
        (&report["ok"], &report["error"]),
        (&false.into(), &"interrupted".into())
    );
    assert!(report["logins_per_s"].as_f64().unwrap() > 0.0, "{report}");
}
