//! Obtaining a session from the store: a new one, one's own, or one whose owner has left.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::session::{
    ClaimSession, CreateOutcome, CreateSession, Created, Displaced, OnExisting, SessionRecord, TakeoverFrom,
};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, NodeState, PlayerId, Result, SessionId};

use crate::attached::Slot;
use crate::login::{LoginOptions, Redirect};
use crate::node::{Node, not_attached};
use crate::shared::record_of;
use crate::{random, retry};

/// No login waits longer for a fresh view.
const FRESH_VIEW_DEADLINE: Duration = Duration::from_secs(5);

/// What a login came to in the store.
pub(crate) enum Obtained {
    /// The session is this node's.
    Here(Held),
    /// A node that has not left holds it.
    Elsewhere(Redirect),
    /// Somebody else was faster: look again.
    Again,
}

/// A session that is now this node's.
pub(crate) struct Held {
    pub(crate) record: SessionRecord,
    pub(crate) is_new: bool,
    /// The holds that this ended.
    pub(crate) displaced: Vec<Displaced>,
    pub(crate) slot: Slot,
}

/// One attempt to make the player this node's.
pub(crate) async fn obtain(
    node: &Arc<Node>,
    player: &PlayerId,
    options: &LoginOptions,
    initial: &Bytes,
) -> Result<Obtained> {
    if let Some(id) = options.resume {
        return resume(node, player, options, id).await;
    }
    let slot = take_slot(node, player, options.displace).await?;
    let created = create(node, player, options, initial.clone()).await?;
    if created.outcome != CreateOutcome::Elsewhere {
        let is_new = created.outcome == CreateOutcome::New;
        let held = Held {
            record: created.session,
            is_new,
            displaced: created.displaced,
            slot,
        };
        return Ok(Obtained::Here(held));
    }
    let session = created.session;
    if session.owner == node.me() {
        // This node registered again meanwhile, and has claimed it under its new name.
        return Ok(Obtained::Again);
    }
    if has_left(node, &session.owner).await? {
        claim(node, options, &session, slot).await
    } else {
        Ok(redirect(node, session.owner))
    }
}

/// Comes back to exactly this session of this player.
async fn resume(
    node: &Arc<Node>,
    player: &PlayerId,
    options: &LoginOptions,
    id: SessionId,
) -> Result<Obtained> {
    let ended = || {
        let context = "the session to resume has ended; log in without it";
        Error::new(ErrorKind::NotFound, "login", context)
    };
    let store = &node.backend().sessions;
    let found = retry::until_deadline("login", || store.get(&id)).await?;
    let session = found
        .filter(|session| session.player == *player)
        .ok_or_else(ended)?;
    let slot = if session.owner == node.me() {
        node.attached.try_take(None)
    } else if options.displace {
        Some(take_slot(node, player, true).await?)
    } else if has_left(node, &session.owner).await? {
        node.attached.try_take(None)
    } else {
        return Ok(redirect(node, session.owner));
    };
    match slot {
        Some(slot) => claim(node, options, &session, slot).await,
        None => Err(Error::new(
            ErrorKind::Overloaded,
            "login",
            "this node holds all the players it can count",
        )),
    }
}

fn redirect(node: &Node, owner: NodeIncarnation) -> Obtained {
    let record = record_of(&node.shared.view.latest(), &owner);
    Obtained::Elsewhere(Redirect { node: owner, record })
}

/// Claims a session under the fence that was seen. Who calls it has made sure that the owner is
/// this node, has left, or is to be displaced.
async fn claim(
    node: &Arc<Node>,
    options: &LoginOptions,
    session: &SessionRecord,
    slot: Slot,
) -> Result<Obtained> {
    let ttl = options.ttl.unwrap_or(node.session_ttl);
    let request = ClaimSession::new(session.id, session.fence, node.me(), random::nonce()?, ttl);
    let store = &node.backend().sessions;
    match retry::until_deadline("login", || store.claim(request.clone())).await {
        Ok(claimed) => {
            let displaced = vec![Displaced::from(session)];
            Ok(Obtained::Here(Held {
                record: claimed.session,
                is_new: false,
                displaced,
                slot,
            }))
        }
        Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::NotFound) => Ok(Obtained::Again),
        Err(error) => Err(error),
    }
}

/// Takes a place on this node. A full node still takes those back whom it, or a node that has left,
/// holds: they have nowhere else to go.
async fn take_slot(node: &Arc<Node>, player: &PlayerId, displace: bool) -> Result<Slot> {
    let record = node.record();
    let free = record.state == NodeState::Ready && record.weight.get() > 0;
    if free && let Some(slot) = node.attached.try_take(record.capacity) {
        return Ok(slot);
    }
    let store = &node.backend().sessions;
    let found = retry::until_deadline("login", || store.find(player)).await?;
    let is_homeless = |session: &SessionRecord| {
        session.owner.node == node.me().node
            || node.shared.view.latest().incarnation(&session.owner).is_none()
    };
    // One whom a live node holds stays there: `Elsewhere`, or, displaced, a new player like any other.
    if found.iter().any(|session| is_homeless(session) || !displace)
        && let Some(slot) = node.attached.try_take(None)
    {
        return Ok(slot);
    }
    let why = if free {
        format!("is full with {} players", node.attached.taken())
    } else if record.state == NodeState::Ready {
        "has the weight 0".to_owned()
    } else {
        format!("is {}", record.state.as_str())
    };
    let context = format!("this node {why} and takes no new players; place the player elsewhere");
    Err(Error::new(ErrorKind::Overloaded, "login", context).with_retryable(false))
}

async fn create(node: &Arc<Node>, player: &PlayerId, options: &LoginOptions, data: Bytes) -> Result<Created> {
    let id = random::session_id(player.partition())?;
    let ttl = options.ttl.unwrap_or(node.session_ttl);
    let from = if options.displace {
        TakeoverFrom::Anyone
    } else {
        TakeoverFrom::Own
    };
    let request = CreateSession::new(id, player.clone(), node.me(), random::nonce()?, ttl)
        .with_data(data)
        .with_on_existing(OnExisting::Takeover { from });
    let store = &node.backend().sessions;
    retry::until_deadline("login", || store.create(request.clone())).await
}

/// Whether exactly this run of the owner has left.
///
/// Only a view that was renewed within one heartbeat may say so, and of an owner that was never
/// seen here only one that was renewed after the question came up: it may have joined just now.
async fn has_left(node: &Arc<Node>, owner: &NodeIncarnation) -> Result<bool> {
    if node.shared.is_member(owner) {
        return Ok(false);
    }
    let fresh = node.contact.age() <= node.timing.heartbeat();
    if fresh && node.shared.has_departed(owner) {
        return Ok(true);
    }
    node.contact.renewed_from_now(FRESH_VIEW_DEADLINE).await?;
    // What a lost lease and a new registration leave open is settled by the next attempt.
    if !node.is_attached() {
        return Err(not_attached("login", node));
    }
    Ok(!node.shared.is_member(owner))
}
