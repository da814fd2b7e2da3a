//! One peer calls ten times as often as it may: what the others see, and what it costs the node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::{NodeRecord, Transport};
use ringhold_grpc::GrpcTransport;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::Effort;
use crate::certificates::Certificates;
use crate::kill::paced;
use crate::load::{median, verdict};
use crate::process::{self, Child};

/// How often a peer may call in a second, in this part.
const RATE: u32 = 1_000;
const TIMES: u32 = 10;
const FLOODERS: u32 = 50;
/// What is promised.
const RATIO_MAX: f64 = 2.0;
/// The node's memory may grow by so much.
const GROWTH_KIB_MAX: u64 = 32 * 1024;

pub(crate) async fn run(certificates: &Certificates, effort: Effort) {
    let node = Child::node(certificates, "flooded", Some(RATE));
    let caller = certificates.node("caller");
    let transport = Arc::new(process::transport(&caller.url(""), None));
    let records = [node.record()];
    drop(paced(&transport, &records, effort.period / 4).await);
    let (_, before_kib) = node.memory_kib();
    let (mut ratios, mut calm_us, mut amid_us) = (Vec::new(), Vec::new(), Vec::new());
    let mut failed = Vec::<(&str, usize)>::new();
    for _ in 0..effort.rounds.min(5) {
        let mut calm = paced(&transport, &records, effort.period).await;
        let flooder = Child::flood(certificates, &node, RATE * TIMES);
        // The first moment belongs to the connections of the flood.
        drop(paced(&transport, &records, effort.period / 4).await);
        let mut amid = paced(&transport, &records, effort.period).await;
        drop(flooder);
        failed.extend(
            calm.failed
                .iter()
                .chain(&amid.failed)
                .map(|(kind, count)| (*kind, *count)),
        );
        let (old, new) = (calm.quantile_us(99), amid.quantile_us(99));
        calm_us.push(old);
        amid_us.push(new);
        ratios.push(new / old);
    }
    let (most_kib, _) = node.memory_kib();
    let (rounds, ratio) = (ratios.len(), median(ratios));
    println!("one peer calls {TIMES} times as often as it may, medians of {rounds} rounds");
    println!(
        "p99 of another peer's callers: {:.0} µs before, {:.0} µs amid it, ratio {ratio:.2}, promised at most {RATIO_MAX}: {}",
        median(calm_us),
        median(amid_us),
        verdict(ratio <= RATIO_MAX),
    );
    println!(
        "calls of a caller within its rate that failed: {failed:?}, promised none: {}",
        verdict(failed.is_empty())
    );
    println!(
        "the node's memory: {before_kib} KiB before, {most_kib} KiB at most, promised at most {GROWTH_KIB_MAX} KiB more: {}\n",
        verdict(most_kib < before_kib + GROWTH_KIB_MAX)
    );
}

/// Calls `record` so often a second, and heeds no refusal.
pub(crate) async fn attack(transport: Arc<GrpcTransport>, record: NodeRecord, per_s: u32) {
    let mut flooders = JoinSet::new();
    for _ in 0..FLOODERS {
        let (transport, record) = (Arc::clone(&transport), record.clone());
        flooders.spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) * FLOODERS / per_s);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                ticks.tick().await;
                let request = process::request(&record, Bytes::from_static(&[0x5a; 200]));
                let _ = transport.call(&record, request).await;
            }
        });
    }
    flooders.join_all().await;
}
