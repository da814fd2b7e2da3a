//! `cargo xtask ci`: what must pass before a change lands, the quickest answers first.
//!
//! Everything that is compiled uses the profile `dev`, all members and all features, so that tests, benches, demo,
//! histories and faults share one build. What takes long, and each rare dimension, is a step of `cargo xtask proof`.

use crate::plan::{self, AfterFailure, Selection, Step, Work};
use crate::run::{Call, Result, Steps};
use crate::test::Suite;
use crate::{codegen, counts, demo, faults, features, fuzz, guarantees, histories, loom, setup, test, tidy};

/// The manifests of the packages that are not members.
const FUZZ: &str = "fuzz/Cargo.toml";
const PEERS: &str = "benches/peers/Cargo.toml";

const PLAN: &[Step] = &[
    Step {
        name: "install",
        about: "what the steps need and this machine lacks",
        work: Work::Alone(|steps| steps.run("install what is missing", setup::for_tests)),
    },
    Step {
        name: "format",
        about: "rustfmt, all packages",
        work: Work::Alone(|steps| steps.run("format", format)),
    },
    Step {
        name: "tidy",
        about: "the house rules that a program can check",
        work: Work::Alone(|steps| steps.run("tidy", tidy::run)),
    },
    Step {
        name: "clippy",
        about: "all packages, all targets, all features, no warning",
        work: Work::Alone(|steps| steps.run("clippy", clippy)),
    },
    Step {
        name: "features",
        about: "each feature brings what it asks for and nothing else",
        work: Work::Alone(features::short),
    },
    Step {
        name: "tests",
        about: "the short suite, all members and features",
        work: Work::Alone(|steps| test::tests(steps, Suite::Short)),
    },
    Step {
        name: "codegen",
        about: "generated code is what the protocol files give",
        work: Work::Alone(|steps| steps.run("generated code", codegen::check_built)),
    },
    Step {
        name: "redis-as-run",
        about: "the short Redis suites on servers as people run them",
        work: Work::Alone(|steps| test::redis_suites(steps, "as-run", "not test(/(^|::)slow_/)")),
    },
    Step {
        name: "guarantees",
        about: "the README's table of guarantees is what the tests show",
        work: Work::Alone(|steps| {
            steps.run("guarantees", || {
                guarantees::run(&guarantees::Arguments::check(true))
            })
        }),
    },
    Step {
        name: "doctests",
        about: "examples in the docs",
        work: Work::Alone(test::doctests),
    },
    Step {
        name: "benches",
        about: "each bench runs, once and briefly",
        work: Work::Alone(test::benches),
    },
    Step {
        name: "docs",
        about: "rustdoc without a warning",
        work: Work::Alone(|steps| steps.run("docs", docs)),
    },
    Step {
        name: "dependencies",
        about: "licences, sources and duplicate versions",
        work: Work::Alone(|steps| steps.run("dependencies", dependencies)),
    },
    Step {
        name: "loom",
        about: "interleavings of the lock-free code",
        work: Work::Alone(|steps| loom::run(steps, &loom::Arguments::default())),
    },
    Step {
        name: "counts",
        about: "instructions of the hot paths, within 3 %",
        work: Work::Alone(|steps| {
            steps.run("instruction counts", || counts::run(&counts::Arguments::check()))
        }),
    },
    Step {
        name: "fuzz",
        about: "the seeds of all targets and their beginnings",
        work: Work::Alone(fuzz::seeds),
    },
    // What is most at the mercy of the machine comes last, and these run at once: each waits for servers most of its time.
    Step {
        name: "faults",
        about: "one round of each fault of Redis Cluster and etcd",
        work: Work::Beside(|| {
            let mut calls = faults::built(&faults::Arguments::quick(faults::Backend::Redis))?;
            calls.extend(faults::built(&faults::Arguments::quick(faults::Backend::Etcd))?);
            Ok(calls)
        }),
    },
    Step {
        name: "histories",
        about: "a minute of concurrent clients on a failing Redis Cluster",
        work: Work::Beside(|| {
            histories::built(&histories::Arguments::minutes(histories::Backend::Redis, "1"))
        }),
    },
    Step {
        name: "demo",
        about: "the demo fleet on every backend",
        work: Work::Beside(demo::built),
    },
];

/// Runs the steps; the first that fails is the last.
pub(crate) fn run(steps: &mut Steps, selection: &Selection) -> Result<()> {
    plan::run(PLAN, selection, AfterFailure::Stop, steps)
}

fn format() -> Result<()> {
    Call::cargo(["fmt", "--all", "--check"])
        .advice("run `cargo fmt --all`")
        .run()?;
    [FUZZ, PEERS].into_iter().try_for_each(|manifest| {
        Call::cargo(["fmt", "--manifest-path", manifest, "--check"])
            .advice("run `cargo fmt` in its folder")
            .run()
    })
}

fn clippy() -> Result<()> {
    let workspace = ["clippy", "--workspace", "--all-targets", "--all-features"];
    Call::cargo(workspace.into_iter().chain(["--", "-D", "warnings"])).run()?;
    // As it is locked; the target `url` is built where it runs.
    clippy_of(FUZZ)
}

/// Lints the peers' bench, whose dependencies nothing else needs.
pub(crate) fn clippy_of_peers() -> Result<()> {
    clippy_of(PEERS)
}

fn clippy_of(manifest: &str) -> Result<()> {
    let own = ["clippy", "--locked", "--manifest-path", manifest];
    Call::cargo(own.into_iter().chain(["--", "-D", "warnings"])).run()
}

fn docs() -> Result<()> {
    // The program and the library share the name `ringhold`, and so one folder of pages.
    Call::cargo(["doc", "--workspace", "--lib", "--all-features", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

fn dependencies() -> Result<()> {
    setup::run(&[setup::DENY])?;
    // The advisory database is left out: it cannot be fetched where CI runs.
    Call::cargo(["deny", "--all-features", "check", "bans", "licenses", "sources"])
        .advice("allow it in deny.toml with a reason, or do without that crate")
        .run()
}
