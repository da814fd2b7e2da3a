//! What concurrent clients are told has an order that explains it.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::{FleetName, Limits};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::SimulatedClock;
use ringhold_testkit::history::{Load, check};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_clients_see_one_store() {
    let fleet = FleetName::new("history").expect("a word");
    let clock = Arc::new(SimulatedClock::new());
    let store = MemoryBackend::with_clock(fleet, Limits::default(), clock).sessions();
    let mut load = Load::new("memory", 1);
    load.players = Some(300);
    load.pause = Duration::from_millis(1);
    let verdict = check(&load.start(&[store]).finish().await);
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.players, 300);
}
