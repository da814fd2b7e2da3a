//! A login's two steps in the store: find the player's session without changing it, then claim it.
//! The caller decodes the session in between.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::session::{
    ClaimSession, CreateOutcome, CreateSession, Created, OnExisting, SessionRecord,
};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, NodeState, PlayerId, Result, SessionId};

use crate::attached::{Attached, Slot};
use crate::login::{LoginOptions, Redirect};
use crate::node::{Node, not_attached};
use crate::shared::record_of;
use crate::{random, retry, save};

/// No login waits longer for a fresh view.
const FRESH_VIEW_DEADLINE: Duration = Duration::from_secs(5);

/// The player's session, as a login finds it.
pub(crate) enum Found {
    /// This login made it, and this node owns it.
    New(SessionRecord, Slot),
    /// It exists, and this node may [claim](claim) it: the node owns it already, its owner has
    /// left, or is to be displaced. Nothing has been written.
    Claimable(SessionRecord, Slot),
    /// A node that has not left owns it. Nothing has been written.
    Elsewhere(Redirect),
}

/// Finds the player's session, or makes one with the data `initial` where there is none. The caller has the lane of the
/// session `held`, if there is one.
pub(crate) async fn find(
    node: &Arc<Node>,
    player: &PlayerId,
    options: &LoginOptions,
    initial: &Bytes,
    held: Option<&Arc<Attached>>,
) -> Result<Found> {
    if let Some(id) = options.resume {
        return find_resumed(node, player, options, id).await;
    }
    let slot = take_slot(node, player, options.displace).await?;
    let created = create(node, player, options, initial.clone(), held).await?;
    let session = created.session;
    if created.outcome == CreateOutcome::New {
        return Ok(Found::New(session, slot));
    }
    if is_claimable(node, options, &session.owner).await? {
        Ok(Found::Claimable(session, slot))
    } else {
        Ok(redirect(node, session.owner))
    }
}

/// Finds exactly this session of this player.
async fn find_resumed(
    node: &Arc<Node>,
    player: &PlayerId,
    options: &LoginOptions,
    id: SessionId,
) -> Result<Found> {
    let ended = || {
        let context = "the session to resume has ended; log in without it";
        Error::new(ErrorKind::NotFound, "login", context)
    };
    let store = &node.backend().sessions;
    let found = retry::until_deadline("login", || store.get(&id)).await?;
    let session = found
        .filter(|session| session.player == *player)
        .ok_or_else(ended)?;
    if !is_claimable(node, options, &session.owner).await? {
        return Ok(redirect(node, session.owner));
    }
    let slot = if options.displace && session.owner != node.me() {
        Some(take_slot(node, player, true).await?)
    } else {
        node.attached.try_take(None)
    };
    match slot {
        Some(slot) => Ok(Found::Claimable(session, slot)),
        None => Err(Error::new(
            ErrorKind::Overloaded,
            "login",
            "this node holds all the players it can count",
        )),
    }
}

/// Whether a login on this node may claim a session of `owner`.
async fn is_claimable(node: &Arc<Node>, options: &LoginOptions, owner: &NodeIncarnation) -> Result<bool> {
    if options.displace || *owner == node.me() {
        return Ok(true);
    }
    has_left(node, owner).await
}

fn redirect(node: &Node, owner: NodeIncarnation) -> Found {
    let record = record_of(&node.shared.view.latest(), &owner);
    Found::Elsewhere(Redirect { node: owner, record })
}

/// Claims a session as it was [found](find): under that fence, and at that version, so the caller has
/// decoded exactly what it gets. `None` where another write was faster.
pub(crate) async fn claim(
    node: &Arc<Node>,
    options: &LoginOptions,
    found: &SessionRecord,
) -> Result<Option<SessionRecord>> {
    let ttl = options.ttl.unwrap_or(node.session_ttl);
    let request = ClaimSession::new(found.id, found.fence, node.me(), random::nonce()?, ttl)
        .with_seen_version(found.version);
    let store = &node.backend().sessions;
    match retry::until_deadline("login", || store.claim(request.clone())).await {
        Ok(claimed) => Ok(Some(claimed.session)),
        Err(error) => match error.kind() {
            ErrorKind::Fenced | ErrorKind::NotFound | ErrorKind::VersionConflict => Ok(None),
            _ => Err(error),
        },
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

async fn create(
    node: &Arc<Node>,
    player: &PlayerId,
    options: &LoginOptions,
    data: Bytes,
    held: Option<&Arc<Attached>>,
) -> Result<Created> {
    let id = random::session_id(player.partition())?;
    let ttl = options.ttl.unwrap_or(node.session_ttl);
    let request = CreateSession::new(id, player.clone(), node.me(), random::nonce()?, ttl)
        .with_data(data)
        .with_on_existing(OnExisting::Existing);
    let store = &node.backend().sessions;
    retry::until_deadline("login", || async {
        let created = store.create(request.clone()).await;
        // While a partition recovers, it waits for the owner of what it lost. That may be this node, whose other
        // writes of the session wait for this login. A session that is too old for that is left to its next touch.
        if created.as_ref().is_err_and(Error::is_recovering)
            && let Some(attached) = held
            && !save::is_too_old_to_restore(attached)
        {
            save::restore_in_lane(node, attached, node.me()).await?;
        }
        created
    })
    .await
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
