//! Renews the node's lease, takes in what is new, registers again when the lease was lost, evicts the node
//! itself while the application's runtime stands still, and stops when the node was superseded.
//!
//! All of it runs on the runtime that renews the lease. What runs code of the application or waits for it, such as
//! serving other nodes and claiming sessions again, is spawned on the application's runtime and never waited for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringhold_core::discovery::{Changes, EvictNode, RegisterNode, RenewLease, Renewed};
use ringhold_core::membership::Update;
use ringhold_core::node::Load;
use ringhold_core::{Error, ErrorKind, Incarnation, NodeIncarnation, NodeRecord, Result};
use tokio::time::{Instant, sleep};

use crate::boottime::Moment;
use crate::events::FleetEvent;
use crate::node::{Node, NodeStatus};
use crate::save::{self, Kept};
use crate::shared::lock;
use crate::{FencedReason, peers, random, retry};

/// The least time that one renewal gets.
const ATTEMPT_MIN: Duration = Duration::from_millis(250);
/// Up to this later than the next lapse a node renews to see it, so that not all come at once.
const LAPSE_JITTER: Duration = Duration::from_millis(200);
/// Above so many nodes only some look at a lapse when it is due; the others see it with their next heartbeat.
const LAPSE_WATCHERS_ALL: usize = 100;

/// Renews for as long as the node and the application's runtime run.
pub(crate) async fn run(node: &Arc<Node>) {
    let heartbeat = node.timing.heartbeat();
    let mut pause = random::jittered(period(node), 50, 100);
    loop {
        let due = Instant::now() + pause;
        tokio::select! {
            () = sleep(pause) => {}
            () = node.contact.poked() => {}
            () = node.progress.until_stalled(true) => {}
            // Without its runtime the application is gone; the lease lapses, as after a crash.
            () = node.progress.ended() => return,
        }
        if let Some(since) = node.progress.stalled() {
            evict_until_it_moves(node, since).await;
            // A renewal finds out whether the lease is lost, or another process has this id by now.
            pause = Duration::ZERO;
            continue;
        }
        let late = due.elapsed();
        if late > retry::LATE_MIN.max(heartbeat) {
            tracing::warn!(
                node = %node.me(), ?late,
                "renewals stood still: their runtime was blocked or the process was paused"
            );
        }
        pause = match renew(node).await {
            Ok(next) => next,
            Err(error) => match error.kind() {
                ErrorKind::Superseded => match is_our_registration(node).await {
                    Ok(true) => {
                        detach(node);
                        match register_again(node).await {
                            Ok(()) => random::jittered(period(node), 80, 100),
                            Err(_) => heartbeat / 4,
                        }
                    }
                    Ok(false) => {
                        tracing::error!(node = %node.me(), "superseded: a newer process runs under this node's id");
                        return node.superseded();
                    }
                    // Stopping is for ever: not before it is known who superseded this run.
                    Err(_) => until_hard_deadline(node),
                },
                ErrorKind::LeaseLost => {
                    tracing::warn!(node = %node.me(), "the lease was lost; registering again");
                    detach(node);
                    match register_again(node).await {
                        Ok(()) => random::jittered(period(node), 80, 100),
                        Err(error) => {
                            tracing::warn!(%error, "cannot register again yet");
                            heartbeat / 4
                        }
                    }
                }
                _ => {
                    tracing::warn!(node = %node.me(), %error, "cannot renew the lease");
                    until_hard_deadline(node)
                }
            },
        };
    }
}

/// Ends the membership of a node whose application hangs, so that others can claim its players, and returns once the
/// application moves. Until then the lease is not renewed.
async fn evict_until_it_moves(node: &Node, since: Instant) {
    detach(node);
    tracing::error!(
        node = %node.me(), stood_still = ?since.elapsed(), limit = ?node.timing.stall_limit(),
        "the application's runtime stands still; evicting this node so that others can claim its players"
    );
    let evicting = async {
        let request = EvictNode::new(node.me(), random::operation()?);
        let evict = || node.lease.discovery.evict(request.clone());
        retry::within(node.timing.lease(), "evict", evict).await
    };
    tokio::select! {
        evicted = evicting => {
            if let Err(error) = evicted {
                tracing::warn!(%error, "cannot evict this node; its lease lapses");
            }
            tokio::select! {
                () = node.progress.until_stalled(false) => {}
                () = node.progress.ended() => {}
            }
        }
        () = node.progress.until_stalled(false) => {}
    }
    if node.progress.stalled().is_none() {
        let stood_still = since.elapsed();
        tracing::warn!(node = %node.me(), ?stood_still, "the application's runtime moves again");
    }
}

/// Whether the run that superseded this one is what a registration of our own made whose answer was lost.
async fn is_our_registration(node: &Node) -> Result<bool> {
    let Some(nonce) = *lock(&node.registering) else {
        return Ok(false);
    };
    let id = node.me().node;
    let limit = node.timing.heartbeat().max(ATTEMPT_MIN);
    let members = retry::once(limit, "members", node.lease.discovery.members()).await?;
    Ok(members
        .get(&id)
        .is_none_or(|member| member.record.incarnation.nonce == nonce))
}

/// The longest time between two renewals: a heartbeat, and well within the hard deadline. With a
/// lease of three heartbeats that is one heartbeat after the last renewal was sent, and the next one
/// has to be back by then.
fn period(node: &Node) -> Duration {
    node.timing.heartbeat().min(node.timing.hard() * 3 / 4)
}

/// After a failure: detaches at the hard deadline, and answers when to try again.
fn until_hard_deadline(node: &Node) -> Duration {
    let left = node.timing.hard().saturating_sub(node.contact.age());
    if left.is_zero() {
        detach(node);
    }
    let pause = random::jittered(node.timing.heartbeat() / 4, 50, 100);
    if left.is_zero() { pause } else { pause.min(left) }
}

fn detach(node: &Node) {
    if node.set_status(NodeStatus::Detached) {
        node.shared.events.send(FleetEvent::Detached);
    }
}

fn reattach(node: &Node) {
    if node.set_status(NodeStatus::Attached) {
        node.shared.events.send(FleetEvent::Reattached);
    }
}

/// One renewal, and what follows from its answer. Answers when to renew again.
async fn renew(node: &Arc<Node>) -> Result<Duration> {
    // Before the record is read, so that who waits for a renewal that was sent later sees it in there.
    let sent = Moment::now();
    let record = node.record();
    let load = Load::new(node.attached.taken());
    let mut request = RenewLease::new(record.node(), node.shared.revision(), load, random::operation()?);
    if node
        .contact
        .acknowledged_record()
        .is_some_and(|known| known != record)
    {
        request = request.with_record(Arc::clone(&record));
    }
    let renewed = retry::once(attempt_limit(node), "renew", node.lease.discovery.renew(request)).await?;
    let Renewed {
        changes,
        next_lapse,
        loads,
        ..
    } = renewed;
    take_in(node, changes, loads).await?;
    node.contact.acknowledged(sent, record);
    let nodes = node.shared.view.with(|view| view.nodes().len());
    node.shared
        .set_load_period(Renewed::load_period(nodes, node.timing.heartbeat()));
    // The lease stands: whoever left was displaced, not claimed.
    node.claimed.store(0, Ordering::Relaxed);
    reattach(node);
    Ok(next_renewal(node, next_lapse))
}

/// How long one renewal may take: a heartbeat, and not past the hard deadline, where the node has to
/// know that it is detached.
fn attempt_limit(node: &Node) -> Duration {
    let left = node.timing.hard().saturating_sub(node.contact.age());
    let limit = node.timing.heartbeat();
    if left.is_zero() {
        limit.max(ATTEMPT_MIN)
    } else {
        limit.min(left).max(ATTEMPT_MIN)
    }
}

/// Takes in what a renewal answered.
async fn take_in(
    node: &Arc<Node>,
    changes: Changes,
    loads: Option<Vec<(NodeIncarnation, Load)>>,
) -> Result<()> {
    let me = node.me();
    let taken = match changes {
        Changes::Updates(updates) => {
            let loads = loads.map(Update::Loads);
            node.shared.apply(updates.into_iter().chain(loads), Some(&me))
        }
        _ => Err(Error::new(
            ErrorKind::Corrupt,
            "renew",
            "the resume point is unknown",
        )),
    };
    let returned = if let Ok(returned) = taken {
        returned
    } else {
        // A gap, or a store that does not know this history: start over from the whole.
        let limit = node.timing.heartbeat().max(ATTEMPT_MIN);
        let membership = retry::once(limit, "members", node.lease.discovery.members()).await?;
        node.shared.apply([Update::Reset(membership)], Some(&me))?
    };
    node.count_sessions();
    for dead in returned {
        tracing::warn!(node = %dead, "a node that was known to be dead is a member again; evicting it");
        let request = EvictNode::new(dead, random::operation()?);
        let (discovery, limit) = (Arc::clone(&node.lease.discovery), node.timing.lease());
        node.shared.spawn_on(&node.lease.handle, async move {
            let evict = || discovery.evict(request.clone());
            if let Err(error) = retry::within(limit, "evict", evict).await {
                tracing::warn!(%error, "cannot evict a node that was known to be dead");
            }
        });
    }
    Ok(())
}

/// The next heartbeat, or sooner where a lease is about to lapse, so that a death is seen on time.
fn next_renewal(node: &Node, next_lapse: Option<Duration>) -> Duration {
    let heartbeat = random::jittered(period(node), 80, 100);
    let Some(lapse) = next_lapse else { return heartbeat };
    let nodes = node.shared.view.with(|view| view.nodes().len());
    if nodes > LAPSE_WATCHERS_ALL && random::quick() % (nodes as u64) >= 4 {
        return heartbeat;
    }
    let jitter = LAPSE_JITTER.min(node.timing.heartbeat());
    heartbeat.min(lapse + random::jittered(jitter, 1, 100))
}

/// Registers under a new incarnation with the full record, and keeps the players who were not
/// claimed by others meanwhile.
async fn register_again(node: &Arc<Node>) -> Result<()> {
    let mut record = NodeRecord::clone(&node.record());
    record.incarnation = Incarnation {
        number: record.incarnation.number,
        nonce: match *lock(&node.registering) {
            Some(nonce) => nonce,
            None => random::nonce()?,
        },
    };
    *lock(&node.registering) = Some(record.incarnation.nonce);
    register(node, record).await?;
    *lock(&node.registering) = None;
    let me = node.me();
    node.shared.events.send(FleetEvent::Registered(me.clone()));
    reattach(node);
    let players = node.attached.all();
    let node = Arc::clone(node);
    node.clone().shared.spawn(async move {
        serve_peers(&node).await;
        let mut lost = node.claimed.swap(0, Ordering::Relaxed);
        for attached in players {
            // Who is not reached now is claimed by the next touch.
            if save::reclaim(&node, &attached, me.clone()).await == Kept::Lost {
                lost += 1;
            }
        }
        if lost > 0 {
            tracing::error!(
                lost,
                "others had claimed players of this node while its lease was lost"
            );
            node.fence(FencedReason::SessionsClaimed(lost));
        }
    });
    Ok(())
}

/// Serves calls of other nodes under the present name. Without it displaced players are told later,
/// by their touch: no reason not to run.
pub(crate) async fn serve_peers(node: &Arc<Node>) {
    let Some(transport) = &node.backend().transport else {
        return;
    };
    match peers::serve(transport, node).await {
        Ok(guard) => node.set_serving(guard),
        Err(error) => tracing::warn!(%error, "cannot serve calls of other nodes"),
    }
}

/// Registers `record` and sets it, with the incarnation that the store gave, as this node's.
pub(crate) async fn register(node: &Node, mut record: NodeRecord) -> Result<()> {
    let request = RegisterNode::new(record.clone(), node.timing);
    let mut sent = Moment::now();
    let discovery = &node.lease.discovery;
    let registered = retry::until_deadline("join", || {
        sent = Moment::now();
        discovery.register(request.clone())
    })
    .await?;
    record.incarnation = registered.incarnation;
    node.set_incarnation(registered.incarnation);
    // The view first: who sees the contact relies on it.
    node.shared
        .apply([Update::Reset(registered.membership)], Some(&node.me()))?;
    node.contact.acknowledged(sent, Arc::new(record));
    Ok(())
}
