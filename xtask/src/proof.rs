//! `cargo xtask proof`: what takes too long for each landing. It runs before an issue is called resolved.
//!
//! A step that fails does not stop the others. Any step runs alone: `cargo xtask proof --only faults-redis`.

use crate::demo;
use crate::plan::{self, AfterFailure, Selection, Step};
use crate::run::{Problem, Result, Steps};
use crate::test::Suite;
use crate::{faults, features, fuzz, guarantees, histories, loom, miri, setup, test};

const PLAN: &[Step] = &[
    Step {
        name: "tests",
        about: "every test, those named slow_ too",
        run: |steps| {
            steps.run("install what is missing", setup::for_tests)?;
            test::tests(steps, Suite::All)
        },
    },
    Step {
        name: "guarantees",
        about: "the README's table of guarantees is what all tests show",
        run: |steps| {
            steps.run("guarantees", || {
                guarantees::run(&guarantees::Arguments::check(false))
            })
        },
    },
    Step {
        name: "redis-as-run",
        about: "the Redis suites on servers as people run them, both clients",
        run: |steps| test::redis_suites(steps, "as-run", "all()"),
    },
    Step {
        name: "redis-dimensions",
        about: "the short Redis suites in each dimension alone, both clients",
        run: |steps| {
            let failed: Vec<String> = ["collation", "acl", "names", "tls", "mtls"]
                .into_iter()
                .filter_map(|dimension| test::redis_suites(steps, dimension, "not test(/(^|::)slow_/)").err())
                .map(|problem| problem.to_string())
                .collect();
            if failed.is_empty() {
                Ok(())
            } else {
                Err(Problem::new(failed.join("\n")))
            }
        },
    },
    Step {
        name: "features",
        about: "each feature with each other compiles without a warning",
        run: features::run,
    },
    Step {
        name: "fuzz",
        about: "every fuzz target for a minute",
        run: |steps| fuzz::run(steps, &fuzz::Arguments::long()),
    },
    Step {
        name: "loom-mutants",
        about: "each seeded mistake in the lock-free code is noticed",
        run: |steps| loom::run(steps, &loom::Arguments::mutants()),
    },
    Step {
        name: "miri",
        about: "core under the interpreter, where nightly is installed",
        run: miri::run_if_it_can,
    },
    Step {
        name: "first-demo",
        about: "from a fresh clone to the demo's table, released and timed",
        run: demo::first,
    },
    Step {
        name: "histories-redis",
        about: "ten minutes of concurrent clients on a failing Redis Cluster",
        run: |steps| history(steps, histories::Backend::Redis, "10"),
    },
    Step {
        name: "histories-etcd",
        about: "three minutes of concurrent clients on a failing etcd",
        run: |steps| history(steps, histories::Backend::Etcd, "3"),
    },
    Step {
        name: "faults-redis",
        about: "the fault table of Redis Cluster, both clients",
        run: |steps| fault(steps, faults::Backend::Redis),
    },
    Step {
        name: "faults-etcd",
        about: "the fault table of etcd",
        run: |steps| fault(steps, faults::Backend::Etcd),
    },
    Step {
        name: "faults-redb",
        about: "a redb process killed during writes",
        run: |steps| fault(steps, faults::Backend::Redb),
    },
    Step {
        name: "faults-sled",
        about: "a sled process killed during writes",
        run: |steps| fault(steps, faults::Backend::Sled),
    },
];

/// Runs the selected steps, and reports every one that failed.
pub(crate) fn run(steps: &mut Steps, selection: &Selection) -> Result<()> {
    plan::run(PLAN, selection, AfterFailure::Continue, steps)
}

fn history(steps: &mut Steps, backend: histories::Backend, minutes: &str) -> Result<()> {
    let arguments = histories::Arguments::minutes(backend, minutes);
    steps.run(format!("histories of {backend:?}"), || histories::run(&arguments))
}

fn fault(steps: &mut Steps, backend: faults::Backend) -> Result<()> {
    steps.run(format!("faults of {backend:?}"), || {
        faults::run(&faults::Arguments::full(backend))
    })
}
