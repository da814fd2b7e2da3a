//! Ends a player's session, wherever it is held.

use ringhold_core::session::RemoveSession;
use ringhold_core::{Error, ErrorKind, PlayerId, Result, codec};

use super::CALL;
use super::caller::Caller;
use super::frame::Ask;
use super::scope::Terms;
use crate::observer::Observer;
use crate::{random, retry};

/// The most bytes of the reason of a kick: 256.
pub const KICK_REASON_BYTES_MAX: usize = 256;

/// How often a session that moves while it is removed is looked for.
const LOOKS: usize = 3;

/// What a kick came to. The player has no session any more in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kicked {
    /// The node that held the player has ended the session and told the connection.
    Told,
    /// The session was taken out of the store, and no connection was told: there is none, or its node was
    /// not reached. There, the next touch tells it [`SessionEvent::Fenced`](crate::SessionEvent::Fenced).
    Untold,
    /// The player had no session.
    Absent,
}

impl Kicked {
    const fn number(self) -> u16 {
        match self {
            Self::Absent => 0,
            Self::Told => 1,
            Self::Untold => 2,
        }
    }

    pub(super) fn encode(self) -> Result<bytes::Bytes> {
        codec::encode_frame(&self.number()).map(bytes::Bytes::from)
    }

    fn decode(reply: &[u8]) -> Result<Self> {
        let number: u16 = codec::decode_frame(reply)?;
        [Self::Absent, Self::Told, Self::Untold]
            .into_iter()
            .find(|kicked| kicked.number() == number)
            .ok_or_else(|| {
                let context = format!("this build knows no outcome {number} of a kick");
                Error::new(ErrorKind::Unsupported, CALL, context)
            })
    }
}

impl Observer {
    /// Ends the player's session: the node that holds it takes it out of the store and tells the connection
    /// [`SessionEvent::Kicked`](crate::SessionEvent::Kicked) with `reason`, at most 256 bytes. Where that node
    /// cannot be reached within half of the time, the session is taken out of the store from here, under
    /// its fence. Nothing keeps the player from logging in again. Takes 5 s at most.
    ///
    /// # Cancel safety
    /// Dropping the future is ambiguous: the session may have ended.
    ///
    /// # Errors
    /// - `TooLarge`: the reason.
    /// - `Fenced`: the session moved from one holder to another again and again meanwhile.
    /// - `Unavailable`, `Timeout`: the store did not answer. The session may have ended.
    pub async fn kick(&self, player: &PlayerId, reason: &str) -> Result<Kicked> {
        let (caller, terms) = (self.caller(), Terms::keyed()?);
        let ask = Ask::Kick(reason.to_owned());
        ask.check()?;
        if caller.holds(player).is_none() && caller.session(player, &terms).await?.is_none() {
            return Ok(Kicked::Absent);
        }
        match caller.ask_holder(player, &ask, &terms.half()).await {
            Ok(reply) => Kicked::decode(&reply),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => Ok(Kicked::Absent),
                ErrorKind::Unavailable
                | ErrorKind::Timeout
                | ErrorKind::Overloaded
                | ErrorKind::Unsupported
                | ErrorKind::NotOwner => {
                    tracing::debug!(%error, "the holder of a player could not be asked to end the session");
                    caller.remove(player, &terms).await
                }
                _ => Err(error),
            },
        }
    }
}

impl Caller {
    /// Takes the player's session out of the store, under the fence that stands there. It may be gone
    /// already, by the hand of the holder whose answer did not come.
    async fn remove(&self, player: &PlayerId, terms: &Terms) -> Result<Kicked> {
        let store = &self.shared.backend.sessions;
        let mut looks = 0;
        loop {
            let Some(session) = self.session(player, terms).await? else {
                return Ok(Kicked::Untold);
            };
            looks += 1;
            let request = RemoveSession::new(session.id, session.fence, random::operation()?);
            let removed = retry::until_deadline("kick", || store.remove(request.clone()));
            match terms.in_time(removed).await {
                Ok(_) => return Ok(Kicked::Untold),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Kicked::Untold),
                // It was taken over since the look.
                Err(error) if error.kind() == ErrorKind::Fenced && looks < LOOKS => {}
                Err(error) => return Err(error),
            }
        }
    }
}
