//! `cargo xtask histories --backend memory`: clients compete for sessions in memory, and what they are told
//! is checked. `--check FILE` checks a history of any backend again.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::{FleetName, Limits};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::SimulatedClock;
use ringhold_testkit::history::{Faults, Load, Options, program, report};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    program(run).await
}

async fn run(options: &Options) -> Result<bool, Infallible> {
    let fleet = FleetName::new("histories").expect("a word");
    let clock = Arc::new(SimulatedClock::new());
    let store = MemoryBackend::with_clock(fleet, Limits::default(), clock).sessions();
    let mut load = Load::new("memory", options.seed);
    load.pause = Duration::from_millis(20);
    let running = load.start(&[store]);
    // sleep: for as long as clients are to compete.
    tokio::time::sleep(options.time).await;
    Ok(report(&running.stop().await, &Faults::new(), options))
}
