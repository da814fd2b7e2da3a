//! The contract of [`SessionStore`]: one function per rule.

mod bad_input;
mod claim;
mod expire;
mod login;
mod read;
mod repeat;
mod restore;
mod steps;
mod time;
mod write;

pub use bad_input::*;
pub use claim::*;
pub use expire::*;
pub use login::*;
pub use read::*;
pub use repeat::*;
pub use restore::*;
pub use steps::let_pass;
pub use time::*;
pub use write::*;

#[cfg(doc)]
use ringhold_core::SessionStore;

/// One test per rule of [`SessionStore`]'s contract, in a module `session_store`, on the
/// [`StoreHarness`](crate::StoreHarness) that the expression makes. It may `.await`.
#[macro_export]
macro_rules! session_store_contract {
    ($harness:expr $(,)?) => {
        $crate::__session_store_rules! { [$crate::__contract_tests] session_store { $harness } }
    };
}

/// The one list of this suite's rules, handed to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __session_store_rules {
    ([$($then:tt)+] $($arguments:tt)*) => {
        $($then)+! {
            $($arguments)*
            create_makes_a_session
            create_returns_the_existing
            create_takes_over_its_own
            create_leaves_anothers_alone
            create_takes_over_anyones
            create_rejects
            create_replaces
            create_allows_up_to_max
            create_is_idempotent
            create_never_resurrects
            create_unlinks_the_expired
            create_checks_the_partition
            save_compares_fence_and_version
            save_is_idempotent
            touch_extends_and_keeps_the_version
            touch_answers_each
            claim_changes_the_owner
            claim_is_idempotent
            one_claim_wins
            remove_compares_the_fence
            ended_is_fenced
            restore_brings_back
            restore_yields_to_others
            get_and_find_show_live_sessions
            list_pages_through_everything
            count_is_of_live_sessions
            expired_is_never_read
            expired_can_be_revived
            expiry_goes_to_one_sweeper
            expiry_comes_again
            hiding_keeps_the_take
            a_take_is_bounded_in_bytes
            a_tick_names_partitions_with_expired_sessions
            a_write_voids_the_token
            ack_is_idempotent
            tombstones_go
            time_stands_still
            data_over_the_limit_is_too_large
            odd_players_are_players
        }
    };
}

/// The names of the rules, in the order of the trait's docs.
pub const RULES: &[&str] = crate::__session_store_rules!([crate::__rule_names]);
