//! The sweeper: each node takes what expired in the partitions that the ring gives it, tells its
//! application, and acknowledges. It also moves the clocks of those partitions on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::session::{AckExpired, TakeExpired};
use ringhold_core::{Error, ErrorKind, Partition, Result, Ring};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::events::FleetEvent;
use crate::node::Node;
use crate::{random, touch};

/// How often every partition is looked at, and its clock moved on.
const PERIOD: Duration = Duration::from_secs(1);
/// The most sessions of one partition in one take.
const TAKE_MAX: u16 = 64;
/// No take or acknowledgement takes longer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Sweeps for as long as the node runs.
pub(crate) async fn run(node: Arc<Node>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut mine = Mine::default();
    // After contact was lost, owners get the time to touch what only seems to have expired.
    let quiet = node
        .timing
        .lease()
        .max(touch::period(node.session_ttl.duration()));
    let mut quiet_until = Instant::now();
    loop {
        ticks.tick().await;
        // A node that is late may hold an old ring, and a store that was away holds old deadlines.
        if !node.is_attached() || node.contact.age() > node.timing.soft() + PERIOD {
            quiet_until = Instant::now() + quiet;
        }
        // Moving the clocks on is right for whoever can.
        let limit = if Instant::now() < quiet_until { 0 } else { TAKE_MAX };
        let mut partitions = mine.partitions(&node).to_vec();
        while !partitions.is_empty() {
            partitions = match sweep(&node, partitions, limit).await {
                Ok(more) if limit > 0 => more,
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot sweep expired sessions; trying again");
                    quiet_until = Instant::now() + quiet;
                    break;
                }
            };
        }
    }
}

/// The partitions of this node, as long as the ring stands.
#[derive(Default)]
struct Mine {
    ring: Option<Arc<Ring>>,
    partitions: Vec<Partition>,
}

impl Mine {
    fn partitions(&mut self, node: &Node) -> &[Partition] {
        let view = node.shared.view.latest();
        if !self
            .ring
            .as_ref()
            .is_some_and(|ring| Arc::ptr_eq(ring, view.ring()))
        {
            let own = node.me().node;
            // Where nobody has a weight, the first by id looks after everything.
            let first = view.nodes().first().map(|node| &node.record.id);
            let is_mine =
                |partition: &Partition| view.ring().owner(&partition.ring_key()).or(first) == Some(&own);
            self.partitions = Partition::all().filter(is_mine).collect();
            self.ring = Some(Arc::clone(view.ring()));
        }
        &self.partitions
    }
}

/// One take, told and acknowledged. Answers the partitions that hold more.
async fn sweep(node: &Arc<Node>, partitions: Vec<Partition>, limit: u16) -> Result<Vec<Partition>> {
    let store = &node.backend().sessions;
    let request = TakeExpired::new(partitions, limit, random::nonce()?);
    let taken = timeout(DEADLINE, store.take_expired(request))
        .await
        .unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Timeout,
                "sweep",
                format!("no answer within {DEADLINE:?}"),
            ))
        })?;
    for (partition, kind) in &taken.failed {
        tracing::warn!(?partition, %kind, "cannot sweep a partition; trying again");
    }
    for unreadable in &taken.unreadable {
        tracing::error!(session = ?unreadable.id, reason = unreadable.context, "an expired session cannot be read");
    }
    let unreadable: HashSet<_> = taken
        .unreadable
        .iter()
        .map(|session| session.id.partition())
        .collect();
    for expired in taken.sessions {
        let ack = AckExpired::new(expired.session.id, expired.token);
        node.shared
            .events
            .send(FleetEvent::SessionExpired(Arc::new(expired.session)));
        match timeout(DEADLINE, store.ack_expired(ack)).await {
            // Revived, or taken by another sweeper meanwhile: it comes again when it expires again.
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::NotFound) => {}
            Ok(Err(error)) => return Err(error),
            _ => {}
        }
    }
    // What cannot be read is taken again and again; do not spin on it.
    Ok(taken
        .more
        .into_iter()
        .filter(|partition| !unreadable.contains(partition))
        .collect())
}
