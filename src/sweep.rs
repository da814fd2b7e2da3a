//! The sweeper: each node takes what expired in the partitions that the ring gives it, tells its
//! application, and acknowledges. It also moves the clocks of those partitions on.

use std::collections::{HashMap, HashSet};
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
    let mut calm = Calm::new(
        node.timing
            .lease()
            .max(touch::period(node.session_ttl.duration())),
    );
    loop {
        ticks.tick().await;
        // A node that is late may hold an old ring, and a store that was away holds old deadlines.
        if !node.is_attached() || node.contact.age() > node.timing.soft() + PERIOD {
            calm.all();
        }
        let (quiet, mut due): (Vec<_>, Vec<_>) = mine
            .partitions(&node)
            .iter()
            .partition(|partition| calm.holds(**partition));
        // Moving the clocks on is right for whoever can.
        if !quiet.is_empty() {
            tell(sweep(&node, quiet, 0, &mut calm).await, &mut calm);
        }
        while !due.is_empty() {
            due = tell(sweep(&node, due, TAKE_MAX, &mut calm).await, &mut calm);
        }
    }
}

/// What is left to sweep; nothing after a failure, when all keep calm.
fn tell(swept: Result<Vec<Partition>>, calm: &mut Calm) -> Vec<Partition> {
    swept.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot sweep expired sessions; trying again");
        calm.all();
        Vec::new()
    })
}

/// After contact was lost, with the store or with one shard of it, owners get the time to touch what
/// only seems to have expired.
struct Calm {
    period: Duration,
    all_until: Instant,
    until: HashMap<Partition, Instant>,
}

impl Calm {
    fn new(period: Duration) -> Self {
        Self {
            period,
            all_until: Instant::now(),
            until: HashMap::new(),
        }
    }

    fn all(&mut self) {
        self.all_until = Instant::now() + self.period;
        self.until.clear();
    }

    fn one(&mut self, partition: Partition) {
        self.until.insert(partition, Instant::now() + self.period);
    }

    fn holds(&self, partition: Partition) -> bool {
        let until = self.until.get(&partition).copied().unwrap_or(self.all_until);
        Instant::now() < until.max(self.all_until)
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
async fn sweep(
    node: &Arc<Node>,
    partitions: Vec<Partition>,
    limit: u16,
    calm: &mut Calm,
) -> Result<Vec<Partition>> {
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
        calm.one(*partition);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calm_is_kept_for_a_period_by_one_partition_or_by_all() {
        let [stuck, other] = [1, 2].map(|index| Partition::new(index).unwrap());
        let mut calm = Calm::new(Duration::from_secs(20));
        assert!(
            !calm.holds(stuck) && !calm.holds(other),
            "a new node sweeps at once"
        );
        calm.one(stuck);
        assert!(
            calm.holds(stuck) && !calm.holds(other),
            "a stuck shard keeps no other from being swept"
        );
        // sleep: simulated time, most of the period
        tokio::time::sleep(Duration::from_secs(19)).await;
        assert!(calm.holds(stuck));
        calm.all();
        assert!(calm.holds(stuck) && calm.holds(other));
        // sleep: simulated time, the whole period
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!calm.holds(stuck) && !calm.holds(other));
    }
}
