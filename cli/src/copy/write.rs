//! Writing the sessions of one player.

use ringhold::core::session::RestoreSession;
use ringhold::{Error, ErrorKind, Fence, Limits, Result as Answer, SessionId, SessionRecord, SessionStore};

use super::{Came, stopped};
use crate::exit::Failure;

/// What came of one session.
#[derive(Debug)]
pub(super) struct Wrote {
    pub(super) id: SessionId,
    pub(super) came: Came,
    /// How many bytes of data it has, or why it does not stand at the target.
    pub(super) outcome: Result<u64, Error>,
}

/// The fence that a copy has: the same nonce, the next epoch.
pub(super) const fn fence(source: Fence) -> Fence {
    Fence {
        epoch: source.epoch.saturating_add(1),
        nonce: source.nonce,
    }
}

/// Writes all sessions of one player, the oldest first.
pub(super) async fn player(
    from: &dyn SessionStore,
    to: &dyn SessionStore,
    mut sessions: Vec<SessionRecord>,
) -> Result<Vec<Wrote>, Failure> {
    if let [first, _, ..] = &sessions[..] {
        // Only the store knows which is the oldest.
        match from.find(&first.player).await {
            Ok(found) => sessions = found,
            // One of them cannot be read, which the listing has told; the others come without order.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {}
            Err(error) => return Err(stopped(error, "reading the source")),
        }
    }
    let live_max = u16::try_from(sessions.len())
        .unwrap_or(u16::MAX)
        .min(Limits::SESSIONS_PER_PLAYER_MAX);
    let mut wrote = Vec::with_capacity(sessions.len());
    for session in sessions {
        let (id, came, data_bytes) = (session.id, Came::from(&session), session.data.len() as u64);
        let outcome = match restore(to, session, live_max).await {
            Ok(()) => Ok(data_bytes),
            Err(error) if error.is_retryable() => return Err(stopped(error, "writing to the target")),
            Err(error) if error.operation() == SAME => return Err(Failure::usage(error.context())),
            Err(error) => Err(error),
        };
        wrote.push(Wrote { id, came, outcome });
    }
    Ok(wrote)
}

/// The operation of the error that both sides are one.
const SAME: &str = "copy";

async fn restore(to: &dyn SessionStore, session: SessionRecord, live_max: u16) -> Answer<()> {
    let (id, seen) = (session.id, session.fence);
    let mut request = RestoreSession::new(session, seen.nonce);
    request.live_max = live_max;
    let restored = to.restore(request).await?.session;
    if restored.fence == seen {
        let context = format!(
            "session {id} stands at the target under the very fence that it has at the source: both URLs lead to \
             one fleet, or to a byte-for-byte copy of it"
        );
        return Err(Error::new(ErrorKind::InvalidArgument, SAME, context));
    }
    Ok(())
}
