//! The sweeper of one node. It advances the clocks of the node's partitions each second, takes expired
//! sessions as far as there are permits, and hands them to the handler, or discards them.
//!
//! Three loops of one task share the state: one ticks partitions that answer, one those that did not
//! answer last, so that a stuck shard delays no other, and one takes. Each session that was taken has a
//! task of its own, which acknowledges it after the handler succeeded.

mod grace;
mod settle;
mod share;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold_core::node::ExpiryMode;
use ringhold_core::session::{TakeExpired, TakenSession, TakenSessions};
use ringhold_core::{ErrorKind, Partition, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::grace::Grace;
use self::settle::settle;
use self::share::Share;
use crate::expiry::OnExpired;
use crate::node::Node;
use crate::progress::tick;
use crate::shared::lock;
use crate::{random, retry, touch};

/// How often every partition's clock is advanced.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a partition may take to answer. Others wait as long once, so it is below the cap of a partition's
/// clock, and no time is lost.
const PARTITION_DEADLINE: Duration = Duration::from_secs(2);
/// The same for a partition that did not answer last: long enough for a failover.
const STUCK_DEADLINE: Duration = Duration::from_secs(4);
/// No request takes longer, whatever the store makes of its deadline.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// Sweeps for as long as the node runs.
pub(crate) async fn run(node: Arc<Node>, on_expired: OnExpired) {
    let grace = node
        .timing
        .lease()
        .max(touch::period(node.session_ttl.duration()));
    let sweeper = Sweeper {
        state: Mutex::new(State::new(grace)),
        taking: Notify::new(),
        node,
        on_expired,
    };
    tokio::join!(
        sweeper.tick(Lane::Answering),
        sweeper.tick(Lane::Stuck),
        sweeper.take()
    );
}

/// Which partitions a loop ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// Those that answered last.
    Answering,
    /// Those that did not.
    Stuck,
}

struct Sweeper {
    node: Arc<Node>,
    on_expired: OnExpired,
    state: Mutex<State>,
    /// Notified when there is something to take.
    taking: Notify,
}

/// The state that the loops share.
struct State {
    share: Share,
    grace: Grace,
    /// Partitions that did not answer last.
    stuck: HashSet<Partition>,
    /// Partitions in which sessions are due.
    due: BTreeSet<Partition>,
    /// The partition that was taken from last: each has its turn.
    last: Option<Partition>,
    /// When a member with a handler was last seen; at first, when this node joined.
    handled: Instant,
}

impl State {
    fn new(grace: Duration) -> Self {
        Self {
            share: Share::default(),
            grace: Grace::new(grace),
            stuck: HashSet::new(),
            due: BTreeSet::new(),
            last: None,
            handled: Instant::now(),
        }
    }

    /// Whether sessions may be taken from `partition` now.
    fn may_take(&self, partition: Partition) -> bool {
        let takes = match self.share.mode() {
            ExpiryMode::Handle => true,
            // A member with a handler may be about to start, or to start again.
            ExpiryMode::Discard => self.handled.elapsed() >= self.grace.period,
            _ => false,
        };
        takes && !self.grace.holds(partition)
    }

    /// Up to `most` partitions to take from, the next ones in turn.
    fn next_due(&mut self, most: usize) -> Vec<Partition> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let in_turn = self.due.range((after, Bound::Unbounded)).chain(&self.due);
        let in_turn = in_turn.copied().take(self.due.len());
        let next: Vec<_> = in_turn
            .filter(|partition| self.may_take(*partition))
            .take(most)
            .collect();
        for partition in &next {
            self.due.remove(partition);
        }
        self.last = next.last().copied().or(self.last);
        next
    }
}

impl Sweeper {
    /// Advances the clocks of a lane's partitions each second, and notes where sessions are due.
    async fn tick(&self, lane: Lane) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let delay = tick(&mut ticks).await;
            if delay > self.node.timing.soft() + PERIOD {
                // A runtime that stood still has not touched its own sessions.
                lock(&self.state).grace.all();
            }
            let partitions = self.partitions(lane);
            if partitions.is_empty() {
                continue;
            }
            let deadline = match lane {
                Lane::Answering => PARTITION_DEADLINE,
                Lane::Stuck => STUCK_DEADLINE,
            };
            if let Some(taken) = self.request(partitions, 0, deadline).await {
                let mut state = lock(&self.state);
                let State { share, due, .. } = &mut *state;
                due.extend(taken.more.iter().filter(|partition| share.has(**partition)));
                if !due.is_empty() {
                    self.taking.notify_one();
                }
            }
        }
    }

    /// The partitions of a lane, by the newest view.
    fn partitions(&self, lane: Lane) -> Vec<Partition> {
        let node = &self.node;
        let mut state = lock(&self.state);
        // A node that is late may hold an old view, and a store that was away holds old deadlines.
        if !node.is_attached() || node.contact.age() > node.timing.soft() + PERIOD {
            state.grace.all();
        }
        let State {
            share, stuck, due, ..
        } = &mut *state;
        if share.update(&node.shared.view.latest(), &node.me().node) {
            stuck.retain(|partition| share.has(*partition));
            due.clear();
        }
        let partitions = match lane {
            Lane::Answering if stuck.is_empty() => share.partitions().to_vec(),
            Lane::Answering => {
                let answer = |partition: &&Partition| !stuck.contains(*partition);
                share.partitions().iter().filter(answer).copied().collect()
            }
            Lane::Stuck => stuck.iter().copied().collect(),
        };
        if state.share.mode() == ExpiryMode::Handle {
            state.handled = Instant::now();
        }
        partitions
    }

    /// Takes what is due, as far as there are permits, in turn.
    async fn take(&self) {
        loop {
            // Nothing is taken that would have to wait for a permit.
            let Some(mut free) = self.node.expiry.free_permits().await else {
                return;
            };
            let partitions = if self.node.is_attached() {
                lock(&self.state).next_due(free.num_permits())
            } else {
                Vec::new()
            };
            if partitions.is_empty() {
                drop(free);
                self.taking.notified().await;
                continue;
            }
            let limit = u16::try_from(free.num_permits() / partitions.len()).unwrap_or(u16::MAX);
            let Some(taken) = self.request(partitions, limit, PARTITION_DEADLINE).await else {
                continue;
            };
            let unreadable: HashSet<_> = taken
                .unreadable
                .iter()
                .map(|session| session.id.partition())
                .collect();
            for session in &taken.unreadable {
                tracing::error!(session = ?session.id, reason = session.context, "an expired session cannot be read");
            }
            for session in taken.sessions {
                self.start(session, free.split(1));
            }
            let mut state = lock(&self.state);
            let State { share, due, .. } = &mut *state;
            // A partition with unreadable sessions waits for the next tick, so that they cost no more.
            let more = taken.more.into_iter();
            due.extend(more.filter(|partition| share.has(*partition) && !unreadable.contains(partition)));
        }
    }

    /// One request to the store; `None` after a failure of all partitions.
    async fn request(
        &self,
        partitions: Vec<Partition>,
        limit: u16,
        deadline: Duration,
    ) -> Option<TakenSessions> {
        let take = async {
            let request = TakeExpired::new(partitions.clone(), limit, random::nonce()?)
                .with_visibility(self.node.expiry.visibility())
                .with_deadline(deadline);
            let sessions = &self.node.backend().sessions;
            retry::once(REQUEST_DEADLINE, "take_expired", sessions.take_expired(request)).await
        };
        let start = Instant::now();
        let taken: Result<TakenSessions> = take.await;
        let end = start + if taken.is_ok() { deadline } else { REQUEST_DEADLINE };
        let late = retry::lateness(end);
        let failed: HashMap<Partition, ErrorKind> = match &taken {
            Ok(taken) => taken.failed.iter().copied().collect(),
            Err(error) => partitions
                .iter()
                .map(|partition| (*partition, error.kind()))
                .collect(),
        };
        let mut state = lock(&self.state);
        let mut newly = 0;
        for partition in failed.keys() {
            newly += usize::from(state.stuck.insert(*partition));
            state.grace.one(*partition);
        }
        if !state.stuck.is_empty() {
            for partition in partitions
                .iter()
                .filter(|partition| !failed.contains_key(partition))
            {
                state.stuck.remove(partition);
            }
        }
        drop(state);
        match (failed.values().next().filter(|_| newly > 0), late) {
            (Some(kind), None) => {
                tracing::warn!(partitions = newly, %kind, "partitions do not answer the sweeper; trying again");
            }
            // Says nothing of the store.
            (Some(_), Some(late)) => {
                tracing::warn!(
                    ?late,
                    "the sweeper's runtime or its process stood still; trying again"
                );
            }
            (None, _) => {}
        }
        taken.ok()
    }

    /// Starts the task of a session that was taken.
    fn start(&self, session: TakenSession, permit: Option<OwnedSemaphorePermit>) {
        let handler = match &self.on_expired {
            OnExpired::Handle(handler) => Some(handler.clone()),
            OnExpired::Not(_) => None,
        };
        let node = Arc::clone(&self.node);
        let stop = node.stop.clone();
        let task = async move {
            stop.run_until_cancelled(settle(&node, session, handler, permit))
                .await;
        };
        self.node.shared.spawn(self.node.expiry.tasks.track_future(task));
    }
}
