//! What the holder of a session asks: saves, touches, claims, removal, restoration.

use bytes::Bytes;

use super::SessionRecord;
use super::check::{check_partition, check_sessions};
use crate::id::NUMBER_MAX;
use crate::{
    Error, ErrorKind, Fence, Limits, NodeIncarnation, Nonce, OperationId, Result, SessionId, Ttl, Version,
};

/// How many replicas have to acknowledge a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The backend's ordinary acknowledgement.
    #[default]
    Fast,
    /// Wait for so many replicas. A shortfall is `Ok` with the lower number in the answer.
    Replicated(u8),
}

/// Writes the data of a session and touches it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveSession {
    /// Which session.
    pub id: SessionId,
    /// The writer's fence.
    pub fence: Fence,
    /// The version that the data was read or written with.
    pub version: Version,
    /// How long it lives from now on.
    pub ttl: Ttl,
    /// The new data.
    pub data: Bytes,
    /// Names this write over all its attempts.
    pub operation: OperationId,
    /// How many replicas have to know of it; `None` for the backend's default.
    pub durability: Option<Durability>,
}

impl SaveSession {
    /// What every adapter checks before any I/O.
    ///
    /// # Errors
    /// `TooLarge` for the data, `InvalidArgument` for the last version that there is.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        limits.check_data("save", &self.data)?;
        self.version.next().map(drop)
    }

    /// A write of `data` over `version`.
    pub fn new(
        id: SessionId,
        fence: Fence,
        version: Version,
        ttl: Ttl,
        data: impl Into<Bytes>,
        operation: OperationId,
    ) -> Self {
        Self {
            id,
            fence,
            version,
            ttl,
            data: data.into(),
            operation,
            durability: None,
        }
    }
}

/// The answer to a write of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// The version of the data now.
    pub version: Version,
    /// How many replicas acknowledged.
    pub replicated: u8,
}

impl Saved {
    /// An answer.
    pub const fn new(version: Version, replicated: u8) -> Self {
        Self { version, replicated }
    }
}

/// Extends the life of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Touch {
    /// Which session.
    pub id: SessionId,
    /// The holder's fence.
    pub fence: Fence,
    /// How long it lives from now on.
    pub ttl: Ttl,
}

impl Touch {
    /// A touch.
    pub const fn new(id: SessionId, fence: Fence, ttl: Ttl) -> Self {
        Self { id, fence, ttl }
    }
}

/// Why a session is no more, as its tombstone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Its owner closed it.
    Removed,
    /// A later login ended it, or, as a login's own id, a claim or a restoration did.
    Displaced,
    /// It expired and its sweeper has acknowledged that.
    Expired,
}

/// What one touch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Touched {
    /// It lives for the asked time to live.
    Renewed,
    /// It stands under another fence; this is who holds it now.
    Fenced {
        /// Who holds it.
        owner: NodeIncarnation,
    },
    /// It has ended for good.
    Ended(EndReason),
    /// The store knows nothing of it. Its owner may restore it.
    NotFound,
    /// The record cannot be read here: `Corrupt` or `Unsupported`.
    Unreadable(ErrorKind),
    /// No answer for this one, while there was one for others: try again.
    Unanswered(ErrorKind),
}

/// The answers to touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TouchedMany {
    /// One answer per touch, in order.
    pub answers: Vec<Touched>,
    /// How many replicas acknowledged, for each of them at least.
    pub replicated: u8,
}

impl TouchedMany {
    /// Answers.
    pub fn new(answers: Vec<Touched>) -> Self {
        Self {
            answers,
            replicated: 0,
        }
    }
}

/// Makes the caller the owner of a session whose owner has left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimSession {
    /// Which session.
    pub id: SessionId,
    /// The fence that the caller saw.
    pub seen: Fence,
    /// The version that must still stand, for a login or a hand-over that has read it; `None` for any.
    pub seen_version: Option<Version>,
    /// The new owner.
    pub owner: NodeIncarnation,
    /// The nonce of the new fence. It also names this claim over all its attempts.
    pub nonce: Nonce,
    /// How long it lives from now on.
    pub ttl: Ttl,
    /// How many replicas have to know of it; `None` for the backend's default.
    pub durability: Option<Durability>,
}

impl ClaimSession {
    /// A claim on what stands under `seen`.
    pub fn new(id: SessionId, seen: Fence, owner: NodeIncarnation, nonce: Nonce, ttl: Ttl) -> Self {
        Self {
            id,
            seen,
            seen_version: None,
            owner,
            nonce,
            ttl,
            durability: None,
        }
    }

    /// The same claim, which wins only while the data is of this version.
    #[must_use]
    pub fn with_seen_version(mut self, version: Version) -> Self {
        self.seen_version = Some(version);
        self
    }
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claimed {
    /// The session, with its new owner and fence.
    pub session: SessionRecord,
    /// How many replicas acknowledged.
    pub replicated: u8,
}

impl Claimed {
    /// An answer.
    pub fn new(session: SessionRecord) -> Self {
        Self {
            session,
            replicated: 0,
        }
    }
}

/// Ends a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoveSession {
    /// Which session.
    pub id: SessionId,
    /// The fence under which it is held.
    pub fence: Fence,
    /// Names this write over all its attempts.
    pub operation: OperationId,
    /// How many replicas have to know of it; `None` for the backend's default.
    pub durability: Option<Durability>,
}

impl RemoveSession {
    /// Ends what stands under `fence`.
    pub fn new(id: SessionId, fence: Fence, operation: OperationId) -> Self {
        Self {
            id,
            fence,
            operation,
            durability: None,
        }
    }
}

/// The answer to a removal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// How many replicas acknowledged.
    pub replicated: u8,
}

/// Brings back a session that the store lost in a failover.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreSession {
    /// The session as its owner last had it acknowledged. `remaining` is not looked at.
    pub session: SessionRecord,
    /// The nonce of the new fence. It also names this write over all its attempts.
    pub nonce: Nonce,
    /// The most live sessions of the player with this one; 1 unless `Allow` was in use.
    pub live_max: u16,
    /// How many replicas have to know of it; `None` for the backend's default.
    pub durability: Option<Durability>,
}

impl RestoreSession {
    /// What every adapter checks before any I/O.
    ///
    /// # Errors
    /// `TooLarge` for the data; `InvalidArgument` for an id of another partition than the player's, a
    /// version or an epoch that is the last there is, and a number of sessions that is out of range.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        limits.check_data("restore", &self.session.data)?;
        check_partition("restore", &self.session.id, &self.session.player)?;
        check_sessions("restore", self.live_max)?;
        if self.session.version.get() >= NUMBER_MAX || self.session.fence.epoch >= NUMBER_MAX {
            let context = "its version or its epoch is the last that there is";
            return Err(Error::new(ErrorKind::InvalidArgument, "restore", context));
        }
        Ok(())
    }

    /// Brings `session` back under a new fence.
    pub fn new(session: SessionRecord, nonce: Nonce) -> Self {
        Self {
            session,
            nonce,
            live_max: 1,
            durability: None,
        }
    }
}

/// The answer to a restoration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The session as it now stands.
    pub session: SessionRecord,
    /// How many replicas acknowledged.
    pub replicated: u8,
}

impl Restored {
    /// An answer.
    pub fn new(session: SessionRecord) -> Self {
        Self {
            session,
            replicated: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_over_names_the_version_that_it_saw() {
        let nonce = Nonce::from_bytes([1; 16]);
        let node = crate::NodeId::new("a").unwrap();
        let owner = NodeIncarnation::new(node, crate::Incarnation { number: 1, nonce });
        let id = SessionId::new(crate::Partition::new(7).unwrap(), [2; 16]);
        let claim = ClaimSession::new(id, Fence { epoch: 1, nonce }, owner, nonce, Ttl::MIN);
        assert_eq!(claim.seen_version, None);
        let claim = claim.with_seen_version(Version::new(9));
        assert_eq!((claim.id, claim.seen_version), (id, Some(Version::new(9))));
    }
}
