//! What the transport does beyond its contract.

mod streams;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerHandler, PeerRequest};
use ringhold_core::{ErrorKind, NodeRecord, Result, Revision, Transport};
use ringhold_testkit::{Make, within};
use tokio::sync::{Notify, Semaphore};

use super::MemoryTransport;

/// Answers with its name, after it was let go where it has to wait.
struct Handler {
    name: &'static str,
    called: Notify,
    go: Semaphore,
    finished: Notify,
}

impl Handler {
    fn new(name: &'static str, permits: usize) -> Arc<Self> {
        let (called, go, finished) = (Notify::new(), Semaphore::new(permits), Notify::new());
        Arc::new(Self {
            name,
            called,
            go,
            finished,
        })
    }
}

#[async_trait]
impl PeerHandler for Handler {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        self.called.notify_one();
        let _go = self.go.acquire().await;
        self.finished.notify_one();
        Ok(match &request.body[..] {
            b"long" => Bytes::from(vec![0; BODY_BYTES_MAX + 1]),
            _ => Bytes::from_static(self.name.as_bytes()),
        })
    }
}

/// A node, and a request for it.
fn node(make: &Make, body: &'static str) -> (NodeRecord, PeerRequest) {
    let record = make.node();
    let request = PeerRequest::new(make.fleet(), record.node(), Revision::default(), body);
    (record, request)
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_node_serves_once_while_its_guard_lives() {
    let make = Make::new("guards");
    let (record, request) = node(&make, "who");
    let transport = MemoryTransport::new();
    let serve = |name| transport.serve(record.node(), Handler::new(name, 9));
    let first = serve("first").await.unwrap();
    assert!(first.address().is_none());
    // The refused one comes without a guard, so nothing of it can take the first one away.
    assert_eq!(kind(serve("second").await), Some(ErrorKind::AlreadyExists));
    assert_eq!(transport.call(&record, request.clone()).await.unwrap(), "first");
    // Another run of the same node is another server.
    let other = make.run_of(record.id.clone());
    let _other = transport
        .serve(other.node(), Handler::new("other", 9))
        .await
        .unwrap();
    drop(first);
    assert_eq!(
        kind(transport.call(&record, request.clone()).await),
        Some(ErrorKind::Unavailable)
    );
    let third = serve("third").await.unwrap();
    assert_eq!(transport.call(&record, request.clone()).await.unwrap(), "third");
    drop(third);
    assert_eq!(
        kind(transport.call(&record, request).await),
        Some(ErrorKind::Unavailable)
    );
}

#[tokio::test]
async fn a_dropped_guard_ends_the_calls_under_way() {
    let (record, request) = node(&Make::new("under-way"), "wait");
    let transport = Arc::new(MemoryTransport::new());
    let handler = Handler::new("slow", 0);
    let guard = transport
        .serve(record.node(), Arc::clone(&handler) as Arc<dyn PeerHandler>)
        .await
        .unwrap();
    let caller = Arc::clone(&transport);
    let call = tokio::spawn(async move { caller.call(&record, request).await });
    within("the handler is called", handler.called.notified()).await;
    drop(guard);
    let answer = within("the call ends", call).await.unwrap();
    assert_eq!(kind(answer), Some(ErrorKind::Unavailable));
    assert_eq!(
        Arc::strong_count(&handler),
        1,
        "nobody holds the handler any more"
    );
}

#[tokio::test]
async fn a_handler_finishes_without_its_caller() {
    let (record, request) = node(&Make::new("finishes"), "wait");
    let transport = Arc::new(MemoryTransport::new());
    let handler = Handler::new("slow", 0);
    let _guard = transport
        .serve(record.node(), Arc::clone(&handler) as Arc<dyn PeerHandler>)
        .await
        .unwrap();
    let caller = Arc::clone(&transport);
    let call = tokio::spawn(async move { caller.call(&record, request).await });
    within("the handler is called", handler.called.notified()).await;
    call.abort();
    handler.go.add_permits(1);
    within("the handler finishes", handler.finished.notified()).await;
}

#[tokio::test]
async fn a_large_reply_is_too_large() {
    let (record, request) = node(&Make::new("reply"), "long");
    let transport = MemoryTransport::new();
    let _guard = transport
        .serve(record.node(), Handler::new("long", 9))
        .await
        .unwrap();
    assert_eq!(
        kind(transport.call(&record, request).await),
        Some(ErrorKind::TooLarge)
    );
}

#[tokio::test]
async fn a_request_for_another_node_is_refused() {
    let make = Make::new("another");
    let ((record, _), (_, request)) = (node(&make, ""), node(&make, ""));
    let transport = MemoryTransport::new();
    let _guard = transport
        .serve(record.node(), Handler::new("any", 9))
        .await
        .unwrap();
    assert_eq!(
        kind(transport.call(&record, request).await),
        Some(ErrorKind::InvalidArgument)
    );
}

#[test]
fn serving_outside_of_a_runtime_is_refused() {
    let (record, _) = node(&Make::new("outside"), "");
    let transport = MemoryTransport::new();
    let mut serve = transport.serve(record.node(), Handler::new("any", 9));
    // It never waits, so one poll is its end.
    match serve.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(served) => assert_eq!(kind(served), Some(ErrorKind::InvalidArgument)),
        Poll::Pending => panic!("it waits"),
    }
}
