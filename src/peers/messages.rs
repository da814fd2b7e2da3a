//! Messages to one player.

use bytes::Bytes;
use ringhold_core::{PlayerId, Result};

use super::frame::Ask;
use super::scope::Terms;
use crate::observer::Observer;

impl Observer {
    /// Sends a message of at most 64 KiB to a player, wherever that is: it arrives at
    /// [`Session::event`](crate::Session::event) as [`SessionEvent::Message`](crate::SessionEvent::Message). `Ok`
    /// says that it is in the player's inbox; whoever reads it there may still be gone before. Messages of
    /// one sender that are sent one after the other arrive in their order. Takes 5 s at most, or what the
    /// handler leaves that this is called in.
    ///
    /// # Cancel safety
    /// Dropping the future is ambiguous: the message may have arrived.
    ///
    /// # Errors
    /// - `NotFound`: nobody holds the player, or the session waits in the store for its player to come back.
    /// - `Overloaded`: the inbox is full, with 64 messages or 256 KiB that were not taken yet.
    /// - `TooLarge`: above 64 KiB.
    /// - `Unavailable`, `Timeout`, `NotOwner`, `Unsupported`: as [`call_player`](Self::call_player).
    pub async fn send_to_player(&self, player: &PlayerId, body: impl Into<Bytes>) -> Result<()> {
        let (ask, terms) = (Ask::Message(body.into()), Terms::keyed()?);
        self.caller().ask_holder(player, &ask, &terms).await.map(drop)
    }
}
