//! What a store is asked, and what it answers.

use std::time::Duration;

use bytes::Bytes;

use super::{Displaced, SessionRecord, TakenSession, UnreadableSession};
use crate::{Fence, NodeIncarnation, Nonce, OperationId, Partition, PlayerId, SessionId, Ttl, Version};

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

/// Whose live session a login may take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TakeoverFrom {
    /// Only one that the same node incarnation holds.
    #[default]
    Own,
    /// Anybody's.
    Anyone,
}

/// What a login does where the player has live sessions already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnExisting {
    /// The player's newest live session stays, with its id and data; the fence is new, and the old
    /// holder's connection ends. One that may not be taken over is answered untouched.
    Takeover {
        /// Whose session may be taken over.
        from: TakeoverFrom,
    },
    /// `AlreadyExists`.
    Reject,
    /// A new session; all old ones end.
    Replace,
    /// A new session beside the old ones; beyond `max`, the oldest end. 0 counts as 1.
    Allow {
        /// The most live sessions of one player.
        max: u16,
    },
}

impl Default for OnExisting {
    fn default() -> Self {
        Self::Takeover {
            from: TakeoverFrom::Own,
        }
    }
}

/// Logs a player in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateSession {
    /// The id of a new session. It also names this login: a repetition carries the same.
    pub id: SessionId,
    /// Who logs in. Its partition is the id's.
    pub player: PlayerId,
    /// Who will hold the session.
    pub owner: NodeIncarnation,
    /// The nonce of the new fence.
    pub nonce: Nonce,
    /// How long it lives without a touch.
    pub ttl: Ttl,
    /// The data of a new session; one that is taken over keeps its own.
    pub data: Bytes,
    /// What happens to live sessions of the player.
    pub on_existing: OnExisting,
    /// How many replicas have to know of it; `None` for the backend's default.
    pub durability: Option<Durability>,
}

impl CreateSession {
    /// A login that takes over only what the same owner holds, with empty data.
    pub fn new(id: SessionId, player: PlayerId, owner: NodeIncarnation, nonce: Nonce, ttl: Ttl) -> Self {
        let (data, on_existing) = (Bytes::new(), OnExisting::default());
        Self {
            id,
            player,
            owner,
            nonce,
            ttl,
            data,
            on_existing,
            durability: None,
        }
    }

    /// The same login with data for a new session.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// The same login with another rule for live sessions.
    #[must_use]
    pub fn with_on_existing(mut self, on_existing: OnExisting) -> Self {
        self.on_existing = on_existing;
        self
    }
}

/// What a login came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CreateOutcome {
    /// The session is new.
    New,
    /// A live session was taken over: same id and data, new fence.
    TakenOver,
    /// A live session of another owner stands untouched; nothing was written.
    Elsewhere,
}

/// The answer to a login.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Created {
    /// What it came to.
    pub outcome: CreateOutcome,
    /// The session as it now stands.
    pub session: SessionRecord,
    /// The holds that this login ended, oldest first.
    pub displaced: Vec<Displaced>,
    /// How many replicas acknowledged.
    pub replicated: u8,
}

impl Created {
    /// An answer.
    pub fn new(outcome: CreateOutcome, session: SessionRecord, displaced: Vec<Displaced>) -> Self {
        Self {
            outcome,
            session,
            displaced,
            replicated: 0,
        }
    }
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
    /// A later login ended it.
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
    /// It is live with another fence; this is who holds it now.
    Fenced {
        /// Who holds it.
        owner: NodeIncarnation,
    },
    /// It has ended for good.
    Ended(EndReason),
    /// The store knows nothing of it. Its owner may restore it.
    NotFound,
    /// The record cannot be read here: `Corrupt` or `Unsupported`.
    Unreadable(crate::ErrorKind),
}

/// Makes the caller the owner of a session whose owner has left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimSession {
    /// Which session.
    pub id: SessionId,
    /// The fence that the caller saw.
    pub seen: Fence,
    /// The version that must still stand, for a hand-over; `None` for any.
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

/// Takes expired sessions for a sweeper, and moves the clocks of the partitions on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakeExpired {
    /// Where to look.
    pub partitions: Vec<Partition>,
    /// The most sessions per partition; 0 only moves the clocks on.
    pub limit: u16,
    /// How long they are hidden from other takes. At least 1 s.
    pub visibility: Duration,
    /// What an acknowledgement has to show.
    pub token: Nonce,
}

impl TakeExpired {
    /// Takes up to `limit` from each of `partitions`, hidden for 30 s.
    pub fn new(partitions: Vec<Partition>, limit: u16, token: Nonce) -> Self {
        Self {
            partitions,
            limit,
            visibility: Duration::from_secs(30),
            token,
        }
    }

    /// The same take with another visibility time.
    #[must_use]
    pub fn with_visibility(mut self, visibility: Duration) -> Self {
        self.visibility = visibility.max(Duration::from_secs(1));
        self
    }
}

/// What a sweeper got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenSessions {
    /// Expired sessions, the longest expired of each partition first.
    pub sessions: Vec<TakenSession>,
    /// Expired records that cannot be read here; they are taken like others.
    pub unreadable: Vec<UnreadableSession>,
    /// Partitions that hold more than the limit let through.
    pub more: Vec<Partition>,
}

/// Ends an expired session that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AckExpired {
    /// Which session.
    pub id: SessionId,
    /// The token of the take.
    pub token: Nonce,
}

impl AckExpired {
    /// Acknowledges the take of `id` with `token`.
    pub const fn new(id: SessionId, token: Nonce) -> Self {
        Self { id, token }
    }
}
