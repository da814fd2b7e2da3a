//! Damaged files: an answer or a typed error, whatever was done to them.

mod bed;

use bed::Bed;
use ringhold_testkit::embedded::{Damages, survives_damage};

/// More than a store of this size ever needs.
const MEMORY_MAX: u64 = 4 << 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_every_damage_is_told_or_does_no_harm() {
    // An allocation that a damaged length asks for ends this test.
    rlimit::setrlimit(rlimit::Resource::AS, MEMORY_MAX, MEMORY_MAX).expect("a lower limit");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let damages: Damages = survives_damage(&Bed, folder.path(), 400).await;
    println!("{damages:#?}");
    assert!(
        damages.silent.is_empty() && damages.wrong.is_empty(),
        "{damages:#?}"
    );
    let told: usize = damages.told.values().sum();
    assert!(told > 100, "hardly anything was damaged: {damages:#?}");
    assert_eq!(
        damages.told.get("unavailable"),
        None,
        "damage is no outage: {damages:#?}"
    );
}
