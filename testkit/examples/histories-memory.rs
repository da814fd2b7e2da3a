//! `cargo xtask histories --backend memory`: clients compete for sessions in memory, and what they are told
//! is checked. `--check FILE` checks a history of any backend again.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::{FleetName, Limits};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::SimulatedClock;
use ringhold_testkit::history::{Faults, Load, Options, check_again, report};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let good = match &options.check {
        Some(file) => check_again(file),
        None => run(&options).await,
    };
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn run(options: &Options) -> bool {
    let fleet = FleetName::new("histories").expect("a word");
    let clock = Arc::new(SimulatedClock::new());
    let store = MemoryBackend::with_clock(fleet, Limits::default(), clock).sessions();
    let mut load = Load::new("memory", options.seed);
    load.pause = Duration::from_millis(20);
    let running = load.start(&[store]);
    // sleep: for as long as clients are to compete.
    tokio::time::sleep(options.time).await;
    report(&running.stop().await, &Faults::new(), options)
}
