//! `cargo xtask histories`: clients compete for sessions on a store that is broken meanwhile, and what they are
//! told is checked: some order of their operations explains it, and each epoch has one owner.

use crate::run::{Call, Calls, Result};
use crate::workspace::Workspace;
use crate::{setup, test};

/// What is asked.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Backend {
    /// A Redis Cluster of three masters and three replicas
    #[default]
    Redis,
    /// An etcd of three members
    Etcd,
    /// Memory, to which nothing happens
    Memory,
}

/// What is done, and for how long.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// What is asked.
    #[arg(long, value_enum, default_value_t)]
    backend: Backend,
    /// For how long, in minutes; 10 unless given.
    #[arg(long, value_name = "NUMBER")]
    minutes: Option<String>,
    /// What the clients' choices and the order of faults are drawn from.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Where the history is written; unless it is given, only one with something wrong is.
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// A history to check once more; nothing else is done then.
    #[arg(long, value_name = "PATH")]
    check: Option<String>,
    /// Of Redis: `fast`, or `replicated:1`, which it is unless given.
    #[arg(long, value_name = "WORD")]
    durability: Option<String>,
}

impl Arguments {
    /// So many minutes of a backend's faults.
    pub(crate) fn minutes(backend: Backend, minutes: &str) -> Self {
        Self {
            backend,
            minutes: Some(minutes.into()),
            ..Self::default()
        }
    }

    fn passed_on(&self) -> Vec<String> {
        let minutes = self.minutes.clone().unwrap_or_else(|| "10".into());
        let pairs = [
            ("--minutes", Some(minutes)),
            ("--seed", self.seed.map(|seed| seed.to_string())),
            ("--file", self.file.clone()),
            ("--check", self.check.clone()),
            ("--durability", self.durability.clone()),
        ];
        let given = pairs
            .into_iter()
            .filter_map(|(name, value)| Some([name.into(), value?]));
        given.flatten().collect()
    }
}

/// Installs the servers where they are missing, and runs the example that does it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // A file says by itself what it is the history of.
    let backend = if arguments.check.is_some() {
        Backend::Memory
    } else {
        arguments.backend
    };
    let (package, features, example) = backend.example();
    if backend != Backend::Memory {
        setup::run(&[])?;
    }
    let call = [
        "run",
        "--release",
        "--package",
        package,
        "--features",
        features,
        "--example",
        example,
        "--",
    ];
    let words = call.into_iter().map(str::to_owned);
    Call::cargo(words.chain(arguments.passed_on()))
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
        format!("histories of {:?}", arguments.backend),
        call,
    )]))
}

const ADVICE: &str =
    "the player's operations are drawn above, and the whole history is in the file that is named there";

impl Backend {
    /// The package, its features, and the example that records histories of this backend.
    fn example(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Memory => ("ringhold-testkit", "", "histories-memory"),
            Self::Redis => ("ringhold-redis", "fred,tls", "histories"),
            Self::Etcd => ("ringhold-etcd", "", "histories-etcd"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_asked_for_is_passed_on() {
        assert_eq!(Arguments::default().passed_on(), ["--minutes", "10"]);
        let minute = Arguments::minutes(Backend::Redis, "1");
        assert_eq!(minute.passed_on(), ["--minutes", "1"]);
        let arguments = Arguments {
            minutes: Some("0.5".into()),
            seed: Some(7),
            file: Some("a".into()),
            check: Some("b".into()),
            durability: Some("fast".into()),
            ..Arguments::default()
        };
        let expected = [
            "--minutes",
            "0.5",
            "--seed",
            "7",
            "--file",
            "a",
            "--check",
            "b",
            "--durability",
            "fast",
        ];
        assert_eq!(arguments.passed_on(), expected);
    }
}
