//! `cargo xtask loom`: every interleaving of the lock-free code, up to a bound.

mod mutants;

use clap::Args;

use crate::run::{Call, Problem, Result, Steps};

/// Turns the shim of core over to loom. Plain `--cfg loom` would change tokio and others as well.
const FLAG: &str = "--cfg ringhold_loom";
/// Three forced switches find the known kinds of mistakes; each more multiplies the time.
const PREEMPTIONS: &str = "3";

/// What `cargo xtask loom` is told.
#[derive(Args, Default)]
pub(crate) struct Arguments {
    /// Make the mistakes of the committed list, one by one in a copy, and see a model fail for each.
    #[arg(long)]
    mutants: bool,
}

impl Arguments {
    /// The mistakes of the committed list instead of the models.
    pub(crate) const fn mutants() -> Self {
        Self { mutants: true }
    }
}

/// Runs the models, or shows that they bite.
pub(crate) fn run(steps: &mut Steps, arguments: &Arguments) -> Result<()> {
    if arguments.mutants {
        return mutants::run(steps);
    }
    steps.run("loom", models)
}

/// Runs core's tests with `loom` in their names under the model checker.
fn models() -> Result<()> {
    let printed = checked(Call::cargo([
        "test",
        "-p",
        "ringhold-core",
        "--release",
        "--lib",
        "loom",
    ]))
    // Other flags make other artifacts: in a folder of their own they do not undo the usual build.
    .env("CARGO_TARGET_DIR", "target/loom")
    .advice("loom prints the failing schedule above; LOOM_LOG=trace shows each step of it")
    .run_and_read()?;
    match passed(&printed) {
        0 => Err(Problem::new(
            "no loom test ran: core needs tests with `loom` in their path, compiled under cfg(ringhold_loom)",
        )),
        _ => Ok(()),
    }
}

/// A call of cargo with the flags and the bound of the model checker.
fn checked(call: Call) -> Call {
    let flags = match std::env::var("RUSTFLAGS") {
        Ok(given) if !given.is_empty() => format!("{given} {FLAG}"),
        _ => FLAG.to_owned(),
    };
    call.env("RUSTFLAGS", &flags)
        .env("LOOM_MAX_PREEMPTIONS", PREEMPTIONS)
}

/// The number of tests that passed, by the closing lines of the test runner.
fn passed(printed: &str) -> u64 {
    printed
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn a_run_without_tests_counts_none() {
        assert_eq!(
            passed("running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored\n"),
            0
        );
        assert_eq!(passed(""), 0);
    }

    #[test]
    fn passed_tests_are_counted() {
        assert_eq!(
            passed("test result: ok. 4 passed; 0 failed\n\ntest result: ok. 1 passed; 0 failed\n"),
            5
        );
    }
}
