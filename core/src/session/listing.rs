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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_session_to_a_thousand() {
        for (limit, len) in [
            (0, 1),
            (1, 1),
            (7, 7),
            (1_000, 1_000),
            (1_001, 1_000),
            (u16::MAX, 1_000),
        ] {
            assert_eq!(ListSessions::all(limit).page_len(), len);
        }
    }

    #[test]
    fn a_listing_goes_on_after_a_cursor() {
        let nonce = crate::Nonce::from_bytes([1; 16]);
        let node = crate::NodeId::new("a").unwrap();
        let owner = NodeIncarnation::new(node, crate::Incarnation { number: 1, nonce });
        let id = SessionId::new(crate::Partition::new(7).unwrap(), [2; 16]);
        let next = ListSessions::of(owner.clone(), 9).after(Cursor(id));
        assert_eq!(
            (next.owner, next.after, next.limit),
            (Some(owner), Some(Cursor(id)), 9)
        );
        let first = ListSessions::all(9);
        assert_eq!((first.owner, first.after, first.limit), (None, None, 9));
    }
}
