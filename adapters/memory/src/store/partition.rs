//! One partition of the session space, as a state machine without a lock or a clock of its own.
//!
//! Every operation takes the server's time, never one that goes back. Writers move the partition's
//! clock on with it, readers only read it. What belongs to one operation stands in `login.rs`,
//! `write.rs` and `sweep.rs`; here are the reads and the steps that all of them are made of.
//!
//! What always holds between two operations:
//! - a session is in the chain of its player exactly while it is linked;
//! - a session has exactly one entry in the expiry index, in its armed tick;
//! - the armed tick is never later than that in which the session is due.

use std::time::Duration;

use ringhold_core::clock::StoreClock;
use ringhold_core::session::{Displaced, EndReason};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, PlayerId, Result, SessionId, SessionRecord, Ttl};

use super::expiry::ExpiryIndex;
use super::head::{Flags, Head, nanos};
use super::pages::Place;
use super::records::Records;
use super::tombstone::{Ending, Tombstones};

/// The linked sessions of a player: those that live, and those that have expired; the oldest first.
#[derive(Debug, Default)]
pub(super) struct Linked {
    pub(super) live: Vec<Place>,
    pub(super) expired: Vec<Place>,
}

/// The sessions of one partition. What every operation reads stands first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct SessionPartition {
    pub(super) clock: StoreClock,
    pub(super) records: Records,
    pub(super) expiry: ExpiryIndex,
    pub(super) tombstones: Tombstones,
    /// The most sessions that it holds.
    pub(super) sessions_max: usize,
}

impl SessionPartition {
    /// An empty partition whose clock starts at server time `time`.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            clock: StoreClock::new(time, StoreClock::PARTITION_CAP),
            records: Records::default(),
            expiry: ExpiryIndex::default(),
            tombstones: Tombstones::default(),
            sessions_max: Records::COUNT_MAX,
        }
    }

    /// A live session.
    pub(crate) fn get(&self, time: Duration, id: &SessionId) -> Option<SessionRecord> {
        let now = self.clock.read(time);
        let place = self.records.find(id)?;
        let head = self.records.head(place);
        head.is_live(now).then(|| self.records.show(place, &head, now))
    }

    /// The live sessions of a player, oldest first.
    pub(crate) fn find(&self, time: Duration, player: &PlayerId) -> Vec<SessionRecord> {
        let now = self.clock.read(time);
        let live = self.records.linked(player).filter(|(_, head)| head.is_live(now));
        live.map(|(place, head)| self.records.show_with(|| player.clone(), place, &head, now))
            .collect()
    }

    /// How many sessions are live. O(sessions of this partition).
    pub(crate) fn count(&self, time: Duration) -> u64 {
        let now = self.clock.read(time);
        let is_live = |place: &Place| self.records.head(*place).is_live(now);
        self.records.places().filter(is_live).count() as u64
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
        let listed = |place| {
            let head = self.records.head(place);
            let wanted = head.is_live(now)
                && after.is_none_or(|after| head.id > *after)
                && owner.is_none_or(|owner| self.records.owner(&head) == owner);
            wanted.then_some((head.id, place))
        };
        let mut page: Vec<(SessionId, Place)> = self.records.places().filter_map(listed).collect();
        if limit < page.len() {
            // Only the page itself is worth sorting.
            page.select_nth_unstable(limit);
            page.truncate(limit);
        }
        page.sort_unstable();
        let show = |(_, place)| self.records.show(place, &self.records.head(place), now);
        page.into_iter().map(show).collect()
    }

    /// The linked sessions of a player, apart.
    pub(super) fn linked(&self, player: &PlayerId, now: Duration) -> Linked {
        let mut linked = Linked::default();
        for (place, head) in self.records.linked(player) {
            let places = if head.is_live(now) {
                &mut linked.live
            } else {
                &mut linked.expired
            };
            places.push(place);
        }
        linked
    }

    /// Puts a session in, as the newest of its player, that lives for its time to live.
    pub(super) fn insert(&mut self, record: &SessionRecord, now: Duration) -> (Place, Head) {
        let (place, mut head) = self.records.insert(record, now);
        let due = head.deadline;
        self.expiry.insert(place, &mut head, due, nanos(now));
        (place, head)
    }

    /// Whether there is room for one more session.
    ///
    /// # Errors
    /// `Overloaded` where there is none.
    pub(super) fn check_room(&self, operation: &'static str) -> Result<()> {
        if self.records.len() < self.sessions_max {
            return Ok(());
        }
        let context = format!(
            "the partition has {} sessions, the most there can be",
            self.records.len()
        );
        Err(Error::new(ErrorKind::Overloaded, operation, context))
    }

    /// Takes a session out for good, and leaves tombstones of it and of the login that held it.
    /// Answers the hold that this ended.
    pub(super) fn end(&mut self, place: Place, ending: Ending, now: Duration) -> Displaced {
        if self.records.head(place).flags.has(Flags::LINKED) {
            self.records.unlink(&[place]);
        }
        self.bury(place, ending, now)
    }

    /// Ends the sessions at `places` of a player for a later login; they stand in the order of the
    /// player's chain. O(sessions of the player).
    pub(super) fn displace(&mut self, places: &[Place], now: Duration) -> Vec<Displaced> {
        self.records.unlink(places);
        let ended = places
            .iter()
            .map(|place| self.bury(*place, Ending::Displaced, now));
        ended.collect()
    }

    /// Takes a session out that its player's chain no longer has.
    fn bury(&mut self, place: Place, ending: Ending, now: Duration) -> Displaced {
        let mut head = self.records.head(place);
        let due = self.records.due(&head);
        self.expiry.remove(&mut self.records, place, &head, due);
        self.tombstones.bury(head.id, ending, now);
        if let Some(login) = self.records.end_login(&mut head)
            && login != head.id
        {
            self.tombstones.bury(login, ending, now);
        }
        let displaced = self.hold(&head);
        self.records.remove(place, &head);
        displaced
    }

    /// The hold that somebody has on a session.
    pub(super) fn hold(&self, head: &Head) -> Displaced {
        Displaced::new(head.id, self.records.owner(head).clone(), head.fence)
    }

    /// Takes the expired sessions of a player out of a login's way: they wait for their
    /// acknowledgement and can no longer be revived.
    pub(super) fn unlink_expired(&mut self, expired: &[Place], now: Duration) {
        self.records.unlink(expired);
        for place in expired {
            let mut head = self.records.head(*place);
            self.end_login(&mut head, now);
            self.records.write(*place, &head);
        }
    }

    /// Ends the login that holds a session which itself goes on: a repetition of it is refused from now
    /// on. Where the login made the session, the session's own id remembers that; otherwise a tombstone
    /// does. The caller writes `head`.
    pub(super) fn end_login(&mut self, head: &mut Head, now: Duration) {
        if let Some(login) = self.records.end_login(head)
            && login != head.id
        {
            self.tombstones.bury(login, Ending::Displaced, now);
        }
    }

    /// Lets a session live for `ttl` from `now` on, which voids a sweeper's token. The caller writes `head`.
    pub(super) fn extend(&mut self, place: Place, head: &mut Head, ttl: Ttl, now: Duration) {
        let old = self.records.due(head);
        head.ttl = ttl;
        head.deadline = nanos(now.saturating_add(ttl.duration()));
        self.records.set_take(head, None);
        let due = (old, head.deadline);
        self.expiry
            .moved(&mut self.records, (place, head), due, nanos(now));
    }

    /// The session that a write means.
    ///
    /// `Fenced` where it has ended or can no longer be revived, `NotFound` where nothing is known of it.
    pub(super) fn writable(&self, operation: &'static str, id: &SessionId) -> Result<(Place, Head)> {
        match self
            .records
            .find(id)
            .map(|place| (place, self.records.head(place)))
        {
            Some((place, head)) if head.flags.has(Flags::LINKED) => Ok((place, head)),
            Some(_) => Err(ended(operation, id, EndReason::Displaced)),
            None => Err(match self.tombstones.get(id) {
                Some(ending) => ended(operation, id, ending.reason()),
                None => not_found(operation, id),
            }),
        }
    }

    /// The refusal of a write under another fence than the one that stands.
    pub(super) fn fenced(&self, operation: &'static str, head: &Head) -> Error {
        let (id, owner, epoch) = (head.id, self.records.owner(head), head.fence.epoch);
        let context = format!("session {id:?} is held by {owner} in epoch {epoch}");
        Error::new(ErrorKind::Fenced, operation, context)
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

/// The refusal of a write to what nothing is known of.
pub(super) fn not_found(operation: &'static str, id: &SessionId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        operation,
        format!("nothing is known of session {id:?}"),
    )
}
