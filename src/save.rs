//! The writes of an attached session: saves, claims after a lost lease, restorations, removal.
//!
//! One at a time per session (its lane), each repeated unchanged until it is answered or the
//! overall deadline has passed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::session::{
    ClaimSession, EndReason, RemoveSession, RestoreSession, SaveSession, Saved, TOMBSTONE_TTL, Touch, Touched,
};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, Result};
use tokio::time::timeout;

use crate::attached::Attached;
use crate::boottime::Moment;
use crate::coalesce::Coalescer;
use crate::events::SessionEvent;
use crate::node::Node;
use crate::shared::lock;
use crate::{random, retry};

/// What came of an attempt to keep a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is this node's, under a new fence.
    Yes,
    /// It is another node's, and this attempt ended it here.
    Lost,
    /// It has ended otherwise: closed, displaced by a later login here, ended in the store, or by another request.
    Ended,
    /// The store did not answer.
    Unknown,
}

pub(crate) fn ended_error(operation: &'static str, event: &SessionEvent) -> Error {
    let context = match event {
        SessionEvent::Displaced { .. } => "a later login took this session over",
        SessionEvent::Expired => "this session has expired",
        SessionEvent::Kicked { .. } => "the player was kicked",
        SessionEvent::Fenced | SessionEvent::Message(_) => "this node no longer holds the session",
    };
    Error::new(ErrorKind::Fenced, operation, context)
}

/// Writes `data`. Runs to its end even when the caller stops waiting, so that the version that is
/// held stays the version that is stored.
pub(crate) async fn save(
    node: &Arc<Node>,
    attached: &Arc<Attached>,
    change: u64,
    data: Bytes,
) -> Result<Saved> {
    let (node, attached) = (Arc::clone(node), Arc::clone(attached));
    let task = node.shared.spawn({
        let node = Arc::clone(&node);
        async move {
            let saving = save_in_lane(&node, &attached, change, data);
            timeout(retry::OVERALL_DEADLINE, saving)
                .await
                .unwrap_or_else(|_| {
                    Err(Error::new(
                        ErrorKind::Unavailable,
                        "save",
                        "no answer in time; the save may have happened",
                    ))
                })
        }
    });
    task.await.unwrap_or_else(|error| {
        let context = if error.is_panic() {
            "the adapter panicked"
        } else {
            "the runtime is shutting down"
        };
        Err(Error::new(ErrorKind::Unavailable, "save", context).with_source(error))
    })
}

async fn save_in_lane(node: &Arc<Node>, attached: &Arc<Attached>, change: u64, data: Bytes) -> Result<Saved> {
    let _lane = attached.lane.lock().await;
    let stored = attached.hold();
    if stored.change > change {
        // A later value is stored already.
        return Ok(Saved::new(stored.version, 0));
    }
    let store = &node.shared.backend.sessions;
    let operation = random::operation()?;
    let mut adopted = false;
    let sent = Moment::now();
    loop {
        if let Some(event) = attached.ended() {
            return Err(ended_error("save", &event));
        }
        let hold = attached.hold();
        let request = SaveSession::new(
            attached.id,
            hold.fence,
            hold.version,
            attached.ttl,
            data.clone(),
            operation,
        );
        let answer = retry::until_deadline("save", || store.save(request.clone())).await;
        match answer {
            Ok(saved) => {
                attached.acknowledged(|hold| {
                    (hold.version, hold.data, hold.change, hold.seen) = (saved.version, data, change, sent);
                });
                return Ok(saved);
            }
            // Only the holder of the fence writes, so a version that is not known here is that of a
            // save of our own whose answer was lost for good.
            Err(error) if error.kind() == ErrorKind::VersionConflict && !adopted => {
                let mut found = retry::until_deadline("save", || store.get(&attached.id)).await?;
                if found.is_none() {
                    // Expired and not yet swept: a touch brings it back.
                    ask_why(node, attached).await;
                    found = retry::until_deadline("save", || store.get(&attached.id)).await?;
                }
                let Some(found) = found.filter(|found| found.fence == hold.fence) else {
                    return Err(error);
                };
                attached.acknowledged(|hold| (hold.version, hold.data) = (found.version, found.data));
                adopted = true;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if restore_in_lane(node, attached, node.me()).await? != Kept::Yes {
                    let event = attached.ended().unwrap_or(SessionEvent::Fenced);
                    return Err(ended_error("save", &event));
                }
                tracing::info!(session = ?attached.id, "restored a session that the store had lost");
            }
            Err(error) => {
                if error.kind() == ErrorKind::Fenced {
                    ask_why(node, attached).await;
                }
                return Err(error);
            }
        }
    }
}

/// Claims a session of this node's last incarnation for `owner`, its present one.
pub(crate) async fn reclaim(node: &Arc<Node>, attached: &Arc<Attached>, owner: NodeIncarnation) -> Kept {
    let _lane = attached.lane.lock().await;
    if attached.ended().is_some() {
        return Kept::Ended;
    }
    let Ok(nonce) = attached.nonce_for(&owner) else {
        return Kept::Unknown;
    };
    let request = ClaimSession::new(attached.id, attached.fence(), owner.clone(), nonce, attached.ttl);
    let sent = Moment::now();
    match in_time("claim", node.backend().sessions.claim(request)).await {
        Ok(claimed) => {
            attached.answered();
            let fence = claimed.session.fence;
            attached.acknowledged(|hold| (hold.owner, hold.fence, hold.seen) = (owner, fence, sent));
            Kept::Yes
        }
        Err(error) if error.kind() == ErrorKind::Fenced => fenced_by(node, attached).await,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            restore_in_lane(node, attached, owner).await.unwrap_or_else(|error| {
                tracing::warn!(session = ?attached.id, %error, "cannot restore a session of the last incarnation yet");
                Kept::Unknown
            })
        }
        Err(error) => {
            tracing::warn!(session = ?attached.id, %error, "cannot claim a session of the last incarnation yet");
            Kept::Unknown
        }
    }
}

/// Tells a player whose claim was fenced what happened, and whether another node has the session.
async fn fenced_by(node: &Arc<Node>, attached: &Arc<Attached>) -> Kept {
    let found = in_time("claim", node.backend().sessions.get(&attached.id)).await;
    let found = found.ok().flatten();
    if let Some(found) = found.as_ref().filter(|found| attached.is_own(&found.fence)) {
        // An earlier claim of this stay whose answer was lost, for an incarnation that is over.
        attached.acknowledged(|hold| (hold.owner, hold.fence) = (found.owner.clone(), found.fence));
        return Kept::Unknown;
    }
    let owner = found.map(|session| session.owner);
    if owner.as_ref().is_some_and(|owner| owner.node == node.me().node) {
        // A later login of the player, on this very node.
        node.attached.end(attached, SessionEvent::Displaced { by: owner });
        return Kept::Ended;
    }
    let ends = node.attached.end(attached, SessionEvent::Fenced);
    if ends && owner.is_some() {
        Kept::Lost
    } else {
        Kept::Ended
    }
}

/// Restores a session that the store lost, by a failover or with a whole partition.
///
/// # Errors
/// Where it is not known whether the session is restored: a retry is needed.
pub(crate) async fn restore(
    node: &Arc<Node>,
    attached: &Arc<Attached>,
    owner: NodeIncarnation,
) -> Result<Kept> {
    let _lane = attached.lane.lock().await;
    restore_in_lane(node, attached, owner).await
}

/// Whether the store may have dropped the tombstone of a session that was last acknowledged so long ago.
pub(crate) fn is_too_old_to_restore(attached: &Attached) -> bool {
    attached.hold().seen.age() >= TOMBSTONE_TTL
}

/// Does the same as [`restore`] for a caller that has the session's lane.
///
/// # Errors
/// As of [`restore`].
pub(crate) async fn restore_in_lane(
    node: &Arc<Node>,
    attached: &Arc<Attached>,
    owner: NodeIncarnation,
) -> Result<Kept> {
    if attached.ended().is_some() {
        return Ok(Kept::Ended);
    }
    if is_too_old_to_restore(attached) {
        // The store may have forgotten that a later login or a goodbye ended it: what is not known to
        // be ours is not brought back.
        node.attached.end(attached, SessionEvent::Fenced);
        return Ok(Kept::Ended);
    }
    let nonce = attached.nonce_for(&owner)?;
    let request = RestoreSession::new(attached.record(owner.clone()), nonce);
    let sent = Moment::now();
    match in_time("restore", node.backend().sessions.restore(request)).await {
        Ok(restored) => {
            attached.answered();
            attached.acknowledged(|hold| {
                hold.owner = owner;
                hold.fence = restored.session.fence;
                hold.version = restored.session.version;
                hold.data = restored.session.data;
                hold.seen = sent;
            });
            Ok(Kept::Yes)
        }
        Err(error) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::AlreadyExists) => {
            let ends = node.attached.end(attached, SessionEvent::Displaced { by: None });
            Ok(if ends { Kept::Lost } else { Kept::Ended })
        }
        Err(error) => Err(error),
    }
}

/// One attempt, which takes the lane no longer than a touch takes.
async fn in_time<T>(operation: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
    retry::once(TOUCH_DEADLINE, operation, call).await
}

/// Ends a session for good, and tells the stay `why`.
pub(crate) async fn remove(node: &Arc<Node>, attached: &Arc<Attached>, why: SessionEvent) -> Result<()> {
    let _lane = attached.lane.lock().await;
    if let Some(event) = attached.ended() {
        return Err(ended_error("close", &event));
    }
    let operation = random::operation()?;
    let store = &node.shared.backend.sessions;
    let remove = async || {
        let request = RemoveSession::new(attached.id, attached.fence(), operation);
        retry::until_deadline("close", || store.remove(request.clone())).await
    };
    match remove().await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // What the store has lost is closed. Where it waits for its owner to restore it, the player's next login
            // would wait too, so the session ends there as well.
            if matches!(restore_in_lane(node, attached, node.me()).await, Ok(Kept::Yes)) {
                remove().await?;
            }
        }
        removed => drop(removed?),
    }
    // Whatever still looks at this stay, such as a touch on its way, finds that it is over.
    node.attached.end(attached, why);
    Ok(())
}

/// No request of touches takes longer.
pub(crate) const TOUCH_DEADLINE: Duration = Duration::from_secs(5);

/// What a touch that was not renewed means for the player.
pub(crate) fn event_of(answer: Touched) -> SessionEvent {
    match answer {
        Touched::Fenced { owner } => SessionEvent::Displaced { by: Some(owner) },
        Touched::Ended(EndReason::Displaced) => SessionEvent::Displaced { by: None },
        Touched::Ended(EndReason::Expired) => SessionEvent::Expired,
        _ => SessionEvent::Fenced,
    }
}

/// Ends an attached session as the store answered. Several requests of one session may receive that answer: the
/// first of them ends the session, and it alone is counted as claimed.
pub(crate) fn end_by(node: &Arc<Node>, attached: &Arc<Attached>, answer: Touched) {
    let is_claimed = matches!(&answer, Touched::Fenced { owner } if owner.node != node.me().node);
    if node.attached.end(attached, event_of(answer)) && is_claimed && !node.is_attached() {
        node.claimed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks the store once why a write was fenced, so that the player is told the right reason.
async fn ask_why(node: &Arc<Node>, attached: &Arc<Attached>) {
    let touch = Touch::new(attached.id, attached.fence(), attached.ttl);
    let answer = timeout(TOUCH_DEADLINE, node.shared.backend.sessions.touch_many(&[touch])).await;
    let answer = answer
        .ok()
        .and_then(Result::ok)
        .and_then(|touched| touched.answers.into_iter().next());
    match answer {
        // It holds after all, or nobody knows: the next touch tells.
        None
        | Some(Touched::Renewed | Touched::NotFound | Touched::Unreadable(_) | Touched::Unanswered(_)) => {}
        Some(ended) => end_by(node, attached, ended),
    }
}

/// From now on stores what is put, at most once in `period`, until closed.
pub(crate) fn coalesce(node: &Arc<Node>, attached: &Arc<Attached>, period: Duration) -> Arc<Coalescer> {
    let coalescer = Arc::new(Coalescer::default());
    attached.set_coalescer(Arc::clone(&coalescer));
    let (node, attached, saved) = (Arc::clone(node), Arc::clone(attached), Arc::clone(&coalescer));
    node.clone().shared.spawn(async move {
        loop {
            saved.woken().await;
            if !saved.is_closed() {
                saved.rest(period).await;
            }
            flush(&node, &attached, &saved).await;
            if saved.is_closed() || attached.ended().is_some() {
                let mut closing = lock(&node.closing);
                if closing
                    .get(&attached.player)
                    .is_some_and(|(_, known)| Arc::ptr_eq(known, &saved))
                {
                    closing.remove(&attached.player);
                }
                return;
            }
        }
    });
    coalescer
}

/// Stores what is pending now.
pub(crate) async fn flush(node: &Arc<Node>, attached: &Arc<Attached>, coalescer: &Coalescer) {
    let _flushing = coalescer.flushing.lock().await;
    if let Some((change, data)) = coalescer.take()
        && let Err(error) = save(node, attached, change, data.clone()).await
    {
        if attached.ended().is_some() {
            // The player was moved or has logged in elsewhere while the save was under way: no fault.
            tracing::debug!(session = ?attached.id, %error, "a coalesced save came after its session");
        } else {
            tracing::warn!(session = ?attached.id, %error, "a coalesced save failed");
            if error.is_retryable() {
                coalescer.put_back(change, data);
            }
        }
        coalescer.put_error(error);
    }
}
