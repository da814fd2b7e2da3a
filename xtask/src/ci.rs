//! `cargo xtask ci`: what must pass before a change lands, the quickest answers first.

use crate::run::{Call, Result, Steps};
use crate::{
    codegen, counts, demo, faults, features, fuzz, guarantees, histories, loom, miri, setup, test, tidy,
};

/// Runs the steps; the first that fails is the last.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    steps.run("format", || {
        Call::cargo(["fmt", "--all", "--check"])
            .advice("run `cargo fmt --all`")
            .run()?;
        // A workspace of its own.
        Call::cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])
            .advice("run `cargo fmt` in fuzz/")
            .run()
    })?;
    steps.run("tidy", tidy::run)?;
    steps.run("clippy", || {
        let workspace = ["clippy", "--workspace", "--all-targets", "--all-features"];
        Call::cargo(workspace.into_iter().chain(["--", "-D", "warnings"])).run()
    })?;
    steps.run("code of the protocol", || codegen::run(true))?;
    features::run(steps)?;
    test::run(steps, false)?;
    steps.run("guarantees", || guarantees::run(&guarantees::Arguments::check()))?;
    steps.run("docs", || {
        // The program and the library share the name `ringhold`, and so one folder of pages.
        Call::cargo(["doc", "--workspace", "--lib", "--all-features", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .run()
    })?;
    steps.run("dependencies", || {
        setup::run(&[setup::DENY])?;
        // The advisory database is left out: it cannot be fetched where CI runs.
        Call::cargo(["deny", "--all-features", "check", "bans", "licenses", "sources"])
            .advice("allow it in deny.toml with a reason, or do without that crate")
            .run()
    })?;
    loom::run(steps, &loom::Arguments::default())?;
    miri::run_if_it_can(steps)?;
    steps.run("instruction counts", || counts::run(&counts::Arguments::check()))?;
    fuzz::run(steps, &fuzz::Arguments::ci())?;
    demo::run(steps)?;
    steps.run("histories", || histories::run(&histories::Arguments::ci()))?;
    // What takes longest, and is most at the mercy of the machine, comes last.
    steps.run("faults of Redis Cluster", || {
        faults::run(&faults::Arguments::quick(faults::Backend::Redis))
    })?;
    steps.run("faults of etcd", || {
        faults::run(&faults::Arguments::quick(faults::Backend::Etcd))
    })
}
