//! Logging in.

use bytes::Bytes;

use super::check::{check_partition, check_sessions};
use super::{Displaced, Durability, SessionRecord};
use crate::{Limits, NodeIncarnation, Nonce, PlayerId, Result, SessionId, Ttl};

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
    /// A live session is returned untouched, whichever node owns it; a new one is made only where there is
    /// none. Of several, the newest of the same owner is returned, otherwise the newest.
    ///
    /// A caller reads the session before it decides, and then [claims](super::ClaimSession) it
    /// under the fence and version that it read.
    Existing,
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
    /// A new session beside the old ones; beyond `max`, the oldest end.
    Allow {
        /// The most live sessions of one player, 1 to
        /// [`SESSIONS_PER_PLAYER_MAX`](crate::Limits::SESSIONS_PER_PLAYER_MAX).
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
    /// The data of a new session; one that exists keeps its own.
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

    /// What every adapter checks before any I/O.
    ///
    /// # Errors
    /// `TooLarge` for the data; `InvalidArgument` for an id of another partition than the player's and
    /// for a number of sessions that is out of range.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        limits.check_data("create", &self.data)?;
        check_partition("create", &self.id, &self.player)?;
        if let OnExisting::Allow { max } = self.on_existing {
            check_sessions("create", max)?;
        }
        Ok(())
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
    /// A live session was returned untouched, under [`OnExisting::Existing`]. `session.owner` may be
    /// the caller.
    Existing,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_says_what_it_was_told() {
        let player = PlayerId::new("ada").unwrap();
        let nonce = Nonce::from_bytes([1; 16]);
        let node = crate::NodeId::new("a").unwrap();
        let owner = NodeIncarnation::new(node, crate::Incarnation { number: 1, nonce });
        let id = SessionId::new(player.partition(), [2; 16]);
        let login = CreateSession::new(id, player, owner, nonce, Ttl::MIN);
        let own = OnExisting::Takeover {
            from: TakeoverFrom::Own,
        };
        assert_eq!(
            (login.data.len(), login.on_existing, login.durability),
            (0, own, None)
        );
        let login = login.with_data("x").with_on_existing(OnExisting::Reject);
        assert_eq!(
            (&login.data[..], login.on_existing),
            (&b"x"[..], OnExisting::Reject)
        );
    }
}
