//! What the rules of calls and streams have in common: one served node, and its handler.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::id::EndpointName;
use ringhold_core::transport::{
    BODY_BYTES_MAX, PeerHandler, PeerRequest, PeerStream, ServeGuard, TIME_LEFT_MAX, TraceContext,
};
use ringhold_core::{
    Error, ErrorKind, Incarnation, NodeIncarnation, NodeRecord, Result, Revision, Transport,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task;

use crate::expect::done;
use crate::{Make, TransportHarness, WAIT_MAX, wait_for, within};

/// What a handler of the suite does with a body. With anything else it takes a stream, and answers a
/// call back to front.
pub(super) const WAIT: &str = "wait";
pub(super) const PANIC: &str = "panic";
pub(super) const TOO_MUCH: &str = "too much";
/// With the number of one of [`errors`].
pub(super) const FAIL: &str = "fail ";

/// Answers by what the body asks for, and tells what it got.
pub(super) struct Handler {
    got: mpsc::UnboundedSender<PeerRequest>,
    taken: mpsc::UnboundedSender<(PeerRequest, PeerStream)>,
    /// What the body `wait` waits for.
    pub(super) gate: Semaphore,
    calls: AtomicU32,
    /// How many of its futures there are now.
    alive: AtomicU32,
    owner: NodeIncarnation,
}

/// Counts a future for as long as it is there.
struct Alive<'a>(&'a AtomicU32);

impl<'a> Alive<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Every error that a handler of the suite answers with: each kind, worth repeating or not, and one
/// that names an owner.
pub(super) fn errors(owner: &NodeIncarnation) -> Vec<Error> {
    let kinds = ErrorKind::ALL.iter().flat_map(|kind| {
        [false, true].map(|retryable| {
            let context = format!("the handler says {kind}, {{line}} 1");
            Error::new(*kind, "handle", context).with_retryable(retryable)
        })
    });
    kinds
        .chain([Error::not_owner("handle", Some(owner.clone()))])
        .collect()
}

/// Checks that an error has come through whole.
#[track_caller]
pub(super) fn comes_through<T: Debug>(what: &str, result: Result<T>, expected: &Error) {
    let error = match result {
        Ok(value) => panic!("{what}: must be `{}`, and succeeded: {value:?}", expected.kind()),
        Err(error) => error,
    };
    assert_eq!(error.kind(), expected.kind(), "{what}: the kind: {error:?}");
    let context = expected.context();
    assert!(
        error.context().contains(context),
        "{what}: the context {context:?} must come through: {error:?}"
    );
    assert_eq!(
        error.is_retryable(),
        expected.is_retryable(),
        "{what}: whether to repeat it must come through: {error:?}"
    );
    assert_eq!(
        error.owner(),
        expected.owner(),
        "{what}: the owner must come through: {error:?}"
    );
}

impl Handler {
    /// What calls and streams have in common.
    async fn asked(&self, body: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(body).unwrap_or_default();
        if let Some(number) = text.strip_prefix(FAIL) {
            let number: usize = number.parse().expect("a number");
            return Err(errors(&self.owner).swap_remove(number));
        }
        match text {
            WAIT => self
                .gate
                .acquire()
                .await
                .expect("the gate is never closed")
                .forget(),
            PANIC => panic!("a handler that panics on purpose"),
            _ => {}
        }
        Ok(())
    }
}

#[async_trait]
impl PeerHandler for Handler {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        let _alive = Alive::new(&self.alive);
        self.calls.fetch_add(1, Ordering::SeqCst);
        let body = request.body.clone();
        // The receiver is gone when its rule is over.
        let _ = self.got.send(request);
        self.asked(&body).await?;
        if body == TOO_MUCH {
            return Ok(Bytes::from(vec![0; BODY_BYTES_MAX + 1]));
        }
        Ok(body.iter().rev().copied().collect())
    }

    async fn open(&self, request: PeerRequest, stream: PeerStream) -> Result<()> {
        let _alive = Alive::new(&self.alive);
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.asked(&request.body).await?;
        let _ = self.taken.send((request, stream));
        Ok(())
    }
}

/// One served node, and what it takes to call it.
pub(super) struct Bed {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) make: Make,
    pub(super) handler: Arc<Handler>,
    pub(super) got: mpsc::UnboundedReceiver<PeerRequest>,
    taken: mpsc::UnboundedReceiver<(PeerRequest, PeerStream)>,
    pub(super) record: NodeRecord,
    /// Serving, until it is taken away.
    pub(super) guard: Option<ServeGuard>,
}

impl Bed {
    pub(super) async fn new<H: TransportHarness + ?Sized>(rule: &'static str, harness: &H) -> Self {
        let (transport, make) = (harness.transport().await, Make::new(rule));
        let (got_sender, got) = mpsc::unbounded_channel();
        let (taken_sender, taken) = mpsc::unbounded_channel();
        let handler = Arc::new(Handler {
            got: got_sender,
            taken: taken_sender,
            gate: Semaphore::new(0),
            calls: AtomicU32::new(0),
            alive: AtomicU32::new(0),
            owner: make.owner(),
        });
        let mut record = make.run_of(make.node_id());
        record.incarnation.number = 2;
        let serving = transport.serve(record.node(), Arc::clone(&handler) as Arc<dyn PeerHandler>);
        let guard = done("serve", within("serving to begin", serving).await);
        if let Some(address) = guard.address() {
            let peer = EndpointName::new("peer").expect("a word");
            record
                .endpoints
                .insert(peer, address.clone())
                .expect("room for one endpoint");
        }
        Self {
            transport,
            make,
            handler,
            got,
            taken,
            record,
            guard: Some(guard),
        }
    }

    /// A request with all the time that there is: a busy machine is no fault.
    pub(super) fn request(&self, body: impl Into<Bytes>) -> PeerRequest {
        let revision = Revision::new(7, self.make.bits());
        PeerRequest::new(self.make.fleet(), self.record.node(), revision, body).within(TIME_LEFT_MAX)
    }

    /// A request in which everything is given.
    pub(super) fn full_request(&self, body: impl Into<Bytes>) -> PeerRequest {
        let span = self.make.bits().to_be_bytes();
        let trace = TraceContext::new(self.make.bytes(), span)
            .sampled(true)
            .with_state("ringhold=1,other=a b");
        self.request(body)
            .from(self.make.owner())
            .about(self.make.player())
            .with_key(self.make.operation())
            .within(PeerRequest::TIME_LEFT / 2)
            .traced(trace)
    }

    /// The errors that the handler answers with.
    pub(super) fn errors(&self) -> Vec<Error> {
        errors(&self.handler.owner)
    }

    /// Each run of the node that is not the one that serves, and where it would be called: where the
    /// node is reached stays the same, as after a restart.
    pub(super) fn other_runs(&self) -> Vec<NodeRecord> {
        let Incarnation { number, nonce } = self.record.incarnation;
        let others = [
            (number - 1, self.make.nonce()),
            (number, self.make.nonce()),
            (number + 1, nonce),
        ];
        let record = |(number, nonce)| {
            let mut record = self.record.clone();
            record.incarnation = Incarnation { number, nonce };
            record
        };
        others.map(record).into()
    }

    pub(super) async fn call(&self, body: impl Into<Bytes>) -> Result<Bytes> {
        within("a call", self.transport.call(&self.record, self.request(body))).await
    }

    /// A call in a task of its own.
    pub(super) fn calling(&self, body: &'static str) -> task::JoinHandle<Result<Bytes>> {
        let (transport, record, request) = (
            Arc::clone(&self.transport),
            self.record.clone(),
            self.request(body),
        );
        task::spawn(async move { transport.call(&record, request).await })
    }

    /// A call that is with the handler and waits there.
    pub(super) async fn waiting(&mut self) -> task::JoinHandle<Result<Bytes>> {
        let call = self.calling(WAIT);
        within("the handler to get a call", self.got.recv())
            .await
            .expect("the handler lives");
        call
    }

    pub(super) async fn open(&self, request: PeerRequest) -> Result<PeerStream> {
        within("a stream to open", self.transport.open(&self.record, request)).await
    }

    /// The caller's side of a stream, the handler's, and the request that the handler got.
    pub(super) async fn stream_of(&mut self, request: PeerRequest) -> (PeerStream, PeerStream, PeerRequest) {
        let here = done("open", self.open(request).await);
        let taken = within("the handler to take a stream", self.taken.recv()).await;
        let (request, there) = taken.expect("the handler lives");
        (here, there, request)
    }

    /// The caller's side of a stream, and the handler's.
    pub(super) async fn stream(&mut self) -> (PeerStream, PeerStream) {
        let request = self.request("stream");
        let (here, there, _) = self.stream_of(request).await;
        (here, there)
    }

    /// How often the handler was called, for calls and streams.
    pub(super) fn calls(&self) -> u32 {
        self.handler.calls.load(Ordering::SeqCst)
    }

    /// Waits until all that the handler began is over.
    pub(super) async fn idle(&self, what: &str) {
        wait_for(what, WAIT_MAX, async || {
            match self.handler.alive.load(Ordering::SeqCst) {
                0 => Ok(()),
                alive => Err(format!("{alive} still there")),
            }
        })
        .await;
    }

    /// Checks that a call is answered.
    pub(super) async fn serves(&self, what: &str) {
        assert_eq!(done(what, self.call("abc").await), "cba", "{what}");
    }
}
