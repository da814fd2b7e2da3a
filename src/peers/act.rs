//! What is asked of this node is done. It decides by its own table of sessions; whom that does not hold is
//! looked for in the store, once.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_core::session::RemoveSession;
use ringhold_core::transport::{PeerHandler, PeerRequest, PeerStream};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, PlayerId, Result, SessionRecord};

use super::frame::Ask;
use super::serve::check_reply;
use super::{CALL, Delivered, Kicked, displaced};
use crate::events::SessionEvent;
use crate::inbox::{PlayerMessage, Put};
use crate::node::Node;
use crate::{random, retry, save};

pub(super) async fn act(node: &Arc<Node>, mut request: PeerRequest, ask: Ask) -> Result<Bytes> {
    match ask {
        Ask::Call(body) => {
            let handler = handler(node)?;
            if let Some(player) = &request.player
                && node.attached.of(player).is_none()
            {
                return Err(elsewhere(node, player).await);
            }
            request.body = body;
            handler.handle(request).await.and_then(check_reply)
        }
        Ask::Message(body) => {
            let player = about(&request)?;
            deliver(node, player, request.from.clone(), body).await?;
            Ok(Bytes::new())
        }
        Ask::Announce(body) => announce(node, request.from.as_ref(), &body).encode(),
        Ask::Kick(reason) => kick(node, about(&request)?, reason).await?.encode(),
        Ask::Displaced(ended) => {
            displaced::end(node, &ended, request.from.as_ref());
            Ok(Bytes::new())
        }
    }
}

/// A stream about a player comes to whoever holds the player, or, where no live node does, to the node
/// that was chosen to.
pub(super) async fn open(node: &Arc<Node>, request: PeerRequest, stream: PeerStream) -> Result<()> {
    let handler = handler(node)?;
    if let Some(player) = &request.player
        && node.attached.of(player).is_none()
        && let Some(session) = find(node, player).await?
        && session.owner != node.me()
        && node.shared.is_member(&session.owner)
    {
        return Err(Error::not_owner(CALL, Some(session.owner)));
    }
    handler.open(request, stream).await
}

fn handler(node: &Node) -> Result<Arc<dyn PeerHandler>> {
    node.peer_handler().ok_or_else(|| {
        let context = "this node answers no calls; FleetBuilder::peer_handler gives it a handler";
        Error::new(ErrorKind::Unsupported, CALL, context)
    })
}

fn about(request: &PeerRequest) -> Result<&PlayerId> {
    request.player.as_ref().ok_or_else(|| {
        let context = "a request of this kind names a player, and this one does not";
        Error::new(ErrorKind::Corrupt, CALL, context)
    })
}

/// The player's newest live session, from the store.
async fn find(node: &Node, player: &PlayerId) -> Result<Option<SessionRecord>> {
    let store = &node.backend().sessions;
    let found = retry::until_deadline("locate", || store.find(player)).await?;
    Ok(found.into_iter().last())
}

/// Says who holds a player whom this node does not.
async fn elsewhere(node: &Node, player: &PlayerId) -> Error {
    match find(node, player).await {
        Ok(Some(session)) if session.owner != node.me() => Error::not_owner(CALL, Some(session.owner)),
        Ok(Some(_)) => {
            let context = "the player is not connected; the session waits for its player to come back";
            Error::new(ErrorKind::NotFound, CALL, context)
        }
        Ok(None) => Error::new(ErrorKind::NotFound, CALL, "nobody holds this player"),
        Err(error) => error,
    }
}

async fn deliver(node: &Node, player: &PlayerId, from: Option<NodeIncarnation>, body: Bytes) -> Result<()> {
    let Some(attached) = node.attached.of(player) else {
        return Err(elsewhere(node, player).await);
    };
    match attached.inbox.put(PlayerMessage { from, body }) {
        Put::Taken => Ok(()),
        Put::Full => {
            let context = "the player's inbox is full";
            Err(Error::new(ErrorKind::Overloaded, CALL, context))
        }
        // The stay ended just now.
        Put::Closed => Err(elsewhere(node, player).await),
    }
}

fn announce(node: &Node, from: Option<&NodeIncarnation>, body: &Bytes) -> Delivered {
    let (mut delivered, mut overloaded) = (0, 0);
    for attached in node.attached.all() {
        let message = PlayerMessage {
            from: from.cloned(),
            body: body.clone(),
        };
        match attached.inbox.put(message) {
            Put::Taken => delivered += 1,
            Put::Full => overloaded += 1,
            Put::Closed => {}
        }
    }
    Delivered::new(delivered, overloaded)
}

async fn kick(node: &Arc<Node>, player: &PlayerId, reason: String) -> Result<Kicked> {
    if let Some(attached) = node.attached.of(player) {
        match save::remove(node, &attached, SessionEvent::Kicked { reason }).await {
            Ok(()) => {
                node.count_sessions();
                return Ok(Kicked::Told);
            }
            // It ended meanwhile, or was taken over: whoever has it now is looked for.
            Err(error) if error.kind() == ErrorKind::Fenced => {}
            Err(error) => return Err(error),
        }
    }
    let Some(session) = find(node, player).await? else {
        return Ok(Kicked::Absent);
    };
    if session.owner != node.me() {
        return Err(Error::not_owner(CALL, Some(session.owner)));
    }
    // Nobody is connected: the session waits in the store.
    let store = &node.backend().sessions;
    let request = RemoveSession::new(session.id, session.fence, random::operation()?);
    match retry::until_deadline("kick", || store.remove(request.clone())).await {
        Ok(_) => Ok(Kicked::Untold),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kicked::Absent),
        // It came back, or moved on, since the look.
        Err(error) if error.kind() == ErrorKind::Fenced => Err(Error::not_owner(CALL, None)),
        Err(error) => Err(error),
    }
}
