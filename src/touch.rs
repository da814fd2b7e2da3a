//! Keeps attached sessions alive: each is touched at a third of its time to live, every 20 s at least,
//! in batches per partition. The answers are also the backstop for every message that was lost: who no longer
//! holds a session learns it here at the latest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::session::{Touch, Touched};
use ringhold_core::{Error, Result};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::attached::Attached;
use crate::boottime::Moment;
use crate::events::FencedReason;
use crate::node::Node;
use crate::random;
use crate::save::{self, Kept};

/// The most touches in one request.
const BATCH_MAX: usize = 256;
/// The most requests on their way.
const IN_FLIGHT_MAX: usize = 1_024;
/// Those that are due within this time of each other are touched together.
const SLACK: Duration = Duration::from_millis(100);

/// A touch is the backstop for every message that was lost, so it comes this often at least, however
/// long the session lives: well within the time for which the store remembers what has ended.
const PERIOD_MAX: Duration = Duration::from_secs(20);

/// How often a session of this time to live is touched.
pub(crate) fn period(ttl: Duration) -> Duration {
    (ttl / 3).min(PERIOD_MAX)
}

/// When a session is touched next, after it was renewed.
pub(crate) fn next(ttl: Duration) -> Instant {
    Instant::now() + random::jittered(period(ttl), 80, 100)
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
                let left = std::mem::replace(&mut batch, rest);
                let batch = Batch {
                    node: Arc::clone(&node),
                    left,
                };
                node.shared.spawn(async move {
                    batch.touch().await;
                    drop(permit);
                });
            }
        }
    }
}

/// Players that are touched together. Whoever is left when it is dropped, as when an adapter
/// panics or answers too little, is touched again soon: nobody falls out of the rhythm.
struct Batch {
    node: Arc<Node>,
    left: Vec<Arc<Attached>>,
}

impl Batch {
    async fn touch(mut self) {
        let node = Arc::clone(&self.node);
        self.reclaim(&node).await;
        let touches: Vec<_> = self
            .left
            .iter()
            .map(|held| Touch::new(held.id, held.fence(), held.ttl))
            .collect();
        if touches.is_empty() {
            return;
        }
        let sent = Moment::now();
        let answer = timeout(save::TOUCH_DEADLINE, node.backend().sessions.touch_many(&touches)).await;
        let answers = match answer {
            Ok(Ok(answered)) => answered.answers,
            Ok(Err(error)) => {
                tracing::warn!(sessions = touches.len(), %error, "cannot touch sessions; trying again");
                return;
            }
            Err(_) => return,
        };
        // From the end, so that what is left keeps its order and its answers.
        let answered = answers.len().min(self.left.len());
        for attached in self.left.split_off(answered) {
            reschedule(&node, &attached, Kept::Unknown);
        }
        if answers.contains(&Touched::NotFound)
            && let Some(touch) = touches.first()
        {
            // The store may have lost the whole partition: what else is held there is restored now, and not one by
            // one in the course of a period.
            node.attached.hasten(touch.id.partition(), sent);
        }
        let mut restorations = Restorations::default();
        for (touch, answer) in touches.iter().zip(answers).rev() {
            // Taken out once it is settled: an adapter may panic meanwhile.
            if let Some(attached) = self.left.last().cloned() {
                settle(&node, &attached, touch, sent, answer, &mut restorations).await;
                self.left.pop();
            }
        }
        restorations.log();
    }

    /// Claims for the node's present incarnation what its last one held.
    async fn reclaim(&mut self, node: &Arc<Node>) {
        let me = node.me();
        let (mine, older) = self
            .left
            .drain(..)
            .partition(|attached| attached.hold().owner == me);
        self.left = mine;
        let mut lost = 0;
        let mut older = Batch {
            node: Arc::clone(node),
            left: older,
        };
        while let Some(attached) = older.left.last().cloned() {
            let kept = save::reclaim(node, &attached, me.clone()).await;
            reschedule(node, &attached, kept);
            older.left.pop();
            lost += usize::from(kept == Kept::Lost);
        }
        if lost > 0 {
            node.fence(FencedReason::SessionsClaimed(lost));
        }
    }
}

/// The sessions of one batch that the store had lost.
#[derive(Default)]
struct Restorations {
    restored: usize,
    failed: Option<(usize, Error)>,
}

impl Restorations {
    fn add(&mut self, outcome: Result<Kept>) -> Kept {
        match outcome {
            Ok(kept) => {
                self.restored += usize::from(kept == Kept::Yes);
                kept
            }
            Err(error) => {
                let earlier = self.failed.take().map_or(0, |(earlier, _)| earlier);
                self.failed = Some((earlier + 1, error));
                Kept::Unknown
            }
        }
    }

    /// One line for all, since a lost partition has thousands of them.
    fn log(self) {
        if self.restored > 0 {
            tracing::info!(
                sessions = self.restored,
                "restored sessions that the store had lost"
            );
        }
        if let Some((sessions, error)) = self.failed {
            tracing::warn!(sessions, %error, "cannot restore sessions that the store has lost; trying again");
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for attached in self.left.drain(..) {
            reschedule(&self.node, &attached, Kept::Unknown);
        }
    }
}

fn reschedule(node: &Node, attached: &Arc<Attached>, kept: Kept) {
    let ttl = attached.ttl.duration();
    if attached.ended().is_some() {
        return;
    }
    match kept {
        Kept::Yes => node.attached.schedule(attached, next(ttl)),
        Kept::Unknown => node.attached.schedule(attached, soon(ttl)),
        Kept::Lost | Kept::Ended => {}
    }
}

/// Acts on the answer to one touch.
async fn settle(
    node: &Arc<Node>,
    attached: &Arc<Attached>,
    touch: &Touch,
    sent: Moment,
    answer: Touched,
    restorations: &mut Restorations,
) {
    if attached.fence() != touch.fence {
        // Claimed or restored in between; the answer speaks of the past.
        return reschedule(node, attached, Kept::Yes);
    }
    let kept = match answer {
        Touched::Renewed => {
            attached.acknowledged(|hold| hold.seen = sent);
            Kept::Yes
        }
        Touched::Unanswered(_) => Kept::Unknown,
        // Of our own doing: the answer to a restoration was lost.
        Touched::Fenced { owner } if owner == node.me() && attached.has_asked() => {
            restorations.add(save::restore(node, attached, owner).await)
        }
        Touched::NotFound => restorations.add(save::restore(node, attached, node.me()).await),
        Touched::Unreadable(kind) => {
            tracing::error!(session = ?attached.id, %kind, "the stored session cannot be read; trying again");
            Kept::Unknown
        }
        ended => {
            save::end_by(node, attached, ended);
            Kept::Ended
        }
    };
    reschedule(node, attached, kept);
}
