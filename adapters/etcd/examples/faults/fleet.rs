//! Nodes that renew, one that comes and goes, and a watch that has to see all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringhold_core::discovery::{Changes, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::{
    Discovery, Error, ErrorKind, Incarnation, NodeId, NodeIncarnation, NodeRecord, Nonce, OperationId,
    Result, Timing, Update,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::load::{Seen, bits};

/// How many nodes only renew.
pub(crate) const NODES: usize = 5;

/// How often the one that comes and goes does either.
const CHURN: Duration = Duration::from_millis(200);

/// How long the watch may take to tell of the last change.
const LAST_MAX: Duration = Duration::from_secs(10);

/// What the fleet saw.
#[derive(Debug, Default)]
pub(crate) struct FleetSeen {
    pub(crate) seen: Seen,
    /// The longest time between two renewals of a node that were answered.
    pub(crate) gap: Duration,
    /// Nodes that were told that they have lost their lease.
    pub(crate) deaths: u64,
    /// Changes that the watch told, in order and without a gap.
    pub(crate) told: u64,
    /// Changes that it left out or told out of order, and nodes that it told dead.
    pub(crate) missed: u64,
    /// The longest time in which it told of no change, while there is one each [`CHURN`].
    pub(crate) quiet: Duration,
}

/// A fleet that runs until it is stopped.
pub(crate) struct Fleet {
    stop: Arc<AtomicBool>,
    nodes: Vec<JoinHandle<Result<FleetSeen>>>,
    watch: JoinHandle<Result<FleetSeen>>,
    judge: Arc<dyn Discovery>,
}

impl Fleet {
    /// Starts nodes and a watch, each with connections of its own.
    pub(crate) async fn start(mut ways: Vec<Arc<dyn Discovery>>) -> Result<Self> {
        let none = || Error::new(ErrorKind::InvalidArgument, "fleet", "too few ways");
        let judge = ways.pop().ok_or_else(none)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut watch = judge.watch(None).await?;
        // The first is the reset that everything is told from.
        let first = watch.next().await?;
        let watch = tokio::spawn(follow(watch, first, Arc::clone(&judge), Arc::clone(&stop)));
        let churn = ways.pop().ok_or_else(none)?;
        let mut nodes = vec![tokio::spawn(come_and_go(churn, Arc::clone(&stop)))];
        for (index, way) in ways.into_iter().enumerate() {
            nodes.push(tokio::spawn(renew(way, index, Arc::clone(&stop))));
        }
        Ok(Self {
            stop,
            nodes,
            watch,
            judge,
        })
    }

    /// Stops everybody, and sums up.
    pub(crate) async fn finish(self) -> Result<FleetSeen> {
        self.stop.store(true, Ordering::Relaxed);
        let ended =
            |error: tokio::task::JoinError| Error::new(ErrorKind::Corrupt, "fleet", error.to_string());
        let mut all = FleetSeen::default();
        for node in self.nodes {
            let FleetSeen {
                seen, gap, deaths, ..
            } = node.await.map_err(ended)??;
            all.seen.add(&seen);
            all.gap = all.gap.max(gap);
            all.deaths += deaths;
        }
        let watched = self.watch.await.map_err(ended)??;
        let members = self.judge.members().await?.members.len();
        all.deaths += u64::try_from(NODES.saturating_sub(members)).unwrap_or(0);
        all.told = watched.told;
        all.missed = watched.missed;
        all.quiet = watched.quiet;
        Ok(all)
    }
}

fn record(id: &NodeId) -> NodeRecord {
    let nonce = Nonce::from_bytes(bits());
    NodeRecord::new(id.clone(), Incarnation { number: 0, nonce })
}

/// Registers a node and renews its lease each heartbeat.
async fn renew(discovery: Arc<dyn Discovery>, index: usize, stop: Arc<AtomicBool>) -> Result<FleetSeen> {
    let id = NodeId::new(format!("node-{index}"))?;
    let timing = Timing::default();
    let registered = discovery.register(RegisterNode::new(record(&id), timing)).await?;
    let node = NodeIncarnation::new(id, registered.incarnation);
    let mut after = registered.membership.revision;
    let mut all = FleetSeen::default();
    let mut last = Instant::now();
    let mut ticks = interval(timing.heartbeat());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let operation = OperationId::from_bytes(bits());
        let start = Instant::now();
        let renewal = RenewLease::new(node.clone(), after, Load::new(1), operation);
        let answer = discovery.renew(renewal).await;
        if let Err(error) = &answer
            && matches!(error.kind(), ErrorKind::LeaseLost | ErrorKind::Superseded)
        {
            eprintln!("  {node}: {error}");
            all.deaths += 1;
            return Ok(all);
        }
        if let Some(renewed) = all.seen.count(start, answer) {
            all.gap = all.gap.max(last.elapsed());
            last = Instant::now();
            match renewed.changes {
                Changes::Updates(updates) => {
                    after = updates.last().and_then(Update::revision).unwrap_or(after);
                }
                Changes::ResetNeeded => after = discovery.members().await?.revision,
                _ => {}
            }
        }
    }
    Ok(all)
}

/// One node that registers and leaves, again and again, so that there is something to watch.
async fn come_and_go(discovery: Arc<dyn Discovery>, stop: Arc<AtomicBool>) -> Result<FleetSeen> {
    let id = NodeId::new("guest")?;
    let mut all = FleetSeen::default();
    let mut ticks = interval(CHURN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let start = Instant::now();
        let joining = discovery
            .register(RegisterNode::new(record(&id), Timing::default()))
            .await;
        let Some(registered) = all.seen.count(start, joining) else {
            continue;
        };
        ticks.tick().await;
        let node = NodeIncarnation::new(id.clone(), registered.incarnation);
        let leaving = LeaveFleet::new(node, OperationId::from_bytes(bits()));
        let start = Instant::now();
        all.seen.count(start, discovery.leave(leaving).await);
    }
    Ok(all)
}

/// Counts the changes that are told, up to the last that there is.
async fn follow(
    mut watch: Box<dyn ringhold_core::discovery::Watch>,
    first: Update,
    judge: Arc<dyn Discovery>,
    stop: Arc<AtomicBool>,
) -> Result<FleetSeen> {
    let mut all = FleetSeen::default();
    let mut at = first.revision().map_or(0, |revision| revision.number);
    let mut until = None;
    let mut last = Instant::now();
    loop {
        if until.is_none() && stop.load(Ordering::Relaxed) {
            // The last change is on its way while nodes stop.
            until = Some(Instant::now() + LAST_MAX);
        }
        if let Some(until) = until {
            let head = judge.members().await?.revision.number;
            if at == head {
                return Ok(all);
            }
            if Instant::now() > until {
                eprintln!("  the watch is at {at}, and the fleet at {head}");
                all.missed += head.abs_diff(at);
                return Ok(all);
            }
        }
        let Ok(update) = timeout(Duration::from_millis(200), watch.next()).await else {
            continue;
        };
        let update = update?;
        let Some(revision) = update.revision() else {
            continue;
        };
        all.quiet = all.quiet.max(last.elapsed());
        last = Instant::now();
        if revision.number != at + 1 || matches!(update, Update::Reset(_)) {
            eprintln!("  the watch tells {} after {at}", revision.number);
            all.missed += revision.number.abs_diff(at + 1).max(1);
        }
        if let Update::Left { node, reason, .. } = &update
            && node.node.as_str() != "guest"
        {
            eprintln!("  {node} left: {}", reason.as_str());
            all.missed += 1;
        }
        at = revision.number;
        all.told += 1;
    }
}
