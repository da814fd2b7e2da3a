//! Sessions: the rules of `ringhold-kv`, in transactions.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt};
use ringhold_core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, ListSessions, RemoveSession, Removed,
    RepairSessions, RepairedSessions, RestoreSession, Restored, SaveSession, Saved, SessionPage, TakeExpired,
    TakenSession, TakenSessions, Touch, Touched, TouchedMany,
};
use ringhold_core::{
    Error, ErrorKind, Limits, Partition, PlayerId, Result, SessionId, SessionRecord, SessionStore,
};
use ringhold_kv::Transaction;
use ringhold_kv::clock::ClockKind;
use ringhold_kv::sessions::{self, Count, Listing, SharedCursor, Sweep, SweepBytes, SweepStep, Swept};
use tokio::time::Instant;

use crate::clock::FleetClock;
use crate::transaction::{EtcdTransaction, Runner, Stop, Tried};

/// How far the sessions' clock moves before it is worth a write.
const CLOCK_STEP: Duration = Duration::from_millis(500);

/// How many touches one transaction makes.
const TOUCHES_AT_ONCE: usize = 50;

/// How many expired sessions one transaction takes.
const STEPS_AT_ONCE: usize = 25;

/// How many sessions one transaction of a listing reads.
const LISTED_AT_ONCE: usize = 32;

/// How many transactions of one operation are under way at once.
const CALLS_AT_ONCE: usize = 8;

/// The [`SessionStore`] on etcd.
///
/// Each operation is a transaction that fetches what it needs, decides here, and is committed if nobody has
/// written what it depends on meanwhile; else it is done again. All reads of one are of one revision.
///
/// | method | round trips, unless it loses a race |
/// |---|---|
/// | `get` | 1 |
/// | `find` | 1 for a player without sessions, else 2 |
/// | `save`, `claim`, `remove`, `ack_expired` | 2; `remove` and `ack_expired` 3 where a session ends |
/// | `create`, `restore` | 2 for a player without sessions, and for a login that changes nothing; else 3 |
/// | `touch_many` | 2 for each 50 touches, 3 where it refuses some; 8 times as many side by side |
/// | `take_expired` | 1 where nothing is due, and 1 each half second that moves the clock on; 2 more where something is due, and 2 for each 25 sessions |
/// | `list` | 2 for each 32 sessions that it shows, and for each 1,000 that it looks at |
///
/// # Cancel safety
/// Dropping a write's future leaves it open whether the write happens; repeat it unchanged.
#[derive(Debug)]
pub struct EtcdSessions {
    runner: Runner,
    clock: FleetClock,
    limits: Limits,
    /// How many members beside the leader have what a majority has acknowledged.
    replicated: u8,
    cursor: SharedCursor,
}

impl EtcdSessions {
    pub(crate) fn new(runner: Runner, limits: Limits, replicated: u8) -> Self {
        Self {
            runner,
            clock: FleetClock::new(ClockKind::Sessions, CLOCK_STEP),
            limits,
            replicated,
            cursor: SharedCursor::default(),
        }
    }

    async fn read<R>(
        &self,
        operation: &'static str,
        rule: impl Fn(&mut EtcdTransaction, u64) -> Result<R, Stop>,
    ) -> Result<R> {
        let rule = |tx: &mut EtcdTransaction, time| self.clock.read(tx, time, &rule);
        self.runner.run(operation, rule).await
    }

    async fn write<R>(
        &self,
        operation: &'static str,
        rule: impl Fn(&mut EtcdTransaction, u64) -> Result<R, Stop>,
    ) -> Result<R> {
        let rule = |tx: &mut EtcdTransaction, time| self.clock.advance(tx, time, &rule);
        self.runner.run(operation, rule).await
    }

    /// Touches one batch. Where somebody was faster with one of its sessions, halves of it are tried, so
    /// that sessions which are saved all the time hold up no others.
    /// What would begin after `last` is not asked for.
    async fn touch_batch(
        &self,
        touches: &[(usize, Touch)],
        last: Instant,
    ) -> (Vec<(usize, Touched)>, Option<Error>) {
        const TOUCH: &str = "touch";
        let mut left = vec![touches];
        let mut answers = Vec::with_capacity(touches.len());
        let mut failed = None;
        while let Some(batch) = left.pop() {
            let asked: Vec<Touch> = batch.iter().map(|(_, touch)| *touch).collect();
            let rule = |tx: &mut EtcdTransaction, time| {
                self.clock
                    .advance(tx, time, |tx, now_ms| sessions::touch_many(tx, now_ms, &asked))
            };
            let tried = match batch.len() {
                _ if Instant::now() >= last => {
                    let context = "those before it took all the time; it has not happened";
                    Err(Error::new(ErrorKind::Unavailable, TOUCH, context))
                }
                1 => self.runner.run(TOUCH, rule).await.map(Tried::Done),
                _ => self.runner.try_once(TOUCH, rule).await,
            };
            let indexes = batch.iter().map(|(index, _)| *index);
            match tried {
                Ok(Tried::Done(outcome)) => answers.extend(indexes.zip(outcome)),
                Ok(Tried::Lost) => {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    left.extend([first, second]);
                }
                Err(error) => {
                    answers.extend(indexes.map(|index| (index, untouched(error.kind()))));
                    failed = Some(error);
                }
            }
        }
        (answers, failed)
    }

    /// One plan, and all of its steps. Answers too where somebody was faster.
    async fn sweep(&self, request: &TakeExpired) -> Result<(TakenSessions, BTreeSet<Partition>)> {
        const TAKE: &str = "take_expired";
        let from = self.cursor.get();
        let sweep = self
            .write(TAKE, |tx, now_ms| Sweep::plan(tx, now_ms, request, &from))
            .await?;
        self.cursor.follow(&sweep);
        let (mut swept, mut bytes) = (Vec::new(), SweepBytes::new(request));
        let mut steps = sweep.steps();
        while !steps.is_empty() {
            // As many at once as have bytes for any one session each.
            let at_once = bytes.shares(Limits::DATA_BYTES_CEILING, CALLS_AT_ONCE);
            let (wave, rest) = steps.split_at(steps.len().min(STEPS_AT_ONCE * at_once));
            let calls = wave.chunks(STEPS_AT_ONCE).map(|steps| {
                let share = bytes.share(wave.len().div_ceil(STEPS_AT_ONCE));
                self.write(TAKE, move |tx, now_ms| {
                    let keys: Vec<Vec<u8>> = steps.iter().flat_map(SweepStep::keys).collect();
                    tx.expect(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
                    let mut bytes = share;
                    steps
                        .iter()
                        .map(|step| step.run(tx, now_ms, request, &mut bytes))
                        .collect::<Result<Vec<Swept>, Stop>>()
                })
            });
            for part in try_join_all(calls).await? {
                bytes.spend(&part);
                swept.extend(part);
            }
            steps = rest;
        }
        let missed = swept.iter().filter_map(|swept| match swept {
            Swept::Missed(partition) => Some(*partition),
            _ => None,
        });
        let missed = missed.collect();
        Ok((sweep.answer(swept), missed))
    }
}

/// What a touch came to that nothing is known of.
fn untouched(kind: ErrorKind) -> Touched {
    match kind {
        ErrorKind::Corrupt | ErrorKind::Unsupported => Touched::Unreadable(kind),
        _ => Touched::Unanswered(kind),
    }
}

#[async_trait]
impl SessionStore for EtcdSessions {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn create(&self, request: CreateSession) -> Result<Created> {
        request.check(&self.limits)?;
        let mut created = self
            .write("create", |tx, now_ms| sessions::create(tx, now_ms, &request))
            .await?;
        created.replicated = self.replicated;
        Ok(created)
    }

    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>> {
        self.read("get", |tx, now_ms| sessions::get(tx, now_ms, id)).await
    }

    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>> {
        self.read("find", |tx, now_ms| sessions::find(tx, now_ms, player))
            .await
    }

    async fn save(&self, request: SaveSession) -> Result<Saved> {
        request.check(&self.limits)?;
        let mut saved = self
            .write("save", |tx, now_ms| sessions::save(tx, now_ms, &request))
            .await?;
        saved.replicated = self.replicated;
        Ok(saved)
    }

    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany> {
        let numbered: Vec<(usize, Touch)> = touches.iter().copied().enumerate().collect();
        let last = Instant::now() + self.runner.supervisor().overall();
        let batches: Vec<_> = numbered
            .chunks(TOUCHES_AT_ONCE)
            .map(|batch| self.touch_batch(batch, last))
            .collect();
        let mut answers = vec![Touched::NotFound; touches.len()];
        let (mut answered, mut failed) = (touches.is_empty(), None);
        let mut batches = stream::iter(batches).buffer_unordered(CALLS_AT_ONCE);
        while let Some((of_batch, error)) = batches.next().await {
            answered |= error.is_none();
            failed = error.or(failed);
            for (index, touched) in of_batch {
                answers[index] = touched;
            }
        }
        match failed {
            Some(error) if !answered => Err(error),
            _ => {
                let mut outcome = TouchedMany::new(answers);
                outcome.replicated = self.replicated;
                Ok(outcome)
            }
        }
    }

    async fn claim(&self, request: ClaimSession) -> Result<Claimed> {
        let mut claimed = self
            .write("claim", |tx, now_ms| sessions::claim(tx, now_ms, &request))
            .await?;
        claimed.replicated = self.replicated;
        Ok(claimed)
    }

    async fn remove(&self, request: RemoveSession) -> Result<Removed> {
        let mut removed = self
            .write("remove", |tx, now_ms| sessions::remove(tx, now_ms, &request))
            .await?;
        removed.replicated = self.replicated;
        Ok(removed)
    }

    async fn restore(&self, request: RestoreSession) -> Result<Restored> {
        request.check(&self.limits)?;
        let mut restored = self
            .write("restore", |tx, now_ms| sessions::restore(tx, now_ms, &request))
            .await?;
        restored.replicated = self.replicated;
        Ok(restored)
    }

    async fn list(&self, request: ListSessions) -> Result<SessionPage> {
        let mut listing = Listing::new(&request);
        while let Some(part) = listing.part(LISTED_AT_ONCE) {
            listing.add(self.read("list", |tx, now_ms| part.read(tx, now_ms)).await?);
        }
        Ok(listing.page())
    }

    async fn count(&self, partition: Partition) -> Result<u64> {
        let mut count = Count::new(partition);
        while !count.is_whole() {
            count = self
                .read("count", |tx, now_ms| count.clone().read(tx, now_ms))
                .await?;
        }
        Ok(count.sessions())
    }

    async fn repair(&self, request: RepairSessions) -> Result<RepairedSessions> {
        if request.repair {
            self.write("repair", |tx, _| sessions::repair(tx, &request, LISTED_AT_ONCE))
                .await
        } else {
            self.read("repair", |tx, _| sessions::repair(tx, &request, LISTED_AT_ONCE))
                .await
        }
    }

    async fn take_expired(&self, request: TakeExpired) -> Result<TakenSessions> {
        let mut taken = TakenSessions::default();
        let mut request = request;
        loop {
            let (round, missed) = self.sweep(&request).await?;
            taken
                .more
                .retain(|partition| !request.partitions.contains(partition));
            taken.more.extend(round.more);
            let of = |partition: &Partition| {
                let of = |taken: &&TakenSession| taken.session.id.partition() == *partition;
                round.sessions.iter().filter(of).count()
            };
            // Where somebody was faster, others may be due that did not fit the limit before.
            let most = missed.iter().map(of).max().unwrap_or(0);
            request.limit = request
                .limit
                .saturating_sub(u16::try_from(most).unwrap_or(u16::MAX));
            request.partitions = missed.into_iter().collect();
            let bytes: usize = round.sessions.iter().map(|taken| taken.session.data.len()).sum();
            let bytes_left = request.bytes_max().saturating_sub(bytes);
            request = request.with_bytes_max(bytes_left);
            taken.sessions.extend(round.sessions);
            taken.unreadable.extend(round.unreadable);
            if request.partitions.is_empty() || request.limit == 0 {
                return Ok(taken);
            }
            if bytes_left < Limits::DATA_BYTES_CEILING && !taken.sessions.is_empty() {
                taken.more.extend(request.partitions);
                return Ok(taken);
            }
        }
    }

    async fn ack_expired(&self, request: AckExpired) -> Result<Acked> {
        let mut acked = self
            .write("ack_expired", |tx, now_ms| {
                sessions::ack_expired(tx, now_ms, &request)
            })
            .await?;
        acked.replicated = self.replicated;
        Ok(acked)
    }
}
