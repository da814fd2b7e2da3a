//! One connection: who is on the other side, and where its requests go.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use ringhold_core::{Error, ErrorKind};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;

use super::Shared;
use super::answers::taken_until;
use super::callers::Share;
use super::health::Health;
use super::io::Pace;
use super::peer::{MESSAGE_BYTES_MAX, Peers};
use crate::chunks::chunked;
use crate::error::{to_status, to_status_of};
use crate::generated::v1::peer_server::PeerServer;
use crate::security::Caller;
use crate::wire;

const CALL: &str = "call";
/// So much of a request that is refused is read, and for so long.
const REFUSED_BYTES_MAX: usize = 32 << 10;
const REFUSED_TIME_MAX: Duration = Duration::from_secs(1);
/// The most bytes of a message that is no node's: a name of what is asked for.
pub(super) const PROBE_BYTES_MAX: usize = 4 << 10;

/// The requests of one connection.
pub(super) struct Connection {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    pace: Arc<Pace>,
    peers: PeerServer<Peers>,
    /// Done with the first request that it has admitted.
    requested: CancellationToken,
}

/// When the caller of a request waits no longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        caller: Caller,
        share: &Share,
        requested: CancellationToken,
    ) -> Self {
        let caller = Arc::new(caller);
        let peers = Peers::new(Arc::clone(&shared.table), Arc::clone(&caller));
        Self {
            pace: Arc::clone(&share.pace),
            peers: PeerServer::new(peers)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
            requested,
            shared,
            caller,
        }
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
        // The answer of a call is of no use after its deadline; a stream goes on.
        let goes_on = !path.ends_with("/Call");
        match service {
            Some("ringhold.v1.Peer") => {
                request.extensions_mut().insert(deadline);
                let answer = self.peers.clone().call(request);
                if goes_on {
                    within(deadline, answer)
                } else {
                    within(deadline, answer.inspect(move |_| taken_until(deadline.0)))
                }
            }
            Some("grpc.health.v1.Health") => {
                let health = Health::new(self.shared.table.wells());
                let mut health = HealthServer::new(health).max_decoding_message_size(PROBE_BYTES_MAX);
                within(deadline, health.call(request))
            }
            Some("grpc.reflection.v1.ServerReflection") => {
                within(deadline, self.shared.reflection.v1(request))
            }
            Some("grpc.reflection.v1alpha.ServerReflection") => {
                within(deadline, self.shared.reflection.v1alpha(request))
            }
            _ => {
                let context = "there is no such service here";
                let status = to_status(&Error::new(ErrorKind::Unsupported, CALL, context));
                refused(status, request.into_body())
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
            Err(status) => refused(status, request.into_body()),
        }
    }
}

/// The answer of a service, or that it was too late. Reading the request counts too.
fn within(
    deadline: Deadline,
    answer: impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
) -> Answer {
    Box::pin(async move {
        timeout_at(deadline.0, answer)
            .await
            .unwrap_or_else(|_| {
                let context = "there was no answer while the caller waited";
                let late = Error::new(ErrorKind::Timeout, CALL, context);
                Ok(to_status(&late).into_http())
            })
            .map(|answer| answer.map(chunked))
    })
}

/// Refuses a request behind its last byte.
///
/// To answer sooner would reset the stream, and what is still on its way for it would come to a stream that is
/// gone; HTTP/2 takes many of those for an attack, and ends the connection with everything else on it.
fn refused(status: Status, body: Incoming) -> Answer {
    Box::pin(async move {
        let mut body = Limited::new(body, REFUSED_BYTES_MAX);
        let read = async { while let Some(Ok(_)) = body.frame().await {} };
        // Who takes longer, or sends more, is reset.
        let _ = timeout(REFUSED_TIME_MAX, read).await;
        Ok(status.into_http())
    })
}
