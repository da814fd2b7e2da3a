//! `cargo xtask mutants`: core with one mistake after the other, each of which a test of core has to notice.

use std::fs;

use clap::Args;

use crate::run::{Call, Problem, Result, Steps};
use crate::setup;
use crate::workspace::Workspace;

/// What `cargo xtask mutants` is told.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only those in this file, such as `core/src/ring.rs`; a glob, and more than once.
    #[arg(long, value_name = "FILE")]
    file: Vec<String>,
    /// Only one part of them, such as 2/8: parts 0 to n-1 of n are all.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
}

/// What each was and what the tests said, below the target folder.
const REPORT: &str = "mutants.out";

/// Makes the mistakes in a copy, by the settings of `.cargo/mutants.toml`.
pub(crate) fn run(steps: &mut Steps, arguments: &Arguments) -> Result<()> {
    steps.run("install what is missing", || setup::run(&[setup::MUTANTS]))?;
    let workspace = Workspace::load()?;
    let target = workspace.target_directory.to_string_lossy().into_owned();
    steps.run("mutants", || {
        let code = Call::cargo(words(arguments, &target))
            // Files for the next build are what makes each of them quick.
            .env("CARGO_INCREMENTAL", "1")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            .code()?;
        let report = format!("{target}/{REPORT}");
        // Where some tests did not end the code says nothing of these.
        let missed = fs::read_to_string(format!("{report}/missed.txt")).unwrap_or_default();
        judge(code, !missed.trim().is_empty(), &report)
    })
}

fn words(arguments: &Arguments, target: &str) -> Vec<String> {
    let fixed = ["mutants", "--package", "ringhold-core", "--output", target].map(str::to_owned);
    let files = arguments
        .file
        .iter()
        .flat_map(|file| ["--file".to_owned(), file.clone()]);
    let shard = arguments
        .shard
        .iter()
        .flat_map(|shard| ["--shard".to_owned(), shard.clone()]);
    fixed.into_iter().chain(files).chain(shard).collect()
}

/// What cargo-mutants says by its exit code, and by what it wrote of those that no test noticed.
fn judge(code: i32, missed: bool, report: &str) -> Result<()> {
    match code {
        2 | 3 if missed => Err(Problem::new(format!(
            "some were noticed by no test of core: {report}/missed.txt; write one, make the code simpler, or name it \
             with the reason in .cargo/mutants.toml"
        ))),
        0 => Ok(()),
        // Tests that never end are ended by the test runner, and fail.
        3 => {
            println!("with some the tests did not end: {report}/timeout.txt");
            Ok(())
        }
        4 => Err(Problem::new(
            "core's tests fail, or do not build, without a mistake",
        )),
        _ => Err(Problem::new(format!("cargo-mutants failed (exit code {code})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_a_shard_are_handed_on() {
        let arguments = Arguments {
            file: vec!["a.rs".into(), "b.rs".into()],
            shard: Some("1/4".into()),
        };
        let words = words(&arguments, "target").join(" ");
        let expected = "mutants --package ringhold-core --output target --file a.rs --file b.rs --shard 1/4";
        assert_eq!(words, expected);
    }

    #[test]
    fn one_that_nobody_noticed_is_a_problem() {
        assert!(judge(0, false, "out").is_ok() && judge(3, false, "out").is_ok());
        for code in [2, 3] {
            let problem = judge(code, true, "out").unwrap_err().to_string();
            assert!(problem.contains("out/missed.txt"), "{problem}");
        }
        assert!(judge(4, false, "out").is_err() && judge(70, false, "out").is_err());
    }
}
