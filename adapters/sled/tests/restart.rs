//! Restarts: what survives, what grows, and how much time passes.

mod bed;

use bed::Bed;
use ringhold_testkit::embedded::{departed_ids_are_dropped, restarts, two_fleets_share_a_place};

#[tokio::test]
async fn what_was_written_survives_and_a_night_costs_one_cap() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    restarts(&Bed, folder.path()).await;
}

#[tokio::test]
async fn two_fleets_in_one_folder_see_nothing_of_each_other() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    two_fleets_share_a_place(&Bed, folder.path()).await;
}

#[tokio::test]
async fn slow_five_thousand_ids_that_come_and_go_are_dropped_beyond_a_thousand() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    departed_ids_are_dropped(&Bed, folder.path(), 5_000).await;
}
