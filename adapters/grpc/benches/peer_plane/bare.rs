//! What there is without Ringhold: a unary echo on tonic, over its own TLS.

use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tonic::codegen::{Body as HttpBody, Service, StdError, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::certificates::Files;

const PATH: &str = "/bare.Echo/Call";

/// What is sent and comes back.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Message {
    #[prost(bytes = "bytes", tag = "1")]
    body: Bytes,
}

type Pinned<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bare.Echo";
}

impl<B> Service<http::Request<B>> for Echo
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pinned<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(Back, request).await)
        })
    }
}

struct Back;

impl UnaryService<Message> for Back {
    type Response = Message;
    type Future = Pinned<Result<Response<Message>, Status>>;

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner())) })
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file that was written")
}

fn identity(files: &Files) -> Identity {
    Identity::from_pem(read(&files.certificate), read(&files.key))
}

/// Serves until the process ends; answers where.
pub(crate) fn serve(files: &Files) -> std::net::SocketAddr {
    let tls = ServerTlsConfig::new()
        .identity(identity(files))
        .client_ca_root(Certificate::from_pem(read(&files.ca)));
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let incoming = incoming.with_nodelay(Some(true));
    let address = incoming.local_addr().expect("a bound socket");
    let server = Server::builder()
        .tls_config(tls)
        .expect("sound certificates")
        .add_service(Echo);
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

/// A way to such a server.
#[derive(Clone)]
pub(crate) struct Client(tonic::client::Grpc<Channel>);

impl Client {
    pub(crate) async fn new(files: &Files, name: &str, address: &str) -> Self {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&files.ca)))
            .identity(identity(files))
            .domain_name(name);
        let endpoint = Endpoint::from_shared(format!("https://{address}"))
            .expect("an address")
            .tcp_nodelay(true)
            .tls_config(tls)
            .expect("sound certificates");
        Self(tonic::client::Grpc::new(
            endpoint.connect().await.expect("it listens"),
        ))
    }

    /// One call with the headers that ours has: the time left, and the trace.
    pub(crate) async fn call(&mut self, body: Bytes, trace: &str, time_left: Duration) -> bool {
        let mut request = Request::new(Message { body });
        request.set_timeout(time_left);
        request
            .metadata_mut()
            .insert("traceparent", trace.parse().expect("visible ASCII"));
        if self.0.ready().await.is_err() {
            return false;
        }
        let path = http::uri::PathAndQuery::from_static(PATH);
        let codec: ProstCodec<Message, Message> = ProstCodec::default();
        self.0.unary(request, path, codec).await.is_ok()
    }
}
