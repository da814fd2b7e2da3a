//! One open connection, as the generated client takes it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tonic::body::Body;
use tonic::codegen::Service;

use crate::generated::v1::peer_client::PeerClient;
use crate::server::MESSAGE_BYTES_MAX;

/// An open connection. A clone is the same connection.
#[derive(Clone)]
pub(crate) struct Channel {
    send: SendRequest<Body>,
}

/// The request did not leave this process.
#[derive(Debug)]
pub(crate) struct NotSent;

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was closed before the request was sent")
    }
}

impl std::error::Error for NotSent {}

/// A client over a connection, which names `origin` as the place of what it asks for.
pub(crate) fn client(channel: Channel, origin: Uri) -> PeerClient<Channel> {
    PeerClient::with_origin(channel, origin)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

impl Channel {
    pub(super) fn new(send: SendRequest<Body>) -> Self {
        Self { send }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.send.is_closed()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // A connection that is closed gives the request back, which says more.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sent = self.send.try_send_request(request);
        Box::pin(async move {
            sent.await.map_err(|mut error| match error.take_message() {
                Some(_) => NotSent.into(),
                None => error.into_error().into(),
            })
        })
    }
}
