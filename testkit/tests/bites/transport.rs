//! A transport with a fault.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerHandler, PeerRequest, PeerStream, ServeGuard};
use ringhold_core::{Error, ErrorKind, FleetName, NodeId, NodeIncarnation, NodeRecord, Result, Transport};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::transport::RULES;
use ringhold_testkit::{TransportHarness, async_trait};

use super::{Case, bites, by_name};

/// One thing that a broken transport does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing.
    Sound,
    TheCallerIsForgotten,
    CallsAreMadeTwice,
    EveryErrorIsUnavailable,
    ErrorsLoseTheirWords,
    NobodyIsNotFound,
    GuardsStopNothing,
    AnyRunWillDo,
    OneCallAtATime,
    APanicEndsServing,
    LargeBodiesAreCut,
    LargeRepliesAreCut,
}

const CASES: &[Case<Fault>] = &[
    (
        Fault::TheCallerIsForgotten,
        "call_reaches_the_handler",
        "the request is what was sent",
    ),
    (
        Fault::CallsAreMadeTwice,
        "call_reaches_the_handler",
        "the request is what was sent",
    ),
    (
        Fault::EveryErrorIsUnavailable,
        "an_error_keeps_its_kind",
        "on purpose",
    ),
    (
        Fault::ErrorsLoseTheirWords,
        "an_error_keeps_its_kind",
        "must come through",
    ),
    (
        Fault::NobodyIsNotFound,
        "nobody_serves_is_unavailable",
        "a node that never served: must be `unavailable`",
    ),
    (
        Fault::GuardsStopNothing,
        "nobody_serves_is_unavailable",
        "after the guard was dropped: must be",
    ),
    (
        Fault::AnyRunWillDo,
        "an_older_run_is_not_called",
        "another run than the one that serves",
    ),
    (
        Fault::OneCallAtATime,
        "calls_run_beside_each_other",
        "for the handler to get a call",
    ),
    (
        Fault::APanicEndsServing,
        "a_panic_is_an_error",
        "a call after a panic",
    ),
    (
        Fault::LargeBodiesAreCut,
        "a_large_body_is_too_large",
        "a request with one byte over",
    ),
    (
        Fault::LargeRepliesAreCut,
        "a_large_body_is_too_large",
        "a reply with one byte over",
    ),
];

/// Hands out a transport with one fault.
#[derive(Debug)]
pub(crate) struct Harness {
    fault: Fault,
}

#[async_trait]
impl TransportHarness for Harness {
    async fn transport(&self) -> Arc<dyn Transport> {
        let backend = MemoryBackend::new(FleetName::new("bites").expect("a word")).backend();
        let inner = backend.transport.expect("memory brings a transport");
        Arc::new(Broken {
            fault: self.fault,
            inner,
            serving: Mutex::default(),
            kept: Mutex::default(),
            gate: tokio::sync::Mutex::new(()),
            stopped: AtomicBool::new(false),
        })
    }
}

ringhold_testkit::__transport_rules!([by_name] transport);

#[test]
fn the_transport_suite_bites() {
    bites(RULES, CASES, Fault::Sound, |fault, rule| async move {
        run(rule, &Harness { fault }).await;
    });
}

#[derive(Debug)]
struct Broken {
    fault: Fault,
    inner: Arc<dyn Transport>,
    serving: Mutex<HashMap<NodeId, NodeIncarnation>>,
    kept: Mutex<Vec<ServeGuard>>,
    gate: tokio::sync::Mutex<()>,
    stopped: AtomicBool,
}

/// A handler that cuts its reply.
struct Cut(Arc<dyn PeerHandler>);

#[async_trait]
impl PeerHandler for Cut {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        let mut reply = self.0.handle(request).await?;
        reply.truncate(BODY_BYTES_MAX);
        Ok(reply)
    }
}

#[async_trait]
impl Transport for Broken {
    async fn call(&self, record: &NodeRecord, mut request: PeerRequest) -> Result<Bytes> {
        let _one = if self.fault == Fault::OneCallAtATime {
            Some(self.gate.lock().await)
        } else {
            None
        };
        let failed = |kind| Err(Error::new(kind, "broken", "on purpose"));
        if self.stopped.load(Ordering::SeqCst) {
            return failed(ErrorKind::Unavailable);
        }
        match self.fault {
            Fault::TheCallerIsForgotten => request.from = None,
            Fault::CallsAreMadeTwice => {
                self.inner.call(record, request.clone()).await?;
            }
            Fault::AnyRunWillDo => {
                let serving = self
                    .serving
                    .lock()
                    .expect("no panic under this lock")
                    .get(&record.id)
                    .cloned();
                request.target = serving.unwrap_or(request.target);
            }
            Fault::LargeBodiesAreCut => request.body.truncate(BODY_BYTES_MAX),
            _ => {}
        }
        match (self.fault, self.inner.call(record, request).await) {
            (Fault::EveryErrorIsUnavailable, Err(_)) => failed(ErrorKind::Unavailable),
            (Fault::ErrorsLoseTheirWords, Err(error)) => failed(error.kind()),
            (Fault::NobodyIsNotFound, Err(_)) => failed(ErrorKind::NotFound),
            (Fault::APanicEndsServing, Err(error)) => {
                self.stopped.store(true, Ordering::SeqCst);
                Err(error)
            }
            (_, result) => result,
        }
    }

    async fn open(&self, record: &NodeRecord, request: PeerRequest) -> Result<PeerStream> {
        self.inner.open(record, request).await
    }

    async fn serve(&self, node: NodeIncarnation, handler: Arc<dyn PeerHandler>) -> Result<ServeGuard> {
        self.serving
            .lock()
            .expect("no panic under this lock")
            .insert(node.node.clone(), node.clone());
        let handler = if self.fault == Fault::LargeRepliesAreCut {
            Arc::new(Cut(handler))
        } else {
            handler
        };
        let guard = self.inner.serve(node, handler).await?;
        if self.fault == Fault::GuardsStopNothing {
            self.kept.lock().expect("no panic under this lock").push(guard);
            return Ok(ServeGuard::new(None, ()));
        }
        Ok(guard)
    }
}
