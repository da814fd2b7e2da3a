//! Requests to check what is stored of sessions, and to repair what does not fit together.

use bytes::Bytes;

/// Checks one part of what a fleet stores of its sessions, and repairs it on request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairSessions {
    /// The part after this one; the first part without it.
    pub after: Option<RepairCursor>,
    /// Whether faults are repaired or only reported.
    pub repair: bool,
}

impl RepairSessions {
    /// A check that changes nothing.
    pub fn check() -> Self {
        Self::default()
    }

    /// A check that repairs what it finds.
    pub fn repair() -> Self {
        Self {
            after: None,
            repair: true,
        }
    }

    /// The same request for the part after `cursor`.
    #[must_use]
    pub fn after(mut self, cursor: RepairCursor) -> Self {
        self.after = Some(cursor);
        self
    }
}

/// Where a check goes on; only the store that returned it can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairCursor(Bytes);

impl RepairCursor {
    /// A cursor of these bytes, for stores.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the store that made it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The faults in one part of what is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairedSessions {
    /// How many stored sessions and tombstones this part has. 0 is possible before the last part.
    pub entries: u64,
    /// Entries that do not fit together or cannot be read.
    pub faults: Vec<SessionFault>,
    /// Where the next part begins; `None` after the last part.
    pub next: Option<RepairCursor>,
}

/// One fault among what is stored of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionFault {
    /// The stored entry in the words of its store, such as `session/35a-…`; it may hold a player's id.
    pub entry: String,
    /// The kind of the fault.
    pub problem: SessionProblem,
    /// Whether it is repaired now.
    pub repaired: bool,
}

impl SessionFault {
    /// A fault that is not repaired.
    pub fn new(entry: impl Into<String>, problem: SessionProblem) -> Self {
        Self {
            entry: entry.into(),
            problem,
            repaired: false,
        }
    }
}

/// The kind of a fault of a stored entry, and the effect of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionProblem {
    /// It refers to a session or a tombstone that is not there. A repair removes the reference.
    Dangling,
    /// An index lacks it: its player's list, or what orders deadlines. A repair adds it.
    NotIndexed,
    /// It cannot be read. A repair removes it with all that belongs to it; a session's player can log in again,
    /// to a new session. It leaves what is not one entry but the key of many.
    Unreadable,
    /// It is lost, with all that it holds: one of a store's keys for many sessions. A repair rebuilds it from the others, or
    /// starts it again where the owners of its sessions have to restore them.
    Lost,
    /// It is of a newer format. A repair leaves it to a build that reads it.
    Newer,
}

impl SessionProblem {
    /// The problem's name in `snake_case`, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dangling => "dangling",
            Self::NotIndexed => "not_indexed",
            Self::Unreadable => "unreadable",
            Self::Lost => "lost",
            Self::Newer => "newer",
        }
    }
}
