//! The sessions of one partition, packed, with what finds them by id and by player.
//!
//! Both indexes point straight at a session's place, and compare keys there: a lookup meets a line of
//! the index and then the session. A player's sessions are a chain through them, oldest first.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use ringhold_core::{NodeIncarnation, PlayerId, SessionId, SessionRecord};

use super::entry::{Extra, Extras, Login, Take};
use super::head::{Flags, HEAD, Head, ID, PLAYER_LEN_AT, nanos};
use super::owners::Owners;
use super::pages::{NOWHERE, Pages, Place};
use super::table::Table;

/// The longest data that stands in a session's place. Longer data is shared with readers, not copied.
pub(crate) const SHORT_MAX: usize = Pages::BYTES_MAX - HEAD - PlayerId::LEN_MAX;

/// Memory of sessions that went.
pub(crate) type Dropped = (Vec<Box<[u8]>>, Vec<Extra>);

/// All sessions of a partition.
///
/// What a lookup by id reads stands together, behind the lock and the clock.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Records {
    by_id: Table,
    hash: RandomState,
    pages: Pages,
    by_player: Table,
    owners: Owners,
    extras: Extras,
}

impl Records {
    /// The most sessions of one partition: a million.
    pub(crate) const COUNT_MAX: usize = Pages::PLACES_MAX;

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The places of all sessions, in no useful order.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.by_id.iter().map(Place)
    }

    /// Where the session with this id is.
    #[inline]
    pub(crate) fn find(&self, id: &SessionId) -> Option<Place> {
        let bytes = id.to_bytes();
        let is_meant = |number| self.pages.at(Place(number)).starts_with(&bytes);
        self.by_id.find(self.id_tag(id), is_meant).map(Place)
    }

    /// The oldest linked session of a player, and what finds it.
    #[inline]
    fn oldest(&self, player: &[u8]) -> (u32, Option<Place>) {
        let mut hasher = self.hash.build_hasher();
        hasher.write(player);
        let tag = upper(hasher.finish());
        let is_meant = |number| self.player(Place(number)) == player;
        (tag, self.by_player.find(tag, is_meant).map(Place))
    }

    /// The linked sessions of a player, oldest first.
    pub(crate) fn linked(&self, player: &PlayerId) -> impl Iterator<Item = (Place, Head)> {
        let (_, oldest) = self.oldest(player.as_str().as_bytes());
        self.chain(oldest)
    }

    /// A session and those of its player that are newer.
    fn chain(&self, first: Option<Place>) -> impl Iterator<Item = (Place, Head)> {
        let mut next = first;
        std::iter::from_fn(move || {
            let place = next?;
            let head = self.head(place);
            next = Some(head.next).filter(|next| *next != NOWHERE).map(Place);
            Some((place, head))
        })
    }

    #[inline]
    pub(crate) fn head(&self, place: Place) -> Head {
        Head::read(self.pages.at(place))
    }

    #[inline]
    pub(crate) fn write(&mut self, place: Place, head: &Head) {
        head.write(self.pages.at_mut(place));
    }

    /// The memory of what went since this was last asked, to be dropped where no lock is held.
    pub(crate) fn dropped(&mut self) -> Dropped {
        (self.pages.dropped(), self.extras.dropped())
    }

    /// What only some sessions have.
    pub(crate) fn extra(&self, head: &Head) -> Option<&Extra> {
        self.extras.get(head.extra)
    }

    /// Changes that; the caller writes `head`.
    pub(crate) fn change_extra<T>(&mut self, head: &mut Head, change: impl FnOnce(&mut Extra) -> T) -> T {
        self.extras.change(&mut head.extra, change)
    }

    pub(crate) fn owner(&self, head: &Head) -> &NodeIncarnation {
        self.owners.get(head.owner)
    }

    /// The bytes of its player's id.
    fn player(&self, place: Place) -> &[u8] {
        let bytes = self.pages.at(place);
        let len = bytes[PLAYER_LEN_AT];
        &bytes[HEAD..HEAD + usize::from(len)]
    }

    pub(crate) fn is_of(&self, place: Place, player: &PlayerId) -> bool {
        self.player(place) == player.as_str().as_bytes()
    }

    /// The id of its player.
    pub(crate) fn player_id(&self, place: Place) -> PlayerId {
        match str::from_utf8(self.player(place)).map(PlayerId::new) {
            Ok(Ok(player)) => player,
            _ => unreachable!("a player's id was written here"),
        }
    }

    /// When a sweeper may take it, in nanoseconds of the partition's clock.
    pub(crate) fn due(&self, head: &Head) -> u64 {
        self.take(head).map_or(head.deadline, |take| take.hidden_until)
    }

    /// The sweeper that has it.
    pub(crate) fn take(&self, head: &Head) -> Option<Take> {
        // Most have none, which the flag says without a look at another line.
        if !head.flags.has(Flags::TAKEN) {
            return None;
        }
        self.extra(head).and_then(|extra| extra.take)
    }

    /// Sets or voids a sweeper's hold; the caller writes `head`.
    pub(crate) fn set_take(&mut self, head: &mut Head, take: Option<Take>) {
        if take.is_some() || head.flags.has(Flags::TAKEN) {
            head.flags.set(Flags::TAKEN, take.is_some());
            self.change_extra(head, |extra| extra.take = take);
        }
    }

    /// Whether the login `id` is the one that holds the session.
    pub(crate) fn is_held_by(&self, head: &Head, id: &SessionId) -> bool {
        if head.flags.has(Flags::MADE) {
            return head.id == *id;
        }
        self.login(head).is_some_and(|login| login.id == *id)
    }

    /// The login that holds it, where there is more to say of it than that it made the session.
    pub(crate) fn login(&self, head: &Head) -> Option<&Login> {
        self.extra(head).and_then(|extra| extra.login.as_deref())
    }

    /// Sets the login that holds it; the caller writes `head`.
    pub(crate) fn set_login(&mut self, head: &mut Head, login: Login) {
        let made = login.id == head.id && login.displaced.is_empty();
        head.flags.set(Flags::MADE, made);
        self.change_extra(head, |extra| extra.login = (!made).then(|| Box::new(login)));
    }

    /// Ends the login that holds it and answers its id, which is the session's own where it made
    /// the session; the caller writes `head`.
    pub(crate) fn end_login(&mut self, head: &mut Head) -> Option<SessionId> {
        if head.flags.has(Flags::MADE) {
            head.flags.set(Flags::MADE, false);
            return Some(head.id);
        }
        if head.extra == NOWHERE {
            return None;
        }
        self.change_extra(head, |extra| extra.login.take())
            .map(|login| login.id)
    }

    /// Another owner of a session; the caller writes `head`.
    pub(crate) fn set_owner(&mut self, head: &mut Head, owner: &NodeIncarnation) {
        let new = self.owners.keep(owner, &self.hash);
        self.owners
            .release(std::mem::replace(&mut head.owner, new), &self.hash);
    }

    /// The data of a session: a copy of what is short, and the same bytes of what is long.
    pub(crate) fn data(&self, place: Place, head: &Head) -> Bytes {
        if head.flags.has(Flags::LONG) {
            let long = self.extra(head).and_then(|extra| extra.data.as_deref());
            return long.cloned().unwrap_or_default();
        }
        let start = HEAD + usize::from(head.player_len);
        let bytes = &self.pages.at(place)[start..start + head.data_len as usize];
        Bytes::copy_from_slice(bytes)
    }

    /// The bytes of the whole record, long data included.
    pub(crate) fn len_of(&self, head: &Head) -> usize {
        let long = self.extra(head).and_then(|extra| extra.data.as_deref());
        HEAD + usize::from(head.player_len) + long.map_or(head.data_len as usize, Bytes::len)
    }

    /// The record as a reader sees it at `now`.
    pub(crate) fn show(&self, place: Place, head: &Head, now: Duration) -> SessionRecord {
        self.show_with(|| self.player_id(place), place, head, now)
    }

    /// The same, where the reader knows the player's id.
    pub(crate) fn show_with(
        &self,
        player: impl FnOnce() -> PlayerId,
        place: Place,
        head: &Head,
        now: Duration,
    ) -> SessionRecord {
        // Before the counts of what is shared: no later read of memory overtakes a change of those.
        let data = self.data(place, head);
        let player = player();
        let owner = self.owner(head).clone();
        let mut record = SessionRecord::new(head.id, player, owner, head.fence.nonce, head.ttl, data);
        record.fence = head.fence;
        record.version = head.version;
        record.remaining = head.remaining(now);
        record
    }

    /// Puts a session in, as the newest of its player. It is not in the expiry index yet.
    pub(crate) fn insert(&mut self, record: &SessionRecord, now: Duration) -> (Place, Head) {
        let (player, data) = (record.player.as_str().as_bytes(), &record.data);
        let mut head = Head {
            id: record.id,
            fence: record.fence,
            version: record.version,
            ttl: record.ttl,
            deadline: nanos(now.saturating_add(record.ttl.duration())),
            owner: self.owners.keep(&record.owner, &self.hash),
            next: NOWHERE,
            extra: NOWHERE,
            armed: 0,
            armed_at: 0,
            data_len: 0,
            // At most 128.
            player_len: u8::try_from(player.len()).unwrap_or(u8::MAX),
            flags: Flags::NONE,
        };
        head.flags.set(Flags::LINKED, true);
        let short = self.put_data(&mut head, data);
        let place = self.pages.make(HEAD + player.len() + short);
        let bytes = self.pages.at_mut(place);
        head.write(bytes);
        bytes[HEAD..HEAD + player.len()].copy_from_slice(player);
        self.copy_data(place, &head, data);
        let (tag, oldest) = self.oldest(player);
        let newest = self.chain(oldest).last();
        match newest {
            Some((newest, _)) => self.set_next(newest, place.0),
            None => self.by_player.insert(tag, place.0),
        }
        self.by_id.insert(self.id_tag(&record.id), place.0);
        (place, head)
    }

    /// Says in `head` what data it has, keeps what is long, and answers what is short takes.
    fn put_data(&mut self, head: &mut Head, data: &Bytes) -> usize {
        let long = data.len() > SHORT_MAX;
        if long || head.flags.has(Flags::LONG) {
            head.flags.set(Flags::LONG, long);
            self.extras.set_data(&mut head.extra, long.then(|| data.clone()));
        }
        let short = if long { 0 } else { data.len() };
        // At most `SHORT_MAX`.
        head.data_len = u32::try_from(short).unwrap_or_default();
        short
    }

    fn copy_data(&mut self, place: Place, head: &Head, data: &Bytes) {
        if !head.flags.has(Flags::LONG) {
            let start = HEAD + usize::from(head.player_len);
            self.pages.at_mut(place)[start..start + data.len()].copy_from_slice(data);
        }
    }

    /// Other data, and all numbers of `head`. Answers where the session is now: another place where its length
    /// has changed, which the expiry index has to be told.
    pub(crate) fn set_data(&mut self, place: Place, head: &mut Head, data: &Bytes) -> Place {
        let start = HEAD + usize::from(head.player_len);
        let bytes = start + self.put_data(head, data);
        let mut at = place;
        if !Pages::fits(place, bytes) {
            at = self.pages.make(bytes);
            let mut fixed = [0; HEAD + PlayerId::LEN_MAX];
            fixed[..start].copy_from_slice(&self.pages.at(place)[..start]);
            self.pages.at_mut(at)[..start].copy_from_slice(&fixed[..start]);
            self.by_id.replace(self.id_tag(&head.id), place.0, at.0);
            if head.flags.has(Flags::LINKED) {
                self.relink(place, at);
            }
            self.pages.free(place);
        }
        self.write(at, head);
        self.copy_data(at, head, data);
        at
    }

    /// Makes what points at a linked session, which is in both places, point at the new one.
    fn relink(&mut self, old: Place, new: Place) {
        let (tag, oldest) = self.oldest(self.player(old));
        let before = self.chain(oldest).find(|(_, head)| head.next == old.0);
        match before {
            Some((before, _)) => self.set_next(before, new.0),
            None => self.by_player.replace(tag, old.0, new.0),
        }
    }

    /// Takes linked sessions of one player, which stand in its order, out of its chain, in one walk. They stay
    /// where they are.
    pub(crate) fn unlink(&mut self, gone: &[Place]) {
        let Some(any) = gone.first() else { return };
        let (tag, oldest) = self.oldest(self.player(*any));
        let Some(oldest) = oldest else { return };
        let mut gone = gone.iter().peekable();
        let (mut first, mut before) = (NOWHERE, NOWHERE);
        let mut next = oldest.0;
        while next != NOWHERE {
            let place = Place(next);
            let mut head = self.head(place);
            next = head.next;
            if gone.next_if_eq(&&place).is_some() {
                head.flags.set(Flags::LINKED, false);
                head.next = NOWHERE;
                self.write(place, &head);
                continue;
            }
            if first == NOWHERE {
                first = place.0;
            } else {
                self.set_next(Place(before), place.0);
            }
            before = place.0;
        }
        if first == NOWHERE {
            return self.by_player.remove(tag, oldest.0);
        }
        self.set_next(Place(before), NOWHERE);
        if first != oldest.0 {
            self.by_player.replace(tag, oldest.0, first);
        }
    }

    fn set_next(&mut self, place: Place, next: u32) {
        let mut head = self.head(place);
        if head.next != next {
            head.next = next;
            self.write(place, &head);
        }
    }

    /// Forgets a session that is in no chain and not in the expiry index.
    pub(crate) fn remove(&mut self, place: Place, head: &Head) {
        self.by_id.remove(self.id_tag(&head.id), place.0);
        self.owners.release(head.owner, &self.hash);
        self.extras.remove(head.extra);
        self.pages.free(place);
    }

    /// Says where a session stands in the expiry index.
    pub(crate) fn set_armed_at(&mut self, place: Place, armed_at: u32) {
        Head::write_armed_at(self.pages.at_mut(place), armed_at);
    }

    fn id_tag(&self, id: &SessionId) -> u32 {
        tag(&self.hash, id)
    }

    /// How many owners, extras and players there are.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.owners.len(), self.extras.len(), self.by_player.len())
    }
}

/// What finds a session's id in a table: its random bits, hashed.
#[inline]
pub(super) fn tag(hash: &RandomState, id: &SessionId) -> u32 {
    let bytes: [u8; ID] = id.to_bytes();
    let random = bytes.last_chunk().copied().unwrap_or_default();
    upper(hash.hash_one(u128::from_le_bytes(random)))
}

/// The upper half of a keyed hash.
pub(super) const fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}
