//! The program as others call it: exit codes, refusals, completions, and pipes that close.

use std::io::Read;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn ringhold() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringhold"));
    command
        .env_remove("RINGHOLD_BACKEND")
        .env_remove("RINGHOLD_PEER")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn run(line: &[&str]) -> Output {
    ringhold().args(line).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Everything a command said, which must have ended with this code.
fn said(line: &[&str], code: i32) -> String {
    let output = run(line);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line:?}: {said}");
    said
}

const ID: &str = "35a-00112233445566778899aabbccddeeff";

#[test]
fn commands_over_a_fleet_say_why_memory_cannot_serve_them() {
    for line in [
        ["nodes"].as_slice(),
        &["sessions", "list"],
        &["sessions", "get", ID],
        &["sessions", "find", "ada"],
        &["sessions", "remove", ID],
        &["locate", "ada"],
        &["owner", "key"],
        &["watch"],
    ] {
        let said = said(line, 3);
        let command = line
            .iter()
            .take_while(|word| word.len() < 9 && **word != "ada" && **word != "key");
        let command = command.copied().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("`ringhold {command}`")), "{said}");
        assert!(
            said.contains("memory: is embedded") && said.contains("RINGHOLD_BACKEND"),
            "{said}"
        );
        assert!(
            said.contains("redis-cluster://") && said.contains("ringhold demo"),
            "{said}"
        );
    }
}

#[test]
fn commands_that_speak_to_nodes_say_why_they_cannot() {
    for line in [
        ["send", "ada", "hello"],
        ["send", "--all", "hello"],
        ["kick", "ada", "--json"],
    ] {
        let said = said(&line, 3);
        if cfg!(feature = "grpc") {
            let command = format!("`ringhold {}`", line[0]);
            assert!(
                said.contains(&command) && said.contains("memory: is embedded"),
                "{said}"
            );
        } else {
            assert!(said.contains("--features grpc"), "{said}");
        }
    }
}

#[cfg(feature = "grpc")]
#[test]
fn ways_to_nodes_that_cannot_work_say_what_would() {
    for (peer, words) in [
        ("http://h:1", "neither grpc:// nor grpcs://"),
        ("grpc://192.0.2.1:7700", "loopback"),
        ("grpcs://h:1?token=hunter2", "token"),
        (
            "grpcs://?ca=/nowhere/ca.pem&cert=/nowhere/c.pem&key=/nowhere/k.pem",
            "/nowhere/",
        ),
    ] {
        for said in [
            said(&["kick", "ada", "--peer", peer], 2),
            text(
                &ringhold()
                    .args(["kick", "ada"])
                    .env("RINGHOLD_PEER", peer)
                    .output()
                    .unwrap()
                    .stderr,
            ),
        ] {
            assert!(
                said.starts_with("ringhold: --peer: ") && said.contains(words),
                "{said}"
            );
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn a_copy_that_cannot_work_says_why() {
    for (line, code, words) in [
        (["copy"].as_slice(), 2, "--from <URL>"),
        (&["copy", "--from", "memory:"], 2, "--to <URL>"),
        (
            &["copy", "--from", "memory:", "--to", "memory:"],
            2,
            "one fleet of one backend",
        ),
        (
            &[
                "copy",
                "--from",
                "memory:?fleet=a",
                "--to",
                "memory:?fleet=b",
                "--fleet",
                "c",
            ],
            2,
            "--to-fleet",
        ),
        (
            &["copy", "--from", "memory:", "--to", "memory:?fleet=b"],
            3,
            "--from: memory: begins empty and ends with this process",
        ),
        (
            &["copy", "--from", "memry://u:hunter2@h", "--to", "memory:"],
            2,
            "--from: open: invalid_argument: unknown scheme",
        ),
        (
            &["copy", "--from", "hunter2", "--to", "memory:"],
            2,
            "is not a URL",
        ),
        (
            &[
                "copy",
                "--from",
                "memory:",
                "--to",
                "memory:",
                "--to-fleet",
                "a b",
            ],
            2,
            "--to-fleet",
        ),
    ] {
        let said = said(line, code);
        assert!(said.contains(words), "{line:?}: {said}");
        assert!(!said.contains("hunter2"), "{line:?}: {said}");
    }
}

#[test]
fn a_repair_that_cannot_work_says_why() {
    for (line, code, words) in [
        (
            ["repair"].as_slice(),
            3,
            "memory: begins empty and ends with this process",
        ),
        (
            &["repair", "--apply", "memory:"],
            2,
            "unexpected argument 'memory:'",
        ),
        (&["repair", "--aply"], 2, "--apply"),
        (
            &["--backend", "postgres://u:hunter2@h", "repair"],
            2,
            "unknown scheme",
        ),
        (&["--fleet", "a b", "repair"], 2, "--fleet"),
    ] {
        let said = said(line, code);
        assert!(said.contains(words), "{line:?}: {said}");
        assert!(!said.contains("hunter2"), "{line:?}: {said}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["completions", shell], 0);
        assert!(script.contains("repair") && script.contains("apply"), "{shell}");
    }
    assert!(said(&["repair", "--help"], 0).contains("--apply"));
}

#[cfg(feature = "redb")]
#[test]
fn a_sound_file_has_nothing_to_repair() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!(
        "redb://{}?fleet=arena",
        folder.path().join("arena.redb").display()
    );
    for line in [["repair"].as_slice(), &["repair", "--apply"]] {
        let said = said(&[&["--backend", &url], line].concat(), 0);
        assert_eq!(said, "0 sessions and tombstones checked: 0 faults, 0 repaired\n");
    }
    let line = ["--backend", &url, "repair", "--json"];
    let report: Value = serde_json::from_str(&said(&line, 0)).unwrap();
    let expected = serde_json::json!({
        "entries": 0, "faults": 0, "repaired": 0, "newer": 0, "complete": true,
    });
    assert_eq!(report, expected);
}

#[test]
fn urls_that_cannot_work_say_what_would() {
    for (url, words) in [
        ("memry:", "known are"),
        ("arena", "is not a URL"),
        ("", "is not a URL"),
        ("memory:?flet=arena", "fleet"),
        ("memory:/path", "memory:?fleet=arena"),
    ] {
        let said = said(&["--backend", url, "demo"], 2);
        assert!(
            said.contains(words) && said.starts_with("ringhold: open"),
            "{url}: {said}"
        );
    }
}

#[test]
fn a_secret_is_never_printed() {
    let url = "postgres://user:hunter2@host:1/db?token=hunter2";
    for line in [
        ["nodes"].as_slice(),
        &["demo"],
        &["nodes", "--json"],
        &["--help"],
        &["demo", "--bad"],
        &[],
    ] {
        let output = ringhold()
            .args(line)
            .env("RINGHOLD_BACKEND", url)
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.is_empty() && !said.contains("hunter2"), "{line:?}: {said}");
    }
    assert!(!said(&["nodes", "--backend", url, "--fleet", "eu"], 2).contains("hunter2"));
}

#[test]
fn the_environment_names_the_backend_and_the_option_wins() {
    let run = |line: &[&str]| {
        ringhold()
            .args(line)
            .env("RINGHOLD_BACKEND", "memry:")
            .output()
            .unwrap()
    };
    assert_eq!(run(&["nodes"]).status.code(), Some(2));
    assert_eq!(run(&["nodes", "--backend", "memory:"]).status.code(), Some(3));
}

#[test]
fn usage_errors_are_two() {
    for line in [
        ["bogus"].as_slice(),
        &["locate"],
        &["locate", ""],
        &["sessions", "get", "not an id"],
        &["nodes", "--fleet", "a b"],
        &["demo", "--nodes", "0"],
        &["demo", "--players", "0"],
        &["demo", "--seconds", "-1"],
        &["demo", "--nodes", "3", "--kill", "3"],
        &["demo", "--nodes", "1"],
        &["completions", "cobol"],
        &["send", "ada"],
        &["send", "--all", "ada", "hello"],
        &["kick"],
    ] {
        said(line, 2);
    }
    assert!(said(&["demo", "--nodes", "3", "--kill", "4"], 2).contains("--kill 4 leaves none of --nodes 3"));
}

#[test]
fn errors_are_json_for_programs() {
    let output = run(&["nodes", "--json"]);
    assert!(output.stdout.is_empty());
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(
        (&error["error"]["kind"], &error["error"]["exit"]),
        (&"unsupported".into(), &3.into())
    );
}

#[test]
fn help_tells_the_exit_codes_and_version_the_version() {
    let help = said(&["--help"], 0);
    assert!(
        help.contains(include_str!("../exit-codes.txt").trim_end()),
        "{help}"
    );
    for command in [
        "demo",
        "nodes",
        "sessions",
        "locate",
        "owner",
        "watch",
        "send",
        "kick",
        "dev-cluster",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
    }
    assert!(said(&["--version"], 0).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(
            output.status.success() && text(&output.stdout).contains("ringhold"),
            "{shell}"
        );
    }
    let bash = said(&["completions", "bash"], 0);
    assert!(
        ["--players", "--peer", "--reason", "send"]
            .iter()
            .all(|word| bash.contains(word))
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for line in [["completions", "zsh"].as_slice(), &["--help"]] {
        let mut command = ringhold();
        command.args(line).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let mut complaints = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut complaints)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), complaints.as_str()),
            (Some(0), ""),
            "{line:?}"
        );
    }
}
