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

/// Installs miri where rustup can, and runs the tests.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    if !toolchain::has_nightly() {
        return Err(Problem::new(
            "miri is a component of nightly, and that is not here; run `rustup toolchain add nightly`",
        ));
    }
    steps.run("install what is missing", || {
        Call::new(
            "rustup",
            ["component", "add", "--toolchain", "nightly", "miri", "rust-src"],
        )
        .advice("without a network, add the components miri and rust-src to nightly by hand")
        .run()
    })?;
    for (kind, tests) in TESTS {
        steps.run(format!("miri: {kind}"), || {
            let cargo = [NIGHTLY, "miri", "test", "-p", "ringhold-core", kind, "--"];
            let skipped = LEFT_OUT.iter().flat_map(|test| ["--skip", test]);
            Call::new(
                "cargo",
                cargo.into_iter().chain(tests.iter().copied()).chain(skipped),
            )
            // Other artifacts than the usual build's. The clock and the files of the machine are asked for.
            .env("CARGO_TARGET_DIR", "target/miri")
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            .run()
        })?;
    }
    Ok(())
}
