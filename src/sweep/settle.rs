//! One taken session: handled or discarded, and acknowledged.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use ringhold_core::session::{AckExpired, TakenSession};
use ringhold_core::{Error, ErrorKind, Nonce, SessionId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::expiry::Handler;
use crate::node::Node;
use crate::retry;

/// Handles one session, or discards it without a handler, and acknowledges it. After a failure the session
/// is hidden for the backoff.
pub(super) async fn settle(
    node: &Node,
    expired: TakenSession,
    handler: Option<Handler>,
    permit: Option<OwnedSemaphorePermit>,
) {
    let (id, token) = (expired.session.id, expired.token);
    let discards = handler.is_none();
    let outcome = match handler {
        Some(handler) => handle(node, handler, expired).await,
        None => Ok(()),
    };
    // Where the store does not answer the acknowledgement, other handlers run nevertheless.
    drop(permit);
    let ack = match outcome {
        Ok(()) => AckExpired::new(id, token),
        Err(Failure::Stopped) => return,
        Err(failure) => {
            let (count, backoff) = node.expiry.note_failed(id);
            if count == 1 {
                tracing::warn!(session = ?id, %failure, "an expiry handler failed; retrying with backoff");
            } else {
                tracing::debug!(session = ?id, %failure, count, ?backoff, "an expiry handler failed again");
            }
            AckExpired::hide(id, token, backoff)
        }
    };
    let sessions = &node.backend().sessions;
    let limit = node.expiry.visibility();
    match retry::within(limit, "ack_expired", || sessions.ack_expired(ack)).await {
        Ok(_) if discards => node.expiry.note_discarded(),
        Ok(_) => {}
        Err(error) if is_void(&error) => {}
        Err(error) => {
            tracing::warn!(session = ?id, %error, "an expiry was not acknowledged; it is delivered again");
        }
    }
}

/// Whether the session was revived, or taken by another sweeper after the visibility timeout.
fn is_void(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Fenced | ErrorKind::NotFound)
}

/// A failed call of the handler.
enum Failure {
    Error(Box<dyn StdError + Send + Sync>),
    Panic,
    Timeout(Duration),
    /// The tokio runtime is shutting down.
    Stopped,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Panic => f.write_str("the handler panicked"),
            Self::Timeout(limit) => write!(f, "the handler took longer than {limit:?}"),
            Self::Stopped => f.write_str("the runtime is shutting down"),
        }
    }
}

/// Calls the handler, and keeps the session hidden while it runs.
async fn handle(node: &Node, handler: Handler, expired: TakenSession) -> Result<(), Failure> {
    let (id, token) = (expired.session.id, expired.token);
    // In a task of its own, so that a panic ends nothing else.
    let call = AbortOnDropHandle::new(node.shared.spawn(handler.call(expired.session)));
    let limit = node.expiry.timeout();
    let outcome = tokio::select! {
        biased;
        outcome = timeout(limit, call) => outcome,
        never = keep_hidden(node, id, token) => match never {},
    };
    match outcome {
        Ok(Ok(Ok(()))) => {
            node.expiry.note_handled(&id);
            Ok(())
        }
        Ok(Ok(Err(error))) => Err(Failure::Error(error)),
        Ok(Err(error)) if error.is_panic() => Err(Failure::Panic),
        Ok(Err(_)) => Err(Failure::Stopped),
        Err(_) => Err(Failure::Timeout(limit)),
    }
}

/// Extends the take thrice per visibility timeout, as long as it stands.
async fn keep_hidden(node: &Node, id: SessionId, token: Nonce) -> Infallible {
    let visibility = node.expiry.visibility();
    let hide = AckExpired::hide(id, token, visibility);
    loop {
        sleep(visibility / 3).await;
        match timeout(visibility / 3, node.backend().sessions.ack_expired(hide)).await {
            Ok(Err(error)) if is_void(&error) => std::future::pending().await,
            Ok(Err(error)) => tracing::debug!(session = ?id, %error, "cannot extend the take of a session"),
            _ => {}
        }
    }
}
