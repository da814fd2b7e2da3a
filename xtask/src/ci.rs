//! `cargo xtask ci`: what must pass before a change lands, the quickest answers first.

use crate::run::{Call, Result, Steps};
use crate::{
    codegen, counts, demo, faults, features, fuzz, guarantees, histories, loom, miri, setup, test, tidy,
};

/// The manifests of what is no member.
const OWN_WORKSPACES: [&str; 2] = ["fuzz/Cargo.toml", "benches/peers/Cargo.toml"];

/// Runs the steps; the first that fails is the last.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    steps.run("format", || {
        Call::cargo(["fmt", "--all", "--check"])
            .advice("run `cargo fmt --all`")
            .run()?;
        OWN_WORKSPACES.iter().try_for_each(|manifest| {
            Call::cargo(["fmt", "--manifest-path", manifest, "--check"])
                .advice("run `cargo fmt` in its folder")
                .run()
        })
    })?;
    steps.run("tidy", tidy::run)?;
    steps.run("clippy", || {
        let workspace = ["clippy", "--workspace", "--all-targets", "--all-features"];
        Call::cargo(workspace.into_iter().chain(["--", "-D", "warnings"])).run()?;
        // As they are locked, so that neither rots unseen; the target `url` is built where it runs.
        OWN_WORKSPACES.iter().try_for_each(|manifest| {
            let own = ["clippy", "--locked", "--manifest-path", manifest];
            Call::cargo(own.into_iter().chain(["--", "-D", "warnings"])).run()
        })
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
