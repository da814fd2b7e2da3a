//! From a list of rules to one test per rule.

use std::future::Future;
use std::time::Duration;

/// The longest that one rule may take, below the two minutes after which the test runner ends a
/// test without knowing what it waited for.
const RULE_DEADLINE: Duration = Duration::from_secs(110);

/// Runs `body` to its end on a runtime of two threads; what the `*_contract!` macros call.
///
/// # Panics
/// When `body` does, when it takes longer than 110 s, and when there is no thread to be had.
pub fn run(name: &str, body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime of two threads");
    let finished = runtime.block_on(async { tokio::time::timeout(RULE_DEADLINE, body).await });
    assert!(finished.is_ok(), "{name} did not end within {RULE_DEADLINE:?}");
    // A watch or a call that was left hanging must not hold up the end of the test.
    runtime.shutdown_background();
}

/// One `#[test]` per rule of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract_tests {
    ($suite:ident { $harness:expr } $($rule:ident)+) => {
        mod $suite {
            #[allow(unused_imports, clippy::wildcard_imports, reason = "the harness may be named by a full path")]
            use super::*;

            $(
                #[test]
                fn $rule() {
                    $crate::run(concat!(stringify!($suite), "::", stringify!($rule)), async {
                        let harness = $harness;
                        $crate::$suite::$rule(&harness).await;
                    });
                }
            )+
        }
    };
}

/// The names of a suite's rules.
#[doc(hidden)]
#[macro_export]
macro_rules! __rule_names {
    ($($rule:ident)+) => {
        &[$(stringify!($rule)),+]
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::{discovery, session_store, transport};

    const STORE_DOCS: &str = include_str!("../../core/src/session/store.rs");
    const DISCOVERY_DOCS: &str = include_str!("../../core/src/discovery.rs");
    const TRANSPORT_DOCS: &str = include_str!("../../core/src/transport.rs");

    /// The names in the items of the list under `# Contract`, in order.
    fn documented(source: &str) -> Vec<String> {
        let lines = source
            .lines()
            .map(|line| line.trim_start().trim_start_matches("///").trim());
        let contract = lines
            .skip_while(|line| *line != "# Contract")
            .skip(1)
            .take_while(|line| !line.starts_with("# "));
        let mut names = Vec::new();
        for line in contract {
            // `- `name`, `name`: what it says`; an item may name several rules.
            let Some(mut item) = line.strip_prefix("- ") else {
                continue;
            };
            while let Some((name, rest)) = item.strip_prefix('`').and_then(|item| item.split_once('`')) {
                names.push(name.to_owned());
                item = rest.trim_start_matches([',', ' ']);
            }
        }
        names
    }

    /// The public async functions of these files that take a harness.
    fn written(sources: &[&str]) -> BTreeSet<String> {
        let functions = sources
            .iter()
            .flat_map(|source| source.split("\npub async fn ").skip(1));
        let rules = functions.filter_map(|function| function.split_once('<'));
        rules
            .filter(|(_, rest)| rest.starts_with("H: "))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    fn agree(docs: &str, rules: &[&str], sources: &[&str]) {
        assert!(!rules.is_empty());
        assert_eq!(
            documented(docs),
            rules,
            "the trait's docs (left) and the suite (right)"
        );
        let set: BTreeSet<_> = rules.iter().map(ToString::to_string).collect();
        assert_eq!(set.len(), rules.len(), "a rule is listed twice");
        assert_eq!(
            written(sources),
            set,
            "the functions (left) and the suite's list (right)"
        );
    }

    #[test]
    fn the_session_store_suite_has_the_documented_rules() {
        let sources = [
            include_str!("session_store/login.rs"),
            include_str!("session_store/repeat.rs"),
            include_str!("session_store/claim.rs"),
            include_str!("session_store/restore.rs"),
            include_str!("session_store/write.rs"),
            include_str!("session_store/read.rs"),
            include_str!("session_store/expire.rs"),
            include_str!("session_store/time.rs"),
            include_str!("session_store/bad_input.rs"),
        ];
        agree(STORE_DOCS, session_store::RULES, &sources);
    }

    #[test]
    fn the_discovery_suite_has_the_documented_rules() {
        let sources = [
            include_str!("discovery/register.rs"),
            include_str!("discovery/lease.rs"),
            include_str!("discovery/watch.rs"),
            include_str!("discovery/churn.rs"),
            include_str!("discovery/connect.rs"),
        ];
        agree(DISCOVERY_DOCS, discovery::RULES, &sources);
    }

    #[test]
    fn the_transport_suite_has_the_documented_rules() {
        let sources = [
            include_str!("transport/calls.rs"),
            include_str!("transport/streams.rs"),
            include_str!("transport/ends.rs"),
        ];
        agree(TRANSPORT_DOCS, transport::RULES, &sources);
    }

    #[test]
    fn a_rule_runs_to_its_end() {
        let mut ran = false;
        crate::run("a rule", async { ran = true });
        assert!(ran);
    }
}
