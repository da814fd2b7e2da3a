//! The value of a session's key: all that is decided by, without its body.

use ringhold_core::codec::{SessionHeader, StoredSession};
use ringhold_core::{PlayerId, Result, SessionId};

use crate::transaction::corrupt;

const ARMED_LEN: usize = 8;

/// A session without its body.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: SessionId,
    /// Where its `due` key stands: never later than it is due.
    pub(super) armed_ms: u64,
    pub(super) header: SessionHeader,
    pub(super) player: PlayerId,
}

impl Entry {
    /// The entry of `session`, which stands at `armed_ms`.
    pub(super) fn new(session: &StoredSession, armed_ms: u64) -> Self {
        Self {
            id: session.id,
            armed_ms,
            header: session.header(),
            player: session.player.clone(),
        }
    }

    /// Reads the value of the key of `id`. Headers of newer formats can be read, as their layout never
    /// changes.
    pub(super) fn decode(id: SessionId, bytes: &[u8]) -> Result<Self> {
        let malformed = || corrupt("session record", "the entry of a session");
        let (armed, rest) = bytes.split_first_chunk::<ARMED_LEN>().ok_or_else(malformed)?;
        let (header, player) = rest.split_at_checked(SessionHeader::LEN).ok_or_else(malformed)?;
        let player = std::str::from_utf8(player).map_err(|error| malformed().with_source(error))?;
        let player = PlayerId::new(player).map_err(|error| malformed().with_source(error))?;
        if player.partition() != id.partition() {
            return Err(malformed());
        }
        Ok(Self {
            id,
            armed_ms: u64::from_le_bytes(*armed),
            header: SessionHeader::read(header)?,
            player,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let player = self.player.as_str().as_bytes();
        [&self.armed_ms.to_le_bytes()[..], &self.header.encode(), player].concat()
    }

    pub(super) const fn is_live(&self, now_ms: u64) -> bool {
        self.header.is_live(now_ms)
    }

    /// Whether the login `id` is the one that holds the session. None holds one that was unlinked.
    pub(super) fn is_held_by(&self, id: &SessionId) -> bool {
        !self.header.unlinked && self.header.login == Some(*id)
    }

    /// The login that holds the session, where it took the session over.
    pub(super) fn login_elsewhere(&self) -> Option<SessionId> {
        self.header
            .login
            .filter(|login| *login != self.id && !self.header.unlinked)
    }
}
