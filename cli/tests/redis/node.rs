//! A node of the demo that is a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Output, Stdio};

use ringhold::NodeIncarnation;
use serde_json::{Value, json};

use crate::{LIMIT, ringhold};

/// A node of the demo, on its own. It ends with its standard input.
pub(crate) struct Node {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: String,
    /// Which run of the node it is.
    pub(crate) incarnation: NodeIncarnation,
}

impl Node {
    pub(crate) fn start(url: &str, name: &str) -> Self {
        let mut child = ringhold("memory:", &["demo-node"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let timing = json!({ "heartbeat": { "secs": 1, "nanos": 0 }, "lease": { "secs": 5, "nanos": 0 } });
        let order = json!({ "backend": url, "name": name, "timing": timing });
        let mut stdin = child.stdin.as_ref().unwrap();
        stdin.write_all(format!("{order}\n").as_bytes()).unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let started = said(&mut child, &mut stdout);
        let started = &started["started"];
        Self {
            address: started["address"].as_str().unwrap().to_owned(),
            incarnation: serde_json::from_value(started["node"].clone()).unwrap(),
            child,
            stdout,
        }
    }

    pub(crate) fn sees(&mut self, nodes: usize) {
        while said(&mut self.child, &mut self.stdout)["view"]["nodes"] != nodes {}
    }

    /// Says a line to the game server; answers the connection and the answer.
    pub(crate) fn tell(&self, line: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap();
        (stream, answer)
    }

    pub(crate) fn end(self) {
        let Output { status, stderr, .. } = self.child.wait_with_output().unwrap();
        assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    }

    /// Kills it: SIGKILL.
    #[cfg(feature = "grpc")]
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn said(child: &mut Child, stdout: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    if stdout.read_line(&mut line).unwrap() == 0 {
        let mut stderr = String::new();
        child
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        panic!("the node ended: {stderr}");
    }
    serde_json::from_str(&line).unwrap()
}
