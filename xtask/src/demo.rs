//! The main job: the demo fleet on every backend, and what its last line must say.

mod servers;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::servers::{Server, Servers};
use crate::run::{Call, Calls, Problem, Result, Steps};
use crate::test;
use crate::workspace::Workspace;

/// What programs read from the demo's object; all but `backend` and `ok` are numbers.
const NUMBERS: &[&str] = &[
    "nodes",
    "players",
    "processes",
    "logins_per_s",
    "saves_per_s",
    "owner_ns_p50",
    "killed",
    "detect_ms",
    "recovered_ms",
    "sessions_before",
    "sessions_after",
    "sessions_lost",
    "saves_acknowledged",
    "saves_lost",
    "moved_needlessly",
    // Times are numbers only where nodes have talked to each other.
    "messages_sent",
    "messages_delivered",
    "messages_lost",
    "message_ms_p50",
    "message_ms_p99",
    "displaced_logins",
    "displaced_left",
    "displaced_ms_p50",
    "displaced_ms_max",
];

/// Counts that no run which calls itself good may have.
const LOSSES: &[&str] = &[
    "saves_lost",
    "moved_needlessly",
    "messages_lost",
    "displaced_left",
];

/// The time from a fresh clone to the demo's table that the README promises, on two idle cores.
const FIRST_MAX: Duration = Duration::from_secs(240);

/// Runs the demo as a newcomer does: a fresh clone, then the README's command. Its time is reported, not asserted, since
/// other programs may use the cores.
pub(crate) fn first(steps: &mut Steps) -> Result<()> {
    let workspace = Workspace::load()?;
    steps.run("demo from a fresh clone", || {
        let folder = workspace.target_directory.join("first-demo");
        let clone = folder.to_string_lossy().into_owned();
        let removed = || match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Problem::new(format!("removing {clone}: {error}")))
            }
            _ => Ok(()),
        };
        removed()?;
        let start = Instant::now();
        Call::new(
            "git",
            ["clone", "--quiet", &workspace.root.to_string_lossy(), &clone],
        )
        .run()?;
        let printed = Call::cargo(["run", "--release", "--", "demo", "--json"])
            .inside(&folder)
            .advice(ADVICE)
            .run_and_read()?;
        let took = start.elapsed();
        println!(
            "from the clone to the table: {} s, promised on two idle cores at most {} s: {}",
            took.as_secs(),
            FIRST_MAX.as_secs(),
            if took <= FIRST_MAX { "kept" } else { "MISSED" },
        );
        removed()?;
        check(object(&printed), "memory", false)
    })
}

const ADVICE: &str =
    "the demo exits with an error when something acknowledged was lost or a player moved needlessly";

/// The calls of the demo as it is, and of a smaller one on each backend, where each node is a process if processes can
/// share the backend. The program is the one that the tests have built.
pub(crate) fn built() -> Result<Calls> {
    test::build_programs()?;
    let built = Workspace::load()?.built();
    let program = built.join("ringhold");
    let demo = |before: &[&str], after: &[&str], scheme: String, shared: bool| {
        let words = before.iter().chain(&["demo", "--json"]).chain(after);
        Call::new(&program.to_string_lossy(), words)
            .advice(ADVICE)
            .checked(move |printed| check(object(printed), &scheme, shared))
    };
    let servers = Servers::start(&built.join("examples/servers"))?;
    let mut calls = vec![("demo".to_owned(), demo(&[], &[], "memory".to_owned(), false))];
    for Server { name, shared, url } in servers.list() {
        let (how, processes): (_, &[&str]) = if *shared {
            (", by processes", &["--processes"])
        } else {
            ("", &[])
        };
        let small = ["--nodes", "4", "--players", "200", "--seconds", "2"];
        let scheme = url.split(':').next().unwrap_or_default().to_owned();
        let call = demo(
            &["--backend", url],
            &[&small, processes].concat(),
            scheme,
            *shared,
        );
        calls.push((format!("demo on {name}{how}"), call));
    }
    Ok(Calls::from(calls).keeping(servers))
}

/// The last line that looks like an object: what goes to the other output may follow it.
fn object(printed: &str) -> &str {
    printed
        .lines()
        .rfind(|line| line.starts_with('{'))
        .unwrap_or_default()
}

/// Whether the demo's object is whole, and is about this backend.
fn check(line: &str, backend: &str, processes: bool) -> Result<()> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| Problem::new(format!("the last line is not JSON ({error}): {line:?}")))?;
    let object = value
        .as_object()
        .ok_or_else(|| Problem::new(format!("the last line is not a JSON object: {line:?}")))?;
    let mut wrong = Vec::new();
    if object.get("backend").and_then(Value::as_str) != Some(backend) {
        wrong.push(format!("`backend` must be {backend:?}"));
    }
    let are_processes = object.get("processes").and_then(Value::as_u64) != Some(0);
    if are_processes != processes {
        let count = if processes { "more than 0" } else { "0" };
        wrong.push(format!("`processes` must be {count}"));
    }
    for key in NUMBERS {
        if !object.get(*key).is_some_and(Value::is_number) {
            wrong.push(format!("`{key}` must be a number"));
        }
    }
    for key in LOSSES {
        if object
            .get(*key)
            .and_then(Value::as_u64)
            .is_some_and(|count| count > 0)
        {
            wrong.push(format!("`{key}` must be 0"));
        }
    }
    if object.get("ok") != Some(&Value::Bool(true)) {
        wrong.push("`ok` must be true".to_owned());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Problem::new(format!(
        "the demo's object is wrong: {}",
        wrong.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> serde_json::Map<String, Value> {
        let mut object: serde_json::Map<_, _> = NUMBERS
            .iter()
            .map(|key| ((*key).to_owned(), Value::from(0)))
            .collect();
        object.insert("backend".into(), "memory".into());
        object.insert("ok".into(), true.into());
        object
    }

    fn refused(object: serde_json::Map<String, Value>) -> String {
        check(&Value::Object(object).to_string(), "memory", false)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_full_object_passes() {
        check(&Value::Object(good()).to_string(), "memory", false).unwrap();
    }

    #[test]
    fn every_missing_key_is_named() {
        for key in NUMBERS.iter().chain(&["backend", "ok"]) {
            let mut object = good();
            object.remove(*key);
            assert!(refused(object).contains(&format!("`{key}`")));
        }
    }

    #[test]
    fn a_run_that_lost_something_fails_whatever_it_says_of_itself() {
        for key in LOSSES {
            let mut object = good();
            object.insert((*key).into(), 1.into());
            assert!(refused(object).contains("must be 0"));
        }
        let mut object = good();
        object.insert("ok".into(), false.into());
        assert!(refused(object).contains("`ok` must be true"));
    }

    #[test]
    fn a_run_of_something_else_fails() {
        let line = Value::Object(good()).to_string();
        let refused = |backend, processes| check(&line, backend, processes).unwrap_err().to_string();
        assert!(refused("redis", false).contains("`backend` must be \"redis\""));
        assert!(refused("memory", true).contains("`processes` must be more than 0"));
        let mut apart = good();
        apart.insert("processes".into(), 5.into());
        check(&Value::Object(apart.clone()).to_string(), "memory", true).unwrap();
        let problem = check(&Value::Object(apart).to_string(), "memory", false).unwrap_err();
        assert!(problem.to_string().contains("`processes` must be 0"), "{problem}");
    }

    #[test]
    fn what_is_no_object_fails() {
        for line in ["", "done", "[1]"] {
            assert!(check(line, "memory", false).is_err());
        }
    }
}
