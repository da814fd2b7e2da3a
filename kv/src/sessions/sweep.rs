//! Expiring: sweepers take what is due, and acknowledge it.
//!
//! A sweep is planned in one transaction that writes nothing ([`Sweep::plan`]) and done in others, each of
//! as many steps as fit ([`SweepStep::run`]). A step looks again before it writes, so that what happened
//! meanwhile counts.

use std::collections::{BTreeMap, BTreeSet};

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

/// How many sessions one sweep looks at, over all its partitions.
const LOOKED_MAX: usize = 4_096;

/// How many tombstones one sweep forgets, over all its partitions.
const FORGOTTEN_MAX: usize = 4_096;

/// What a sweep has to do.
#[derive(Debug, Default)]
pub struct Sweep {
    steps: Vec<SweepStep>,
    more: Vec<Partition>,
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
}

impl Sweep {
    /// Looks for what is due in the partitions of `request`. Writes nothing.
    ///
    /// # Errors
    /// None of its own.
    pub fn plan<T: Transaction>(tx: &mut T, now_ms: u64, request: &TakeExpired) -> Result<Self, T::Stop> {
        let asked: BTreeSet<Partition> = request.partitions.iter().copied().collect();
        let mut sweep = Self::default();
        let limit = usize::from(request.limit);
        if limit > 0 {
            tx.expect_range(schema::DUE, &end_of(schema::DUE, now_ms), PAGE);
        }
        let all_graves = sweep.graves(tx, now_ms, &asked)?;
        if limit > 0 {
            let all_sessions = sweep.sessions(tx, now_ms, &asked, limit)?;
            if !all_graves || !all_sessions {
                sweep.more = asked.into_iter().collect();
            }
        }
        Ok(sweep)
    }

    /// The steps, in the order in which what they take is told.
    pub fn steps(&self) -> &[SweepStep] {
        &self.steps
    }

    /// The answer, from what the steps came to.
    pub fn answer(self, swept: impl IntoIterator<Item = Swept>) -> TakenSessions {
        let mut taken = TakenSessions::default();
        for swept in swept {
            match swept {
                Swept::Taken(session) => taken.sessions.push(session),
                Swept::Unreadable(session) => taken.unreadable.push(session),
                Swept::Tidied | Swept::Missed(_) => {}
            }
        }
        taken.more = self.more;
        taken
    }

    /// Whether these were all.
    fn graves<T: Transaction>(
        &mut self,
        tx: &mut T,
        now_ms: u64,
        asked: &BTreeSet<Partition>,
    ) -> Result<bool, T::Stop> {
        let mut left = FORGOTTEN_MAX;
        let complete = walk(tx, schema::GRAVES, now_ms, |at_ms, id| {
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
        })?;
        Ok(complete)
    }

    /// Whether these were all that are due.
    fn sessions<T: Transaction>(
        &mut self,
        tx: &mut T,
        now_ms: u64,
        asked: &BTreeSet<Partition>,
        limit: usize,
    ) -> Result<bool, T::Stop> {
        let mut left = LOOKED_MAX;
        let mut found: BTreeMap<Partition, Vec<(u64, SessionId)>> = BTreeMap::new();
        let mut more: BTreeSet<Partition> = BTreeSet::new();
        let complete = walk(tx, schema::DUE, now_ms, |armed_ms, id| {
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
            if due.len() > limit {
                due.truncate(limit);
                more.insert(partition);
            }
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
        Ok(complete)
    }
}

/// Shows each key of a stretch of `due` or `grave` keys up to `now_ms`, until `show` answers `false`.
/// Whether it came to the end.
fn walk<T: Transaction>(
    tx: &mut T,
    prefix: &'static [u8],
    now_ms: u64,
    mut show: impl FnMut(u64, SessionId) -> bool,
) -> Result<bool, T::Stop> {
    let end = end_of(prefix, now_ms);
    let mut from = prefix.to_vec();
    loop {
        let keys = tx.range(&from, &end, PAGE)?;
        for (key, _) in &keys {
            // A key that none of these rules has made is nobody's session.
            let Some((at_ms, id)) = schema::read_timed(prefix, key) else {
                continue;
            };
            if at_ms > now_ms {
                return Ok(true);
            }
            if !show(at_ms, id) {
                return Ok(false);
            }
        }
        match keys.last() {
            Some((last, _)) if keys.len() == PAGE => from = [last, &[0][..]].concat(),
            _ => return Ok(true),
        }
    }
}

/// The first key of a stretch some time behind those of `now_ms`: the same for half a minute or so, since a
/// rule that fetches what it reads is run again a little later and has to ask for the same.
fn end_of(prefix: &'static [u8], now_ms: u64) -> Vec<u8> {
    schema::timed(prefix, (now_ms | 0x7fff).saturating_add(1), None)
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

    /// Does it. Writes at most three keys.
    ///
    /// # Errors
    /// None of its own.
    pub fn run<T: Transaction>(
        &self,
        tx: &mut T,
        now_ms: u64,
        request: &TakeExpired,
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
    u64::try_from(request.visibility().as_millis()).unwrap_or(u64::MAX)
}

/// Ends a session that was taken, once its taker has done what an expiry asks for.
///
/// # Errors
/// As the contract says of `ack_expired`.
pub fn ack_expired<T: Transaction>(tx: &mut T, now_ms: u64, request: &AckExpired) -> Result<Acked, T::Stop> {
    const ACK: &str = "ack_expired";
    let AckExpired { id, token, .. } = request;
    let ending = StoredEnd::Expired(*token);
    let keys = [schema::session(id), schema::tombstone(id)];
    tx.expect(&keys.each_ref().map(Vec::as_slice))?;
    let Some(entry) = entry(tx, id)? else {
        return match tombstone(tx, id)? {
            Some(known) if known == ending => Ok(Acked::default()),
            Some(known) => Err(ended(ACK, id, known.reason()).into()),
            None => Err(not_found(ACK, id).into()),
        };
    };
    if entry.header.take.is_none_or(|take| take.token != *token) {
        let context = format!("the token is void: session {id:?} was revived, or taken by another");
        return Err(Error::new(ErrorKind::Fenced, ACK, context).into());
    }
    end(tx, &entry, ending, now_ms)?;
    Ok(Acked::default())
}
