//! Sessions: 1,024 partitions behind a lock each. `ARCHITECTURE.md` says how they are laid out, and why.

mod entry;
mod expiry;
mod head;
mod hold;
mod login;
mod owners;
mod pages;
mod partition;
mod records;
mod sweep;
mod table;
mod tombstone;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, Cursor, ListSessions, RemoveSession,
    Removed, RestoreSession, Restored, SaveSession, Saved, SessionPage, TakeExpired, TakenSessions, Touch,
    TouchedMany,
};
use ringhold_core::{Clock, Limits, Partition, PlayerId, Result, SessionId, SessionRecord, SessionStore};

use self::hold::Holds;
use self::partition::SessionPartition;
use self::records::SHORT_MAX;
use self::sweep::Capacity;

/// How many touches of one partition are made under one hold of its lock.
const TOUCHES_PER_LOCK: usize = 256;

/// How often one take locks a partition again while there is work left: often enough for the greatest limit.
const HOLDS_PER_TAKE: usize = 5_000;

/// A partition behind its lock, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Locked(Mutex<SessionPartition>);

/// The [`SessionStore`] of this process.
///
/// A partition has a lock, a store clock and an expiry index of its own, so that two players
/// seldom wait for each other, and nobody waits for a sweep of another partition. Every method
/// finishes without waiting for anything but that lock, which is never held across an `.await`.
///
/// | method | costs |
/// |---|---|
/// | `get`, `claim` | O(1), and a copy of data up to 792 bytes; what is longer is shared |
/// | `find`, `create`, `restore` | O(sessions of the player) |
/// | `save`, `remove` | O(sessions of the player) where the length of the data changes, or a session goes; else O(1) |
/// | `touch_many` | O(1) each |
/// | `ack_expired` | as `remove` |
/// | `take_expired` | O(log n) for each of n that are due; O(1) for each that was touched since it was last looked at and for each tombstone that goes; locks again after 16, 64 and 128 of them |
/// | `count` | O(sessions of the partition) |
/// | `list` | O(sessions of the partition) for each partition on the page; locks one partition at a time |
///
/// To these comes O(log t) in the t ticks of 1.07 s in which something is armed: some ten for each doubling of the
/// time to live.
///
/// Data is copied when it comes in, so that a session keeps its own bytes and not the buffer that
/// they were read into; what goes out shares them.
///
/// # Cancel safety
/// No method but `list` ever suspends, so a future that was polled has done its work. Dropping
/// `list` loses nothing.
pub struct MemorySessions {
    limits: Limits,
    clock: Arc<dyn Clock>,
    partitions: Box<[Locked]>,
    holds: Holds,
}

impl MemorySessions {
    /// An empty store on `clock`.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let time = clock.now();
        let partitions = Partition::all()
            .map(|_| Locked(Mutex::new(SessionPartition::new(time))))
            .collect();
        Self {
            limits,
            clock,
            partitions,
            holds: Holds::default(),
        }
    }

    /// Does `work` on one partition at the time of now.
    fn with<R>(&self, partition: Partition, work: impl FnOnce(&mut SessionPartition, Duration) -> R) -> R {
        // Before the lock, so that what it gets is dropped behind it.
        let _dropped;
        let mut state = self.lock(partition);
        let _hold = self.holds.begin();
        // Read under the lock, so that no partition sees time go back.
        let time = self.clock.now();
        let answer = work(&mut state, time);
        _dropped = state.records.dropped();
        answer
    }

    /// Reads one partition at the time of now. Its clock does not move, so it is nothing to it when a write
    /// comes between the look at the time and the lock.
    fn read<R>(&self, partition: Partition, read: impl FnOnce(&SessionPartition, Duration) -> R) -> R {
        let time = self.clock.now();
        let state = self.lock(partition);
        let _hold = self.holds.begin();
        read(&state, time)
    }

    fn lock(&self, partition: Partition) -> MutexGuard<'_, SessionPartition> {
        // A panic under the lock can only come from the clock, before anything was changed.
        let Locked(lock) = &self.partitions[usize::from(partition.get())];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest time of a CPU for which a lock was held since this was last asked: see the feature `holds`.
    #[cfg(all(feature = "holds", target_os = "linux"))]
    pub fn longest_hold(&self) -> Duration {
        self.holds.longest()
    }
}

impl fmt::Debug for MemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySessions")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A copy of long data that keeps no more memory than it is long: what it was cut out of is free to go. Short
/// data is copied into its session.
fn own(data: &mut Bytes) {
    if data.len() > SHORT_MAX {
        *data = Bytes::copy_from_slice(data);
    }
}

#[async_trait]
impl SessionStore for MemorySessions {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn create(&self, mut request: CreateSession) -> Result<Created> {
        request.check(&self.limits)?;
        own(&mut request.data);
        self.with(request.id.partition(), |partition, time| {
            partition.create(time, request)
        })
    }

    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>> {
        Ok(self.read(id.partition(), |partition, time| partition.get(time, id)))
    }

    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>> {
        Ok(self.read(player.partition(), |partition, time| partition.find(time, player)))
    }

    async fn save(&self, mut request: SaveSession) -> Result<Saved> {
        request.check(&self.limits)?;
        own(&mut request.data);
        self.with(request.id.partition(), |partition, time| {
            partition.save(time, &request)
        })
    }

    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany> {
        let mut answers = Vec::with_capacity(touches.len());
        for together in touches.chunk_by(|a, b| a.id.partition() == b.id.partition()) {
            for chunk in together.chunks(TOUCHES_PER_LOCK) {
                let partition = chunk[0].id.partition();
                self.with(partition, |partition, time| {
                    partition.touch_many(time, chunk, &mut answers);
                });
            }
        }
        Ok(TouchedMany::new(answers))
    }

    async fn claim(&self, request: ClaimSession) -> Result<Claimed> {
        self.with(request.id.partition(), |partition, time| {
            partition.claim(time, &request)
        })
    }

    async fn remove(&self, request: RemoveSession) -> Result<Removed> {
        self.with(request.id.partition(), |partition, time| {
            partition.remove(time, &request)
        })
    }

    async fn restore(&self, mut request: RestoreSession) -> Result<Restored> {
        request.check(&self.limits)?;
        own(&mut request.session.data);
        self.with(request.session.id.partition(), |partition, time| {
            partition.restore(time, request)
        })
    }

    async fn list(&self, request: ListSessions) -> Result<SessionPage> {
        let mut page = SessionPage::default();
        let after = request.after.map(|Cursor(id)| id);
        let first = after.map_or(0, |id| id.partition().get());
        let limit = request.page_len();
        for partition in Partition::all().skip(usize::from(first)) {
            // One more than the page holds tells whether there is a next one.
            let wanted = limit + 1 - page.sessions.len();
            let found = self.read(partition, |partition, time| {
                partition.list(time, after.as_ref(), request.owner.as_ref(), wanted)
            });
            page.sessions.extend(found);
            if page.sessions.len() > limit {
                page.sessions.truncate(limit);
                page.next = page.sessions.last().map(|session| Cursor(session.id));
                break;
            }
            // A listing of very many sessions lets other tasks of its thread run.
            tokio::task::coop::consume_budget().await;
        }
        Ok(page)
    }

    async fn count(&self, partition: Partition) -> Result<u64> {
        Ok(self.read(partition, SessionPartition::count))
    }

    async fn take_expired(&self, request: TakeExpired) -> Result<TakenSessions> {
        let visibility = request.visibility();
        let mut capacity = Capacity {
            sessions: 0,
            bytes: request.bytes_max(),
            is_empty: true,
        };
        let mut taken = TakenSessions::default();
        for partition in request.partitions {
            let mut sessions = Vec::new();
            let mut more = false;
            capacity.sessions = usize::from(request.limit);
            for _ in 0..HOLDS_PER_TAKE {
                let swept = self.with(partition, |partition, time| {
                    partition.take_expired(time, &mut capacity, visibility, request.token)
                });
                sessions.extend(swept.sessions);
                more = swept.more;
                if !swept.left {
                    break;
                }
            }
            // Those that come again are due by their visibility, not by their age.
            sessions.sort_by_key(|(deadline, taken)| (*deadline, taken.session.id));
            taken
                .sessions
                .extend(sessions.into_iter().map(|(_, taken)| taken));
            if more {
                taken.more.push(partition);
            }
        }
        Ok(taken)
    }

    async fn ack_expired(&self, request: AckExpired) -> Result<Acked> {
        self.with(request.id.partition(), |partition, time| {
            partition.ack_expired(time, request)
        })?;
        Ok(Acked::default())
    }
}
