//! Calls and streams between nodes.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::id::Address;
use ringhold_core::transport::{
    BODY_BYTES_MAX, PeerHandler, PeerRequest, PeerStream, ServeGuard, TIME_LEFT_MAX,
};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, NodeRecord, Result, Transport};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Request;

use crate::GrpcConfig;
use crate::check::GrpcCheck;
use crate::error::from_status;
use crate::generated::v1::StreamFrame;
use crate::generated::v1::stream_frame::Step;
use crate::pool::{self, NotSent, Peer, Pool, jittered};
use crate::security::Secured;
use crate::server::{Server, too_large};
use crate::stream::{self, Half};
use crate::table::Table;
use crate::wire;

const CALL: &str = "call";
const OPEN: &str = "open";

/// A call with a key is sent so often at most.
const ATTEMPTS_MAX: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The [`Transport`] over gRPC.
///
/// It serves any number of nodes at one address, begun by [`listen`](Transport::listen) or the first
/// [`serve`](Transport::serve), and gone when the transport is dropped. Handlers run in the tokio runtime
/// that this was called in, one task for each call; dropping a call drops its handler's future. Calls and
/// streams to a node share few connections, which are made when they are needed.
///
/// A call with a [`key`](PeerRequest::key) whose connection broke is sent again, three times at most; one
/// without a key only where it was certainly not sent. All repetitions together stay below a tenth of the
/// calls and three per second.
pub struct GrpcTransport {
    config: GrpcConfig,
    secured: Arc<Secured>,
    table: Arc<Table>,
    server: OnceCell<Server>,
    pool: Pool,
}

/// An attempt that failed.
struct Failure {
    error: Error,
    /// The other side has answered.
    answered: bool,
    /// Nothing of the request has left this process.
    not_sent: bool,
}

impl GrpcTransport {
    /// A transport that neither listens nor calls yet.
    ///
    /// # Errors
    /// `InvalidArgument` where the settings cannot work together, or a file of theirs is missing or is not what
    /// it should be.
    pub fn new(config: GrpcConfig) -> Result<Self> {
        let config = config.checked()?;
        let secured = Arc::new(Secured::load(&config.security, config.fleet.as_ref())?);
        Ok(Self {
            pool: Pool::new(Arc::clone(&secured), config.limits.clone()),
            table: Arc::new(Table::new()),
            server: OnceCell::new(),
            secured,
            config,
        })
    }

    /// Asks other nodes whether they are well, over connections that are secured as those of this transport.
    pub fn health_check(&self) -> GrpcCheck {
        GrpcCheck::new(Arc::clone(&self.secured))
    }

    async fn server(&self) -> Result<&Server> {
        let start = || Server::start(&self.config, Arc::clone(&self.secured), Arc::clone(&self.table));
        let server = self.server.get_or_try_init(start).await?;
        if server.is_over() {
            let context = "the runtime that this transport listened in has ended; make another transport";
            return Err(Error::new(ErrorKind::Unavailable, "listen", context).with_retryable(false));
        }
        Ok(server)
    }

    fn peer(&self, record: &NodeRecord, request: &PeerRequest) -> Result<Arc<Peer>> {
        let target = &request.target;
        if record.id != target.node {
            let context = format!(
                "the request is for {target}, and the record of node {}",
                record.id
            );
            return Err(Error::new(ErrorKind::InvalidArgument, CALL, context));
        }
        if request.body.len() > BODY_BYTES_MAX {
            return Err(too_large("request", request.body.len()));
        }
        self.pool.peer(record)
    }

    /// The headers of a request, and what is to be sent.
    fn message<T>(&self, message: T, request: &PeerRequest, deadline: Instant) -> Request<T> {
        let mut message = Request::new(message);
        message.set_timeout(deadline.saturating_duration_since(Instant::now()));
        let headers = message.metadata_mut().as_mut();
        if let Some(trace) = &request.trace {
            wire::put_trace(trace, headers);
        }
        self.secured.authorize(headers);
        message
    }

    async fn attempts(&self, peer: &Peer, request: &PeerRequest, deadline: Instant) -> Result<Bytes> {
        self.pool.called();
        let _turn = peer.turn().await?;
        let mut attempt = 1;
        loop {
            let (channel, _place) = peer.channel().await?;
            let message = self.message(wire::from_request(request), request, deadline);
            let sent = pool::client(channel, peer.origin.clone()).call(message).await;
            let failure = match sent {
                Ok(reply) => return Ok(reply.into_inner().body),
                Err(status) => Failure::new(CALL, status),
            };
            let repeatable = failure.not_sent || (request.key.is_some() && !failure.answered);
            if !repeatable || attempt == ATTEMPTS_MAX || !self.pool.may_repeat() {
                return Err(failure.error);
            }
            attempt += 1;
            if !failure.not_sent {
                // sleep: a node that comes back does not meet all its callers at once.
                sleep(jittered(PAUSE_MAX)).await;
            }
        }
    }

    async fn opening(&self, peer: &Peer, request: &PeerRequest, deadline: Instant) -> Result<PeerStream> {
        let (line, place) = peer.stream()?;
        let mut attempt = 1;
        loop {
            let channel = line.channel().await?;
            let opening = StreamFrame {
                step: Some(Step::Opening(wire::from_request(request))),
            };
            let Half {
                stream,
                outgoing,
                incoming,
            } = stream::half();
            let message = self.message(outgoing.of_caller(opening), request, deadline);
            let sent = pool::client(channel, peer.origin.clone()).open(message).await;
            let failure = match sent {
                Ok(answer) => {
                    let frames = answer.into_inner();
                    // It ends with the stream, which ends with its connection.
                    tokio::spawn(async move {
                        incoming.receive(frames).await;
                        drop((line, place));
                    });
                    return Ok(stream);
                }
                Err(status) => Failure::new(OPEN, status),
            };
            if !failure.not_sent || attempt == ATTEMPTS_MAX || !self.pool.may_repeat() {
                return Err(failure.error);
            }
            attempt += 1;
        }
    }
}

impl Failure {
    fn new(operation: &'static str, status: tonic::Status) -> Self {
        let not_sent = status
            .source()
            .is_some_and(<dyn std::error::Error>::is::<NotSent>);
        let (error, answered) = from_status(operation, status);
        Self {
            error,
            answered,
            not_sent,
        }
    }
}

fn late(operation: &'static str, request: &PeerRequest) -> Error {
    let context = format!(
        "{} has not answered within {:?}",
        request.target, request.time_left
    );
    Error::new(ErrorKind::Timeout, operation, context)
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn call(&self, record: &NodeRecord, request: PeerRequest) -> Result<Bytes> {
        let peer = self.peer(record, &request)?;
        let deadline = Instant::now() + request.time_left.min(TIME_LEFT_MAX);
        let answer = timeout_at(deadline, self.attempts(&peer, &request, deadline)).await;
        answer.unwrap_or_else(|_| Err(late(CALL, &request)))
    }

    async fn open(&self, record: &NodeRecord, request: PeerRequest) -> Result<PeerStream> {
        let peer = self.peer(record, &request)?;
        let deadline = Instant::now() + request.time_left.min(TIME_LEFT_MAX);
        let answer = timeout_at(deadline, self.opening(&peer, &request, deadline)).await;
        answer.unwrap_or_else(|_| Err(late(OPEN, &request)))
    }

    async fn listen(&self) -> Result<Option<Address>> {
        if self.config.listen.is_none() {
            return Ok(None);
        }
        let server = self.server().await?;
        Ok(Some(server.address.clone()))
    }

    async fn serve(&self, node: NodeIncarnation, handler: Arc<dyn PeerHandler>) -> Result<ServeGuard> {
        let server = self.server().await?;
        self.secured.may_serve(&node.node, server.local)?;
        let stop = self.table.serve(node.clone(), handler)?;
        let table = Arc::downgrade(&self.table);
        let guard = ServeGuard::new(Some(server.address.clone()), stop);
        Ok(guard.with_health(move |well| {
            if let Some(table) = table.upgrade() {
                table.set_well(&node, well);
            }
        }))
    }
}

impl fmt::Debug for GrpcTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcTransport")
            .field("config", &self.config)
            .field("server", &self.server.get())
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
