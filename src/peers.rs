//! What nodes tell each other: that a player was displaced. A lost message costs time only; the
//! next touch tells the same.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::session::Displaced;
use ringhold_core::transport::{PeerHandler, PeerRequest, ServeGuard};
use ringhold_core::{Error, ErrorKind, Fence, Result, SessionId, Transport, codec};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::events::SessionEvent;
use crate::node::Node;
use crate::shared::record_of;

/// No call takes longer.
const DEADLINE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
enum PeerMessage {
    /// A later login ended this hold.
    Displaced { session: SessionId, fence: Fence },
}

/// Serves calls to `node` for as long as the guard lives.
pub(crate) async fn serve(transport: &Arc<dyn Transport>, node: &Arc<Node>) -> Result<ServeGuard> {
    transport
        .serve(node.me(), Arc::new(Handler(Arc::downgrade(node))))
        .await
}

/// Answers for a node. It does not keep the node alive.
struct Handler(Weak<Node>);

#[async_trait]
impl PeerHandler for Handler {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        let gone = || Error::new(ErrorKind::Unavailable, "peer call", "this node has stopped");
        let node = self.0.upgrade().ok_or_else(gone)?;
        if request.fleet != node.backend().fleet {
            let context = format!("this node belongs to the fleet {}", node.backend().fleet);
            return Err(Error::new(ErrorKind::InvalidArgument, "peer call", context));
        }
        if request.target != node.me() {
            let context = format!("{} was called and this is {}", request.target, node.me());
            return Err(Error::new(ErrorKind::Unavailable, "peer call", context));
        }
        match codec::decode_frame(&request.body)? {
            PeerMessage::Displaced { session, fence } => {
                // The receiver decides by its own table: a hold under another fence stays.
                if let Some(attached) = node.attached.get(&session).filter(|held| held.fence() == fence) {
                    node.attached
                        .end(&attached, SessionEvent::Displaced { by: request.from });
                    node.count_sessions();
                }
                Ok(Bytes::new())
            }
        }
    }
}

/// Tells whoever held what a login ended, here or on other nodes, without waiting for answers.
pub(crate) fn tell_displaced(node: &Arc<Node>, displaced: Vec<Displaced>) {
    let me = node.me();
    for hold in displaced {
        if hold.owner == me {
            if let Some(attached) = node
                .attached
                .get(&hold.id)
                .filter(|held| held.fence() == hold.fence)
            {
                node.attached
                    .end(&attached, SessionEvent::Displaced { by: Some(me.clone()) });
            }
            continue;
        }
        let Some(transport) = node.backend().transport.clone() else {
            continue;
        };
        let view = node.shared.view.load();
        let Some(record) = record_of(&view, &hold.owner) else {
            continue;
        };
        let message = PeerMessage::Displaced {
            session: hold.id,
            fence: hold.fence,
        };
        let Ok(body) = codec::encode_frame(&message) else {
            continue;
        };
        let fleet = node.backend().fleet.clone();
        let request = PeerRequest::new(fleet, hold.owner, view.revision(), body).from(me.clone());
        node.shared.spawn(async move {
            if !matches!(timeout(DEADLINE, transport.call(&record, request)).await, Ok(Ok(_))) {
                tracing::debug!(node = %record.id, "a displaced hold could not be told; its next touch tells");
            }
        });
    }
}
