//! What a store answers about sessions.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{Error, ErrorKind, Fence, NodeIncarnation, Nonce, PlayerId, SessionId, Ttl, Version};

/// A player's stay, as the store has it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionRecord {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub player: PlayerId,
    /// Who holds it now.
    pub owner: NodeIncarnation,
    /// What every write of the owner carries.
    pub fence: Fence,
    /// The version of the data.
    pub version: Version,
    /// The time to live that its last touch asked for.
    pub ttl: Ttl,
    /// How long it still lives unless it is touched.
    pub remaining: Duration,
    /// The application's bytes.
    pub data: Bytes,
}

impl SessionRecord {
    /// A record of version 1 and epoch 1 that lives for `ttl`; an adapter sets the rest.
    pub fn new(
        id: SessionId,
        player: PlayerId,
        owner: NodeIncarnation,
        nonce: Nonce,
        ttl: Ttl,
        data: Bytes,
    ) -> Self {
        Self {
            id,
            player,
            owner,
            fence: Fence { epoch: 1, nonce },
            version: Version::FIRST,
            ttl,
            remaining: ttl.duration(),
            data,
        }
    }
}

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("id", &self.id)
            .field("player", &self.player)
            .field("owner", &self.owner)
            .field("fence", &self.fence)
            .field("version", &self.version.get())
            .field("ttl", &self.ttl)
            .field("remaining", &self.remaining)
            // The application's bytes may be secret.
            .field("data_bytes", &self.data.len())
            .finish()
    }
}

/// The hold on a session that a login ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Displaced {
    /// The session that was held: the same id when it was taken over, another when it was replaced.
    pub id: SessionId,
    /// Who held it.
    pub owner: NodeIncarnation,
    /// The fence that is void from now on.
    pub fence: Fence,
}

impl Displaced {
    /// The hold of `owner` on `id` under `fence`.
    pub fn new(id: SessionId, owner: NodeIncarnation, fence: Fence) -> Self {
        Self { id, owner, fence }
    }
}

impl From<&SessionRecord> for Displaced {
    fn from(record: &SessionRecord) -> Self {
        Self::new(record.id, record.owner.clone(), record.fence)
    }
}

/// An expired session that a sweeper has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenSession {
    /// What it was; `remaining` is zero.
    pub session: SessionRecord,
    /// What [`ack_expired`](crate::SessionStore::ack_expired) needs.
    pub token: Nonce,
}

impl TakenSession {
    /// This session, taken with this token.
    pub fn new(session: SessionRecord, token: Nonce) -> Self {
        Self { session, token }
    }
}

/// A stored session that cannot be read here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnreadableSession {
    /// Its id.
    pub id: SessionId,
    /// `Corrupt`, or `Unsupported` for a newer format.
    pub kind: ErrorKind,
    /// The same in words.
    pub context: String,
}

impl UnreadableSession {
    /// The session `id`, unreadable because of `error`.
    pub fn new(id: SessionId, error: &Error) -> Self {
        Self {
            id,
            kind: error.kind(),
            context: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> SessionRecord {
        let player = PlayerId::new("ada").unwrap();
        let nonce = Nonce::from_bytes([1; 16]);
        let node = crate::NodeId::new("a").unwrap();
        let owner = NodeIncarnation::new(node, crate::Incarnation { number: 1, nonce });
        let id = SessionId::new(player.partition(), [2; 16]);
        SessionRecord::new(id, player, owner, nonce, Ttl::MIN, Bytes::from_static(b"secret"))
    }

    #[test]
    fn the_data_is_not_shown() {
        let shown = format!("{:?}", record());
        for part in ["\"ada\"", "a#1/0101..", "version: 1", "ttl: 1s", "data_bytes: 6"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_hold_is_of_the_record() {
        let record = record();
        let hold = Displaced::from(&record);
        assert_eq!(
            hold,
            Displaced::new(record.id, record.owner.clone(), record.fence)
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_in_words() {
        let id = record().id;
        let error = Error::new(ErrorKind::Unsupported, "session record", "of format 9");
        let unreadable = UnreadableSession::new(id, &error);
        assert_eq!((unreadable.id, unreadable.kind), (id, ErrorKind::Unsupported));
        assert_eq!(unreadable.context, "session record: unsupported: of format 9");
    }
}
