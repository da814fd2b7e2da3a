//! The contract of [`Discovery`]: one function per rule.

mod churn;
mod connect;
mod lease;
mod register;
mod steps;
mod watch;

pub use churn::*;
pub use connect::*;
pub use lease::*;
pub use register::*;
pub use steps::let_pass;
pub use watch::*;

#[cfg(doc)]
use ringhold_core::Discovery;

/// One test per rule of [`Discovery`]'s contract, in a module `discovery`, on the
/// [`DiscoveryHarness`](crate::DiscoveryHarness) that the expression makes. It may `.await`.
#[macro_export]
macro_rules! discovery_contract {
    ($harness:expr $(,)?) => {
        $crate::__discovery_rules! { [$crate::__contract_tests] discovery { $harness } }
    };
}

/// The one list of this suite's rules, handed to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __discovery_rules {
    ([$($then:tt)+] $($arguments:tt)*) => {
        $($then)+! {
            $($arguments)*
            register_gives_the_next_incarnation
            register_is_idempotent
            register_supersedes
            register_checks_the_timing
            dead_is_for_ever
            a_process_of_a_dropped_id_is_refused
            renew_keeps_alive
            a_silent_node_is_reaped
            a_lapsed_lease_shows
            renew_of_the_lapsed_is_lease_lost
            renew_of_the_superseded_is_superseded
            renew_tells_the_next_lapse
            an_outage_reaps_nobody
            evict_is_exact
            leave_is_idempotent
            renew_answers_the_changes
            renew_takes_a_new_record
            watch_starts_with_a_reset
            watch_resumes
            watch_misses_nothing
            a_slow_watcher_gets_the_newest
            members_are_whole
            connect_shares_no_connection
        }
    };
}

/// The names of the rules, in the order of the trait's docs.
pub const RULES: &[&str] = crate::__discovery_rules!([crate::__rule_names]);
