//! Sessions: one script per operation, on the three keys of one partition.

mod answer;
mod argument;
mod repair;
mod take;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use ringhold_core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateOutcome, CreateSession, Created, Cursor, Durability,
    ListSessions, OnExisting, RemoveSession, Removed, RepairSessions, RepairedSessions, RestoreSession,
    Restored, SaveSession, Saved, SessionPage, TakeExpired, TakenSessions, TakeoverFrom, Touch, Touched,
    TouchedMany, UnreadableSession,
};
use ringhold_core::{
    Error, ErrorKind, Limits, Partition, PlayerId, Result, SessionId, SessionRecord, SessionStore,
};
use tokio::time::timeout;

use self::answer::{Found, Status};
use self::take::Take;
use crate::client::Words;
use crate::schema::Keys;
use crate::script::{self, Script};
use crate::supervisor::{Call, Supervisor};

/// How many touches one script makes: what it takes of the server's time stays well below a
/// millisecond.
const TOUCHES_PER_CALL: usize = 256;

/// How many calls of one operation over many partitions are under way at once. They share round
/// trips, as all calls to one server do.
const CALLS_AT_ONCE: usize = 256;

/// How many partitions a take asks at once: all, so that those of a stuck shard delay no other.
const TAKES_AT_ONCE: usize = Partition::COUNT as usize;

/// The most bytes of a stored session beside its data: ids, names and header.
const RECORD_BYTES: usize = 1_024;

/// After how many bytes of sessions a script that answers many of them stops, and says that there
/// are more.
const ANSWER_BYTES: usize = 4 << 20;

/// How many partitions a listing reads at once where sessions are few.
const PARTITIONS_AT_ONCE: usize = 64;

/// The [`SessionStore`] on Redis Cluster and on one Redis.
///
/// Each operation is one script on the three keys of one partition, in one round trip; `touch_many`
/// and `take_expired` are one per partition, side by side, and `list` reads partitions in order, more
/// at once where they hold little.
///
/// | method | costs the server, with n sessions in the partition |
/// |---|---|
/// | `get` | O(1) |
/// | `save`, `touch_many`, `claim` | O(log n) each |
/// | `find`, `create`, `restore`, `remove`, `ack_expired` | O(sessions of the player), and O(log n) for each that is made or ends |
/// | `take_expired` | O(log n) for each that is taken and for each tombstone that goes |
/// | `count` | O(n) |
/// | `list` | O(n log n) for each partition on the page |
/// | `repair` | O(n log n) for each partition of the part, in one script |
///
/// A partition that has lost one of its keys is rebuilt before the first operation on it, in O(n log n). On a cluster
/// all masters are asked first whether its slot is being moved; until the move has ended, operations on the partition
/// are refused as `Unavailable`.
///
/// # Cancel safety
/// Dropping a write's future leaves it open whether the write happens; repeat it unchanged.
#[derive(Debug)]
pub struct RedisSessions {
    supervisor: Arc<Supervisor>,
    keys: Keys,
    limits: Limits,
    /// How many replicas are to acknowledge a write that does not say so itself.
    replicas: u8,
}

impl RedisSessions {
    pub(crate) fn new(supervisor: Arc<Supervisor>, keys: Keys, limits: Limits, replicas: u8) -> Self {
        Self {
            supervisor,
            keys,
            limits,
            replicas,
        }
    }

    fn replicas(&self, durability: Option<Durability>) -> u8 {
        match durability {
            None => self.replicas,
            Some(Durability::Replicated(replicas)) => replicas,
            Some(_) => 0,
        }
    }

    /// Runs a script on one partition. Answers its status and how many replicas acknowledged. What the call
    /// is `about` may be large.
    async fn run(
        &self,
        operation: &'static str,
        partition: Partition,
        script: &'static Script,
        replicas: u8,
        words: Words,
        about: Option<u64>,
    ) -> Result<(Status, u8)> {
        let call = Call {
            operation,
            partition,
            script,
            command: words.finish(),
            about,
            replicas,
        };
        let answer = self.supervisor.run(call).await?;
        Ok((Status::read(operation, answer.reply)?, answer.replicated))
    }

    async fn touch_partition(
        &self,
        partition: Partition,
        touches: &[(usize, Touch)],
    ) -> Result<(Vec<Touched>, u8)> {
        const TOUCH: &str = "touch";
        let mut words = self.keys.sessions(&script::TOUCH, partition);
        for (_, touch) in touches {
            words
                .word(&touch.id.to_bytes())
                .word(&argument::fence(touch.fence))
                .word(&argument::ttl(touch.ttl));
        }
        let (status, replicated) = self
            .run(TOUCH, partition, &script::TOUCH, self.replicas, words, None)
            .await?;
        Ok((
            answer::touched(TOUCH, status.done(TOUCH, None)?, touches.len())?,
            replicated,
        ))
    }

    /// Takes at most `limit` sessions of at most `bytes`; the first one may be longer where `first_any`.
    async fn take_partition(
        &self,
        partition: Partition,
        request: &TakeExpired,
        limit: u16,
        (bytes, first_any): (usize, bool),
    ) -> Result<(bool, Vec<Found>)> {
        const TAKE: &str = "take_expired";
        let visibility = millis(request.visibility());
        let mut words = self.keys.sessions(&script::TAKE, partition);
        words
            .decimal(u64::from(limit))
            .decimal(visibility)
            .word(&request.token.to_bytes())
            .decimal(bytes as u64)
            .word(if first_any { b"1" } else { b"" as &[u8] });
        let about = about(&partition.get().to_be_bytes());
        let run = self.run(TAKE, partition, &script::TAKE, 0, words, about);
        let deadline = request.deadline();
        let (status, _) = timeout(deadline, run).await.unwrap_or_else(|_| {
            let context = format!("no answer for partition {} within {deadline:?}", partition.get());
            Err(Error::new(ErrorKind::Timeout, TAKE, context))
        })?;
        answer::page(TAKE, partition, status.done(TAKE, None)?)
    }

    async fn list_partition(
        &self,
        partition: Partition,
        request: &ListSessions,
        limit: usize,
        (script, with_expired): (&'static Script, bool),
    ) -> Result<(bool, Vec<Found>)> {
        const LIST: &str = "list";
        let mut words = self.keys.sessions(script, partition);
        match request.after {
            Some(Cursor(id)) if id.partition() == partition => words.word(&id.to_bytes()),
            _ => words.word(b""),
        };
        match &request.owner {
            Some(owner) => {
                words.word(&argument::incarnation(owner));
                argument::node(&mut words, owner);
            }
            None => {
                words
                    .word(b"")
                    .word(if with_expired { b"*" } else { b"" as &[u8] });
            }
        }
        words
            .decimal(limit as u64)
            .decimal(ANSWER_BYTES as u64)
            .word(&partition.get().to_be_bytes());
        let (status, _) = self
            .run(LIST, partition, script, 0, words, about(b"list"))
            .await?;
        answer::page(LIST, partition, status.done(LIST, None)?)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A hash of what names sessions that may be large.
#[expect(clippy::unnecessary_wraps, reason = "calls that are about nothing have none")]
fn about(name: &[u8]) -> Option<u64> {
    Some(xxhash_rust::xxh3::xxh3_64(name))
}

#[async_trait]
impl SessionStore for RedisSessions {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn create(&self, request: CreateSession) -> Result<Created> {
        const CREATE: &str = "create";
        request.check(&self.limits)?;
        let (mode, max) = match request.on_existing {
            OnExisting::Existing => ("existing", 1),
            OnExisting::Takeover {
                from: TakeoverFrom::Own,
            } => ("own", 1),
            OnExisting::Takeover {
                from: TakeoverFrom::Anyone,
            } => ("anyone", 1),
            OnExisting::Reject => ("reject", 1),
            OnExisting::Replace => ("replace", 1),
            OnExisting::Allow { max } => ("allow", max),
            _ => {
                let context = "this build does not know the rule for live sessions";
                return Err(Error::new(ErrorKind::Unsupported, CREATE, context));
            }
        };
        let replicas = self.replicas(request.durability);
        let CreateSession {
            id,
            player,
            owner,
            nonce,
            ttl,
            data,
            on_existing,
            ..
        } = request;
        let record = SessionRecord::new(id, player.clone(), owner, nonce, ttl, data);
        let mut words = self.keys.sessions(&script::CREATE, id.partition());
        words.word(&id.to_bytes()).word(player.as_str().as_bytes());
        argument::session(&mut words, record, Some(id))?;
        words.word(mode.as_bytes()).decimal(u64::from(max));
        let (status, replicated) = self
            .run(
                CREATE,
                id.partition(),
                &script::CREATE,
                replicas,
                words,
                about(player.as_str().as_bytes()),
            )
            .await?;
        let (untouched, mut elements) = match status {
            Status::Untouched(elements) if on_existing == OnExisting::Existing => {
                (Some(CreateOutcome::Existing), elements)
            }
            Status::Untouched(elements) => (Some(CreateOutcome::Elsewhere), elements),
            Status::Exists(why) => return Err(answer::exists(CREATE, &player, &why)),
            other => (None, other.done(CREATE, Some(&id))?),
        };
        let now = elements.number()?;
        let stored = Found::next(&mut elements, CREATE, id.partition())?.stored?;
        let outcome = untouched.or_else(|| stored.login_outcome()).ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                CREATE,
                "the session that the login holds names no login",
            )
        })?;
        let displaced = match &stored.login {
            Some(login) if untouched.is_none() => login.displaced.clone(),
            _ => Vec::new(),
        };
        let mut created = Created::new(outcome, stored.record(now), displaced);
        created.replicated = replicated;
        Ok(created)
    }

    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>> {
        const GET: &str = "get";
        let mut words = self.keys.sessions(&script::GET, id.partition());
        words.word(&id.to_bytes());
        let (status, _) = self
            .run(GET, id.partition(), &script::GET, 0, words, about(&id.to_bytes()))
            .await?;
        let mut elements = status.done(GET, Some(id))?;
        let now = elements.number()?;
        if elements.is_empty() {
            return Ok(None);
        }
        let stored = Found::next(&mut elements, GET, id.partition())?.stored?;
        Ok(Some(stored.record(now)))
    }

    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>> {
        const FIND: &str = "find";
        let partition = player.partition();
        let mut words = self.keys.sessions(&script::FIND, partition);
        words.word(player.as_str().as_bytes());
        let (status, _) = self
            .run(
                FIND,
                partition,
                &script::FIND,
                0,
                words,
                about(player.as_str().as_bytes()),
            )
            .await?;
        let mut elements = status.done(FIND, None)?;
        let now = elements.number()?;
        let mut sessions = Vec::new();
        while !elements.is_empty() {
            sessions.push(Found::next(&mut elements, FIND, partition)?.stored?.record(now));
        }
        Ok(sessions)
    }

    async fn save(&self, request: SaveSession) -> Result<Saved> {
        const SAVE: &str = "save";
        request.check(&self.limits)?;
        let id = request.id;
        let mut words = self.keys.sessions(&script::SAVE, id.partition());
        words
            .word(&id.to_bytes())
            .word(&argument::fence(request.fence))
            .word(&argument::number(request.version.get()))
            .word(&argument::ttl(request.ttl))
            .word(&request.operation.to_bytes());
        argument::data(&mut words, &request.data);
        let replicas = self.replicas(request.durability);
        let (status, replicated) = self
            .run(
                SAVE,
                id.partition(),
                &script::SAVE,
                replicas,
                words,
                about(&id.to_bytes()),
            )
            .await?;
        let version = status.done(SAVE, Some(&id))?.number()?;
        Ok(Saved::new(ringhold_core::Version::new(version), replicated))
    }

    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany> {
        let mut sorted: Vec<(usize, Touch)> = touches.iter().copied().enumerate().collect();
        // Stable: touches of one session stay in order.
        sorted.sort_by_key(|(_, touch)| touch.id.partition());
        let chunks: Vec<&[(usize, Touch)]> = sorted
            .chunk_by(|(_, a), (_, b)| a.id.partition() == b.id.partition())
            .flat_map(|together| together.chunks(TOUCHES_PER_CALL))
            .collect();
        let touch =
            async |chunk: &[(usize, Touch)]| self.touch_partition(chunk[0].1.id.partition(), chunk).await;
        // What is one call needs nobody to watch over several.
        let results = if let [chunk] = chunks[..] {
            vec![(chunk, touch(chunk).await)]
        } else {
            let calls: Vec<_> = chunks
                .iter()
                .map(|chunk| async { (*chunk, touch(chunk).await) })
                .collect();
            stream::iter(calls)
                .buffer_unordered(CALLS_AT_ONCE)
                .collect()
                .await
        };
        let mut answers = vec![Touched::NotFound; touches.len()];
        let (mut replicated, mut answered, mut failed) = (u8::MAX, false, None);
        for (chunk, result) in results {
            let of_chunk = match result {
                Ok((of_chunk, acknowledged)) => {
                    (answered, replicated) = (true, replicated.min(acknowledged));
                    of_chunk
                }
                Err(error) => {
                    let unanswered = vec![answer::untouched(error.kind()); chunk.len()];
                    failed = Some(error);
                    unanswered
                }
            };
            for ((index, _), touched) in chunk.iter().zip(of_chunk) {
                answers[*index] = touched;
            }
        }
        match failed {
            Some(error) if !answered => Err(error),
            _ => {
                let mut outcome = TouchedMany::new(answers);
                outcome.replicated = if answered { replicated } else { 0 };
                Ok(outcome)
            }
        }
    }

    async fn claim(&self, request: ClaimSession) -> Result<Claimed> {
        const CLAIM: &str = "claim";
        let id = request.id;
        let seen_version = request.seen_version;
        let mut words = self.keys.sessions(&script::CLAIM, id.partition());
        words.word(&id.to_bytes()).word(&argument::fence(request.seen));
        match seen_version {
            Some(version) => words.word(&argument::number(version.get())),
            None => words.word(b""),
        };
        words.word(&argument::incarnation(&request.owner));
        argument::node(&mut words, &request.owner);
        words
            .word(&request.nonce.to_bytes())
            .word(&argument::ttl(request.ttl));
        // What a failover forgets of a claim, two nodes may both believe in.
        let replicas = self.replicas(request.durability).max(1);
        let (status, replicated) = self
            .run(
                CLAIM,
                id.partition(),
                &script::CLAIM,
                replicas,
                words,
                about(&id.to_bytes()),
            )
            .await?;
        let mut elements = status.done(CLAIM, Some(&id))?;
        let now = elements.number()?;
        let stored = Found::next(&mut elements, CLAIM, id.partition())?.stored?;
        let mut claimed = Claimed::new(stored.record(now));
        claimed.replicated = replicated;
        Ok(claimed)
    }

    async fn remove(&self, request: RemoveSession) -> Result<Removed> {
        const REMOVE: &str = "remove";
        let id = request.id;
        let mut words = self.keys.sessions(&script::REMOVE, id.partition());
        words
            .word(&id.to_bytes())
            .word(&argument::fence(request.fence))
            .word(&request.operation.to_bytes());
        let replicas = self.replicas(request.durability);
        let (status, replicated) = self
            .run(REMOVE, id.partition(), &script::REMOVE, replicas, words, None)
            .await?;
        status.done(REMOVE, Some(&id))?;
        let mut removed = Removed::default();
        removed.replicated = replicated;
        Ok(removed)
    }

    async fn restore(&self, request: RestoreSession) -> Result<Restored> {
        const RESTORE: &str = "restore";
        request.check(&self.limits)?;
        let replicas = self.replicas(request.durability);
        let mut record = request.session;
        let (id, player, own) = (record.id, record.player.clone(), record.fence);
        record.fence.epoch += 1;
        record.fence.nonce = request.nonce;
        let mut words = self.keys.sessions(&script::RESTORE, id.partition());
        words.word(&id.to_bytes()).word(player.as_str().as_bytes());
        argument::session(&mut words, record, None)?;
        words
            .word(&argument::fence(own))
            .decimal(u64::from(request.live_max));
        let (status, replicated) = self
            .run(
                RESTORE,
                id.partition(),
                &script::RESTORE,
                replicas,
                words,
                about(&id.to_bytes()),
            )
            .await?;
        if let Status::Exists(why) = status {
            return Err(answer::exists(RESTORE, &player, &why));
        }
        let mut elements = status.done(RESTORE, Some(&id))?;
        let now = elements.number()?;
        let stored = Found::next(&mut elements, RESTORE, id.partition())?.stored?;
        let mut restored = Restored::new(stored.record(now));
        restored.replicated = replicated;
        Ok(restored)
    }

    async fn list(&self, request: ListSessions) -> Result<SessionPage> {
        let mut page = SessionPage::default();
        let limit = request.page_len();
        let first = request.after.map_or(0, |Cursor(id)| id.partition().get());
        let partitions: Vec<Partition> = Partition::all().skip(usize::from(first)).collect();
        let (mut done, mut at_once) = (0, 1);
        while done < partitions.len() {
            let window = &partitions[done..partitions.len().min(done + at_once)];
            // One more than the page holds tells whether there is a next one.
            let listed = page.sessions.len() + page.unreadable.len();
            let wanted = limit + 1 - listed;
            let calls: Vec<_> = window
                .iter()
                .map(|partition| self.list_partition(*partition, &request, wanted, (&script::LIST, false)))
                .collect();
            let results: Vec<_> = stream::iter(calls).buffered(PARTITIONS_AT_ONCE).collect().await;
            for result in results {
                let (more, found) = result?;
                for found in found {
                    if page.sessions.len() + page.unreadable.len() == limit {
                        return Ok(page);
                    }
                    page.next = Some(Cursor(found.id));
                    match found.stored {
                        Ok(stored) => page.sessions.push(stored.record(found.now)),
                        Err(error) => page.unreadable.push(UnreadableSession::new(found.id, &error)),
                    }
                }
                if more {
                    return Ok(page);
                }
            }
            done += window.len();
            let dense = page.sessions.len() + page.unreadable.len() > listed + window.len();
            at_once = if dense {
                1
            } else {
                (at_once * 2).min(PARTITIONS_AT_ONCE)
            };
        }
        page.next = None;
        Ok(page)
    }

    async fn count(&self, partition: Partition) -> Result<u64> {
        const COUNT: &str = "count";
        let words = self.keys.sessions(&script::COUNT, partition);
        let (status, _) = self.run(COUNT, partition, &script::COUNT, 0, words, None).await?;
        status.done(COUNT, None)?.number()
    }

    async fn repair(&self, request: RepairSessions) -> Result<RepairedSessions> {
        repair::part(self, &request).await
    }

    async fn take_expired(&self, request: TakeExpired) -> Result<TakenSessions> {
        let record_max = self.limits.data_bytes_max() + RECORD_BYTES;
        let mut take = Take::new(&request);
        // All share the bytes; where that is too little for a large session, few share what is left.
        let mut wave: Vec<(Partition, u16)> =
            request.partitions.iter().map(|p| (*p, request.limit)).collect();
        let mut left_out = take.wave(self, wave).await?;
        while !left_out.is_empty() && take.goes_on(record_max) {
            let at_once = (take.bytes / record_max).clamp(1, left_out.len());
            let rest = left_out.split_off(at_once);
            wave = std::mem::replace(&mut left_out, rest);
            let again = take.wave(self, wave).await?;
            take.taken
                .more
                .extend(again.into_iter().map(|(partition, _)| partition));
        }
        take.taken
            .more
            .extend(left_out.into_iter().map(|(partition, _)| partition));
        Ok(take.taken)
    }

    async fn ack_expired(&self, request: AckExpired) -> Result<Acked> {
        const ACK: &str = "ack_expired";
        let id = request.id;
        let mut words = self.keys.sessions(&script::ACK, id.partition());
        words.word(&id.to_bytes()).word(&request.token.to_bytes());
        match request.hidden_for() {
            Some(duration) => words.decimal(millis(duration)),
            None => words.word(b""),
        };
        let (status, replicated) = self
            .run(ACK, id.partition(), &script::ACK, self.replicas, words, None)
            .await?;
        status.done(ACK, Some(&id))?;
        let mut acked = Acked::default();
        acked.replicated = replicated;
        Ok(acked)
    }
}
