//! What comes in: checked, traced, done within its time, and once where it has a key.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerHandler, PeerRequest, PeerStream, ServeGuard};
use ringhold_core::{Error, ErrorKind, Result, Transport};
use tracing::{Instrument, Span, field};

use super::answers::{self, Name, Seen};
use super::frame::Ask;
use super::scope::{Scope, in_time};
use super::{CALL, act};
use crate::node::{Node, NodeStatus};

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
        let node = self.node(&request)?;
        let ask = Ask::decode(&request.body)?;
        answer(node, request, ask).await
    }

    async fn open(&self, mut request: PeerRequest, stream: PeerStream) -> Result<()> {
        let node = self.node(&request)?;
        let Ask::Call(body) = Ask::decode(&request.body)? else {
            let context = "a request of this kind opens no stream";
            return Err(Error::new(ErrorKind::Unsupported, CALL, context));
        };
        request.body = body;
        let scope = Scope::of(&request);
        let span = span(&request, &scope, "open");
        request.trace = Some(scope.trace().clone());
        let deadline = scope.deadline();
        let opening = in_time(deadline, caught(Box::pin(act::open(&node, request, stream))));
        scope.run(opening).instrument(span).await
    }
}

impl Handler {
    /// The node, if the request is for this run of it, and if it runs.
    fn node(&self, request: &PeerRequest) -> Result<Arc<Node>> {
        let stopped = || Error::new(ErrorKind::Unavailable, CALL, "this node has stopped");
        let node = self.0.upgrade().ok_or_else(stopped)?;
        if request.fleet != node.backend().fleet {
            let context = format!("this node belongs to the fleet {}", node.backend().fleet);
            return Err(Error::new(ErrorKind::InvalidArgument, CALL, context));
        }
        let me = node.me();
        if request.target != me {
            let context = format!("{} was called and this is {me}", request.target);
            return Err(Error::new(ErrorKind::Unavailable, CALL, context));
        }
        let has_ended = matches!(*node.status.borrow(), NodeStatus::Fenced | NodeStatus::Left);
        if has_ended || node.stop.is_cancelled() {
            return Err(stopped());
        }
        Ok(node)
    }
}

/// Answers one request of this node or of another. One without a key ends when nobody waits for it any
/// more; one with a key runs by itself, so that a repetition finds what came of it.
pub(super) async fn answer(node: Arc<Node>, mut request: PeerRequest, ask: Ask) -> Result<Bytes> {
    let scope = Scope::of(&request);
    let span = span(&request, &scope, ask.as_str());
    request.trace = Some(scope.trace().clone());
    let deadline = scope.deadline();
    let Some(key) = request.key else {
        let acting = in_time(deadline, caught(Box::pin(act::act(&node, request, ask))));
        return scope.run(acting).instrument(span).await;
    };
    let name = Name {
        from: request.from.clone(),
        kind: ask.as_str(),
        player: request.player.clone(),
        key,
    };
    let waiting = match node.answers.look(name)? {
        Seen::Answered(answer) => return answer.get(),
        Seen::Running(waiting) => waiting,
        Seen::First(first) => {
            let waiting = first.waiting();
            let (runtime, stop) = (Arc::clone(&node.shared), node.stop.clone());
            let acting = async move {
                let acting = in_time(deadline, caught(Box::pin(act::act(&node, request, ask))));
                // A node that stops lets go of what it has not answered.
                if let Some(answer) = stop.run_until_cancelled(scope.run(acting)).await {
                    first.answer(answer);
                }
            };
            runtime.spawn(acting.instrument(span));
            waiting
        }
    };
    in_time(deadline, answers::wait(waiting)).await
}

fn span(request: &PeerRequest, scope: &Scope, kind: &'static str) -> Span {
    let trace_id = u128::from_be_bytes(scope.trace().trace_id());
    tracing::info_span!(
        "peer call",
        trace_id = %format_args!("{trace_id:032x}"),
        from = request.from.as_ref().map(field::display),
        kind
    )
}

/// A panic of the application's handler is an error of its caller. What it panicked with may hold
/// anything; it is not sent to another node.
async fn caught<T>(mut work: Pin<Box<impl Future<Output = Result<T>>>>) -> Result<T> {
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.unwrap_or_else(|_| {
            tracing::error!("the handler of a peer call panicked");
            let panicked = Error::new(ErrorKind::Unavailable, CALL, "the handler panicked");
            Poll::Ready(Err(panicked.with_retryable(false)))
        })
    })
    .await
}

/// Refuses an answer that cannot be sent.
pub(super) fn check_reply(reply: Bytes) -> Result<Bytes> {
    if reply.len() <= BODY_BYTES_MAX {
        return Ok(reply);
    }
    let context = format!(
        "the reply has {} bytes; at most {BODY_BYTES_MAX} can be sent",
        reply.len()
    );
    Err(Error::new(ErrorKind::TooLarge, CALL, context))
}
