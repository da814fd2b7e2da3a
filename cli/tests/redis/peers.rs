//! Messages and kicks from a process that is no node, through nodes that are processes.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::node::Node;
use crate::{cluster, lines, ringhold};

/// A player who is attached to exactly this node.
struct Player(BufReader<TcpStream>);

impl Player {
    fn on(node: &Node, name: &str) -> Self {
        let (stream, answer) = node.tell(&format!("LOGIN {name} TAKE"));
        assert!(answer.starts_with("HERE "), "{answer}");
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

/// The kind of the error and the exit code of a command that fails.
pub(crate) fn refused(url: &str, line: &[&str]) -> (String, i32) {
    let output = ringhold(url, line).arg("--json").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let error: Value = serde_json::from_str(&stderr).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let kind = error["error"]["kind"].as_str().unwrap();
    (kind.to_owned(), output.status.code().unwrap())
}

#[test]
fn players_of_other_processes_are_told_and_kicked() {
    let cluster = cluster();
    let url = &cluster.url("peers");
    let (mut one, mut two) = (Node::start(url, "one"), Node::start(url, "two"));
    one.sees(2);
    two.sees(2);
    let (mut ada, mut bob) = (Player::on(&one, "ada"), Player::on(&two, "bob"));

    let sent = lines(url, &["send", "ada", "hello there"], 0);
    assert_eq!(sent, [json!({ "player": "ada", "bytes": 11 })]);
    assert_eq!(ada.line(), "FROM * hello there");
    let mut sending = ringhold(url, &["send", "bob", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    sending.stdin.take().unwrap().write_all(b"a\nb").unwrap();
    let Output { status, stderr, .. } = sending.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    assert_eq!(bob.line(), "FROM * a b");

    let rows = lines(url, &["send", "--all", "closing soon"], 0);
    let told: Vec<(&str, u64)> = rows
        .iter()
        .map(|row| (row["node"].as_str().unwrap(), row["delivered"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("one", 1), ("two", 1)]);
    assert_eq!(
        (ada.line(), bob.line()),
        ("FROM * closing soon".to_owned(), "FROM * closing soon".to_owned())
    );

    assert_eq!(
        refused(url, &["send", "carol", "hello"]),
        ("not_found".to_owned(), 1)
    );
    assert_eq!(
        refused(url, &["send", "ada", "hello", "--peer", "http://h:1"]),
        ("invalid_argument".to_owned(), 2)
    );
    let kicked = lines(url, &["kick", "ada", "--reason", "for good"], 0);
    assert_eq!(kicked, [json!({ "player": "ada", "told": true })]);
    assert_eq!(ada.line(), "BYE kicked for good");
    assert_eq!(refused(url, &["kick", "ada"]), ("not_found".to_owned(), 1));

    // A holder that is dead is not reached, before it is noticed and afterwards; the session ends all the same.
    two.kill();
    assert_eq!(
        refused(url, &["send", "bob", "hello"]),
        ("unavailable".to_owned(), 4)
    );
    let kicked = lines(url, &["kick", "bob"], 0);
    assert_eq!(kicked, [json!({ "player": "bob", "told": false })]);
    assert_eq!(refused(url, &["locate", "bob"]).1, 1);
    one.end();
}
