//! A node that is served on loopback, and callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ringhold_core::id::{Address, EndpointName, Nonce};
use ringhold_core::transport::{PeerHandler, PeerRequest, PeerStream, ServeGuard};
use ringhold_core::{
    ErrorKind, FleetName, Incarnation, NodeId, NodeIncarnation, NodeRecord, Result, Revision, Transport,
};
use ringhold_grpc::{GrpcConfig, GrpcLimits, GrpcTransport};
pub(crate) use ringhold_testkit::WAIT_MAX;
use ringhold_testkit::{async_trait, within};
use tokio::sync::{Semaphore, mpsc};

/// A body that the handler does not answer until its gate is opened.
pub(crate) const WAIT: &str = "wait";

/// Answers what it was asked, and hands out its streams.
pub(crate) struct Handler {
    pub(crate) calls: AtomicUsize,
    pub(crate) running: AtomicUsize,
    pub(crate) gate: Semaphore,
    streams: mpsc::UnboundedSender<PeerStream>,
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl PeerHandler for Handler {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.running);
        if request.body == WAIT {
            self.gate.acquire().await.expect("never closed").forget();
        }
        Ok(request.body)
    }

    async fn open(&self, _: PeerRequest, stream: PeerStream) -> Result<()> {
        // Nobody waits for it where a test is over.
        let _ = self.streams.send(stream);
        Ok(())
    }
}

pub(crate) struct Bed {
    pub(crate) server: Option<GrpcTransport>,
    pub(crate) guard: Option<ServeGuard>,
    pub(crate) handler: Arc<Handler>,
    pub(crate) streams: mpsc::UnboundedReceiver<PeerStream>,
    pub(crate) record: NodeRecord,
}

pub(crate) fn limits(set: impl FnOnce(&mut GrpcLimits)) -> GrpcLimits {
    let mut limits = GrpcLimits::default();
    // A machine whose cores are busy takes its time.
    limits.connect = WAIT_MAX;
    set(&mut limits);
    limits
}

/// A transport that calls.
pub(crate) fn caller(set: impl FnOnce(&mut GrpcLimits)) -> GrpcTransport {
    let config = GrpcConfig::client().with_limits(limits(set)).unwrap();
    GrpcTransport::new(config).unwrap()
}

pub(crate) fn node(number: u64) -> NodeIncarnation {
    let nonce = Nonce::from_bytes([7; 16]);
    NodeIncarnation::new(NodeId::new("eu-1").unwrap(), Incarnation { number, nonce })
}

pub(crate) fn record(node: &NodeIncarnation, address: &str) -> NodeRecord {
    let mut record = NodeRecord::new(node.node.clone(), node.incarnation);
    let peer = EndpointName::new("peer").unwrap();
    record
        .endpoints
        .insert(peer, Address::new(address).unwrap())
        .unwrap();
    record
}

pub(crate) fn request(target: &NodeIncarnation, body: &'static str) -> PeerRequest {
    let fleet = FleetName::new("arena").unwrap();
    // Waits for an answer longer than the tests do.
    PeerRequest::new(fleet, target.clone(), Revision::default(), body).within(WAIT_MAX * 2)
}

impl Bed {
    pub(crate) async fn new(set: impl FnOnce(&mut GrpcLimits)) -> Self {
        Self::of(&node(1), set).await
    }

    pub(crate) async fn of(node: &NodeIncarnation, set: impl FnOnce(&mut GrpcLimits)) -> Self {
        let config = GrpcConfig::parse("grpc://127.0.0.1:0").unwrap();
        let server = GrpcTransport::new(config.with_limits(limits(set)).unwrap()).unwrap();
        let (sender, streams) = mpsc::unbounded_channel();
        let handler = Arc::new(Handler {
            calls: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            streams: sender,
        });
        let guard = server
            .serve(node.clone(), Arc::clone(&handler) as _)
            .await
            .unwrap();
        let address = guard.address().expect("others need one").to_string();
        Self {
            server: Some(server),
            guard: Some(guard),
            handler,
            streams,
            record: record(node, &address),
        }
    }

    pub(crate) fn address(&self) -> &str {
        self.record.endpoints.get("peer").unwrap().as_str()
    }

    pub(crate) fn request(&self, body: &'static str) -> PeerRequest {
        request(&self.record.node(), body)
    }

    pub(crate) async fn call(&self, caller: &GrpcTransport, body: &'static str) -> Result<Bytes> {
        within("a call", caller.call(&self.record, self.request(body))).await
    }

    /// Checks that somebody else is served as ever.
    pub(crate) async fn serves_others(&self) {
        let answer = self.call(&caller(|_| {}), "still there?").await;
        assert_eq!(answer.unwrap(), "still there?");
    }

    /// Waits until so many calls are with the handler.
    pub(crate) async fn running(&self, calls: usize) {
        ringhold_testkit::wait_for("calls with the handler", WAIT_MAX, async || {
            let running = self.handler.running.load(Ordering::SeqCst);
            if running == calls { Ok(()) } else { Err(running) }
        })
        .await;
    }
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T>, kind: ErrorKind) {
    let error = answer.expect_err("it is refused");
    assert_eq!(error.kind(), kind, "{error}");
}
