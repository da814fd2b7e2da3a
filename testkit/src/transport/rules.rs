//! The rules of calls between nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::id::EndpointName;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerHandler, PeerRequest, ServeGuard};
use ringhold_core::{
    Error, ErrorKind, Incarnation, NodeIncarnation, NodeRecord, Result, Revision, Transport,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{self, JoinSet};

use crate::expect::{done, refused};
use crate::{Make, TransportHarness, within};

/// Answers by what the body asks for, and tells what it got.
struct Handler {
    got: mpsc::UnboundedSender<PeerRequest>,
    /// What a call with the body `wait` waits for.
    gate: Semaphore,
    calls: AtomicU32,
}

/// What a handler of the suite does with a body; anything else is answered back to front.
const WAIT: &str = "wait";
const PANIC: &str = "panic";
const TOO_MUCH: &str = "too much";
const FAIL: &str = "fail ";

/// Every kind that a handler may answer with.
const KINDS: [ErrorKind; 14] = [
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::VersionConflict,
    ErrorKind::Fenced,
    ErrorKind::LeaseLost,
    ErrorKind::Superseded,
    ErrorKind::TooLarge,
    ErrorKind::InvalidArgument,
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
    ErrorKind::Unsupported,
    ErrorKind::Corrupt,
    ErrorKind::NotOwner,
    ErrorKind::Overloaded,
];

#[async_trait]
impl PeerHandler for Handler {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let body = request.body.clone();
        // The receiver is gone when its rule is over.
        let _ = self.got.send(request);
        let text = std::str::from_utf8(&body).unwrap_or_default();
        if let Some(kind) = text.strip_prefix(FAIL) {
            let kind = KINDS
                .into_iter()
                .find(|known| known.as_str() == kind)
                .expect("a kind");
            return Err(Error::new(
                kind,
                "handle",
                format!("the handler says {kind}, {{line}} 1"),
            ));
        }
        match text {
            WAIT => self
                .gate
                .acquire()
                .await
                .expect("the gate is never closed")
                .forget(),
            PANIC => panic!("a handler that panics on purpose"),
            TOO_MUCH => return Ok(Bytes::from(vec![0; BODY_BYTES_MAX + 1])),
            _ => {}
        }
        Ok(body.iter().rev().copied().collect())
    }
}

/// One served node, and what it takes to call it.
struct Bed {
    transport: Arc<dyn Transport>,
    make: Make,
    handler: Arc<Handler>,
    got: mpsc::UnboundedReceiver<PeerRequest>,
    record: NodeRecord,
    /// Serving, until it is taken away.
    guard: Option<ServeGuard>,
}

impl Bed {
    async fn new<H: TransportHarness + ?Sized>(rule: &'static str, harness: &H) -> Self {
        let (transport, make) = (harness.transport().await, Make::new(rule));
        let (sender, got) = mpsc::unbounded_channel();
        let handler = Arc::new(Handler {
            got: sender,
            gate: Semaphore::new(0),
            calls: AtomicU32::new(0),
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
            record,
            guard: Some(guard),
        }
    }

    fn request(&self, body: impl Into<Bytes>) -> PeerRequest {
        PeerRequest::new(
            self.make.fleet(),
            self.record.node(),
            Revision::new(7, self.make.bits()),
            body,
        )
    }

    async fn call(&self, body: impl Into<Bytes>) -> Result<Bytes> {
        within("a call", self.transport.call(&self.record, self.request(body))).await
    }

    /// A call in a task of its own.
    fn calling(&self, body: &'static str) -> task::JoinHandle<Result<Bytes>> {
        let (transport, record, request) = (
            Arc::clone(&self.transport),
            self.record.clone(),
            self.request(body),
        );
        task::spawn(async move { transport.call(&record, request).await })
    }

    /// A call that is with the handler and waits there.
    async fn waiting(&mut self) -> task::JoinHandle<Result<Bytes>> {
        let call = self.calling(WAIT);
        within("the handler to get a call", self.got.recv())
            .await
            .expect("the handler lives");
        call
    }

    fn calls(&self) -> u32 {
        self.handler.calls.load(Ordering::SeqCst)
    }

    /// Checks that a call is answered.
    async fn serves(&self, what: &str) {
        assert_eq!(done(what, self.call("abc").await), "cba", "{what}");
    }
}

/// `call_reaches_the_handler`.
pub async fn call_reaches_the_handler<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("call_reaches_the_handler", harness).await;
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    for (body, signed) in [(&b"abc"[..], false), (&all_bytes, true), (b"", true)] {
        let mut request = bed.request(Bytes::copy_from_slice(body));
        if signed {
            request = request.from(bed.make.owner());
        }
        let call = bed.transport.call(&bed.record, request.clone());
        let reply = done("call", within("a call", call).await);
        let expected: Vec<u8> = body.iter().rev().copied().collect();
        assert_eq!(reply, expected, "the reply is what the handler answered");
        let got = within("the request", bed.got.recv())
            .await
            .expect("the handler lives");
        assert!(
            got.time_left <= request.time_left,
            "time does not grow on the way"
        );
        request.time_left = got.time_left;
        assert_eq!(got, request, "the request is what was sent");
    }
    assert_eq!(bed.calls(), 3, "each call reaches the handler once");
}

/// `an_error_keeps_its_kind`.
pub async fn an_error_keeps_its_kind<H: TransportHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("an_error_keeps_its_kind", harness).await;
    for kind in KINDS {
        let result = bed.call(format!("{FAIL}{kind}")).await;
        let error = result.expect_err("the handler answers an error");
        assert_eq!(error.kind(), kind, "{error}");
        let context = format!("the handler says {kind}, {{line}} 1");
        assert!(
            error.context().contains(&context),
            "the context {context:?} must come through: {error:?}"
        );
    }
    bed.serves("a call after errors").await;
}

/// `nobody_serves_is_unavailable`.
pub async fn nobody_serves_is_unavailable<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("nobody_serves_is_unavailable", harness).await;
    let nobody = bed.make.run_of(bed.make.node_id());
    let mut request = bed.request("abc");
    request.target = nobody.node();
    let call = within("a call of nobody", bed.transport.call(&nobody, request));
    refused(
        "a call of a node that never served",
        call.await,
        ErrorKind::Unavailable,
    );

    bed.serves("a call while the guard lives").await;
    let calls = bed.calls();
    bed.guard = None;
    for _ in 0..2 {
        let called = bed.call("abc").await;
        refused(
            "a call after the guard was dropped",
            called,
            ErrorKind::Unavailable,
        );
    }
    assert_eq!(bed.calls(), calls, "no call reached the handler");
}

/// `an_older_run_is_not_called`: nor any other run than the one that serves.
pub async fn an_older_run_is_not_called<H: TransportHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("an_older_run_is_not_called", harness).await;
    let Incarnation { number, nonce } = bed.record.incarnation;
    for incarnation in [
        Incarnation {
            number: number - 1,
            nonce: bed.make.nonce(),
        },
        Incarnation {
            number,
            nonce: bed.make.nonce(),
        },
        Incarnation {
            number: number + 1,
            nonce,
        },
    ] {
        // Where the node is reached stays the same, as after a restart.
        let mut record = bed.record.clone();
        record.incarnation = incarnation;
        let mut request = bed.request("abc");
        request.target = NodeIncarnation::new(record.id.clone(), incarnation);
        let call = within("a call of another run", bed.transport.call(&record, request)).await;
        refused(
            "a call of another run than the one that serves",
            call,
            ErrorKind::Unavailable,
        );
    }
    assert_eq!(bed.calls(), 0, "no call reached the handler");
    bed.serves("a call of the run that serves").await;
}

/// `calls_run_beside_each_other`.
pub async fn calls_run_beside_each_other<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("calls_run_beside_each_other", harness).await;
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(bed.waiting().await);
    }
    bed.serves("a call beside 32 that wait").await;
    assert!(
        held.iter().all(|call| !call.is_finished()),
        "the others still wait"
    );
    bed.handler.gate.add_permits(held.len());
    for call in held {
        let reply = within("a call that waited", call)
            .await
            .expect("a call does not panic");
        assert_eq!(done("a call that waited", reply), "tiaw");
    }
}

/// `a_panic_is_an_error`.
pub async fn a_panic_is_an_error<H: TransportHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("a_panic_is_an_error", harness).await;
    let held = bed.waiting().await;
    for _ in 0..3 {
        refused(
            "a call whose handler panics",
            bed.call(PANIC).await,
            ErrorKind::Unavailable,
        );
        bed.serves("a call after a panic").await;
    }
    let mut panics: JoinSet<_> = (0..8).map(|_| bed.calling(PANIC)).collect();
    while let Some(call) = panics.join_next().await {
        let reply = call
            .expect("the set is not aborted")
            .expect("a caller does not panic");
        refused(
            "one of many calls whose handlers panic",
            reply,
            ErrorKind::Unavailable,
        );
    }
    bed.handler.gate.add_permits(1);
    let reply = within("a call beside panics", held)
        .await
        .expect("a caller does not panic");
    assert_eq!(done("a call beside panics", reply), "tiaw");
}

/// `a_large_body_is_too_large`, and exactly the limit is not.
pub async fn a_large_body_is_too_large<H: TransportHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("a_large_body_is_too_large", harness).await;
    let most = vec![0xa5; BODY_BYTES_MAX];
    let over = vec![0xa5; BODY_BYTES_MAX + 1];
    refused(
        "a request with one byte over",
        bed.call(over).await,
        ErrorKind::TooLarge,
    );
    assert_eq!(bed.calls(), 0, "it was not sent");
    assert_eq!(
        done("a request of as much as is allowed", bed.call(most.clone()).await),
        most
    );
    refused(
        "a reply with one byte over",
        bed.call(TOO_MUCH).await,
        ErrorKind::TooLarge,
    );
    bed.serves("a call after that").await;
}
