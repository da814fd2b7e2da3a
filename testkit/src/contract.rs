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
