//! Servers that are gone, silent, or elsewhere, and connections that break.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ringhold_core::transport::PeerHandler;
use ringhold_core::{Error, ErrorKind, OperationId, Transport as _};
use ringhold_grpc::{GrpcConfig, GrpcTransport};
use ringhold_testkit::{PausedTime, poll_once, wait_for, within};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bed::{Bed, WAIT, WAIT_MAX, caller, node, record, refused, request};
use crate::way::Way;

/// An address at which nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn many_calls_take_a_second_connection() {
    for (calls, connections) in [(8, 1), (32, 2)] {
        let bed = Bed::new(|_| {}).await;
        let way = Way::to(bed.address()).await;
        let (record, caller) = (record(&bed.record.node(), &way.address), caller(|_| {}));
        let waiting = join_all((0..calls).map(|_| caller.call(&record, bed.request(WAIT))));
        let free = async {
            bed.running(calls).await;
            wait_for("the connections", WAIT_MAX, async || {
                let asked = way.asked.load(Ordering::SeqCst);
                if asked == connections { Ok(()) } else { Err(asked) }
            })
            .await;
            bed.handler.gate.add_permits(calls);
        };
        let (answers, ()) = within("the calls", async { tokio::join!(waiting, free) }).await;
        for answer in answers {
            assert_eq!(answer.unwrap(), WAIT);
        }
        assert_eq!(way.asked.load(Ordering::SeqCst), connections);
    }
}

#[tokio::test]
async fn many_calls_do_without_a_second_connection_where_there_is_none() {
    let _time = PausedTime::new();
    let bed = Bed::new(|limits| limits.connections_max = 1).await;
    let caller = caller(|_| {});
    assert_eq!(bed.call(&caller, "").await.unwrap(), "");
    for _ in 0..10 {
        let calls = join_all((0..100).map(|_| bed.call(&caller, "")));
        for answer in within("the calls", calls).await {
            assert_eq!(answer.unwrap(), "");
        }
    }
}

#[tokio::test]
async fn a_node_that_is_gone_is_unavailable_at_once() {
    let (_time, start) = (PausedTime::new(), Instant::now());
    let (target, caller) = (node(1), caller(|_| {}));
    let gone = record(&target, &nowhere().await);
    for _ in 0..20 {
        refused(
            within("a call", caller.call(&gone, request(&target, ""))).await,
            ErrorKind::Unavailable,
        );
        refused(
            within("a stream", caller.open(&gone, request(&target, ""))).await,
            ErrorKind::Unavailable,
        );
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    let nowhere = ringhold_core::NodeRecord::new(target.node.clone(), target.incarnation);
    refused(
        caller.call(&nowhere, request(&target, "")).await,
        ErrorKind::Unavailable,
    );
}

#[tokio::test]
async fn a_broken_way_is_not_asked_for_every_call_and_is_found_again() {
    let bed = Bed::new(|_| {}).await;
    let (way, caller) = (Way::to(bed.address()).await, caller(|_| {}));
    let record = record(&node(1), &way.address);
    way.open.store(false, Ordering::SeqCst);
    for _ in 0..2_000 {
        refused(
            caller.call(&record, bed.request("")).await,
            ErrorKind::Unavailable,
        );
    }
    let asked = way.asked.load(Ordering::SeqCst);
    assert!(asked < 200, "2,000 calls made {asked} connections");
    way.open.store(true, Ordering::SeqCst);
    let again = async || {
        let answer = caller.call(&record, bed.request("")).await;
        answer.map(drop).map_err(|error| error.to_string())
    };
    wait_for("the node to be called again", WAIT_MAX, again).await;
}

#[tokio::test]
async fn a_server_that_takes_connections_and_closes_them_is_left_alone() {
    let time = PausedTime::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (target, caller) = (node(1), caller(|_| {}));
    let record = record(&target, &listener.local_addr().unwrap().to_string());
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    // It ends with the runtime of its test.
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            counting.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                // An end as a server without a place for it makes one, and nothing that is lost on the way.
                let _ = tcp.shutdown().await;
                let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
            });
        }
    });
    for _ in 0..1_000 {
        let call = caller.call(&record, request(&target, ""));
        refused(within("a call", call).await, ErrorKind::Unavailable);
        time.advance(Duration::from_millis(2)).await;
    }
    // Pauses of up to 50, 100, 200, 400, 800, 1,600 ms and more; their random parts are half of that.
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked < 30, "two seconds of calls made {asked} connections");
}

/// A body that is counted while somebody has it.
struct Kept(Arc<[u8]>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[tokio::test]
async fn what_a_server_never_takes_is_not_kept_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (target, caller) = (node(1), caller(|limits| limits.calls_max = 4));
    let record = record(&target, &listener.local_addr().unwrap().to_string());
    // It ends with the runtime of its test.
    tokio::spawn(async move {
        let mut serving = JoinSet::new();
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let refuse = hyper::service::service_fn(async |_| {
                Ok::<_, std::io::Error>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
            });
            // It answers whether it is there, and takes no request.
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let builder = builder.max_concurrent_streams(0);
            serving.spawn(builder.serve_connection(TokioIo::new(tcp), refuse));
        }
    });
    let kept: Arc<[u8]> = Arc::from(&b"kept"[..]);
    for calls in 1..=400 {
        let mut request = request(&target, "").within(Duration::from_millis(5));
        request.body = bytes::Bytes::from_owner(Kept(Arc::clone(&kept)));
        assert!(within("a call", caller.call(&record, request)).await.is_err());
        let waiting = Arc::strong_count(&kept) - 1;
        assert!(waiting < 250, "{calls} calls are over, and {waiting} are kept");
    }
}

#[tokio::test]
async fn a_new_run_elsewhere_is_called_at_once() {
    let (old, caller) = (node(1), caller(|_| {}));
    let gone = record(&old, &nowhere().await);
    for _ in 0..50 {
        refused(
            caller.call(&gone, request(&old, "")).await,
            ErrorKind::Unavailable,
        );
    }
    let bed = Bed::of(&node(2), |_| {}).await;
    assert_eq!(bed.call(&caller, "here").await.unwrap(), "here");
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_holds_up_nobody_else() {
    let time = PausedTime::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (silent, caller) = (node(1), caller(|_| {}));
    let record = record(&silent, &listener.local_addr().unwrap().to_string());
    let call = request(&silent, "").within(Duration::from_millis(300));
    let mut silent =
        pin!(async { tokio::join!(caller.call(&record, call.clone()), caller.open(&record, call)) });
    assert!(poll_once(&mut silent).await.is_none());
    let mut other = node(1);
    other.node = ringhold_core::NodeId::new("eu-2").unwrap();
    let bed = Bed::of(&other, |_| {}).await;
    bed.call(&caller, "").await.unwrap();
    assert!(poll_once(&mut silent).await.is_none(), "it still waits");
    time.advance(Duration::from_millis(400)).await;
    let (call, open) = within("the silent server's calls", silent).await;
    refused(call, ErrorKind::Timeout);
    refused(open, ErrorKind::Timeout);
}

#[tokio::test]
async fn a_call_with_a_key_survives_a_connection_that_breaks() {
    let bed = Bed::new(|_| {}).await;
    let (way, caller) = (Way::to(bed.address()).await, caller(|_| {}));
    let record = record(&node(1), &way.address);
    for key in [None, Some(OperationId::from_bytes([1; 16]))] {
        within("a first call", caller.call(&record, bed.request("")))
            .await
            .unwrap();
        // After a second a connection counts as useful; one that breaks sooner is not made again at once.
        let time = PausedTime::new();
        time.advance(Duration::from_millis(1_100)).await;
        time.resume();
        let mut request = bed.request(WAIT);
        request.key = key;
        let call = caller.call(&record, request);
        tokio::pin!(call);
        tokio::select! {
            biased;
            answer = &mut call => panic!("the handler waits: {answer:?}"),
            () = bed.running(1) => way.cut.notify_one(),
        }
        if key.is_none() {
            refused(within("the answer", call).await, ErrorKind::Unavailable);
        } else {
            let again = wait_for("the call to come again", WAIT_MAX, async || {
                let calls = bed.handler.calls.load(Ordering::SeqCst);
                if calls == 5 { Ok(()) } else { Err(calls) }
            });
            tokio::select! {
                answer = &mut call => panic!("the handler waits: {answer:?}"),
                () = again => {}
            }
            // The first of them has gone with its connection.
            bed.running(1).await;
            bed.handler.gate.add_permits(1);
            assert_eq!(within("the answer", call).await.unwrap(), WAIT);
        }
        bed.running(0).await;
    }
    assert_eq!(bed.handler.calls.load(Ordering::SeqCst), 5, "one was sent twice");
}

#[test]
fn a_transport_outlives_the_runtime_that_connected() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let serving = runtime();
    let bed = serving.block_on(Bed::new(|_| {}));
    let caller = caller(|_| {});
    for _ in 0..2 {
        // Each connects once, the second while the first one's connection is gone with its runtime.
        let calling = runtime();
        let answer = calling.block_on(async {
            let call = bed.call(&caller, "x");
            tokio::select! {
                answer = call => Some(answer),
                // Asked here: the server has a runtime of its own, which stands still meanwhile.
                () = tokio::task::yield_now() => None,
            }
        });
        // The second is told of the first one's attempt, or makes one of its own.
        assert!(!matches!(answer, Some(Ok(_))), "nobody serves yet: {answer:?}");
    }
    serving.block_on(async {
        let again = async || {
            bed.call(&caller, "x")
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        };
        wait_for("an answer", WAIT_MAX, again).await;
    });
}

#[test]
fn nobody_is_served_when_the_runtime_that_listened_is_gone() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (first, second) = (runtime(), runtime());
    let mut bed = first.block_on(Bed::new(|_| {}));
    let server = bed.server.take().unwrap();
    drop(first);
    second.block_on(async {
        let handler = Arc::clone(&bed.handler);
        refused(server.serve(node(2), handler as _).await, ErrorKind::Unavailable);
        refused(server.listen().await, ErrorKind::Unavailable);
    });
}

#[tokio::test]
async fn everything_ends_with_the_transport() {
    let mut bed = Bed::new(|_| {}).await;
    let caller = caller(|_| {});
    let mut here = within("a stream", caller.open(&bed.record, bed.request("")))
        .await
        .unwrap();
    let mut there = bed.streams.recv().await.unwrap();
    let call = caller.call(&bed.record, bed.request(WAIT));
    tokio::pin!(call);
    tokio::select! {
        biased;
        answer = &mut call => panic!("the handler waits: {answer:?}"),
        () = bed.running(1) => {}
    }
    // The guard stays: it alone does not keep a server alive.
    drop(bed.server.take());
    refused(within("the call", call).await, ErrorKind::Unavailable);
    refused(
        within("the caller's end", here.receive()).await,
        ErrorKind::Unavailable,
    );
    refused(
        within("the handler's end", there.receive()).await,
        ErrorKind::Unavailable,
    );
    bed.running(0).await;
    refused(bed.call(&caller, "").await, ErrorKind::Unavailable);
    drop(bed.guard.take());
}

#[tokio::test]
async fn who_must_not_or_cannot_serve_is_told() {
    struct Nobody;
    #[ringhold_testkit::async_trait]
    impl PeerHandler for Nobody {
        async fn handle(&self, _: ringhold_core::transport::PeerRequest) -> Result<bytes::Bytes, Error> {
            unreachable!("nobody is called")
        }
    }
    let client = caller(|_| {});
    assert_eq!(client.listen().await.unwrap(), None);
    refused(
        client.serve(node(1), Arc::new(Nobody)).await,
        ErrorKind::InvalidArgument,
    );

    let bed = Bed::new(|_| {}).await;
    let taken = GrpcConfig::parse(&format!("grpc://{}", bed.address())).unwrap();
    let taken = GrpcTransport::new(taken).unwrap();
    refused(taken.listen().await, ErrorKind::Unavailable);
    let server = bed.server.as_ref().unwrap();
    refused(
        server.serve(node(1), Arc::new(Nobody)).await,
        ErrorKind::AlreadyExists,
    );
    let beside = server.serve(node(2), Arc::new(Nobody)).await.unwrap();
    assert_eq!(
        beside.address().map(ToString::to_string).as_deref(),
        Some(bed.address())
    );
    assert_eq!(server.listen().await.unwrap().as_ref(), beside.address());
}
