//! `cargo xtask histories`: clients compete for sessions on a real Redis Cluster of three masters and three
//! replicas while it is broken again and again, and what they are told is checked for linearizability.
//!
//! Writes are `replicated:1` unless `--durability fast` says otherwise. A master that is cut off from the
//! others while clients still reach it is not among the faults: until the node timeout it answers reads,
//! and with `fast` takes writes, that the rest of the cluster knows nothing of. `cargo xtask faults --only
//! cut-off` counts what that costs.

mod bed;
mod faults;

use std::process::ExitCode;

use ringhold_testkit::history::{Faults, Load, Options, program, report};
use tokio::time::{Duration, Instant};

use crate::bed::{Bed, Failure};

/// How many clients of the cluster there are, each with connections of its own.
const WAYS: usize = 4;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    program(run).await
}

async fn run(options: &Options) -> Result<bool, Failure> {
    let durability = options.durability.as_deref().unwrap_or("replicated:1");
    let bed = Bed::new(options.seed).await?;
    let mut load = Load::new(&format!("redis-cluster, {durability}"), options.seed);
    load.origin.repeats = true;
    load.tables = 24;
    load.pause = Duration::from_millis(200);
    load.partitions = bed.partitions().to_vec();
    let stores = bed.stores(WAYS, durability).await?;
    let running = load.start(&stores);
    let mut faults = Faults::new();
    let made = faults::make(&bed, Instant::now() + options.time, &mut faults).await;
    // What clients were told until a fault could not be made is worth a look all the same.
    let good = report(&running.stop().await, &faults, options);
    made.map(|()| good)
}
