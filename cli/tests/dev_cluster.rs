//! `ringhold dev-cluster`: real servers that outlive the command that starts them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn ringhold(folder: &Path, line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringhold"))
        .arg("dev-cluster")
        .args(line)
        .arg("--dir")
        .arg(folder)
        .env_remove("RINGHOLD_BACKEND")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn error(output: &Output, code: i32) -> String {
    let words = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words}");
    words
}

#[cfg(not(feature = "redis-cluster"))]
#[test]
fn a_build_without_it_says_how_to_get_it() {
    for line in [["up"], ["status"], ["down"]] {
        let words = error(&ringhold(Path::new("nowhere"), &line), 3);
        assert!(words.contains("--features redis-cluster"), "{words}");
    }
}

#[test]
fn what_cannot_work_is_a_usage_error() {
    for line in [
        ["up", "--masters", "0"],
        ["up", "--replicas", "6"],
        ["up", "--node-timeout", "2"],
    ] {
        error(&ringhold(Path::new("nowhere"), &line), 2);
    }
}

#[cfg(feature = "redis-cluster")]
mod servers {
    use super::*;
    use serde_json::Value;

    /// A folder whose cluster is gone however the test ends.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn run(&self, line: &[&str]) -> Output {
            ringhold(self.0.path(), line)
        }

        fn json(&self, line: &[&str], code: i32) -> Value {
            let output = self.run(&[line, &["--json"]].concat());
            error(&output, code);
            serde_json::from_slice(&output.stdout).unwrap()
        }

        fn words(&self, line: &[&str], code: i32) -> String {
            let output = self.run(line);
            error(&output, code);
            String::from_utf8(output.stdout).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = self.run(&["down"]);
        }
    }

    fn process(row: &Value) -> String {
        format!("/proc/{}/cwd", row["pid"].as_u64().unwrap())
    }

    #[test]
    fn where_none_was_started_the_answer_is_no() {
        let folder = Folder::new();
        for command in ["status", "down"] {
            let words = error(&folder.run(&[command]), 1);
            assert!(words.contains("`ringhold dev-cluster up` starts one"), "{words}");
        }
    }

    #[test]
    fn without_redis_server_it_says_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ringhold"))
            .args(["dev-cluster", "up", "--dir"])
            .arg(folder.path().join("new"))
            .env("PATH", folder.path())
            .output()
            .unwrap();
        let words = error(&output, 3);
        assert!(words.contains("apt-get install redis-server"), "{words}");
        assert!(!folder.path().join("new").exists());
    }

    #[test]
    fn slow_up_status_and_down() {
        let folder = Folder::new();
        let first = folder.json(&["up", "--node-timeout", "1s"], 0);
        assert_eq!((&first["nodes"], &first["started"]), (&6.into(), &6.into()));
        let url = first["url"].as_str().unwrap();
        assert!(
            url.starts_with("redis-cluster://127.0.0.1:") && url.matches("node=").count() == 5,
            "{url}"
        );

        let again = folder.words(&["up"], 0);
        assert!(
            again.contains("runs already") && again.contains(&format!("--backend '{url}'")),
            "{again}"
        );
        let status = folder.json(&["status"], 0);
        let rows = status["nodes"].as_array().unwrap();
        assert_eq!((status["ok"].as_bool(), rows.len()), (Some(true), 6));
        let slots: u64 = rows.iter().map(|row| row["slots"].as_u64().unwrap()).sum();
        assert_eq!(slots, 16_384);
        assert_eq!(rows[3]["replica_of"], rows[0]["node"]);
        let table = folder.words(&["status"], 0);
        assert!(table.starts_with("NODE ") && table.contains("KiB"), "{table}");

        // A replica, so that nobody is promoted.
        let victim = rows[3]["pid"].to_string();
        let killed = Command::new("sh")
            .args(["-c", "kill -9 \"$0\"", &victim])
            .status();
        assert!(killed.unwrap().success());
        let hurt = loop {
            let seen = folder.run(&["status", "--json"]);
            if seen.status.code() == Some(1) {
                break seen;
            }
        };
        let hurt: Value = serde_json::from_slice(&hurt.stdout).unwrap();
        assert_eq!(
            (&hurt["ok"], &hurt["nodes"][3]["state"]),
            (&false.into(), &"down".into())
        );
        let mended = folder.json(&["up"], 0);
        assert_eq!((&mended["url"], &mended["started"]), (&first["url"], &1.into()));

        let rows = folder.json(&["status"], 0)["nodes"].take();
        let processes: Vec<String> = rows.as_array().unwrap().iter().map(process).collect();
        assert!(processes.iter().all(|process| Path::new(process).exists()));
        assert_eq!(folder.json(&["down"], 0)["stopped"], 6);
        assert!(processes.iter().all(|process| !Path::new(process).exists()));
        assert!(!folder.0.path().exists());
        error(&folder.run(&["status"]), 1);
    }
}
