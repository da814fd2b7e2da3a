//! Calls and streams: to a node, and to whoever holds a player.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerStream};
use ringhold_core::view::Reservation;
use ringhold_core::{Error, ErrorKind, NodeRecord, PlayerId, Result};

use super::caller::Caller;
use super::frame::Ask;
use super::scope::Terms;
use super::{CALL, CallOptions, PeerTarget};
use crate::observer::Observer;

/// The most bytes of one message to a player: 64 KiB.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a call's body: what fits into one request beside its frame.
pub(super) const CALL_BYTES_MAX: usize = BODY_BYTES_MAX - 16;

impl Observer {
    /// Calls the [`PeerHandler`](crate::PeerHandler) of a node, and answers what it answered. A [`Fleet`](crate::Fleet)
    /// signs its calls with its name, an observer does not. A node's call to itself uses no transport.
    ///
    /// # Cancel safety
    /// Dropping the future is ambiguous: the handler may run, or have run.
    ///
    /// # Errors
    /// - The handler's own; `Unsupported` where the node has none, or where there is no transport.
    /// - `Unavailable`: the node is no member, is not reached, is another run than the one that is meant, has
    ///   stopped, or its handler panicked.
    /// - `Timeout`: no answer in time. The handler may have run.
    /// - `Overloaded`: too much is on its way to the node already.
    /// - `TooLarge`: the body or the answer is above 1 MiB less the 16 bytes that the runtime adds.
    /// - `InvalidArgument`: the key was given to a call with another body, or a handler has called its own node,
    ///   whose handler did the same, and so on for 16 times.
    pub async fn call(
        &self,
        node: impl Into<PeerTarget>,
        body: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Bytes> {
        let (node, ask) = (node.into(), Ask::Call(body.into()));
        let (caller, terms) = (self.caller(), Terms::new(&options)?);
        let record = caller.member(&node, &terms).await?;
        caller.call(&record, None, &ask, &terms).await
    }

    /// Calls the handler of the node that holds `player`; the request names the player. One read of the
    /// store says who that is, none where this node is. A node that no longer holds the player says who
    /// does, and is believed once.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    ///
    /// # Errors
    /// As [`call`](Self::call), and:
    /// - `NotFound`: nobody holds the player, or the session waits in the store for its player to come back.
    /// - `NotOwner`: the player moved twice meanwhile.
    /// - `Unavailable`: the holder is no member any more; whoever logs the player in next claims the session.
    pub async fn call_player(
        &self,
        player: &PlayerId,
        body: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Bytes> {
        let ask = Ask::Call(body.into());
        let (caller, terms) = (self.caller(), Terms::new(&options)?);
        caller.ask_holder(player, &ask, &terms).await
    }

    /// Opens a stream to the handler of a node. The time of the options is that until it is taken; no key
    /// is sent, since nothing of a stream is repeated.
    ///
    /// # Cancel safety
    /// A stream whose opening was dropped is dropped.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn open(
        &self,
        node: impl Into<PeerTarget>,
        body: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<PeerStream> {
        let (node, ask) = (node.into(), Ask::Call(body.into()));
        let (caller, terms) = (self.caller(), Terms::new(&options)?);
        let record = caller.member(&node, &terms).await?;
        caller.open(&record, None, &ask, &terms).await
    }

    /// Opens a stream to the node that holds `player`, or, where none does, to the one that
    /// [`place`](Self::place) chooses. This is how a gateway brings a player in: the handler there logs the
    /// player in and serves it over the stream. Where that login is `Elsewhere` it answers
    /// [`Error::not_owner`], and the other node is tried, once.
    ///
    /// # Cancel safety
    /// A stream whose opening was dropped is dropped.
    ///
    /// # Errors
    /// As [`call`](Self::call); `NotOwner` when the player moved twice meanwhile; those of
    /// [`place`](Self::place).
    pub async fn open_player(
        &self,
        player: &PlayerId,
        body: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<PeerStream> {
        let ask = Ask::Call(body.into());
        let (caller, terms) = (self.caller(), Terms::new(&options)?);
        let home = match caller.holds(player) {
            Some(here) => Home::Holder(here),
            None => self.home(&caller, player, &terms).await?,
        };
        match home.open(&caller, player, &ask, &terms).await {
            Err(error) if error.kind() == ErrorKind::NotOwner => {
                let home = match caller.named(&error) {
                    Some(named) => Home::Holder(named),
                    None => self.home(&caller, player, &terms).await?,
                };
                home.open(&caller, player, &ask, &terms).await
            }
            opened => opened,
        }
    }

    /// Where the player is, or is to go.
    async fn home(&self, caller: &Caller, player: &PlayerId, terms: &Terms) -> Result<Home> {
        if let Some(session) = caller.session(player, terms).await?
            && let Ok(holder) = caller.member(&(&session.owner).into(), terms).await
        {
            return Ok(Home::Holder(holder));
        }
        self.place(player).map(Home::Placed)
    }
}

/// Where a player's stream goes. A reservation is held until the stream is accepted; then its player's login is
/// expected.
enum Home {
    Holder(Arc<NodeRecord>),
    Placed(Reservation),
}

impl Home {
    fn record(&self) -> &NodeRecord {
        match self {
            Self::Holder(record) => record,
            Self::Placed(place) => place.record(),
        }
    }

    async fn open(self, caller: &Caller, player: &PlayerId, ask: &Ask, terms: &Terms) -> Result<PeerStream> {
        let opened = caller.open(self.record(), Some(player), ask, terms).await;
        if let (Self::Placed(place), Err(_)) = (self, &opened) {
            place.release();
        }
        opened
    }
}

impl Caller {
    /// Asks the node that holds `player`, and once whoever that says holds the player instead.
    pub(super) async fn ask_holder(&self, player: &PlayerId, ask: &Ask, terms: &Terms) -> Result<Bytes> {
        ask.check()?;
        let holder = match self.holds(player) {
            Some(here) => here,
            None => self.holder(player, terms).await?,
        };
        match self.call(&holder, Some(player), ask, terms).await {
            Err(error) if error.kind() == ErrorKind::NotOwner => {
                let holder = match self.named(&error) {
                    Some(named) => named,
                    None => self.holder(player, terms).await?,
                };
                self.call(&holder, Some(player), ask, terms).await
            }
            answer => answer,
        }
    }

    /// Who holds `player` according to the store.
    async fn holder(&self, player: &PlayerId, terms: &Terms) -> Result<Arc<NodeRecord>> {
        let session = self.session(player, terms).await?.ok_or_else(|| {
            let context = "nobody holds this player";
            Error::new(ErrorKind::NotFound, CALL, context)
        })?;
        self.member(&(&session.owner).into(), terms).await
    }
}
