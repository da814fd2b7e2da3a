//! The contract of [`Transport`]: one function per rule.

mod bed;
mod calls;
mod ends;
mod streams;

pub use calls::*;
pub use ends::*;
pub use streams::*;

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
            a_call_ends_when_its_time_is_over
            a_stream_carries_both_ways
            a_refused_stream_is_an_error
            a_stream_ends_as_it_was_ended
            a_dropped_stream_is_unavailable
            a_reader_holds_back_its_sender
            a_large_message_is_too_large
            streams_end_with_their_server
        }
    };
}

/// The names of the rules, in the order of the trait's docs.
pub const RULES: &[&str] = crate::__transport_rules!([crate::__rule_names]);
