//! The contract of [`Transport`]: one function per rule.

mod rules;

pub use rules::*;

#[cfg(doc)]
use ringhold_core::Transport;

/// One test per rule of [`Transport`]'s contract, in a module `transport`, on the
/// [`TransportHarness`](crate::TransportHarness) that the expression makes. It may `.await`.
#[macro_export]
macro_rules! transport_contract {
    ($harness:expr $(,)?) => {
        $crate::__transport_rules! { [$crate::__contract_tests] transport { $harness } }
    };
}

/// The one list of this suite's rules, handed to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __transport_rules {
    ([$($then:tt)+] $($arguments:tt)*) => {
        $($then)+! {
            $($arguments)*
            call_reaches_the_handler
            an_error_keeps_its_kind
            nobody_serves_is_unavailable
            an_older_run_is_not_called
            calls_run_beside_each_other
            a_panic_is_an_error
            a_large_body_is_too_large
        }
    };
}

/// The names of the rules, in the order of the trait's docs.
pub const RULES: &[&str] = crate::__transport_rules!([crate::__rule_names]);
