//! `cargo xtask test`: every test of every member.

use std::num::NonZero;

use crate::run::{Call, Result, Steps};
use crate::setup;
use crate::workspace::Workspace;

/// Which tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// Those that take less than 10 s each.
    Short,
    /// Those whose names start with `slow_`, too.
    All,
}

impl Suite {
    pub(crate) const fn of(short: bool) -> Self {
        if short { Self::Short } else { Self::All }
    }

    /// The profile of `.config/nextest.toml`.
    const fn profile(self) -> &'static str {
        match self {
            Self::Short => "ci",
            Self::All => "all",
        }
    }

    /// Where nextest writes the results, below the target folder.
    pub(crate) fn results(self) -> String {
        format!("nextest/{}/junit.xml", self.profile())
    }
}

/// Everything that nextest does here is about all members with all features, so that nothing is compiled twice.
const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

/// Installs what is missing, then runs the tests, the doctests and each bench once.
pub(crate) fn run(steps: &mut Steps, suite: Suite) -> Result<()> {
    steps.run("install what is missing", setup::for_tests)?;
    tests(steps, suite)?;
    doctests(steps)?;
    benches(steps)
}

/// How many tests run at once, by core: they wait for servers and deadlines more than they compute.
const TESTS_BY_CORE: usize = 2;

/// A run of nextest, of all members with all features, with a profile of `.config/nextest.toml`.
fn nextest(profile: &str) -> Call {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (TESTS_BY_CORE * cores).to_string();
    let command = ["nextest", "run", "--profile", profile, "--test-threads", &threads];
    Call::cargo(command.into_iter().chain(EVERYTHING))
}

/// Runs the tests of a suite, and builds the programs and examples on the way.
pub(crate) fn tests(steps: &mut Steps, suite: Suite) -> Result<()> {
    steps.run("tests", || {
        nextest(suite.profile())
            .advice("the failures are repeated above, just before the summary")
            .run()
    })
}

/// The suites that need no TLS, for servers that are built without it.
const WITHOUT_TLS: &str = "not test(/(^|::)tls(::|$)/)";

/// Runs the Redis suites on Valkey, plain servers.
pub(crate) fn valkey_suites(steps: &mut Steps) -> Result<()> {
    let mut server = String::new();
    steps.run("install Valkey", || {
        server = setup::valkey()?;
        Call::new(&server, ["--version"]).run()
    })?;
    steps.run("Redis suites, Valkey", || {
        redis_suite(WITHOUT_TLS)
            .env("RINGHOLD_REDIS_SERVER", &server)
            .run()
    })
}

/// The suites that run against Redis servers.
const REDIS_SUITES: &str = "package(ringhold-redis) & kind(test) | package(ringhold) & binary(cluster)";

/// Runs the suites of Redis on servers that differ from plain ones in `dimensions`, a value of the variable
/// `RINGHOLD_REDIS_SERVERS`. `filter` is what else their tests have to meet.
pub(crate) fn redis_suites(steps: &mut Steps, dimensions: &str, filter: &str) -> Result<()> {
    steps.run(format!("Redis suites, {dimensions}"), || {
        redis_suite(filter)
            .env("RINGHOLD_REDIS_SERVERS", dimensions)
            .run()
    })
}

fn redis_suite(filter: &str) -> Call {
    let filter = format!("({REDIS_SUITES}) & {filter}");
    nextest("redis")
        .arguments(["-E", &filter])
        .advice("the failures are repeated above; plain Redis servers pass in the step `tests`")
}

/// Runs the contract suite of etcd over mutual TLS.
pub(crate) fn etcd_suite(steps: &mut Steps) -> Result<()> {
    steps.run("etcd suite, mutual TLS", || {
        nextest("redis")
            .arguments(["-E", "package(ringhold-etcd) & binary(contract)"])
            .env("RINGHOLD_ETCD_SERVERS", "mtls")
            .advice("the failures are repeated above; plain members pass in the step `tests`")
            .run()
    })
}

/// Runs the tests of builds without features: what they say to a URL that needs one exists only there.
pub(crate) fn without_features(steps: &mut Steps) -> Result<()> {
    steps.run("tests without features", || {
        let members = ["--package", "ringhold", "--package", "ringhold-redis"];
        let command = ["nextest", "run", "--no-default-features", "--lib"];
        Call::cargo(command.into_iter().chain(members)).run()
    })
}

/// Builds the programs and examples as the tests do; after the tests that is a no-op, and a step alone needs it.
pub(crate) fn build_programs() -> Result<()> {
    let kinds = ["--bins", "--examples"];
    Call::cargo(["build"].into_iter().chain(EVERYTHING).chain(kinds)).run()
}

pub(crate) fn doctests(steps: &mut Steps) -> Result<()> {
    steps.run("doctests", || {
        Call::cargo(["test", "--doc"].into_iter().chain(EVERYTHING)).run()
    })
}

/// Runs each bench once and briefly, built as the tests are: it proves that the bench runs, and asserts nothing about
/// timing.
pub(crate) fn benches(steps: &mut Steps) -> Result<()> {
    let workspace = Workspace::load()?;
    steps.run("benches, once each", || {
        let names = bench_names(&workspace);
        let benches = names.iter().flat_map(|name| ["--bench", name]);
        let command = ["test"].into_iter().chain(EVERYTHING).chain(benches);
        Call::cargo(command.chain(["--", "--test"])).run()
    })
}

/// nextest's list of all tests, as JSON.
pub(crate) fn list() -> Result<String> {
    let command = ["nextest", "list", "--message-format", "json", "--profile", "all"];
    Call::cargo(command.into_iter().chain(EVERYTHING)).output()
}

/// The names of all benches, so that none rots unseen.
fn bench_names(workspace: &Workspace) -> Vec<&str> {
    let targets = workspace.packages.iter().flat_map(|package| &package.targets);
    targets
        .filter(|target| target.kind.iter().any(|kind| kind == "bench"))
        .map(|target| target.name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Package, Target};

    #[test]
    fn results_are_those_of_the_suite() {
        assert_eq!(Suite::of(true).results(), "nextest/ci/junit.xml");
        assert_eq!(Suite::of(false).results(), "nextest/all/junit.xml");
    }

    #[test]
    fn benches_are_found_and_other_targets_are_not() {
        let target = |name: &str, kind: &str| Target {
            name: name.into(),
            kind: vec![kind.into()],
        };
        let package = Package {
            name: "ringhold".into(),
            targets: vec![
                target("ringhold", "lib"),
                target("ring", "bench"),
                target("game", "example"),
            ],
            ..Package::default()
        };
        let workspace = Workspace {
            packages: vec![package],
            root: "/".into(),
            target_directory: "/target".into(),
        };
        assert_eq!(bench_names(&workspace), ["ring"]);
    }
}
