//! One partition of the session space, as a state machine without a lock or a clock of its own.
//!
//! Every operation takes the server's time, never one that goes back. Writers move the partition's
//! clock on with it, readers only read it. What belongs to one operation stands in `login.rs`,
//! `write.rs` and `sweep.rs`; here are the reads and the steps that all of them are made of.
//!
//! What always holds between two operations:
//! - a session is in the list of its player exactly while it is linked, and lists are never empty;
//! - a session has exactly one entry in the expiry index, at its armed time;
//! - the armed time is never later than the time at which the session is due.

use std::collections::HashMap;
use std::slice;
use std::time::Duration;

use ringhold_core::clock::StoreClock;
use ringhold_core::session::{Displaced, EndReason};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, PlayerId, Result, SessionId, SessionRecord, Ttl};

use super::entry::Entry;
use super::expiry::ExpiryIndex;
use super::tombstone::{Ending, Tombstones};

/// The sessions of one partition.
#[derive(Debug)]
pub(crate) struct SessionPartition {
    pub(super) clock: StoreClock,
    pub(super) sessions: HashMap<SessionId, Entry>,
    /// The linked sessions of each player, in the order in which they were made.
    pub(super) players: HashMap<PlayerId, Vec<SessionId>>,
    pub(super) tombstones: Tombstones,
    pub(super) expiry: ExpiryIndex,
}

impl SessionPartition {
    /// An empty partition whose clock starts at server time `time`.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            clock: StoreClock::new(time, StoreClock::PARTITION_CAP),
            sessions: HashMap::new(),
            players: HashMap::new(),
            tombstones: Tombstones::default(),
            expiry: ExpiryIndex::default(),
        }
    }

    /// A live session.
    pub(crate) fn get(&self, time: Duration, id: &SessionId) -> Option<SessionRecord> {
        let now = self.clock.read(time);
        self.sessions
            .get(id)
            .filter(|entry| entry.is_live(now))
            .map(|entry| entry.show(now))
    }

    /// The live sessions of a player, oldest first.
    pub(crate) fn find(&self, time: Duration, player: &PlayerId) -> Vec<SessionRecord> {
        let now = self.clock.read(time);
        self.linked(player)
            .filter(|entry| entry.is_live(now))
            .map(|entry| entry.show(now))
            .collect()
    }

    /// The `limit` live sessions with the smallest ids after `after`, by id; only those of `owner`
    /// where one is given. O(sessions of this partition).
    pub(crate) fn list(
        &self,
        time: Duration,
        after: Option<&SessionId>,
        owner: Option<&NodeIncarnation>,
        limit: usize,
    ) -> Vec<SessionRecord> {
        let now = self.clock.read(time);
        let listed = |(id, entry): &(&SessionId, &Entry)| {
            entry.is_live(now)
                && after.is_none_or(|after| *id > after)
                && owner.is_none_or(|owner| entry.record.owner == *owner)
        };
        let mut page: Vec<(&SessionId, &Entry)> = self.sessions.iter().filter(listed).collect();
        if limit < page.len() {
            // Only the page itself is worth sorting.
            page.select_nth_unstable_by_key(limit, |(id, _)| **id);
            page.truncate(limit);
        }
        page.sort_unstable_by_key(|(id, _)| **id);
        page.into_iter().map(|(_, entry)| entry.show(now)).collect()
    }

    /// The linked sessions of a player, oldest first.
    pub(super) fn linked(&self, player: &PlayerId) -> impl Iterator<Item = &Entry> {
        self.players
            .get(player)
            .into_iter()
            .flatten()
            .filter_map(|id| self.sessions.get(id))
    }

    /// The ids of a player's linked sessions that live or, with `live` false, have expired.
    pub(super) fn linked_ids(&self, player: &PlayerId, live: bool, now: Duration) -> Vec<SessionId> {
        let entries = self.linked(player).filter(|entry| entry.is_live(now) == live);
        entries.map(|entry| entry.record.id).collect()
    }

    /// Puts a session in, as the newest of its player.
    pub(super) fn insert(&mut self, entry: Entry) {
        let id = entry.record.id;
        self.expiry.insert(id, entry.armed);
        match self.players.get_mut(&entry.record.player) {
            Some(ids) => ids.push(id),
            None => {
                self.players.insert(entry.record.player.clone(), vec![id]);
            }
        }
        self.sessions.insert(id, entry);
    }

    /// Takes a session out for good, and leaves tombstones of it and of the login that held it.
    /// Answers the hold that this ended.
    pub(super) fn end(&mut self, id: &SessionId, ending: Ending, now: Duration) -> Option<Displaced> {
        if let Some(entry) = self.sessions.get(id).filter(|entry| entry.linked) {
            let player = entry.record.player.clone();
            self.unlist(&player, slice::from_ref(id));
        }
        self.bury(id, ending, now)
    }

    /// Ends the sessions `ids` of a player for a later login; they stand in the order of the
    /// player's list. O(sessions of the player), and O(log n) for each that ends.
    pub(super) fn displace(&mut self, player: &PlayerId, ids: &[SessionId], now: Duration) -> Vec<Displaced> {
        self.unlist(player, ids);
        let ended = ids.iter().filter_map(|id| self.bury(id, Ending::Displaced, now));
        ended.collect()
    }

    /// Takes a session out that its player's list no longer has.
    fn bury(&mut self, id: &SessionId, ending: Ending, now: Duration) -> Option<Displaced> {
        let entry = self.sessions.remove(id)?;
        self.expiry.remove(*id, entry.armed);
        self.tombstones.bury(*id, ending, now);
        if let Some(login) = &entry.login
            && login.id != *id
        {
            self.tombstones.bury(login.id, ending, now);
        }
        Some(Displaced::from(&entry.record))
    }

    /// Takes the expired sessions of a player out of a login's way: they wait for their
    /// acknowledgement and can no longer be revived.
    pub(super) fn unlink_expired(&mut self, player: &PlayerId, now: Duration) {
        let expired = self.linked_ids(player, false, now);
        self.unlist(player, &expired);
        for id in expired {
            if let Some(entry) = self.sessions.get_mut(&id) {
                entry.linked = false;
                end_login(&mut self.tombstones, entry, now);
            }
        }
    }

    /// Takes `gone` out of a player's list, in one walk: they stand in its order.
    fn unlist(&mut self, player: &PlayerId, gone: &[SessionId]) {
        if let Some(ids) = self.players.get_mut(player) {
            let mut gone = gone.iter().peekable();
            ids.retain(|listed| gone.next_if_eq(&listed).is_none());
            if ids.is_empty() {
                self.players.remove(player);
            }
        }
    }
}

/// Ends the login that holds a session which itself goes on: a repetition of it is refused from now
/// on. Where the login made the session, the session's own id remembers that; otherwise a tombstone
/// does.
pub(super) fn end_login(tombstones: &mut Tombstones, entry: &mut Entry, now: Duration) {
    if let Some(login) = entry.login.take()
        && login.id != entry.record.id
    {
        tombstones.bury(login.id, Ending::Displaced, now);
    }
}

/// Lets a session live for `ttl` from `now` on, which voids a sweeper's token.
pub(super) fn extend(expiry: &mut ExpiryIndex, entry: &mut Entry, ttl: Ttl, now: Duration) {
    entry.record.ttl = ttl;
    entry.deadline = now.saturating_add(ttl.duration());
    entry.take = None;
    entry.armed = expiry.moved(entry.record.id, entry.armed, entry.deadline);
}

/// The session that a write means.
///
/// `Fenced` where it has ended or can no longer be revived, `NotFound` where nothing is known of it.
pub(super) fn writable<'a>(
    sessions: &'a mut HashMap<SessionId, Entry>,
    tombstones: &Tombstones,
    operation: &'static str,
    id: &SessionId,
) -> Result<&'a mut Entry> {
    match sessions.get_mut(id) {
        Some(entry) if entry.linked => Ok(entry),
        Some(_) => Err(ended(operation, id, EndReason::Displaced)),
        None => Err(match tombstones.get(id) {
            Some(ending) => ended(operation, id, ending.reason()),
            None => not_found(operation, id),
        }),
    }
}

/// The refusal of a write to what has ended.
pub(super) fn ended(operation: &'static str, id: &SessionId, reason: EndReason) -> Error {
    let how = match reason {
        EndReason::Removed => "was removed",
        EndReason::Displaced => "was ended by a later login",
        EndReason::Expired => "has expired and was acknowledged",
        _ => "has ended",
    };
    Error::new(
        ErrorKind::Fenced,
        operation,
        format!("session {id:?} {how}; log in again"),
    )
}

/// The refusal of a write under another fence than the one that stands.
pub(super) fn fenced(operation: &'static str, entry: &Entry) -> Error {
    let SessionRecord { id, owner, fence, .. } = &entry.record;
    let context = format!("session {id:?} is held by {owner} in epoch {}", fence.epoch);
    Error::new(ErrorKind::Fenced, operation, context)
}

/// The refusal of a write to what nothing is known of.
pub(super) fn not_found(operation: &'static str, id: &SessionId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        operation,
        format!("nothing is known of session {id:?}"),
    )
}
