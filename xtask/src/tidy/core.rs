//! Core does no I/O, runs nothing, and owns neither clock nor randomness.

use super::rust::words;
use super::{Finding, Repo};
use crate::run::{Call, Result};

const RULE: &str = "core";

/// Crates that must not stand anywhere below core: runtimes, sockets, randomness.
const BANNED: &[&str] = &[
    "async-std",
    "fastrand",
    "getrandom",
    "mio",
    "rand",
    "rand_core",
    "smol",
    "socket2",
    "tokio",
];

/// What must not be named in the code of core, outside its tests.
const NAMES: &[(&str, &str)] = &[
    ("Instant::now", "take the time from `Clock`"),
    ("SystemTime", "take the time from `Clock`"),
    ("std::env", "take it as an argument"),
    ("std::fs", "core does no I/O; an adapter may"),
    ("std::net", "core does no I/O; an adapter may"),
    ("std::process", "core does no I/O; an adapter may"),
    ("thread::spawn", "core runs nothing; the runtime does"),
];

/// The names below core that would be built with all features, on any platform.
pub(super) fn tree() -> Result<Vec<String>> {
    let tree = [
        "tree",
        "--package",
        "ringhold-core",
        "--edges",
        "normal,build",
        "--all-features",
    ];
    let names = ["--target", "all", "--prefix", "none", "--format", "{p}"];
    let printed = Call::cargo(tree.into_iter().chain(names)).output()?;
    Ok(printed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = banned(&repo.core_tree);
    findings.extend(named(repo));
    findings
}

fn banned(tree: &[String]) -> Vec<Finding> {
    let is_banned = |name: &&String| BANNED.contains(&name.as_str()) || name.starts_with("tokio-");
    let mut names: Vec<&String> = tree.iter().filter(is_banned).collect();
    names.sort();
    names.dedup();
    let finding = |name: &String| {
        let advice =
            format!("{name} is below core; `cargo tree -p ringhold-core -i {name}` shows who brings it");
        Finding::of_file("core/Cargo.toml", RULE, advice)
    };
    names.into_iter().map(finding).collect()
}

fn named(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, code) in repo.rust().filter(|(file, _)| file.path.starts_with("core/src/")) {
        if super::sleeps::is_test_file(&file.path) {
            continue;
        }
        for (name, advice) in NAMES {
            for at in words(code.text(), name).filter(|at| !code.in_tests(*at)) {
                findings.push(file.finding(file.line_of(at), RULE, format!("no `{name}` here: {advice}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::sample::{places, repo};
    use super::*;

    #[test]
    fn a_runtime_below_core_is_found() {
        let tree = ["ringhold-core", "serde", "tokio", "tokio-util", "tokio"].map(str::to_owned);
        let names: Vec<_> = banned(&tree).into_iter().map(|finding| finding.advice).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(banned(&["serde".to_owned(), "tracing".to_owned()]), []);
    }

    #[test]
    fn a_clock_or_a_file_in_core_is_found() {
        let text = "use std::fs;\nfn f() { let a = Instant::now(); }\n";
        assert_eq!(
            places(&check(&repo(&[("core/src/a.rs", text)]))),
            ["core/src/a.rs:2", "core/src/a.rs:1"]
        );
    }

    #[test]
    fn tests_and_other_crates_may() {
        let text = "fn f() { Instant::now(); }";
        let in_test = format!("#[cfg(test)]\nmod tests {{ {text} }}");
        let files = [
            ("src/a.rs", text),
            ("core/tests/a.rs", text),
            ("core/src/b.rs", in_test.as_str()),
        ];
        assert_eq!(check(&repo(&files)), []);
    }
}
