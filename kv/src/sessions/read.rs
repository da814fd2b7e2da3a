//! What readers see: a session, a player's sessions, pages of all.

use ringhold_core::session::{Cursor, ListSessions, SessionPage, UnreadableSession};
use ringhold_core::{NodeIncarnation, Partition, PlayerId, Result, SessionId, SessionRecord};

use super::entry::Entry;
use super::{entries, entry, listed, whole, whole_or_why};
use crate::{Transaction, schema};

/// A live session.
///
/// # Errors
/// `Corrupt` and `Unsupported` where its record cannot be read.
pub fn get<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    id: &SessionId,
) -> Result<Option<SessionRecord>, T::Stop> {
    let keys = [schema::session(id), schema::body(id)];
    tx.expect(&keys.each_ref().map(Vec::as_slice))?;
    match entry(tx, id)?.filter(|entry| entry.is_live(now_ms)) {
        Some(entry) => Ok(Some(whole(tx, &entry)?.record(now_ms))),
        None => Ok(None),
    }
}

/// The live sessions of a player, oldest first.
///
/// # Errors
/// `Corrupt` and `Unsupported` where one of them cannot be read.
pub fn find<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    player: &PlayerId,
) -> Result<Vec<SessionRecord>, T::Stop> {
    let ids = listed(tx, player)?;
    let live = entries(tx, &ids)?
        .into_iter()
        .filter(|entry| entry.is_live(now_ms));
    live.map(|entry| Ok(whole(tx, &entry)?.record(now_ms))).collect()
}

/// One page of a listing, made in parts that each are a transaction of bounded size.
///
/// ```text
/// while let Some(part) = listing.part() { listing.add(/* in a transaction: */ part.read(tx, now_ms)?) }
/// ```
#[derive(Debug)]
pub struct Listing {
    owner: Option<NodeIncarnation>,
    limit: usize,
    /// The key to go on from; `None` at the end of the page.
    from: Option<Vec<u8>>,
    page: SessionPage,
}

/// What is read of a listing in one transaction.
#[derive(Debug, Clone)]
pub struct ListPart {
    owner: Option<NodeIncarnation>,
    from: Vec<u8>,
    limit: usize,
}

/// What a part of a listing came to.
#[derive(Debug, Default)]
pub struct Listed {
    sessions: Vec<SessionRecord>,
    unreadable: Vec<UnreadableSession>,
    /// The key to go on from; `None` at the end of all sessions.
    next: Option<Vec<u8>>,
}

impl Listing {
    /// The page that is asked for.
    pub fn new(request: &ListSessions) -> Self {
        let from = match request.after {
            None => schema::SESSIONS.to_vec(),
            Some(Cursor(id)) => behind(&schema::session(&id)),
        };
        Self {
            owner: request.owner.clone(),
            limit: request.page_len(),
            from: Some(from),
            page: SessionPage::default(),
        }
    }

    /// The next part, with at most `sessions_max` sessions; `None` where the page is whole.
    pub fn part(&self, sessions_max: usize) -> Option<ListPart> {
        // One more than the page holds tells whether there is a next one.
        let wanted = (self.limit + 1).saturating_sub(self.page.sessions.len());
        let from = self.from.clone().filter(|_| wanted > 0)?;
        Some(ListPart {
            owner: self.owner.clone(),
            from,
            limit: wanted.min(sessions_max.max(1)),
        })
    }

    /// Adds what the part came to.
    pub fn add(&mut self, listed: Listed) {
        self.page.sessions.extend(listed.sessions);
        self.page.unreadable.extend(listed.unreadable);
        self.from = listed.next;
    }

    /// The page.
    pub fn page(self) -> SessionPage {
        let mut page = self.page;
        if page.sessions.len() > self.limit {
            page.sessions.truncate(self.limit);
            page.next = page.sessions.last().map(|session| Cursor(session.id));
        }
        // What lies behind the page is told with the next one.
        if let Some(Cursor(last)) = page.next {
            page.unreadable.retain(|unreadable| unreadable.id <= last);
        }
        page
    }
}

impl ListPart {
    /// How many stored sessions one part looks at at most, whether they are shown or not.
    pub const SCAN: usize = 1_000;

    /// Reads it.
    ///
    /// # Errors
    /// None of its own: what cannot be read is told.
    pub fn read<T: Transaction>(&self, tx: &mut T, now_ms: u64) -> Result<Listed, T::Stop> {
        // Of all sessions most are shown, of an owner's few.
        let scan = match self.owner {
            None => self.limit.clamp(Self::SCAN / 10, Self::SCAN),
            Some(_) => Self::SCAN,
        };
        let found = tx.range(&self.from, &schema::end_of(schema::SESSIONS), scan)?;
        let mut next = (found.len() == scan)
            .then(|| found.last().map(|(key, _)| behind(key)))
            .flatten();
        let mut shown = Vec::new();
        let mut listed = Listed::default();
        for (key, value) in &found {
            let Some(id) = schema::read_session(key) else {
                // There is no id that it could be told under.
                continue;
            };
            let is_asked_for = |entry: &Entry| {
                let owner = self.owner.as_ref();
                entry.is_live(now_ms) && owner.is_none_or(|owner| owner.incarnation == entry.header.owner)
            };
            match Entry::decode(id, value) {
                Ok(entry) if is_asked_for(&entry) => shown.push(entry),
                Ok(_) => {}
                Err(error) => listed.unreadable.push(UnreadableSession::new(id, &error)),
            }
            if shown.len() == self.limit {
                next = Some(behind(key));
                break;
            }
        }
        let bodies: Vec<Vec<u8>> = shown.iter().map(|entry| schema::body(&entry.id)).collect();
        tx.expect(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        for entry in shown {
            match whole_or_why(tx, &entry)? {
                Ok(session) if self.owner.as_ref().is_none_or(|owner| *owner == session.owner) => {
                    listed.sessions.push(session.record(now_ms));
                }
                // Another node's run of the same number and nonce: not the owner that was asked for.
                Ok(_) => {}
                Err(error) => listed.unreadable.push(UnreadableSession::new(entry.id, &error)),
            }
        }
        listed.unreadable.sort_by_key(|unreadable| unreadable.id);
        listed.next = next;
        Ok(listed)
    }
}

/// The number of a partition's live sessions, read in transactions of bounded size.
///
/// ```text
/// while !count.is_whole() { count = /* in a transaction: */ count.read(tx, now_ms)? }
/// ```
#[derive(Debug, Clone)]
pub struct Count {
    /// The key to go on from; `None` at the end.
    from: Option<Vec<u8>>,
    to: Vec<u8>,
    sessions: u64,
}

impl Count {
    /// A count that has not begun.
    pub fn new(partition: Partition) -> Self {
        let from = schema::sessions_of(partition);
        Self {
            to: schema::end_of(&from),
            from: Some(from),
            sessions: 0,
        }
    }

    /// Whether the whole partition was read.
    pub const fn is_whole(&self) -> bool {
        self.from.is_none()
    }

    /// The number of sessions so far.
    pub const fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Goes on. A session that cannot be read counts, since a listing has it, too.
    ///
    /// # Errors
    /// None of its own.
    pub fn read<T: Transaction>(mut self, tx: &mut T, now_ms: u64) -> Result<Self, T::Stop> {
        let Some(from) = self.from.take() else {
            return Ok(self);
        };
        let found = tx.range(&from, &self.to, ListPart::SCAN)?;
        for (key, value) in &found {
            let Some(id) = schema::read_session(key) else {
                continue;
            };
            let has_expired = Entry::decode(id, value).is_ok_and(|entry| !entry.is_live(now_ms));
            self.sessions += u64::from(!has_expired);
        }
        if found.len() == ListPart::SCAN {
            self.from = found.last().map(|(key, _)| behind(key));
        }
        Ok(self)
    }
}

/// The first key behind `key`.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
