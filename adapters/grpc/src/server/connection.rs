//! One connection: who is on the other side, and where its requests go.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use ringhold_core::{Error, ErrorKind};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;

use super::Shared;
use super::health::Health;
use super::io::Pace;
use super::peer::{MESSAGE_BYTES_MAX, Peers};
use crate::error::{to_status, to_status_of};
use crate::generated::v1::peer_server::PeerServer;
use crate::security::Caller;
use crate::wire;

const CALL: &str = "call";

/// The requests of one connection.
pub(super) struct Connection {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    pace: Arc<Pace>,
    peers: PeerServer<Peers>,
    requested: CancellationToken,
}

/// When the caller of a request waits no longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, caller: Caller) -> Self {
        let caller = Arc::new(caller);
        let peers = Peers::new(Arc::clone(&shared.table), Arc::clone(&caller));
        Self {
            pace: Arc::new(Pace::new(&shared.limits)),
            peers: PeerServer::new(peers)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
            requested: CancellationToken::new(),
            shared,
            caller,
        }
    }

    /// How fast its caller may ask.
    pub(super) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    /// Done with the first request that it has admitted.
    pub(super) fn requested(&self) -> CancellationToken {
        self.requested.clone()
    }

    /// Whether a request may be looked at, and until when it is answered.
    fn admit(&self, request: &Request<Incoming>) -> Result<Deadline, Status> {
        if !self.pace.admit() {
            let context = "asks more than so often in a second";
            return Err(to_status(&Error::new(ErrorKind::Overloaded, CALL, context)));
        }
        let admitted = self.shared.secured.admit(&self.caller, request.headers());
        admitted.map_err(|error| to_status_of(Code::Unauthenticated, &error))?;
        let left = wire::time_left(request.headers()).map_err(|error| to_status(&error))?;
        if !self.requested.is_cancelled() {
            self.requested.cancel();
        }
        Ok(Deadline(Instant::now() + left))
    }

    fn answer(&self, mut request: Request<Incoming>, deadline: Deadline) -> Answer {
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split('/').next());
        match service {
            Some("ringhold.v1.Peer") => {
                request.extensions_mut().insert(deadline);
                within(deadline, self.peers.clone().call(request))
            }
            Some("grpc.health.v1.Health") => {
                let health = Health::new(self.shared.table.wells());
                within(deadline, HealthServer::new(health).call(request))
            }
            Some("grpc.reflection.v1.ServerReflection") => {
                within(deadline, self.shared.reflection.v1(request))
            }
            Some("grpc.reflection.v1alpha.ServerReflection") => {
                within(deadline, self.shared.reflection.v1alpha(request))
            }
            _ => {
                let context = "there is no such service here";
                refused(to_status(&Error::new(ErrorKind::Unsupported, CALL, context)))
            }
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        match self.admit(&request) {
            Ok(deadline) => self.answer(request, deadline),
            Err(status) => refused(status),
        }
    }
}

/// The answer of a service, or that it was too late. Reading the request counts too.
fn within(
    deadline: Deadline,
    answer: impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
) -> Answer {
    Box::pin(async move {
        timeout_at(deadline.0, answer).await.unwrap_or_else(|_| {
            let context = "there was no answer while the caller waited";
            let late = Error::new(ErrorKind::Timeout, CALL, context);
            Ok(to_status(&late).into_http())
        })
    })
}

fn refused(status: Status) -> Answer {
    Box::pin(std::future::ready(Ok(status.into_http())))
}
