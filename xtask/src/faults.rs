//! `cargo xtask faults`: a real Redis Cluster, or an etcd, is broken under load, and what comes of it is
//! counted. Or a process is killed amid writes to a store of its own.

use crate::run::{Call, Calls, Result};
use crate::workspace::Workspace;
use crate::{setup, test};

/// What is broken.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A Redis Cluster of three masters and three replicas
    #[default]
    Redis,
    /// An etcd of three members
    Etcd,
    /// A redb file whose process is killed
    Redb,
    /// A sled folder whose process is killed
    Sled,
}

/// What is done, and how it is shown.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// What is broken.
    #[arg(long, value_enum, default_value_t)]
    backend: Backend,
    /// One round of each fault.
    #[arg(long)]
    quick: bool,
    /// One fault by its name, such as `kill`.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// One client library, `redis` or `fred`; without it both, and with `--quick` the second one
    /// only where it may make a difference.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Lines for programs.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// The whole table of a backend.
    pub(crate) fn full(backend: Backend) -> Self {
        Self {
            backend,
            ..Self::default()
        }
    }

    /// One round of each fault, by a program that the tests have built already.
    pub(crate) fn quick(backend: Backend) -> Self {
        Self {
            quick: true,
            ..Self::full(backend)
        }
    }

    fn passed_on(&self) -> Vec<&str> {
        let mut words = Vec::new();
        if self.quick {
            words.push("--quick");
        }
        if let Some(name) = &self.only {
            words.extend(["--only", name]);
        }
        if let Some(name) = &self.client {
            words.extend(["--client", name]);
        }
        if self.json {
            words.push("--json");
        }
        words
    }
}

/// Installs the servers where they are missing, and runs the example that does it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::run(&[])?;
    let (package, features, example) = arguments.backend.example();
    let call = [
        "run",
        "--release",
        "--package",
        package,
        "--features",
        features,
        "--example",
        example,
    ];
    Call::cargo(call.into_iter().chain(["--"]).chain(arguments.passed_on()))
        .advice(ADVICE)
        .run()
}

/// The call of the example as the tests have built it, with all features and unoptimised, so that nothing is compiled
/// twice.
pub(crate) fn built(arguments: &Arguments) -> Result<Calls> {
    test::build_programs()?;
    let (.., example) = arguments.backend.example();
    let call = Call::example(&Workspace::load()?, example, arguments.passed_on()).advice(ADVICE);
    Ok(Calls::from([(
        format!("faults of {:?}", arguments.backend),
        call,
    )]))
}

const ADVICE: &str =
    "a row above broke its bound, or its fault could not be made; `--only NAME` runs it alone";

impl Backend {
    /// The package, its features, and the example that breaks this backend.
    fn example(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Redis => ("ringhold-redis", "fred,tls", "faults"),
            Self::Etcd => ("ringhold-etcd", "", "faults-etcd"),
            Self::Redb => ("ringhold-redb", "", "faults-redb"),
            Self::Sled => ("ringhold-sled", "", "faults-sled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_asked_for_is_passed_on() {
        assert!(Arguments::default().passed_on().is_empty());
        assert_eq!(Arguments::quick(Backend::Etcd).passed_on(), ["--quick"]);
        let arguments = Arguments {
            quick: true,
            only: Some("kill".into()),
            client: Some("fred".into()),
            json: true,
            ..Arguments::default()
        };
        let expected = ["--quick", "--only", "kill", "--client", "fred", "--json"];
        assert_eq!(arguments.passed_on(), expected);
    }
}
