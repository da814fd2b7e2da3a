//! `cargo xtask ci`: what must pass before a change lands, the quickest answers first.
//!
//! Everything that is compiled uses the profile `dev`, all members and all features, so that tests, benches, demo,
//! histories and faults share one build. What takes long, and each rare dimension, is a step of `cargo xtask proof`.

use crate::plan::{self, AfterFailure, Selection, Step};
use crate::run::{Call, Result, Steps};
use crate::test::Suite;
use crate::{
    codegen, counts, demo, faults, features, fuzz, guarantees, histories, loom, miri, setup, test, tidy,
};

/// The manifests of the packages that are not members.
const OWN_WORKSPACES: [&str; 2] = ["fuzz/Cargo.toml", "benches/peers/Cargo.toml"];

const PLAN: &[Step] = &[
    Step {
        name: "install",
        about: "what the steps need and this machine lacks",
        run: |steps| steps.run("install what is missing", setup::for_tests),
    },
    Step {
        name: "format",
        about: "rustfmt, all packages",
        run: |steps| steps.run("format", format),
    },
    Step {
        name: "tidy",
        about: "the house rules that a program can check",
        run: |steps| steps.run("tidy", tidy::run),
    },
    Step {
        name: "clippy",
        about: "all packages, all targets, all features, no warning",
        run: |steps| steps.run("clippy", clippy),
    },
    Step {
        name: "codegen",
        about: "generated code is what the protocol files give",
        run: |steps| steps.run("generated code", || codegen::run(true)),
    },
    Step {
        name: "features",
        about: "what each mix of features brings; tests of builds without features",
        run: features::short,
    },
    Step {
        name: "tests",
        about: "the short suite, all members and features",
        run: |steps| test::tests(steps, Suite::Short),
    },
    Step {
        name: "redis-as-run",
        about: "the short Redis suites on servers as people run them",
        run: |steps| test::redis_suites(steps, "as-run", "not test(/(^|::)slow_/)"),
    },
    Step {
        name: "guarantees",
        about: "the README's table of guarantees is what the tests show",
        run: |steps| {
            steps.run("guarantees", || {
                guarantees::run(&guarantees::Arguments::check(true))
            })
        },
    },
    Step {
        name: "doctests",
        about: "examples in the docs",
        run: test::doctests,
    },
    Step {
        name: "benches",
        about: "each bench runs, once and briefly",
        run: test::benches,
    },
    Step {
        name: "docs",
        about: "rustdoc without a warning",
        run: |steps| steps.run("docs", docs),
    },
    Step {
        name: "dependencies",
        about: "licences, sources and duplicate versions",
        run: |steps| steps.run("dependencies", dependencies),
    },
    Step {
        name: "loom",
        about: "interleavings of the lock-free code",
        run: |steps| loom::run(steps, &loom::Arguments::default()),
    },
    Step {
        name: "miri",
        about: "core under the interpreter, where nightly is installed",
        run: miri::run_if_it_can,
    },
    Step {
        name: "counts",
        about: "instructions of the hot paths, within 3 %",
        run: |steps| steps.run("instruction counts", || counts::run(&counts::Arguments::check())),
    },
    Step {
        name: "fuzz",
        about: "seeds of all targets, and a few seconds of fuzzing",
        run: fuzz::short,
    },
    Step {
        name: "demo",
        about: "the demo fleet on every backend",
        run: demo::run,
    },
    Step {
        name: "histories",
        about: "a minute of concurrent clients on a failing Redis Cluster",
        run: |steps| {
            let arguments = histories::Arguments::minutes(histories::Backend::Redis, "1");
            steps.run("histories", || histories::run_built(&arguments))
        },
    },
    // What takes longest, and is most at the mercy of the machine, comes last.
    Step {
        name: "faults",
        about: "one round of each fault of Redis Cluster and etcd",
        run: |steps| {
            for (name, backend) in [
                ("Redis Cluster", faults::Backend::Redis),
                ("etcd", faults::Backend::Etcd),
            ] {
                steps.run(format!("faults of {name}"), || {
                    faults::run_built(&faults::Arguments::quick(backend))
                })?;
            }
            Ok(())
        },
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
    OWN_WORKSPACES.iter().try_for_each(|manifest| {
        Call::cargo(["fmt", "--manifest-path", manifest, "--check"])
            .advice("run `cargo fmt` in its folder")
            .run()
    })
}

fn clippy() -> Result<()> {
    let workspace = ["clippy", "--workspace", "--all-targets", "--all-features"];
    Call::cargo(workspace.into_iter().chain(["--", "-D", "warnings"])).run()?;
    // As they are locked, so that neither rots unseen; the target `url` is built where it runs.
    OWN_WORKSPACES.iter().try_for_each(|manifest| {
        let own = ["clippy", "--locked", "--manifest-path", manifest];
        Call::cargo(own.into_iter().chain(["--", "-D", "warnings"])).run()
    })
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
