//! What is wrong with a broken membership, and the rule that must notice it.

use super::Case;

/// One thing that a broken membership does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Sound,
    RegisterForgetsTheNumber,
    RepetitionIsANewRun,
    LateRepetitionsSupersede,
    OldRunsAreEvicted,
    TimingIsNotCompared,
    TimingIsNotNamed,
    NumbersStayAtOne,
    RenewBringsBack,
    RenewalsAreSwallowed,
    ReadersReap,
    GoodbyesReap,
    LapsesAreEvictions,
    LapsesAreHidden,
    LooksMoveNoClock,
    LeaseLostIsSuperseded,
    SupersededIsLeaseLost,
    NextLapseIsALease,
    TimeGoesOn,
    OutagesCostTwoCaps,
    EvictGoesById,
    LeaveGoesById,
    LeaveTwiceIsAnError,
    RenewDropsAChange,
    TagsAreIgnored,
    NothingNeedsAReset,
    NewRecordsAreDropped,
    EveryRecordIsAChange,
    WatchStartsInTheMiddle,
    ForeignPointsResume,
    WatchAlwaysResets,
    WatchDropsAnUpdate,
    WatchSwapsUpdates,
    WatchLosesWhatIsDropped,
    WatchQueuesForEver,
    MembersAreTorn,
    LoadsAreForgotten,
    NothingConnects,
    ConnectsToAnotherFleet,
}

pub(crate) const CASES: &[Case<Fault>] = &[
    (
        Fault::RegisterForgetsTheNumber,
        "register_gives_the_next_incarnation",
        "the number after 41",
    ),
    (
        Fault::RepetitionIsANewRun,
        "register_is_idempotent",
        "a repetition answers the same incarnation",
    ),
    (
        Fault::LateRepetitionsSupersede,
        "register_is_idempotent",
        "while the next one lives: must be `superseded`",
    ),
    (
        Fault::OldRunsAreEvicted,
        "register_supersedes",
        "the old run leaves before the new one joins",
    ),
    (
        Fault::TimingIsNotCompared,
        "register_checks_the_timing",
        "another timing: must be `invalid_argument`",
    ),
    (
        Fault::TimingIsNotNamed,
        "register_checks_the_timing",
        "it must name both timings",
    ),
    (
        Fault::NumbersStayAtOne,
        "dead_is_for_ever",
        "the number after all that were given",
    ),
    (
        Fault::RenewBringsBack,
        "dead_is_for_ever",
        "a renewal of the dead: must be `lease_lost`",
    ),
    (
        Fault::SupersededIsLeaseLost,
        "a_process_of_a_dropped_id_is_refused",
        "after another process registered the id: must be `superseded`",
    ),
    (
        Fault::RenewalsAreSwallowed,
        "renew_keeps_alive",
        "nodes that renew each heartbeat stay",
    ),
    (
        Fault::ReadersReap,
        "a_silent_node_is_reaped",
        "reading reaps nobody",
    ),
    (
        Fault::GoodbyesReap,
        "a_silent_node_is_reaped",
        "a goodbye reaps nobody else",
    ),
    (
        Fault::LapsesAreEvictions,
        "a_silent_node_is_reaped",
        "what register changed",
    ),
    (
        Fault::LapsesAreHidden,
        "a_lapsed_lease_shows",
        "before anybody reaps",
    ),
    (
        Fault::LooksMoveNoClock,
        "a_lapsed_lease_shows",
        "where nobody is left to renew",
    ),
    (
        Fault::RenewBringsBack,
        "renew_of_the_lapsed_is_lease_lost",
        "although it lapsed: must be `lease_lost`",
    ),
    (
        Fault::LeaseLostIsSuperseded,
        "renew_of_the_lapsed_is_lease_lost",
        "and is `superseded`",
    ),
    (
        Fault::SupersededIsLeaseLost,
        "renew_of_the_superseded_is_superseded",
        "an older run: must be `superseded`",
    ),
    (
        Fault::NextLapseIsALease,
        "renew_tells_the_next_lapse",
        "there is no other lease",
    ),
    (
        Fault::TimeGoesOn,
        "an_outage_reaps_nobody",
        "while nobody renews, time stands still",
    ),
    (
        Fault::OutagesCostTwoCaps,
        "an_outage_reaps_nobody",
        "cost others more than 1.5s",
    ),
    (Fault::EvictGoesById, "evict_is_exact", "is no member"),
    (
        Fault::LeaveGoesById,
        "leave_is_idempotent",
        "a goodbye of one who is no member changes nothing",
    ),
    (Fault::LeaveTwiceIsAnError, "leave_is_idempotent", "must succeed"),
    (
        Fault::RenewDropsAChange,
        "renew_answers_the_changes",
        "the changes since the resume point, in order",
    ),
    (
        Fault::TagsAreIgnored,
        "renew_answers_the_changes",
        "the newest number with a foreign tag",
    ),
    (
        Fault::NothingNeedsAReset,
        "renew_answers_the_changes",
        "one change more than an answer holds",
    ),
    (
        Fault::NewRecordsAreDropped,
        "renew_takes_a_new_record",
        "one change, repetition 0",
    ),
    (
        Fault::EveryRecordIsAChange,
        "renew_takes_a_new_record",
        "one change, repetition",
    ),
    (
        Fault::WatchStartsInTheMiddle,
        "watch_starts_with_a_reset",
        "the first update of a watch",
    ),
    (
        Fault::ForeignPointsResume,
        "watch_starts_with_a_reset",
        "the first update of a watch",
    ),
    (Fault::WatchAlwaysResets, "watch_resumes", "what it missed"),
    (
        Fault::WatchDropsAnUpdate,
        "watch_misses_nothing",
        "does not follow",
    ),
    (
        Fault::WatchSwapsUpdates,
        "watch_misses_nothing",
        "does not follow",
    ),
    (
        Fault::WatchLosesWhatIsDropped,
        "watch_misses_nothing",
        "the watch must come to",
    ),
    (
        Fault::WatchQueuesForEver,
        "a_slow_watcher_gets_the_newest",
        "not at the newest state",
    ),
    (Fault::MembersAreTorn, "members_are_whole", "all at one revision"),
    (
        Fault::LoadsAreForgotten,
        "members_are_whole",
        "the load of the last renewal",
    ),
    (
        Fault::NothingConnects,
        "connect_shares_no_connection",
        "a shared backend has a connector",
    ),
    (
        Fault::ConnectsToAnotherFleet,
        "connect_shares_no_connection",
        "both connections must lead to one membership",
    ),
];
