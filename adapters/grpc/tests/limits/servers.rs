//! Servers that are gone, silent, or elsewhere, and connections that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ringhold_core::transport::PeerHandler;
use ringhold_core::{Error, ErrorKind, OperationId, Transport as _};
use ringhold_grpc::{GrpcConfig, GrpcTransport};
use ringhold_testkit::{wait_for, within};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::bed::{Bed, WAIT, caller, node, record, refused, request};

const SOON: Duration = Duration::from_millis(500);

/// Carries connections to a server, while it is told to.
struct Way {
    address: String,
    open: AtomicBool,
    /// Connections that were asked for.
    asked: AtomicUsize,
    cut: tokio::sync::Notify,
}

impl Way {
    async fn to(server: &str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = Arc::new(Self {
            address: listener.local_addr().unwrap().to_string(),
            open: AtomicBool::new(true),
            asked: AtomicUsize::new(0),
            cut: tokio::sync::Notify::new(),
        });
        let (carrying, server) = (Arc::clone(&way), server.to_owned());
        // It ends with the runtime of its test.
        tokio::spawn(async move {
            let mut carried = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut here, _) = accepted.unwrap();
                        carrying.asked.fetch_add(1, Ordering::SeqCst);
                        if carrying.open.load(Ordering::SeqCst) {
                            let mut there = TcpStream::connect(&server).await.unwrap();
                            carried.spawn(async move {
                                // Whichever end breaks it, it is over.
                                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                            });
                        }
                    }
                    () = carrying.cut.notified() => carried.abort_all(),
                }
            }
        });
        way
    }
}

/// An address at which nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_node_that_is_gone_is_unavailable_at_once() {
    let (target, caller) = (node(1), caller(|_| {}));
    let gone = record(&target, &nowhere().await);
    for _ in 0..20 {
        let asked = Instant::now();
        refused(
            caller.call(&gone, request(&target, "")).await,
            ErrorKind::Unavailable,
        );
        refused(
            caller.open(&gone, request(&target, "")).await,
            ErrorKind::Unavailable,
        );
        assert!(asked.elapsed() < SOON, "it took {:?}", asked.elapsed());
    }
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
    wait_for(
        "the node to be called again",
        Duration::from_secs(20),
        async || {
            let answer = caller.call(&record, bed.request("")).await;
            answer.map(drop).map_err(|error| error.to_string())
        },
    )
    .await;
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (silent, caller) = (node(1), caller(|_| {}));
    let record = record(&silent, &listener.local_addr().unwrap().to_string());
    let call = request(&silent, "").within(Duration::from_millis(300));
    let silent = async {
        let (call, open) = tokio::join!(caller.call(&record, call.clone()), caller.open(&record, call));
        refused(call, ErrorKind::Timeout);
        refused(open, ErrorKind::Timeout);
    };
    let mut other = node(1);
    other.node = ringhold_core::NodeId::new("eu-2").unwrap();
    let bed = Bed::of(&other, |_| {}).await;
    let others = async {
        let asked = Instant::now();
        bed.call(&caller, "").await.unwrap();
        assert!(asked.elapsed() < SOON, "it took {:?}", asked.elapsed());
    };
    tokio::join!(silent, others);
}

#[tokio::test]
async fn a_call_with_a_key_survives_a_connection_that_breaks() {
    let bed = Bed::new(|_| {}).await;
    let (way, caller) = (Way::to(bed.address()).await, caller(|_| {}));
    let record = record(&node(1), &way.address);
    for key in [None, Some(OperationId::from_bytes([1; 16]))] {
        // One that stood for a while: what breaks at once is not asked again at once.
        let opened = Instant::now();
        within("a first call", caller.call(&record, bed.request("")))
            .await
            .unwrap();
        // sleep: a connection counts as useful after one second.
        tokio::time::sleep(Duration::from_millis(1_100).saturating_sub(opened.elapsed())).await;
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
            let again = wait_for("the call to come again", SOON * 20, async || {
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
        wait_for("an answer", SOON * 20, again).await;
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
