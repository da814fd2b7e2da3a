//! The same of streams.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerHandler, PeerRequest, PeerStream};
use ringhold_core::{ErrorKind, Result, Transport};
use ringhold_testkit::{Make, poll_once, within};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::super::MemoryTransport;
use super::super::stream::AHEAD_MAX;
use super::{Handler, kind, node};

/// Hands every stream on, after it was let go.
struct Taker {
    asked: Notify,
    go: Semaphore,
    taken: mpsc::UnboundedSender<PeerStream>,
}

#[async_trait]
impl PeerHandler for Taker {
    async fn handle(&self, _request: PeerRequest) -> Result<Bytes> {
        Ok(Bytes::new())
    }

    async fn open(&self, _request: PeerRequest, stream: PeerStream) -> Result<()> {
        self.asked.notify_one();
        let _go = self.go.acquire().await;
        self.taken.send(stream).expect("the test waits for it");
        Ok(())
    }
}

fn taker(permits: usize) -> (Arc<Taker>, mpsc::UnboundedReceiver<PeerStream>) {
    let (taken, streams) = mpsc::unbounded_channel();
    let (asked, go) = (Notify::new(), Semaphore::new(permits));
    (Arc::new(Taker { asked, go, taken }), streams)
}

#[tokio::test]
async fn a_stream_whose_opening_was_dropped_is_dropped() {
    let (record, request) = node(&Make::new("given-up"), "");
    let transport = Arc::new(MemoryTransport::new());
    let (handler, mut streams) = taker(0);
    let serving = transport.serve(record.node(), Arc::clone(&handler) as Arc<dyn PeerHandler>);
    let _guard = serving.await.unwrap();
    let caller = Arc::clone(&transport);
    let opening = tokio::spawn(async move { caller.open(&record, request).await });
    within("the handler is asked", handler.asked.notified()).await;
    opening.abort();
    within("the opening ends", opening).await.unwrap_err();
    handler.go.add_permits(1);
    let mut stream = within("the stream is taken", streams.recv()).await.unwrap();
    let received = within("its end", stream.receive()).await;
    assert_eq!(kind(received), Some(ErrorKind::Unavailable));
    assert_eq!(kind(stream.send("").await), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_few_messages_are_on_their_way_and_the_next_one_waits() {
    let (record, request) = node(&Make::new("ahead"), "");
    let transport = MemoryTransport::new();
    let (handler, mut streams) = taker(9);
    let guard = transport.serve(record.node(), handler).await.unwrap();
    let mut here = transport.open(&record, request).await.unwrap();
    let mut there = streams.recv().await.unwrap();
    for _ in 0..AHEAD_MAX {
        let sent = poll_once(here.send("in time")).await;
        sent.expect("there is room").unwrap();
    }
    assert!(poll_once(here.send("given up")).await.is_none(), "it waits");
    assert_eq!(there.receive().await.unwrap().unwrap(), "in time");
    let sent = poll_once(here.send("one more")).await;
    sent.expect("there is room again").unwrap();

    // One that waits is told when the server goes.
    let waiting = tokio::spawn(async move { here.send("too late").await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(guard);
    let sent = within("the one that waits", waiting).await.unwrap();
    assert_eq!(kind(sent), Some(ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_handler_without_streams_says_so() {
    let (record, request) = node(&Make::new("no-streams"), "");
    let transport = MemoryTransport::new();
    let _guard = transport
        .serve(record.node(), Handler::new("calls", 9))
        .await
        .unwrap();
    let opened = transport.open(&record, request).await;
    assert_eq!(kind(opened), Some(ErrorKind::Unsupported));
}

#[tokio::test]
async fn a_stream_that_cannot_be_asked_for_is_refused_as_a_call_is() {
    let make = Make::new("bad-streams");
    let ((record, mut request), (another, _)) = (node(&make, ""), node(&make, ""));
    let transport = MemoryTransport::new();
    let (handler, _streams) = taker(9);
    let _guard = transport.serve(record.node(), handler).await.unwrap();
    let error = transport.open(&another, request.clone()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::InvalidArgument, "open")
    );
    request.body = vec![0; BODY_BYTES_MAX + 1].into();
    let error = transport.open(&record, request).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::TooLarge, "open"));
}
