//! Which tests make which guarantee on which backend.
//!
//! A backend is one line in [`COLUMNS`]. A new rule of a suite is named in the row of what it guarantees.

/// A backend, and where its contract tests are.
pub(super) struct Column {
    /// Its heading.
    pub(super) title: &'static str,
    package: &'static str,
    /// What stands before the suite in the names of its tests in `tests/contract.rs`, once for each way to run them.
    pub(super) prefixes: &'static [&'static str],
    /// The suites that it runs.
    pub(super) suites: &'static [&'static str],
}

impl Column {
    pub(super) const fn new(
        title: &'static str,
        package: &'static str,
        prefixes: &'static [&'static str],
        suites: &'static [&'static str],
    ) -> Self {
        Self {
            title,
            package,
            prefixes,
            suites,
        }
    }

    /// The test binary with its contract tests, as results name it.
    pub(super) fn binary(&self) -> String {
        format!("{}::contract", self.package)
    }
}

/// A guarantee in words, and what shows it.
pub(super) struct Row {
    pub(super) guarantee: &'static str,
    /// Rules of the suites, for every backend that runs the suite.
    pub(super) rules: &'static [&'static str],
    /// Tests of one backend: its title, the test binary, the test.
    pub(super) tests: &'static [(&'static str, &'static str, &'static str)],
}

impl Row {
    pub(super) const fn new(
        guarantee: &'static str,
        rules: &'static [&'static str],
        tests: &'static [(&'static str, &'static str, &'static str)],
    ) -> Self {
        Self {
            guarantee,
            rules,
            tests,
        }
    }
}

/// What a backend that has no transport of its own runs.
const STORES: &[&str] = &["session_store", "discovery"];

const MEMORY: &str = "memory";
const CLUSTER: &str = "Redis Cluster";
const CLUSTER_FRED: &str = "the same (fred)";
const SINGLE: &str = "one Redis (both clients)";
const ETCD: &str = "etcd × 3";
const REDB: &str = "redb";
const SLED: &str = "sled";
const GRPC: &str = "gRPC";

pub(super) const COLUMNS: &[Column] = &[
    Column::new(
        MEMORY,
        "ringhold-memory",
        &[""],
        &["session_store", "discovery", "transport"],
    ),
    Column::new(CLUSTER, "ringhold-redis", &["redis::cluster::"], STORES),
    Column::new(CLUSTER_FRED, "ringhold-redis", &["fred::cluster::"], STORES),
    Column::new(
        SINGLE,
        "ringhold-redis",
        &["redis::single::", "fred::single::"],
        STORES,
    ),
    Column::new(ETCD, "ringhold-etcd", &[""], STORES),
    Column::new(REDB, "ringhold-redb", &[""], STORES),
    Column::new(SLED, "ringhold-sled", &[""], STORES),
    Column::new(GRPC, "ringhold-grpc", &[""], &["transport"]),
];

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "one player, one session: a login makes, takes over, yields or replaces, as it was told to",
        &[
            "session_store::create_makes_a_session",
            "session_store::create_returns_the_existing",
            "session_store::create_takes_over_its_own",
            "session_store::create_leaves_anothers_alone",
            "session_store::create_takes_over_anyones",
            "session_store::create_rejects",
            "session_store::create_replaces",
            "session_store::create_allows_up_to_max",
            "session_store::create_checks_the_partition",
            "session_store::odd_players_are_players",
        ],
        &[(
            CLUSTER,
            "ringhold::cluster",
            "claims::slow_a_hundred_logins_of_one_player_leave_one_session",
        )],
    ),
    Row::new(
        "writes are fenced: an old owner, or an old version, changes nothing",
        &[
            "session_store::save_compares_fence_and_version",
            "session_store::touch_extends_and_keeps_the_version",
            "session_store::touch_answers_each",
            "session_store::claim_changes_the_owner",
            "session_store::one_claim_wins",
            "session_store::remove_compares_the_fence",
            "session_store::ended_is_fenced",
        ],
        &[
            (
                CLUSTER,
                "ringhold-redis::servers",
                "rollback::a_lost_claim_is_never_believed_again",
            ),
            (
                CLUSTER,
                "ringhold-redis::servers",
                "rollback::a_lost_save_is_a_conflict_of_versions",
            ),
        ],
    ),
    Row::new(
        "writes are idempotent: a repetition is answered like the first",
        &[
            "session_store::create_is_idempotent",
            "session_store::save_is_idempotent",
            "session_store::claim_is_idempotent",
            "session_store::restore_brings_back",
            "session_store::ack_is_idempotent",
        ],
        &[],
    ),
    Row::new(
        "a late retry never resurrects what has ended",
        &[
            "session_store::create_never_resurrects",
            "session_store::create_unlinks_the_expired",
            "session_store::restore_yields_to_others",
            "session_store::tombstones_go",
        ],
        &[],
    ),
    Row::new(
        "each operation is whole or not at all: no orphan, also after a crash or amid a move of slots",
        &[],
        &[
            (
                CLUSTER,
                "ringhold-redis::account",
                "slow_the_books_balance_after_ten_thousand_operations_of_clients_that_are_killed",
            ),
            (
                CLUSTER,
                "ringhold-redis::migration",
                "sessions::redis::slow_sessions_work_or_are_refused_at_every_step_in_every_order",
            ),
            (
                CLUSTER_FRED,
                "ringhold-redis::migration",
                "sessions::fred::slow_sessions_work_or_are_refused_at_every_step_in_every_order",
            ),
            (
                CLUSTER,
                "ringhold-redis::migration",
                "fleets::redis::slow_memberships_work_or_are_refused_at_every_step",
            ),
            (
                CLUSTER_FRED,
                "ringhold-redis::migration",
                "fleets::fred::slow_memberships_work_or_are_refused_at_every_step",
            ),
            (
                CLUSTER,
                "ringhold-redis::servers",
                "round_trips::redis::each_operation_is_one_command",
            ),
            (
                CLUSTER_FRED,
                "ringhold-redis::servers",
                "round_trips::fred::each_operation_is_one_command",
            ),
            (REDB, "ringhold-redb::kill", "slow_nothing_acknowledged_is_lost"),
            (SLED, "ringhold-sled::kill", "slow_nothing_acknowledged_is_lost"),
            (
                ETCD,
                "ringhold-etcd::servers",
                "atomic::a_login_that_ends_64_sessions_is_one_revision",
            ),
            (
                ETCD,
                "ringhold-etcd::servers",
                "account::slow_the_books_balance_after_clients_that_are_killed",
            ),
        ],
    ),
    Row::new(
        "random requests are answered as the reference implementation answers them",
        &[],
        &[
            (
                CLUSTER,
                "ringhold::model",
                "sessions::redis_cluster_stores_as_memory_does",
            ),
            (
                CLUSTER,
                "ringhold::model",
                "discovery::redis_cluster_keeps_members_as_memory_does",
            ),
            (
                CLUSTER_FRED,
                "ringhold::model",
                "sessions::slow_redis_cluster_by_fred_stores_as_memory_does",
            ),
            (
                CLUSTER_FRED,
                "ringhold::model",
                "discovery::redis_cluster_by_fred_keeps_members_as_memory_does",
            ),
            (SINGLE, "ringhold::model", "sessions::redis_stores_as_memory_does"),
            (
                SINGLE,
                "ringhold::model",
                "discovery::redis_keeps_members_as_memory_does",
            ),
            (
                SINGLE,
                "ringhold::model",
                "sessions::slow_redis_by_fred_stores_as_memory_does",
            ),
            (
                SINGLE,
                "ringhold::model",
                "discovery::redis_by_fred_keeps_members_as_memory_does",
            ),
            (
                ETCD,
                "ringhold::model",
                "sessions::slow_etcd_stores_as_memory_does",
            ),
            (
                ETCD,
                "ringhold::model",
                "discovery::slow_etcd_keeps_members_as_memory_does",
            ),
            (REDB, "ringhold::model", "sessions::redb_stores_as_memory_does"),
            (
                REDB,
                "ringhold::model",
                "discovery::redb_keeps_members_as_memory_does",
            ),
            (SLED, "ringhold::model", "sessions::sled_stores_as_memory_does"),
            (
                SLED,
                "ringhold::model",
                "discovery::sled_keeps_members_as_memory_does",
            ),
        ],
    ),
    Row::new(
        "a reader sees what lives, and a listing misses nothing",
        &[
            "session_store::get_and_find_show_live_sessions",
            "session_store::list_pages_through_everything",
            "session_store::count_is_of_live_sessions",
            "session_store::expired_is_never_read",
        ],
        &[],
    ),
    Row::new(
        "an expiry is delivered at least once, to one sweeper at a time",
        &[
            "session_store::expired_can_be_revived",
            "session_store::expiry_goes_to_one_sweeper",
            "session_store::expiry_comes_again",
            "session_store::hiding_keeps_the_take",
            "session_store::a_take_is_bounded_in_bytes",
            "session_store::a_tick_names_partitions_with_expired_sessions",
            "session_store::a_write_voids_the_token",
        ],
        &[
            (
                MEMORY,
                "ringhold::fleet",
                "expiry::slow_handler_gets_each_of_5000_expiries_once",
            ),
            (
                MEMORY,
                "ringhold::fleet",
                "expiry::handler_that_panics_gets_each_of_5000_expiries_again",
            ),
            (
                MEMORY,
                "ringhold::fleet",
                "expiry::sessions_that_expired_while_no_node_ran_are_handled_after_join",
            ),
            (
                MEMORY,
                "ringhold::fleet",
                "expiry::gateway_of_weight_0_handles_all_expiries_of_nodes_without_a_handler",
            ),
            (
                MEMORY,
                "ringhold::fleet",
                "expiry::handler_that_fails_three_times_gets_each_of_5000_expiries_with_backoff",
            ),
            (
                CLUSTER,
                "ringhold::cluster",
                "stuck::slow_stuck_shard_delays_no_expiry_of_other_shards",
            ),
            (
                REDB,
                "ringhold::backends",
                "abort::slow_abort_in_handlers_loses_none_of_5000_expiries",
            ),
        ],
    ),
    Row::new(
        "time stands still in an outage: it expires no session and no lease",
        &[
            "session_store::time_stands_still",
            "discovery::an_outage_reaps_nobody",
        ],
        &[
            (
                CLUSTER,
                "ringhold::cluster",
                "failover::slow_an_outage_of_the_whole_cluster_kills_nobody",
            ),
            (
                CLUSTER,
                "ringhold-redis::membership",
                "membership::time::a_clock_that_jumps_reaps_nobody_who_renews",
            ),
        ],
    ),
    Row::new(
        "who renews stays; who is silent for a lease leaves; nobody else does",
        &[
            "discovery::renew_keeps_alive",
            "discovery::a_silent_node_is_reaped",
            "discovery::a_lapsed_lease_shows",
            "discovery::renew_of_the_lapsed_is_lease_lost",
            "discovery::renew_tells_the_next_lapse",
            "discovery::evict_is_exact",
            "discovery::leave_is_idempotent",
            "discovery::connect_shares_no_connection",
        ],
        &[],
    ),
    Row::new(
        "one incarnation of a node at a time, each with a greater number; the dead stay dead",
        &[
            "discovery::register_gives_the_next_incarnation",
            "discovery::a_process_of_a_dropped_id_is_refused",
            "discovery::register_is_idempotent",
            "discovery::register_supersedes",
            "discovery::register_checks_the_timing",
            "discovery::dead_is_for_ever",
            "discovery::renew_of_the_superseded_is_superseded",
        ],
        &[],
    ),
    Row::new(
        "membership without a gap or a change of order, whoever is slow or comes back",
        &[
            "discovery::renew_answers_the_changes",
            "discovery::renew_takes_a_new_record",
            "discovery::watch_starts_with_a_reset",
            "discovery::watch_resumes",
            "discovery::watch_misses_nothing",
            "discovery::a_slow_watcher_gets_the_newest",
            "discovery::members_are_whole",
        ],
        &[
            (
                CLUSTER,
                "ringhold-redis::servers",
                "rollback::a_resume_point_that_was_forgotten_is_reset",
            ),
            (
                ETCD,
                "ringhold-etcd::servers",
                "watching::compaction_and_defragmentation_hide_nothing_from_a_watch",
            ),
            (
                ETCD,
                "ringhold-etcd::servers",
                "watching::slow_a_bell_whose_member_is_gone_rings_from_another",
            ),
        ],
    ),
    Row::new(
        "servers of the store are lost, and no player and nothing acknowledged with them",
        &[],
        &[
            (
                CLUSTER,
                "ringhold::cluster",
                "failover::slow_masters_that_are_killed_take_nobody_with_them",
            ),
            (
                CLUSTER,
                "ringhold::cluster",
                "failover::slow_masters_that_hang_take_nobody_with_them",
            ),
            (
                CLUSTER,
                "ringhold::cluster",
                "failover::slow_planned_failovers_and_moved_slots_are_not_noticed",
            ),
            (
                CLUSTER,
                "ringhold::cluster",
                "rollback::slow_what_a_failover_lost_is_restored_by_its_holder",
            ),
            (
                CLUSTER,
                "ringhold-redis::servers",
                "durability::redis::replicas_acknowledge_what_they_are_asked_to",
            ),
            (
                CLUSTER_FRED,
                "ringhold-redis::servers",
                "durability::fred::replicas_acknowledge_what_they_are_asked_to",
            ),
            (
                ETCD,
                "ringhold-etcd::servers",
                "members::slow_members_that_die_or_hang_are_no_error_and_lose_nothing",
            ),
        ],
    ),
    Row::new(
        "restarts, full disks and damaged files take nothing in silence",
        &[],
        &[
            (
                REDB,
                "ringhold-redb::restart",
                "what_was_written_survives_and_a_night_costs_one_cap",
            ),
            (
                REDB,
                "ringhold::backends",
                "restart::a_fleet_on_redb_plays_on_after_a_restart",
            ),
            (
                REDB,
                "ringhold-redb::kill",
                "slow_fast_loses_no_more_than_its_window",
            ),
            (
                REDB,
                "ringhold-redb::place",
                "slow_a_full_disk_is_told_and_survived",
            ),
            (
                REDB,
                "ringhold-redb::damage",
                "slow_every_damage_is_told_or_does_no_harm",
            ),
            (
                SLED,
                "ringhold-sled::restart",
                "what_was_written_survives_and_a_night_costs_one_cap",
            ),
            (
                SLED,
                "ringhold::backends",
                "restart::a_fleet_on_sled_plays_on_after_a_restart",
            ),
            (
                SLED,
                "ringhold-sled::kill",
                "slow_fast_loses_no_more_than_its_window",
            ),
            (
                SLED,
                "ringhold-sled::place",
                "slow_a_full_disk_is_told_and_survived",
            ),
            (
                SLED,
                "ringhold-sled::damage",
                "slow_every_damage_is_told_or_does_no_harm",
            ),
        ],
    ),
    Row::new(
        "limits are checked before anything is sent",
        &["session_store::data_over_the_limit_is_too_large"],
        &[],
    ),
    Row::new(
        "calls between nodes reach the run that was meant, or say why not",
        &[
            "transport::call_reaches_the_handler",
            "transport::an_error_keeps_its_kind",
            "transport::nobody_serves_is_unavailable",
            "transport::an_older_run_is_not_called",
            "transport::calls_run_beside_each_other",
            "transport::a_panic_is_an_error",
            "transport::a_large_body_is_too_large",
            "transport::a_call_ends_when_its_time_is_over",
        ],
        &[],
    ),
    Row::new(
        "streams between nodes lose nothing, wait for their reader, and say how they ended",
        &[
            "transport::a_stream_carries_both_ways",
            "transport::a_refused_stream_is_an_error",
            "transport::a_stream_ends_as_it_was_ended",
            "transport::a_dropped_stream_is_unavailable",
            "transport::a_reader_holds_back_its_sender",
            "transport::a_large_message_is_too_large",
            "transport::streams_end_with_their_server",
        ],
        &[],
    ),
];
