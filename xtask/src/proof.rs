//! `cargo xtask proof`: what takes too long for each landing. It runs before an issue is called resolved.
//!
//! A step that fails does not stop the others. Any step runs alone: `cargo xtask proof --only faults-redis`.

use crate::demo;
use crate::plan::{self, AfterFailure, Selection, Step, Work};
use crate::run::{Problem, Result, Steps};
use crate::test::Suite;
use crate::{ci, faults, features, fuzz, guarantees, histories, loom, miri, setup, test};

const PLAN: &[Step] = &[
    Step {
        name: "tests",
        about: "every test, those named slow_ too",
        work: Work::Alone(|steps| {
            steps.run("install what is missing", setup::for_tests)?;
            test::tests(steps, Suite::All)
        }),
    },
    Step {
        name: "guarantees",
        about: "the README's table of guarantees is what all tests show",
        work: Work::Alone(|steps| {
            steps.run("guarantees", || {
                guarantees::run(&guarantees::Arguments::check(false))
            })
        }),
    },
    Step {
        name: "redis-as-run",
        about: "the Redis suites on servers as people run them, both clients",
        work: Work::Alone(|steps| test::redis_suites(steps, "as-run", "all()")),
    },
    Step {
        name: "redis-dimensions",
        about: "the short Redis suites in each dimension alone, both clients",
        work: Work::Alone(|steps| {
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
        }),
    },
    Step {
        name: "valkey",
        about: "the Redis suites on Valkey 9.1, both clients",
        work: Work::Alone(test::valkey_suites),
    },
    Step {
        name: "etcd-mtls",
        about: "the contract suite of etcd over mutual TLS",
        work: Work::Alone(test::etcd_suite),
    },
    Step {
        name: "features",
        about: "each feature with each other compiles without a warning; tests of builds without features",
        work: Work::Alone(|steps| {
            let mixes = features::run(steps);
            test::without_features(steps).and(mixes)
        }),
    },
    Step {
        name: "peers",
        about: "the bench beside other crates has no warning",
        work: Work::Alone(|steps| steps.run("clippy of benches/peers", ci::clippy_of_peers)),
    },
    Step {
        name: "fuzz",
        about: "every fuzz target for a minute",
        work: Work::Alone(|steps| fuzz::run(steps, &fuzz::Arguments::long())),
    },
    Step {
        name: "loom-mutants",
        about: "each seeded mistake in the lock-free code is noticed",
        work: Work::Alone(|steps| loom::run(steps, &loom::Arguments::mutants())),
    },
    Step {
        name: "miri",
        about: "core under the interpreter, where nightly is installed",
        work: Work::Alone(miri::run_if_it_can),
    },
    Step {
        name: "first-demo",
        about: "from a fresh clone to the demo's table, released and timed",
        work: Work::Alone(demo::first),
    },
    // The longest first: these run at once.
    Step {
        name: "faults-redis",
        about: "the fault table of Redis Cluster, both clients",
        work: Work::Beside(|| faults::built(&faults::Arguments::full(faults::Backend::Redis))),
    },
    Step {
        name: "histories-redis",
        about: "ten minutes of concurrent clients on a failing Redis Cluster",
        work: Work::Beside(|| {
            histories::built(&histories::Arguments::minutes(histories::Backend::Redis, "10"))
        }),
    },
    Step {
        name: "histories-etcd",
        about: "three minutes of concurrent clients on a failing etcd",
        work: Work::Beside(|| {
            histories::built(&histories::Arguments::minutes(histories::Backend::Etcd, "3"))
        }),
    },
    Step {
        name: "faults-etcd",
        about: "the fault table of etcd",
        work: Work::Beside(|| faults::built(&faults::Arguments::full(faults::Backend::Etcd))),
    },
    Step {
        name: "faults-redb",
        about: "a redb process killed during writes",
        work: Work::Beside(|| faults::built(&faults::Arguments::full(faults::Backend::Redb))),
    },
    Step {
        name: "faults-sled",
        about: "a sled process killed during writes",
        work: Work::Beside(|| faults::built(&faults::Arguments::full(faults::Backend::Sled))),
    },
];

/// Runs the selected steps, and reports every one that failed.
pub(crate) fn run(steps: &mut Steps, selection: &Selection) -> Result<()> {
    plan::run(PLAN, selection, AfterFailure::Continue, steps)
}
