//! A transport with a fault.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ringhold_core::transport::{
    BODY_BYTES_MAX, PeerHandler, PeerRequest, PeerStream, ServeGuard, TIME_LEFT_MAX,
};
use ringhold_core::{Error, ErrorKind, FleetName, NodeId, NodeIncarnation, NodeRecord, Result, Transport};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::transport::RULES;
use ringhold_testkit::{TransportHarness, async_trait};

use super::transport_faults::{CASES, Fault};
use super::transport_streams::{broken, dead};
use super::{bites, by_name};

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
            gate: Arc::default(),
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
    /// Of what there should be many.
    gate: Arc<tokio::sync::Mutex<()>>,
    stopped: AtomicBool,
}

pub(super) fn failed<T>(kind: ErrorKind) -> Result<T> {
    Err(Error::new(kind, "broken", "on purpose"))
}

/// What becomes of an error on its way.
pub(super) fn retold(fault: Fault, error: Error) -> Error {
    let bare = || Error::new(error.kind(), "broken", error.context().to_owned());
    match fault {
        Fault::EveryErrorIsUnavailable => Error::new(ErrorKind::Unavailable, "broken", "on purpose"),
        Fault::ErrorsLoseTheirWords => Error::new(error.kind(), "broken", "on purpose"),
        Fault::ErrorsForgetWhetherToRepeat => bare(),
        Fault::ErrorsLoseTheirOwner => bare().with_retryable(error.is_retryable()),
        _ => error,
    }
}

/// A handler whose transport does something to it.
struct Handler {
    fault: Fault,
    inner: Arc<dyn PeerHandler>,
}

#[async_trait]
impl PeerHandler for Handler {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        let inner = Arc::clone(&self.inner);
        let mut reply = if self.fault == Fault::HandlersGoOn {
            let handling = tokio::spawn(async move { inner.handle(request).await });
            handling.await.expect("no panic is asked for")?
        } else {
            inner.handle(request).await?
        };
        if self.fault == Fault::LargeRepliesAreCut {
            reply.truncate(BODY_BYTES_MAX);
        }
        Ok(reply)
    }

    async fn open(&self, request: PeerRequest, stream: PeerStream) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        if self.fault == Fault::HandlersGoOn {
            let opening = tokio::spawn(async move { inner.open(request, stream).await });
            return opening
                .await
                .unwrap_or_else(|_panic| failed(ErrorKind::Unavailable));
        }
        inner.open(request, stream).await
    }
}

impl Broken {
    /// What becomes of a request on its way.
    fn resaid(&self, mut request: PeerRequest) -> PeerRequest {
        match self.fault {
            Fault::TheCallerIsForgotten => request.from = None,
            Fault::ThePlayerIsForgotten => request.player = None,
            Fault::TheKeyIsForgotten => request.key = None,
            Fault::TheTraceIsForgotten => request.trace = None,
            Fault::TheTimeIsForgotten => request.time_left = PeerRequest::TIME_LEFT,
            Fault::TimeIsNeverOver => request.time_left = TIME_LEFT_MAX,
            Fault::TimeIsShort => request.time_left /= 4,
            _ => {}
        }
        request
    }

    /// The run that serves under the name of the one that is meant.
    fn any_run(&self, request: &PeerRequest) -> NodeIncarnation {
        let serving = self.serving.lock().expect("no panic under this lock");
        let any = serving.get(&request.target.node);
        any.unwrap_or(&request.target).clone()
    }
}

#[async_trait]
impl Transport for Broken {
    async fn call(&self, record: &NodeRecord, request: PeerRequest) -> Result<Bytes> {
        let _one = if matches!(self.fault, Fault::OneCallAtATime | Fault::StreamsHoldUpCalls) {
            Some(self.gate.lock().await)
        } else {
            None
        };
        if self.stopped.load(Ordering::SeqCst) {
            return failed(ErrorKind::Unavailable);
        }
        let mut request = self.resaid(request);
        match self.fault {
            Fault::CallsAreMadeTwice => {
                self.inner.call(record, request.clone()).await?;
            }
            Fault::AnyRunWillDo => request.target = self.any_run(&request),
            Fault::LargeBodiesAreCut => request.body.truncate(BODY_BYTES_MAX),
            _ => {}
        }
        let waits = request.body == "wait";
        match (self.fault, self.inner.call(record, request).await) {
            (Fault::LateIsUnavailable, Err(_)) if waits => failed(ErrorKind::Unavailable),
            (Fault::NobodyIsNotFound, Err(_)) => failed(ErrorKind::NotFound),
            (Fault::APanicEndsServing, Err(error)) => {
                self.stopped.store(true, Ordering::SeqCst);
                Err(error)
            }
            (fault, result) => result.map_err(|error| retold(fault, error)),
        }
    }

    async fn open(&self, record: &NodeRecord, request: PeerRequest) -> Result<PeerStream> {
        let mut request = self.resaid(request);
        if self.fault == Fault::AnyRunTakesStreams {
            request.target = self.any_run(&request);
        }
        let (panics, waits) = (request.body == "panic", request.body == "wait");
        match (self.fault, self.inner.open(record, request).await) {
            (Fault::StreamsToNobodyAreNotFound, Err(_)) => failed(ErrorKind::NotFound),
            (Fault::LateIsUnavailable, Err(_)) if waits => failed(ErrorKind::Unavailable),
            (Fault::PanicsAreCorrupt, Err(_)) if panics => failed(ErrorKind::Corrupt),
            (Fault::EveryStreamIsTaken, Err(_)) => Ok(dead()),
            (fault, Err(error)) => Err(retold(fault, error)),
            (fault, Ok(stream)) => Ok(broken(fault, stream, &self.gate)),
        }
    }

    async fn serve(&self, node: NodeIncarnation, inner: Arc<dyn PeerHandler>) -> Result<ServeGuard> {
        self.serving
            .lock()
            .expect("no panic under this lock")
            .insert(node.node.clone(), node.clone());
        let fault = self.fault;
        let guard = self.inner.serve(node, Arc::new(Handler { fault, inner })).await?;
        if fault == Fault::GuardsStopNothing {
            self.kept.lock().expect("no panic under this lock").push(guard);
            return Ok(ServeGuard::new(None, ()));
        }
        Ok(guard)
    }
}
