//! Keeps attached sessions alive: each is touched at a third of its time to live, in batches per
//! partition. The answers are also the backstop for every message that was lost: who no longer
//! holds a session learns it here at the latest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::session::{Touch, Touched};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::attached::Attached;
use crate::node::Node;
use crate::random;
use crate::save::{self, Kept};

/// The most touches in one request.
const BATCH_MAX: usize = 256;
/// The most requests on their way.
const IN_FLIGHT_MAX: usize = 16;
/// Those that are due within this time of each other are touched together.
const SLACK: Duration = Duration::from_millis(100);

/// When a session is touched next, after it was renewed.
pub(crate) fn next(ttl: Duration) -> Instant {
    Instant::now() + random::jittered(ttl / 3, 80, 100)
}

/// When it is tried again, after the store did not answer.
fn soon(ttl: Duration) -> Instant {
    Instant::now() + random::jittered((ttl / 6).min(Duration::from_secs(1)), 80, 100)
}

/// Touches whoever is due, for ever.
pub(crate) async fn run(node: Arc<Node>) {
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    loop {
        let mut by_partition: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for attached in node.attached.next_due(SLACK).await {
            by_partition
                .entry(attached.id.partition())
                .or_default()
                .push(attached);
        }
        for mut batch in by_partition.into_values() {
            while !batch.is_empty() {
                let rest = batch.split_off(batch.len().min(BATCH_MAX));
                // The semaphore is never closed.
                let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else {
                    return;
                };
                let node = Arc::clone(&node);
                node.clone().shared.tasks.spawn(async move {
                    touch_batch(&node, &batch).await;
                    drop(permit);
                });
                batch = rest;
            }
        }
    }
}

async fn touch_batch(node: &Arc<Node>, batch: &[Arc<Attached>]) {
    let me = node.me();
    let mut touches = Vec::with_capacity(batch.len());
    let mut holders = Vec::with_capacity(batch.len());
    for attached in batch {
        let hold = attached.hold();
        if hold.owner == me {
            touches.push(Touch::new(attached.id, hold.fence, attached.ttl));
            holders.push(attached);
        } else {
            let kept = save::reclaim(node, attached, me.clone()).await;
            reschedule(node, attached, kept);
        }
    }
    if touches.is_empty() {
        return;
    }
    match timeout(
        save::TOUCH_DEADLINE,
        node.shared.backend.sessions.touch_many(&touches),
    )
    .await
    {
        Ok(Ok(answers)) => {
            for ((attached, touch), answer) in holders.into_iter().zip(&touches).zip(answers) {
                settle(node, attached, touch, answer).await;
            }
        }
        failed => {
            if let Ok(Err(error)) = failed {
                tracing::warn!(sessions = touches.len(), %error, "cannot touch sessions; trying again");
            }
            for attached in holders {
                reschedule(node, attached, Kept::Unknown);
            }
        }
    }
}

fn reschedule(node: &Node, attached: &Arc<Attached>, kept: Kept) {
    let ttl = attached.ttl.duration();
    match kept {
        Kept::Yes => node.attached.schedule(attached, next(ttl)),
        Kept::Unknown => node.attached.schedule(attached, soon(ttl)),
        Kept::Lost => {}
    }
}

/// Acts on the answer to one touch.
async fn settle(node: &Arc<Node>, attached: &Arc<Attached>, touch: &Touch, answer: Touched) {
    if attached.fence() != touch.fence {
        // Claimed or restored in between; the answer speaks of the past.
        return reschedule(node, attached, Kept::Yes);
    }
    let kept = match answer {
        Touched::Renewed => Kept::Yes,
        Touched::NotFound => save::restore(node, attached, node.me()).await,
        Touched::Unreadable(kind) => {
            tracing::error!(session = ?attached.id, %kind, "the stored session cannot be read; trying again");
            Kept::Unknown
        }
        ended => {
            node.attached.end(attached, save::event_of(ended));
            Kept::Lost
        }
    };
    reschedule(node, attached, kept);
}
