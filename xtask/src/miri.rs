//! `cargo xtask miri`: core's tests under the interpreter that finds undefined behaviour.

use crate::run::{Call, Problem, Result, Steps};
use crate::toolchain::{self, NIGHTLY};

/// The tests that matter, by the beginning of their paths: what is lock-free, and what reads bytes of others.
/// Interpreted, one step takes a hundred times as long, so whole suites of random cases are left out.
const TESTS: &[(&str, &[&str])] = &[
    ("--lib", &["published::", "codec::", "ring::point::"]),
    ("--test=codec", &["golden::", "robustness::"]),
];

/// What takes minutes when it is interpreted: megabytes of bytes, or every offset with every value.
const LEFT_OUT: &[&str] = &[
    "ten_megabytes",
    "claims_of_gigabytes",
    "a_flipped_bit",
    "limited_both_ways",
    "cut_short_anywhere",
];

/// What `rustup component list` calls what is needed, by the beginnings.
const COMPONENTS: [&str; 2] = ["miri", "rust-src"];

/// Installs miri where rustup can, and runs the tests.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    steps.run("install what is missing", install)?;
    interpret(steps)
}

/// The same in CI. A machine may have no nightly and no way to get one: then the step is left out, and the table of all
/// steps says so, since it cannot say that it passed.
pub(crate) fn run_if_it_can(steps: &mut Steps) -> Result<()> {
    match install() {
        Ok(()) => interpret(steps),
        Err(why) => {
            steps.left_out("miri", &why);
            Ok(())
        }
    }
}

/// Nightly with its components, from rustup. What is there is left as it is, so that nothing needs a network then.
fn install() -> Result<()> {
    const ADVICE: &str = "without a network, add nightly and its components miri and rust-src by hand";
    if !toolchain::has_nightly() {
        let nightly = ["toolchain", "install", "nightly", "--profile", "minimal"];
        let components = COMPONENTS.iter().flat_map(|component| ["--component", component]);
        return Call::new("rustup", nightly.into_iter().chain(components))
            .advice(ADVICE)
            .run();
    }
    let list = ["component", "list", "--toolchain", "nightly", "--installed"];
    let installed = Call::new("rustup", list).advice(ADVICE).output()?;
    if missing(&installed).is_empty() {
        return Ok(());
    }
    let add = ["component", "add", "--toolchain", "nightly"];
    Call::new("rustup", add.into_iter().chain(missing(&installed)))
        .advice(ADVICE)
        .run()
}

/// What a list of installed components lacks. They may have the target behind their names.
fn missing(installed: &str) -> Vec<&'static str> {
    let has = |component: &&str| {
        let mut rests = installed.lines().filter_map(|line| line.strip_prefix(component));
        rests.any(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    COMPONENTS
        .into_iter()
        .filter(|component| !has(component))
        .collect()
}

/// Runs the tests.
fn interpret(steps: &mut Steps) -> Result<()> {
    for (kind, tests) in TESTS {
        steps.run(format!("miri: {kind}"), || {
            let cargo = [NIGHTLY, "miri", "test", "-p", "ringhold-core", kind, "--"];
            let skipped = LEFT_OUT.iter().flat_map(|test| ["--skip", test]);
            let call = Call::new(
                "cargo",
                cargo.into_iter().chain(tests.iter().copied()).chain(skipped),
            );
            // Other artifacts than the usual build's. The clock and the files of the machine are asked for.
            let printed = call
                .env("CARGO_TARGET_DIR", "target/miri")
                .env("MIRIFLAGS", "-Zmiri-disable-isolation")
                .run_and_read()?;
            match not_run(&printed, tests)[..] {
                [] => Ok(()),
                [first, ..] => Err(Problem::new(format!(
                    "no test of {first} ran: bring the list in xtask/src/miri.rs up to date"
                ))),
            }
        })?;
    }
    Ok(())
}

/// Beginnings of paths under which no test ran. A filter that matches nothing is no failure to the test runner.
fn not_run<'a>(printed: &str, tests: &[&'a str]) -> Vec<&'a str> {
    let ran = |test: &&&str| {
        let mut names = printed.lines().filter_map(|line| line.strip_prefix("test "));
        names.any(|name| name.starts_with(**test))
    };
    tests.iter().filter(|test| !ran(test)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::{missing, not_run};

    #[test]
    fn what_is_there_is_not_missing() {
        let most = "cargo-x86_64-unknown-linux-gnu\nmiri-x86_64-unknown-linux-gnu\n";
        assert_eq!(missing(most), ["rust-src"]);
        assert_eq!(missing("rust-src\nmiri\n"), [""; 0]);
        assert_eq!(missing("rust-std\nmiri2\n"), ["miri", "rust-src"]);
    }

    #[test]
    fn a_filter_that_meets_no_test_is_told() {
        let printed = "running 1 test\ntest codec::data::tests::one ... ok\n\ntest result: ok. 1 passed\n";
        assert_eq!(not_run(printed, &["codec::"]), [""; 0]);
        assert_eq!(not_run(printed, &["codec::", "ring::point::"]), ["ring::point::"]);
    }
}
