//! What concurrent clients are told has an order that explains it, whatever is committed together, and
//! whether or not they wait for the answer.

mod bed;

use std::time::Duration;

use bed::Bed;
use ringhold_testkit::embedded::{EmbeddedHarness, EmbeddedOpening};
use ringhold_testkit::history::{Load, check};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_clients_see_one_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let opening = EmbeddedOpening::new(folder.path().join("history"));
    let backend = Bed.open(&opening).await.expect("a new store");
    let mut load = Load::new("redb", 1);
    load.players = Some(100);
    load.tables = 25;
    load.pause = Duration::from_millis(10);
    load.patience = Duration::from_millis(20);
    load.impatient_percent = 30;
    let verdict = check(&load.start(&[backend.sessions]).finish().await);
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.players, 100);
    assert!(verdict.ambiguous > 0, "some writes are given up: {verdict}");
}
