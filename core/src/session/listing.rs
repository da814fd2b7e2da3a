//! Listing sessions, page by page.

use super::{SessionRecord, UnreadableSession};
use crate::{NodeIncarnation, SessionId};

/// Where a listing goes on: all sessions up to this id have been listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor(pub SessionId);

/// Asks for one page of live sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ListSessions {
    /// Only those of this owner.
    pub owner: Option<NodeIncarnation>,
    /// Go on after this; `None` from the start.
    pub after: Option<Cursor>,
    /// The most sessions on the page; 0 counts as 1, and more than 1,000 as 1,000.
    pub limit: u16,
}

impl ListSessions {
    /// The first page of all sessions.
    pub fn all(limit: u16) -> Self {
        Self {
            owner: None,
            after: None,
            limit,
        }
    }

    /// The first page of what `owner` holds.
    pub fn of(owner: NodeIncarnation, limit: u16) -> Self {
        Self {
            owner: Some(owner),
            after: None,
            limit,
        }
    }

    /// The page after `cursor`.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.after = Some(cursor);
        self
    }

    /// The limit in force.
    pub fn page_len(&self) -> usize {
        usize::from(self.limit.clamp(1, 1_000))
    }
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionPage {
    /// Live sessions by id.
    pub sessions: Vec<SessionRecord>,
    /// Sessions on this stretch that cannot be read here.
    pub unreadable: Vec<UnreadableSession>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}
