//! Whether a node says that it is well.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use http::Request;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use ringhold_core::{Error, ErrorKind, HealthCheck, NodeRecord, Result};
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::address::Place;
use super::{PROBE, cause, unwell};
use crate::security::Secured;

/// The service of one node; its id follows.
const SERVICE: &str = "ringhold.node.";
/// The most bytes of an answer, which has two.
const ANSWER_BYTES_MAX: usize = 1 << 10;
const HEADER_BYTES_MAX: u32 = 16 << 10;
const WINDOW_BYTES: u32 = 64 << 10;

/// A node is well that says so: `SERVING` for the service `ringhold.node.ID` of `grpc.health.v1`, on its
/// endpoint `peer`, over the security of the fleet. A node that is fenced says `NOT_SERVING`.
///
/// # Errors
/// `Unavailable` where the node is not reached, not trusted, or not well; `NotFound` where another one serves
/// there, or where it has no such endpoint; `InvalidArgument` for an endpoint that is neither `HOST:PORT` nor
/// a URL with both.
#[derive(Debug, Clone)]
pub struct GrpcCheck {
    secured: Arc<Secured>,
}

impl GrpcCheck {
    /// Over the connections of a transport.
    pub(crate) fn new(secured: Arc<Secured>) -> Self {
        Self { secured }
    }
}

#[async_trait]
impl HealthCheck for GrpcCheck {
    async fn probe(&self, record: &NodeRecord) -> Result<()> {
        let place = Place::of(record, &["peer"])?;
        let tcp = place.connect().await?;
        let io = self.secured.connect(tcp, &place.host, &record.id).await?;
        let tasks = Tasks::default();
        let (sender, connection) = Builder::new(tasks.executor())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_header_list_size(HEADER_BYTES_MAX)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| {
                unwell(format!("{place} does not speak HTTP/2: {}", cause(&error))).with_source(error)
            })?;
        tasks.run(async move {
            // What ends it is an error of the call as well.
            let _ = connection.await;
        });
        let service = format!("{SERVICE}{}", record.id);
        let status = self.ask(&place, sender, service).await;
        let status = status.map_err(|status| refused(&place, record, &status))?;
        if status == ServingStatus::Serving {
            return Ok(());
        }
        let context = format!("node {} at {place} says {}", record.id, status.as_str_name());
        Err(unwell(context))
    }
}

impl GrpcCheck {
    async fn ask(
        &self,
        place: &Place,
        sender: SendRequest<Body>,
        service: String,
    ) -> Result<ServingStatus, Status> {
        let origin = format!("http://{place}")
            .parse()
            .map_err(|_| Status::invalid_argument("the endpoint is no host"))?;
        let channel = tower::service_fn(|mut request: Request<Body>| {
            self.secured.authorize(request.headers_mut());
            let mut sender = sender.clone();
            async move { sender.send_request(request).await }
        });
        let mut client =
            HealthClient::with_origin(channel, origin).max_decoding_message_size(ANSWER_BYTES_MAX);
        let answer = client.check(HealthCheckRequest { service }).await?;
        Ok(answer.into_inner().status())
    }
}

/// From what stands in the way of an answer to a kind. The words of the other side are not repeated.
fn refused(place: &Place, record: &NodeRecord, status: &Status) -> Error {
    let id = &record.id;
    match status.code() {
        Code::NotFound => {
            let context = format!("{place} does not serve node {id}");
            Error::new(ErrorKind::NotFound, PROBE, context)
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            unwell(format!("node {id} at {place} does not trust this side")).with_retryable(false)
        }
        Code::Unimplemented => {
            unwell(format!("{place} does not answer grpc.health.v1")).with_retryable(false)
        }
        code => {
            let why = std::error::Error::source(status).map_or_else(|| format!("{code:?}"), cause);
            unwell(format!("node {id} at {place} does not answer: {why}"))
        }
    }
}

/// The tasks of one connection. They end when this is dropped.
#[derive(Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Runs tasks here. It does not keep them: they hold it themselves.
    fn executor(&self) -> Spawner {
        Spawner(Arc::downgrade(&self.0))
    }

    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.executor().execute(task);
    }
}

#[derive(Clone)]
struct Spawner(Weak<Mutex<JoinSet<()>>>);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        let Some(tasks) = self.0.upgrade() else {
            return;
        };
        // Spawning runs nothing under the lock.
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(async move {
            task.await;
        });
    }
}
