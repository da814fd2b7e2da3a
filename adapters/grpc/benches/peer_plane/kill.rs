//! A peer is killed under load: what the callers of the others see, and what its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::{NodeRecord, Transport};
use ringhold_grpc::GrpcTransport;

use crate::Effort;
use crate::certificates::Certificates;
use crate::load::{Seen, callers, median, verdict};
use crate::process::{self, Child, DEADLINE};

/// Nodes beside the one that dies.
const OTHERS: usize = 3;
const CALLERS: usize = 8;
/// One call of each caller in so long, so that there is time left on a machine with two cores.
const PACE: Duration = Duration::from_millis(10);
/// What is promised.
const RATIO_MAX: f64 = 2.0;
/// A call ends this much after its deadline at the latest.
const LATE_MAX: Duration = Duration::from_millis(250);

pub(crate) async fn run(certificates: &Certificates, effort: Effort) {
    let caller = certificates.node("caller");
    let (mut ratios, mut before_us, mut after_us) = (Vec::new(), Vec::new(), Vec::new());
    let mut dead = Seen::default();
    let mut failed = BTreeMap::<&str, usize>::new();
    let mut of_live = BTreeMap::<&str, usize>::new();
    for _ in 0..effort.rounds.min(5) {
        let others: Vec<Child> = (0..OTHERS)
            .map(|number| Child::node(certificates, &format!("other-{number}"), None))
            .collect();
        let mut victim = Child::node(certificates, "victim", None);
        let transport = Arc::new(process::transport(&caller.url(""), None));
        let records: Vec<NodeRecord> = others.iter().map(Child::record).collect();
        // Connections are made before anything counts.
        drop(paced(&transport, &records, effort.period / 4).await);
        drop(paced(&transport, &[victim.record()], effort.period / 4).await);

        let whole = [&records[..], &[victim.record()]].concat();
        let mut before = of_others(&transport, &records, &whole, effort.period).await.0;
        let killing = async {
            // sleep: it dies amid the calls.
            tokio::time::sleep(effort.period / 10).await;
            victim.kill();
        };
        let (after, ()) = tokio::join!(of_others(&transport, &records, &whole, effort.period), killing);
        let (mut after, of_victim) = after;
        for (kind, count) in before.failed.iter().chain(&after.failed) {
            *of_live.entry(kind).or_default() += count;
        }
        let (old, new) = (before.quantile_us(99), after.quantile_us(99));
        before_us.push(old);
        after_us.push(new);
        ratios.push(new / old);
        for (kind, count) in &of_victim.failed {
            *failed.entry(kind).or_default() += count;
        }
        dead.longest = dead.longest.max(of_victim.longest);
    }
    let ratio = median(ratios);
    println!(
        "a peer is killed under load, medians of {} rounds",
        before_us.len()
    );
    println!(
        "p99 of the others' callers: {:.0} µs before, {:.0} µs after, ratio {ratio:.2}, promised at most {RATIO_MAX}: {}",
        median(before_us),
        median(after_us),
        verdict(ratio <= RATIO_MAX),
    );
    println!(
        "calls to the others that failed: {of_live:?}, promised none: {}",
        verdict(of_live.is_empty())
    );
    println!(
        "calls to the dead one that failed: {failed:?}, promised `unavailable` alone: {}",
        verdict(failed.keys().all(|kind| *kind == "unavailable"))
    );
    println!(
        "the longest call to the dead one: {:?} with a deadline of {DEADLINE:?}, promised at most {LATE_MAX:?} more: {}\n",
        dead.longest,
        verdict(dead.longest <= DEADLINE + LATE_MAX)
    );
}

/// Calls all; answers what the callers of the first ones saw, and those of the last one.
async fn of_others(
    transport: &Arc<GrpcTransport>,
    others: &[NodeRecord],
    all: &[NodeRecord],
    period: Duration,
) -> (Seen, Seen) {
    tokio::join!(
        paced(transport, others, period),
        paced(transport, &all[others.len()..], period)
    )
}

pub(crate) async fn paced(transport: &Arc<GrpcTransport>, records: &[NodeRecord], period: Duration) -> Seen {
    callers(CALLERS * records.len(), period, Some(PACE), |index| {
        let (transport, record) = (Arc::clone(transport), records[index % records.len()].clone());
        move || {
            let (transport, record) = (Arc::clone(&transport), record.clone());
            async move {
                let request = process::request(&record, Bytes::from_static(&[0x5a; 200])).within(DEADLINE);
                transport
                    .call(&record, request)
                    .await
                    .map(drop)
                    .map_err(|error| error.kind())
            }
        }
    })
    .await
}
