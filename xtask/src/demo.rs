//! The main job, run once: the demo fleet, and what its last line must say.

use serde_json::Value;

use crate::run::{Call, Problem, Result};

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
];

/// Counts that no run which calls itself good may have.
const LOSSES: &[&str] = &["saves_lost", "moved_needlessly"];

/// Runs the demo as a user would and reads its object.
pub(crate) fn run() -> Result<()> {
    let printed = Call::cargo(["run", "--release", "--", "demo", "--json"])
        .advice(
            "the demo exits with an error when something acknowledged was lost or a player moved needlessly",
        )
        .run_and_read()?;
    let last = printed
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default();
    check(last)
}

fn check(line: &str) -> Result<()> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| Problem::new(format!("the last line is not JSON ({error}): {line:?}")))?;
    let object = value
        .as_object()
        .ok_or_else(|| Problem::new(format!("the last line is not a JSON object: {line:?}")))?;
    let mut wrong = Vec::new();
    if !object.get("backend").is_some_and(Value::is_string) {
        wrong.push("`backend` must be a string".to_owned());
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
        check(&Value::Object(object).to_string()).unwrap_err().to_string()
    }

    #[test]
    fn a_full_object_passes() {
        check(&Value::Object(good()).to_string()).unwrap();
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
    fn what_is_no_object_fails() {
        assert!(check("").is_err());
        assert!(check("done").is_err());
        assert!(check("[1]").is_err());
    }
}
