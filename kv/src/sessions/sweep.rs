//! Expiring: sweepers take what is due, and acknowledge it.
//!
//! A sweep is planned in one transaction that writes nothing ([`Sweep::plan`]) and done in others, each of
//! as many steps as fit ([`SweepStep::run`]). A step looks again before it writes, so that what happened
//! meanwhile counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ringhold_core::codec::{self, StoredEnd, StoredTake};
use ringhold_core::session::{
    AckExpired, Acked, TakeExpired, TakenSession, TakenSessions, UnreadableSession,
};
use ringhold_core::{Error, ErrorKind, Nonce, Partition, Result, SessionId, SessionRecord};

use super::entry::Entry;
use super::{arm, end, ended, entry, not_found, put_entry, tombstone, whole_or_why};
use crate::{Transaction, schema};

/// How many keys one look at an ordered stretch reads.
const PAGE: usize = 1_000;

/// How many sessions of a partition one sweep looks at beside those that it takes: those that were
/// touched since they were armed.
const EXTRA: usize = 256;

/// The most bytes of a record beside its data: ids, header and names.
const RECORD_BYTES: usize = 512;

/// How many sessions one sweep looks at, over all its partitions.
const LOOKED_MAX: usize = 4_096;

/// How many of them it takes: all of their data is in one answer.
const TAKEN_MAX: usize = 512;

/// How many keys of a stretch one sweep reads, whosever they are.
const WALKED_MAX: usize = 8 * PAGE;

/// How many tombstones one sweep forgets, over all its partitions.
const FORGOTTEN_MAX: usize = 4_096;

/// What a sweep has to do.
#[derive(Debug, Default)]
pub struct Sweep {
    steps: Vec<SweepStep>,
    more: Vec<Partition>,
    next: SweepCursor,
    /// Whether it takes; with limit 0 it does not read on among the sessions.
    takes: bool,
}

/// Where a sweeper goes on that could not read all that is due at once: a backlog of others, however long,
/// neither holds it up nor makes a transaction long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepCursor {
    due: Option<Vec<u8>>,
    graves: Option<Vec<u8>>,
}

/// A sweep cursor that the sweeps of one store pass on to each other.
#[derive(Debug, Default)]
pub struct SharedCursor(Mutex<SweepCursor>);

impl SharedCursor {
    /// Where the next sweep starts.
    pub fn get(&self) -> SweepCursor {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on behind `sweep`.
    pub fn follow(&self, sweep: &Sweep) {
        let SweepCursor { due, graves } = sweep.next.clone();
        let mut cursor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cursor.graves = graves;
        if sweep.takes {
            cursor.due = due;
        }
    }
}

/// One thing that a sweep does; it stands by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepStep {
    what: What,
    id: SessionId,
    /// The time in the key that led here.
    at_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// Take an expired session.
    Take,
    /// Arm a session anew that was touched since it was armed.
    Rearm,
    /// Forget a tombstone.
    Forget,
}

/// What a step came to.
#[derive(Debug)]
pub enum Swept {
    /// An expired session was taken.
    Taken(TakenSession),
    /// An expired session was taken that cannot be read here.
    Unreadable(UnreadableSession),
    /// There was something to tidy up, or nothing any more.
    Tidied,
    /// What was to be taken was taken or revived by somebody who was faster. There may be others in its
    /// place: plan again for its partition, unless no sweep runs beside this one.
    Missed(Partition),
    /// An expired session was not taken, since its record exceeds the bytes that are left.
    LeftOut(Partition),
}

/// How many bytes of records a sweep may still take.
#[derive(Debug, Clone, Copy)]
pub struct SweepBytes {
    left: usize,
    /// The first record may be longer.
    is_unused: bool,
}

impl SweepBytes {
    /// All bytes of `request`.
    pub const fn new(request: &TakeExpired) -> Self {
        Self {
            left: request.bytes_max(),
            is_unused: true,
        }
    }

    /// How many equal shares there are of at least `bytes` each, at most `most` and at least one.
    pub fn shares(&self, bytes: usize, most: usize) -> usize {
        (self.left / bytes.max(1)).clamp(1, most.max(1))
    }

    /// One of `count` equal shares.
    #[must_use]
    pub fn share(self, count: usize) -> Self {
        Self {
            left: self.left / count.max(1),
            ..self
        }
    }

    /// Subtracts the records that steps have taken out of a copy or a share.
    pub fn spend(&mut self, swept: &[Swept]) {
        for swept in swept {
            if let Swept::Taken(taken) = swept {
                self.admit(taken.session.data.len());
            }
        }
    }

    /// Whether there are bytes left for a record with so much data; subtracts them.
    fn admit(&mut self, data: usize) -> bool {
        let bytes = data.saturating_add(RECORD_BYTES);
        let admits = self.is_unused || bytes <= self.left;
        if admits {
            self.left = self.left.saturating_sub(bytes);
            self.is_unused = false;
        }
        admits
    }
}

impl Sweep {
    /// Looks for what is due in the partitions of `request`, from where the sweep before it stopped. Writes
    /// nothing.
    ///
    /// # Errors
    /// None of its own.
    pub fn plan<T: Transaction>(
        tx: &mut T,
        now_ms: u64,
        request: &TakeExpired,
        from: &SweepCursor,
    ) -> Result<Self, T::Stop> {
        let asked: BTreeSet<Partition> = request.partitions.iter().copied().collect();
        let limit = usize::from(request.limit);
        let mut sweep = Self {
            takes: limit > 0,
            ..Self::default()
        };
        let from_due = from.due.as_deref().filter(|_| sweep.takes);
        tx.expect_range(
            from_due.unwrap_or(schema::DUE),
            &end_of(schema::DUE, now_ms),
            PAGE,
        );
        sweep.next.graves = sweep.graves(tx, now_ms, &asked, from.graves.as_deref())?;
        if sweep.takes {
            sweep.next.due = sweep.sessions(tx, now_ms, &asked, limit, from_due)?;
            if sweep.next != SweepCursor::default() {
                sweep.more = asked.into_iter().collect();
            }
        } else {
            sweep.more = with_sessions(tx, now_ms, asked)?.into_iter().collect();
        }
        Ok(sweep)
    }

    /// The steps, in the order in which what they take is told.
    pub fn steps(&self) -> &[SweepStep] {
        &self.steps
    }

    /// The answer, from what the steps came to.
    pub fn answer(mut self, swept: impl IntoIterator<Item = Swept>) -> TakenSessions {
        let mut taken = TakenSessions::default();
        for swept in swept {
            match swept {
                Swept::Taken(session) => taken.sessions.push(session),
                Swept::Unreadable(session) => taken.unreadable.push(session),
                Swept::LeftOut(partition) if !self.more.contains(&partition) => self.more.push(partition),
                Swept::Tidied | Swept::Missed(_) | Swept::LeftOut(_) => {}
            }
        }
        taken.more = self.more;
        taken
    }

    /// Where to go on, if these were not all.
    fn graves<T: Transaction>(
        &mut self,
        tx: &mut T,
        now_ms: u64,
        asked: &BTreeSet<Partition>,
        from: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, T::Stop> {
        let mut left = FORGOTTEN_MAX;
        walk(tx, schema::GRAVES, from, now_ms, |at_ms, id| {
            if asked.contains(&id.partition()) {
                if left == 0 {
                    return false;
                }
                left -= 1;
                self.steps.push(SweepStep {
                    what: What::Forget,
                    id,
                    at_ms,
                });
            }
            true
        })
    }

    /// Where to go on, if these were not all that are due.
    fn sessions<T: Transaction>(
        &mut self,
        tx: &mut T,
        now_ms: u64,
        asked: &BTreeSet<Partition>,
        limit: usize,
        from: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, T::Stop> {
        let mut left = LOOKED_MAX;
        let mut found: BTreeMap<Partition, Vec<(u64, SessionId)>> = BTreeMap::new();
        let mut more: BTreeSet<Partition> = BTreeSet::new();
        let next = walk(tx, schema::DUE, from, now_ms, |armed_ms, id| {
            let partition = id.partition();
            if !asked.contains(&partition) {
                return true;
            }
            let found = found.entry(partition).or_default();
            if found.len() >= limit.saturating_add(EXTRA) {
                more.insert(partition);
            } else if left == 0 {
                return false;
            } else {
                left -= 1;
                found.push((armed_ms, id));
            }
            true
        })?;
        let keys: Vec<Vec<u8>> = found
            .values()
            .flatten()
            .map(|(_, id)| schema::session(id))
            .collect();
        tx.expect(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let mut takes = TAKEN_MAX;
        for (partition, found) in found {
            let mut due: Vec<(u64, u64, SessionId, u64)> = Vec::new();
            for (armed_ms, id) in found {
                let step = |what| SweepStep {
                    what,
                    id,
                    at_ms: armed_ms,
                };
                let stored = tx.peek(&schema::session(&id))?;
                match stored.as_deref().map(|bytes| Entry::decode(id, bytes)) {
                    Some(Ok(entry)) if entry.armed_ms == armed_ms && entry.header.due_ms() <= now_ms => {
                        due.push((entry.header.due_ms(), entry.header.deadline_ms, id, armed_ms));
                    }
                    // A key without its session, one that another key has replaced, and a session that
                    // was touched: the step finds out which.
                    _ => self.steps.push(step(What::Rearm)),
                }
            }
            due.sort_unstable_by_key(|(due_ms, _, id, _)| (*due_ms, *id));
            if due.len() > limit.min(takes) {
                due.truncate(limit.min(takes));
                more.insert(partition);
            }
            takes -= due.len();
            // Those that come again are due by their visibility, not by their age.
            due.sort_unstable_by_key(|(_, deadline_ms, id, _)| (*deadline_ms, *id));
            self.steps
                .extend(due.into_iter().map(|(_, _, id, at_ms)| SweepStep {
                    what: What::Take,
                    id,
                    at_ms,
                }));
        }
        self.more = more.into_iter().collect();
        Ok(next)
    }
}

/// The partitions of `asked` that have a `due` key up to `now_ms`; all of them, where one page does not show
/// all keys.
fn with_sessions<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    asked: BTreeSet<Partition>,
) -> Result<BTreeSet<Partition>, T::Stop> {
    let keys = tx.range(schema::DUE, &end_of(schema::DUE, now_ms), PAGE)?;
    if keys.len() == PAGE {
        return Ok(asked);
    }
    let due = keys
        .iter()
        .filter_map(|(key, _)| schema::read_timed(schema::DUE, key))
        .take_while(|(at_ms, _)| *at_ms <= now_ms)
        .map(|(_, id)| id.partition());
    Ok(due.filter(|partition| asked.contains(partition)).collect())
}

/// Shows each key of a stretch of `due` or `grave` keys up to `now_ms`, until `show` answers `false` or so
/// many were read. Answers the key to go on with where it did not come to the end.
fn walk<T: Transaction>(
    tx: &mut T,
    prefix: &'static [u8],
    from: Option<&[u8]>,
    now_ms: u64,
    mut show: impl FnMut(u64, SessionId) -> bool,
) -> Result<Option<Vec<u8>>, T::Stop> {
    let end = end_of(prefix, now_ms);
    let mut from = from.unwrap_or(prefix).to_vec();
    let mut read = 0;
    loop {
        let keys = tx.range(&from, &end, PAGE)?;
        read += keys.len();
        for (key, _) in &keys {
            // A key that none of these rules has made is nobody's session.
            let Some((at_ms, id)) = schema::read_timed(prefix, key) else {
                continue;
            };
            if at_ms > now_ms {
                return Ok(None);
            }
            if !show(at_ms, id) {
                return Ok(Some(key.to_vec()));
            }
        }
        match keys.last() {
            Some((last, _)) if keys.len() == PAGE => from = [last, &[0][..]].concat(),
            _ => return Ok(None),
        }
        if read >= WALKED_MAX {
            return Ok(Some(from));
        }
    }
}

/// The first key of a stretch some time behind those of `now_ms`: the same for some seconds, since a rule
/// that fetches what it reads is run again a little later and has to ask for the same.
fn end_of(prefix: &'static [u8], now_ms: u64) -> Vec<u8> {
    schema::timed(prefix, (now_ms | 0xfff).saturating_add(1), None)
}

impl SweepStep {
    /// The keys that it reads, to be fetched together with those of other steps.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        match self.what {
            What::Take => vec![schema::session(&self.id), schema::body(&self.id)],
            What::Rearm => vec![schema::session(&self.id)],
            What::Forget => vec![schema::tombstone(&self.id)],
        }
    }

    /// Does it, as far as `bytes` admit. Writes at most three keys.
    ///
    /// # Errors
    /// None of its own.
    pub fn run<T: Transaction>(
        &self,
        tx: &mut T,
        now_ms: u64,
        request: &TakeExpired,
        bytes: &mut SweepBytes,
    ) -> Result<Swept, T::Stop> {
        let Self { what, id, at_ms } = *self;
        if what == What::Forget {
            // A later burial of the same id has a later deadline and a key of its own.
            let stored = tx.get(&schema::tombstone(&id))?;
            let is_due = stored.is_some_and(|bytes| {
                // One that cannot be read goes with its key.
                codec::decode_tombstone(&bytes).map_or(true, |tombstone| tombstone.deadline_ms <= now_ms)
            });
            if is_due {
                tx.delete(schema::tombstone(&id));
            }
            tx.delete(schema::grave(at_ms, Some(&id)));
            return Ok(Swept::Tidied);
        }
        let nothing = || match what {
            What::Take => Swept::Missed(id.partition()),
            What::Rearm | What::Forget => Swept::Tidied,
        };
        let stored = tx.get(&schema::session(&id))?;
        let mut entry = match stored.map(|bytes| Entry::decode(id, &bytes)) {
            // Whoever ended it, or armed it elsewhere, took this key away; where not, it is in the way.
            None => {
                tx.delete(schema::due(at_ms, Some(&id)));
                return Ok(nothing());
            }
            Some(Ok(entry)) if entry.armed_ms != at_ms => {
                tx.delete(schema::due(at_ms, Some(&id)));
                // One that could not be read for a while was armed without being written.
                let own = schema::due(entry.armed_ms, Some(&id));
                if tx.get(&own)?.is_none() {
                    tx.put(own, Vec::new());
                }
                return Ok(nothing());
            }
            // Nothing is known of when it is due: it is told, and comes again after the visibility time.
            Some(Err(error)) => {
                let hidden_until_ms = now_ms.saturating_add(visibility_ms(request));
                arm(tx, &id, Some(at_ms), hidden_until_ms);
                return Ok(Swept::Unreadable(UnreadableSession::new(id, &error)));
            }
            Some(Ok(entry)) => entry,
        };
        let due_ms = entry.header.due_ms();
        if due_ms > now_ms {
            entry.armed_ms = arm(tx, &id, Some(at_ms), due_ms);
            put_entry(tx, &entry);
            return Ok(nothing());
        }
        if what == What::Rearm {
            return Ok(Swept::Tidied);
        }
        let read = whole_or_why(tx, &entry)?;
        if let Ok(session) = &read
            && !bytes.admit(session.data.len())
        {
            return Ok(Swept::LeftOut(id.partition()));
        }
        let hidden_until_ms = now_ms.saturating_add(visibility_ms(request));
        entry.header.take = Some(StoredTake::new(request.token, hidden_until_ms));
        entry.armed_ms = arm(tx, &id, Some(at_ms), hidden_until_ms);
        put_entry(tx, &entry);
        Ok(match read {
            Ok(session) => Swept::Taken(taken(session.record(now_ms), request.token)),
            Err(error) => Swept::Unreadable(UnreadableSession::new(id, &error)),
        })
    }
}

fn taken(session: SessionRecord, token: Nonce) -> TakenSession {
    TakenSession::new(session, token)
}

fn visibility_ms(request: &TakeExpired) -> u64 {
    millis(request.visibility())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Ends a session that was taken, or keeps it hidden for longer.
///
/// # Errors
/// As the contract says of `ack_expired`.
pub fn ack_expired<T: Transaction>(tx: &mut T, now_ms: u64, request: &AckExpired) -> Result<Acked, T::Stop> {
    const ACK: &str = "ack_expired";
    let AckExpired { id, token, .. } = request;
    let ending = StoredEnd::Expired(*token);
    let keys = [schema::session(id), schema::tombstone(id)];
    tx.expect(&keys.each_ref().map(Vec::as_slice))?;
    let Some(mut entry) = entry(tx, id)? else {
        return match tombstone(tx, id)? {
            Some(known) if known == ending && request.hidden_for().is_none() => Ok(Acked::default()),
            Some(known) => Err(ended(ACK, id, known.reason()).into()),
            None => Err(not_found(ACK, id).into()),
        };
    };
    if entry.header.take.is_none_or(|take| take.token != *token) {
        let context = format!("the token is void: session {id:?} was revived, or taken by another");
        return Err(Error::new(ErrorKind::Fenced, ACK, context).into());
    }
    let Some(hidden_for) = request.hidden_for() else {
        end(tx, &entry, ending, now_ms)?;
        return Ok(Acked::default());
    };
    let hidden_until_ms = now_ms.saturating_add(millis(hidden_for));
    entry.header.take = Some(StoredTake::new(*token, hidden_until_ms));
    // A later time costs no key: the `due` key moves when it comes up.
    if hidden_until_ms < entry.armed_ms {
        entry.armed_ms = arm(tx, id, Some(entry.armed_ms), hidden_until_ms);
    }
    put_entry(tx, &entry);
    Ok(Acked::default())
}
