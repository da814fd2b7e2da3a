//! The membership's master is killed while nodes renew: nobody is taken for dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringhold_core::discovery::{RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::{
    Discovery, Error, ErrorKind, Incarnation, NodeId, NodeIncarnation, NodeRecord, Nonce, OperationId,
    PlayerId, Timing, Update,
};
use ringhold_testkit::launch::ClusterOptions;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::load::{Seen, bits};
use crate::report::Row;
use crate::scenarios::{Bed, Failure, LIMIT, Outcome, Plan};

const FLEET: &str = "leases";
const NODES: usize = 5;

/// What a node saw of its lease.
#[derive(Default)]
struct Renewals {
    seen: Seen,
    /// The longest time between two renewals that were answered.
    gap: Duration,
    deaths: u64,
}

async fn discovery(bed: &Bed) -> Result<Arc<dyn Discovery>, Failure> {
    Ok(bed.open(FLEET).await?.discovery())
}

/// Registers a node and renews its lease each heartbeat until it is told to stop.
async fn node(discovery: Arc<dyn Discovery>, index: usize, stop: Arc<AtomicBool>) -> Result<Renewals, Error> {
    let nonce = Nonce::from_bytes(bits());
    let id = NodeId::new(format!("node-{index}"))?;
    let record = NodeRecord::new(id.clone(), Incarnation { number: 0, nonce });
    let timing = Timing::default();
    let registered = discovery.register(RegisterNode::new(record, timing)).await?;
    let node = NodeIncarnation::new(id, registered.incarnation);
    let mut after = registered.membership.revision;
    let mut renewals = Renewals::default();
    let mut last = Instant::now();
    let mut ticks = interval(timing.heartbeat());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let operation = OperationId::from_bytes(bits());
        let start = Instant::now();
        let answer = discovery
            .renew(RenewLease::new(node.clone(), after, Load::new(1), operation))
            .await;
        renewals.seen.longest = renewals.seen.longest.max(start.elapsed());
        match answer {
            Ok(renewed) => {
                renewals.gap = renewals.gap.max(last.elapsed());
                last = Instant::now();
                renewals.seen.acknowledged += 1;
                if let ringhold_core::discovery::Changes::Updates(updates) = &renewed.changes {
                    after = updates.last().and_then(Update::revision).unwrap_or(after);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::LeaseLost | ErrorKind::Superseded) => {
                eprintln!("  {node}: {error}");
                renewals.deaths += 1;
                return Ok(renewals);
            }
            Err(error) => {
                eprintln!("  {node}: {error}");
                renewals.seen.errors += 1;
            }
        }
    }
    Ok(renewals)
}

/// Counts those who are said to have left.
fn watch(discovery: Arc<dyn Discovery>, stop: Arc<AtomicBool>) -> JoinHandle<Result<(u64, usize), Error>> {
    tokio::spawn(async move {
        let mut watch = discovery.watch(None).await?;
        let (mut left, mut most) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            // Nothing at all may come for a while.
            let Ok(update) = tokio::time::timeout(Duration::from_millis(200), watch.next()).await else {
                continue;
            };
            match update? {
                Update::Left { node, reason, .. } => {
                    eprintln!("  {node} left: {}", reason.as_str());
                    left += 1;
                }
                Update::Reset(membership) => most = most.max(membership.members.len()),
                Update::Joined { .. } => most += 1,
                _ => {}
            }
        }
        Ok((left, most))
    })
}

/// Kills the master of the membership while five nodes renew.
pub(crate) async fn run(plan: Plan) -> Outcome {
    let bed = Bed::new(plan, ClusterOptions::new()).await?;
    let mut row = Row::new("kill -9 the membership's master");
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch(discovery(&bed).await?, Arc::clone(&stop));
    let mut nodes = Vec::new();
    for index in 0..NODES {
        nodes.push(tokio::spawn(node(
            discovery(&bed).await?,
            index,
            Arc::clone(&stop),
        )));
    }
    // The membership is where a player of the fleet's name would be.
    let slot = 16 * PlayerId::new(FLEET)?.partition().get() + 8;
    for _ in 0..plan.rounds(5) {
        // sleep: the nodes renew for a while before the fault.
        sleep(Duration::from_secs(3)).await;
        let victim = bed.with(move |cluster| cluster.master_of_slot(slot)).await?;
        let start = Instant::now();
        bed.with(move |cluster| cluster.kill(victim)).await?;
        bed.with(move |cluster| cluster.wait_until_promoted(victim, LIMIT))
            .await?;
        row.promotion = row.promotion.max(Some(start.elapsed()));
        // sleep: longer than a lease, so that whoever would be taken for dead is.
        sleep(Timing::default().lease() + Duration::from_secs(2)).await;
        bed.with(move |cluster| cluster.restart(victim)).await?;
        bed.with(|cluster| cluster.wait_until_in_sync(LIMIT)).await?;
        row.rounds += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut gap, mut deaths) = (Duration::ZERO, 0);
    for node in nodes {
        let renewals = node.await??;
        row.seen.add(&renewals.seen);
        gap = gap.max(renewals.gap);
        deaths += renewals.deaths;
    }
    let (left, most) = watcher.await??;
    row.note = format!(
        "{NODES} nodes, {deaths} false deaths, {left} seen to leave, longest gap between renewals {:.1} s",
        gap.as_secs_f64()
    );
    row.must(
        deaths == 0 && left == 0,
        format!("{deaths} false deaths, {left} left"),
    );
    row.must(most >= NODES, format!("the watcher saw {most} members"));
    row.must_lose_nothing();
    Ok(vec![row])
}
