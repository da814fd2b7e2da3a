//! Tells whoever held what a login ended, here or on other nodes, without waiting for answers. What is
//! lost on the way costs time only: the next touch tells the same.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::session::Displaced;
use ringhold_core::{Fence, NodeIncarnation, Result, SessionId};
use tokio::time::Instant;

use super::caller::Caller;
use super::frame::{Ask, Ended};
use super::scope::Terms;
use super::{CALL, CallOptions};
use crate::node::Node;
use crate::retry;

/// How long a hold is tried to be told: until its touch has come, more or less.
const DEADLINE: Duration = Duration::from_secs(10);
/// No attempt takes longer.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Tells the `displaced` of a login that stands in `session` under `fence`.
pub(crate) fn tell_displaced(node: &Arc<Node>, displaced: Vec<Displaced>, session: SessionId, fence: Fence) {
    let me = node.me();
    for hold in displaced {
        let ended = Ended::new(&hold, session, fence);
        if hold.owner == me {
            end(node, &ended, Some(&me));
            continue;
        }
        if node.backend().transport.is_none() {
            continue;
        }
        let caller = Caller::new(Arc::clone(&node.shared), Some(Arc::clone(node)));
        node.shared.spawn(async move {
            if let Err(error) = tell(&caller, &hold.owner, ended).await {
                tracing::debug!(node = %hold.owner, %error, "a displaced hold could not be told; its next touch tells");
            }
        });
    }
}

async fn tell(caller: &Caller, owner: &NodeIncarnation, ended: Ended) -> Result<()> {
    // With a key, so that it may be sent again.
    let terms = Terms::new(&CallOptions::new().once().within(ATTEMPT))?;
    let deadline = Instant::now() + DEADLINE;
    // It may have joined a moment ago. One that has left lost its players; its next run finds that out.
    let record = caller.member_until(&owner.into(), deadline).await?;
    let ask = Ask::Displaced(ended);
    let left = deadline.saturating_duration_since(Instant::now()).max(ATTEMPT);
    retry::within(left, CALL, || {
        let terms = terms.anew();
        let (record, ask) = (&record, &ask);
        async move { caller.call(record, None, ask, &terms).await }
    })
    .await
    .map(drop)
}

/// Ends the hold that is meant, if it is still there: this node decides by its own table. A later one
/// stays. A login that is still on its way with an earlier one will find that it was displaced.
pub(super) fn end(node: &Node, ended: &Ended, by: Option<&NodeIncarnation>) {
    if node.attached.displace(&ended.session, ended.old, ended.new, by) {
        node.count_sessions();
    }
}
