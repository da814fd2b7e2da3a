//! The players that are attached to this node, and what is held of each.

mod shard;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use ringhold_core::session::SessionRecord;
use ringhold_core::{Fence, NodeIncarnation, Nonce, Partition, PlayerId, SessionId, Ttl, Version};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use shard::Shard;

use crate::boottime::Moment;
use crate::coalesce::Coalescer;
use crate::events::SessionEvent;
use crate::inbox::Inbox;
use crate::shared::lock;

/// What this node holds of one session, as the store last acknowledged it.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) owner: NodeIncarnation,
    pub(crate) fence: Fence,
    pub(crate) version: Version,
    pub(crate) data: Bytes,
    /// Which of this stay's changes the stored data is.
    pub(crate) change: u64,
    /// When the last request was sent that the store acknowledged under this fence.
    pub(crate) seen: Moment,
}

/// One attached player.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) id: SessionId,
    pub(crate) player: PlayerId,
    pub(crate) ttl: Ttl,
    hold: Mutex<Hold>,
    /// One write of this session after the other: held while a save, a claim, a restoration or a
    /// login of the player here is on its way, never by a reader.
    pub(crate) lane: Arc<tokio::sync::Mutex<()>>,
    ended: watch::Sender<Option<SessionEvent>>,
    /// What others have sent to the player.
    pub(crate) inbox: Inbox,
    slot: Mutex<Option<Slot>>,
    coalescer: Mutex<Option<Arc<Coalescer>>>,
    /// Orders the changes of the value, whichever way they are saved.
    changes: AtomicU64,
    /// The nonce of a claim or a restoration whose answer is not known: repeated, never redrawn.
    asked: Mutex<Vec<(NodeIncarnation, Nonce)>>,
    due: Mutex<Option<(Instant, u64)>>,
}

impl Attached {
    pub(crate) fn new(record: &SessionRecord, slot: Slot) -> Arc<Self> {
        let hold = Hold {
            owner: record.owner.clone(),
            fence: record.fence,
            version: record.version,
            data: record.data.clone(),
            change: 0,
            seen: Moment::now(),
        };
        Arc::new(Self {
            id: record.id,
            player: record.player.clone(),
            ttl: record.ttl,
            hold: Mutex::new(hold),
            lane: Arc::default(),
            ended: watch::Sender::new(None),
            inbox: Inbox::default(),
            slot: Mutex::new(Some(slot)),
            coalescer: Mutex::default(),
            changes: AtomicU64::new(0),
            asked: Mutex::default(),
            due: Mutex::default(),
        })
    }

    /// What is held now.
    pub(crate) fn hold(&self) -> Hold {
        lock(&self.hold).clone()
    }

    pub(crate) fn fence(&self) -> Fence {
        lock(&self.hold).fence
    }

    pub(crate) fn version(&self) -> Version {
        lock(&self.hold).version
    }

    /// The number of a change that is made now.
    pub(crate) fn next_change(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The nonce for asking the store to make `owner` the owner: the same until it has answered.
    pub(crate) fn nonce_for(&self, owner: &NodeIncarnation) -> ringhold_core::Result<Nonce> {
        let mut asked = lock(&self.asked);
        if let Some((_, nonce)) = asked.iter().find(|(who, _)| who == owner) {
            return Ok(*nonce);
        }
        let nonce = crate::random::nonce()?;
        asked.push((owner.clone(), nonce));
        Ok(nonce)
    }

    /// Whether a claim or a restoration was asked for and its answer is not known.
    pub(crate) fn has_asked(&self) -> bool {
        !lock(&self.asked).is_empty()
    }

    /// Whether this fence is what a claim or a restoration of this stay made.
    pub(crate) fn is_own(&self, fence: &Fence) -> bool {
        lock(&self.asked).iter().any(|(_, nonce)| *nonce == fence.nonce)
    }

    pub(crate) fn answered(&self) {
        lock(&self.asked).clear();
    }

    /// Changes what is held, after the store has acknowledged it.
    pub(crate) fn acknowledged(&self, change: impl FnOnce(&mut Hold)) {
        change(&mut lock(&self.hold));
    }

    /// The session as it was last acknowledged, for a restoration.
    pub(crate) fn record(&self, owner: NodeIncarnation) -> SessionRecord {
        let Hold {
            fence, version, data, ..
        } = self.hold();
        let mut record = SessionRecord::new(self.id, self.player.clone(), owner, fence.nonce, self.ttl, data);
        record.fence = fence;
        record.version = version;
        record
    }

    pub(crate) fn set_coalescer(&self, coalescer: Arc<Coalescer>) {
        *lock(&self.coalescer) = Some(coalescer);
    }

    /// What waits to be stored, where saves are coalesced.
    pub(crate) fn coalescer(&self) -> Option<Arc<Coalescer>> {
        lock(&self.coalescer).clone()
    }

    /// How the stay ended, if it has.
    pub(crate) fn ended(&self) -> Option<SessionEvent> {
        self.ended.borrow().clone()
    }

    /// A receiver that sees how the stay ends.
    pub(crate) fn watch_end(&self) -> watch::Receiver<Option<SessionEvent>> {
        self.ended.subscribe()
    }
}

/// A place among the players of this node; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many tables the players are spread over, so that logins do not queue on one lock.
const SHARDS: usize = 64;

/// All attached players, and when each is due to be touched.
#[derive(Debug)]
pub(crate) struct AttachedTable {
    shards: Box<[Mutex<Shard>]>,
    taken: Arc<AtomicU32>,
    due: Mutex<Due>,
    earlier: Notify,
}

/// Who is due when. The number tells those apart that are due at the same instant.
#[derive(Debug, Default)]
struct Due {
    order: BTreeMap<(Instant, u64), Weak<Attached>>,
    count: u64,
}

impl AttachedTable {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            taken: Arc::default(),
            due: Mutex::default(),
            earlier: Notify::new(),
        }
    }

    fn shard(&self, id: &SessionId) -> &Mutex<Shard> {
        &self.shards[usize::from(id.partition().get()) % SHARDS]
    }

    /// How many places are taken, logins on their way included.
    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes a place, unless there are `capacity` taken already.
    pub(crate) fn try_take(&self, capacity: Option<u32>) -> Option<Slot> {
        let most = capacity.unwrap_or(u32::MAX);
        let step = |taken: u32| (taken < most).then(|| taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .ok()?;
        Some(Slot(Arc::clone(&self.taken)))
    }

    /// Puts a player in. Of two stays in one session the one with the later fence remains, whichever
    /// comes first: the other is told that it was displaced. One that was over before it came is told why.
    pub(crate) fn insert(&self, attached: &Arc<Attached>) {
        let loser = lock(self.shard(&attached.id)).put(attached);
        if let Some((loser, why)) = loser {
            self.end(&loser, why);
        }
    }

    /// Ends the stay in `session` whose fence is `old` or earlier, or earlier than `new`, and tells whether there
    /// was one. A login that is still on its way with such a fence will find that it is over, and `why`.
    pub(crate) fn end_hold(
        &self,
        session: &SessionId,
        old: Fence,
        new: Option<Fence>,
        why: &SessionEvent,
    ) -> bool {
        let below = new.map_or(old.epoch.saturating_add(1), |new| new.epoch);
        let held = {
            let mut shard = lock(self.shard(session));
            shard.pass(session, below, why);
            shard.get(session)
        };
        let is_over = |fence: Fence| fence == old || fence.epoch < below;
        let Some(held) = held.filter(|held| is_over(held.fence())) else {
            return false;
        };
        self.end(&held, why.clone());
        true
    }

    /// The player's newest stay here.
    pub(crate) fn of(&self, player: &PlayerId) -> Option<Arc<Attached>> {
        let shard = &self.shards[usize::from(player.partition().get()) % SHARDS];
        lock(shard).of(player)
    }

    /// Everybody.
    pub(crate) fn all(&self) -> Vec<Arc<Attached>> {
        self.shards.iter().flat_map(|shard| lock(shard).all()).collect()
    }

    /// Takes a player out, if it is this stay.
    pub(crate) fn detach(&self, attached: &Arc<Attached>) {
        lock(self.shard(&attached.id)).take(attached);
        attached.inbox.close();
        drop(lock(&attached.slot).take());
        let due = lock(&attached.due).take();
        if let Some(key) = due {
            lock(&self.due).order.remove(&key);
        }
    }

    /// Ends an attached session: takes it out and publishes why. The first reason stands; returns whether this is
    /// the first.
    pub(crate) fn end(&self, attached: &Arc<Attached>, event: SessionEvent) -> bool {
        self.detach(attached);
        attached.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(event);
            }
            first
        })
    }

    /// Sets when a player is touched next.
    pub(crate) fn schedule(&self, attached: &Arc<Attached>, at: Instant) {
        let mut due = lock(&self.due);
        due.count += 1;
        let key = (at, due.count);
        due.order.insert(key, Arc::downgrade(attached));
        if let Some(earlier) = lock(&attached.due).replace(key) {
            due.order.remove(&earlier);
        }
        let is_first = due
            .order
            .first_key_value()
            .is_some_and(|(first, _)| *first == key);
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Makes the players of a partition due now, except those that are due or on their way already, and those for
    /// which the store has acknowledged a request that was sent after `sent`.
    pub(crate) fn hasten(&self, partition: Partition, sent: Moment) {
        let now = Instant::now();
        let shard = &self.shards[usize::from(partition.get()) % SHARDS];
        let all = lock(shard).all();
        for attached in all.iter().filter(|attached| attached.id.partition() == partition) {
            let is_later = lock(&attached.due).is_some_and(|(at, _)| at > now);
            if is_later && !lock(&attached.hold).seen.is_after(&sent) {
                self.schedule(attached, now);
            }
        }
    }

    /// Waits until somebody is due, and answers everybody who is due until `slack` from then.
    pub(crate) async fn next_due(&self, slack: std::time::Duration) -> Vec<Arc<Attached>> {
        loop {
            let first = lock(&self.due).order.first_key_value().map(|((at, _), _)| *at);
            let Some(first) = first else {
                self.earlier.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(first) => {}
                () = self.earlier.notified() => continue,
            }
            let mut due = lock(&self.due);
            let later = due.order.split_off(&(Instant::now() + slack, u64::MAX));
            let now = std::mem::replace(&mut due.order, later);
            drop(due);
            let due: Vec<_> = now
                .into_values()
                .filter_map(|attached| attached.upgrade())
                .collect();
            let due: Vec<_> = due
                .into_iter()
                .filter(|attached| attached.ended().is_none())
                .collect();
            if !due.is_empty() {
                return due;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::{Incarnation, NodeId, Nonce};
    use std::time::Duration;

    fn attached(table: &AttachedTable, epoch: u64) -> Arc<Attached> {
        let player = PlayerId::new("ada").unwrap();
        let id = SessionId::new(player.partition(), [1; 16]);
        let incarnation = Incarnation {
            number: 1,
            nonce: Nonce::from_bytes([2; 16]),
        };
        let owner = NodeIncarnation::new(NodeId::new("a").unwrap(), incarnation);
        let mut record = SessionRecord::new(
            id,
            player,
            owner,
            Nonce::from_bytes([3; 16]),
            Ttl::MIN,
            Bytes::new(),
        );
        record.fence.epoch = epoch;
        Attached::new(&record, table.try_take(None).unwrap())
    }

    #[test]
    fn the_later_fence_remains_whichever_comes_first() {
        for order in [[1, 2], [2, 1]] {
            let table = AttachedTable::new();
            let stays = order.map(|epoch| attached(&table, epoch));
            for stay in &stays {
                table.insert(stay);
            }
            let [early, late] = if order[0] == 1 {
                [&stays[0], &stays[1]]
            } else {
                [&stays[1], &stays[0]]
            };
            assert!(
                matches!(early.ended(), Some(SessionEvent::Displaced { .. })),
                "{order:?}"
            );
            assert!(late.ended().is_none() && Arc::ptr_eq(&table.of(&late.player).unwrap(), late));
            assert_eq!(table.taken(), 1, "the displaced gave its place back");
        }
    }

    #[test]
    fn places_are_limited_and_given_back_once() {
        let table = AttachedTable::new();
        let stay = attached(&table, 1);
        table.insert(&stay);
        assert!(table.try_take(Some(1)).is_none());
        table.end(&stay, SessionEvent::Expired);
        table.end(&stay, SessionEvent::Fenced);
        assert_eq!(
            stay.ended(),
            Some(SessionEvent::Expired),
            "the first reason stands"
        );
        assert_eq!(table.taken(), 0);
        assert!(table.try_take(Some(1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_was_displaced_before_it_came_in_is_told() {
        let table = AttachedTable::new();
        let (early, late, later) = (attached(&table, 1), attached(&table, 2), attached(&table, 3));
        let why = SessionEvent::Displaced {
            by: Some(early.hold().owner),
        };
        assert!(!table.end_hold(&early.id, early.fence(), Some(late.fence()), &why));
        table.insert(&early);
        assert_eq!(early.ended().as_ref(), Some(&why));
        assert!(table.of(&early.player).is_none());
        table.insert(&late);
        assert!(late.ended().is_none(), "it is the one that displaced");
        assert!(Arc::ptr_eq(&table.of(&late.player).unwrap(), &late));
        assert!(
            !table.end_hold(&late.id, early.fence(), Some(late.fence()), &why),
            "told again"
        );
        assert!(
            table.end_hold(&late.id, early.fence(), Some(later.fence()), &why),
            "the one between was lost"
        );
        tokio::time::advance(Duration::from_secs(21)).await;
        let old = attached(&table, 1);
        table.insert(&old);
        assert!(
            old.ended().is_none(),
            "no login takes so long: the store has lost what came after"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_is_not_due() {
        let table = AttachedTable::new();
        for epoch in 1..=1_000 {
            let stay = attached(&table, epoch);
            table.insert(&stay);
            // A third of 30 days.
            table.schedule(&stay, Instant::now() + Duration::from_secs(864_000));
            table.detach(&stay);
        }
        assert_eq!(lock(&table.due).order.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_due_come_together_and_an_earlier_one_is_seen() {
        let table = Arc::new(AttachedTable::new());
        let (late, early, gone) = (attached(&table, 1), attached(&table, 2), attached(&table, 3));
        let start = Instant::now();
        table.schedule(&late, start + Duration::from_secs(10));
        let waiter = Arc::clone(&table);
        let waiting = tokio::spawn(async move { waiter.next_due(Duration::from_millis(100)).await });
        tokio::task::yield_now().await;
        table.schedule(&early, start + Duration::from_secs(1));
        table.schedule(&gone, start + Duration::from_millis(1_050));
        drop(gone);
        let due = waiting.await.unwrap();
        assert_eq!((due.len(), start.elapsed()), (1, Duration::from_secs(1)));
        assert!(Arc::ptr_eq(&due[0], &early));
        assert!(Arc::ptr_eq(&table.next_due(Duration::ZERO).await[0], &late));
    }
}
