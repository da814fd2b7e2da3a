//! Whether a node answers over HTTP.

use std::future::pending;

use async_trait::async_trait;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use ringhold_core::id::EndpointName;
use ringhold_core::{Error, ErrorKind, HealthCheck, NodeRecord, Result};

use super::address::Place;
use super::{PROBE, cause, unwell};

/// The most bytes of an answer's body.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The most bytes of an answer's head, and of what is read at once.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A node is well that answers a `GET` with a status of 200 to 299, and a body that ends within 64 KiB.
///
/// Over plain HTTP/1.1: nothing is sent that is worth protecting, and what comes is one bit. Redirects are
/// not followed. Of an endpoint that is a URL, the host and the port count.
///
/// # Errors
/// `Unavailable` where the node is not reached, breaks off or has another status; `TooLarge`; `NotFound`
/// where it has no such endpoint; `Unsupported` for an endpoint that is `https` or another scheme;
/// `InvalidArgument` for one that is neither `HOST:PORT` nor a URL with both.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    endpoint: Option<EndpointName>,
    path: PathAndQuery,
}

impl HttpCheck {
    /// Asks for `path`, which begins with `/` and may have a query, on the endpoint `health`.
    ///
    /// # Errors
    /// `InvalidArgument` for a path that is none.
    pub fn new(path: &str) -> Result<Self> {
        let bad = || {
            let context = format!("{path:?} is no path such as /ready");
            Error::new(ErrorKind::InvalidArgument, PROBE, context)
        };
        if !path.starts_with('/') {
            return Err(bad());
        }
        let path = PathAndQuery::try_from(path).map_err(|error| bad().with_source(error))?;
        Ok(Self { endpoint: None, path })
    }

    /// Asks another endpoint.
    #[must_use]
    pub fn on(mut self, endpoint: EndpointName) -> Self {
        self.endpoint = Some(endpoint);
        self
    }
}

#[async_trait]
impl HealthCheck for HttpCheck {
    async fn probe(&self, record: &NodeRecord) -> Result<()> {
        let endpoint = self.endpoint.as_ref().map_or("health", EndpointName::as_str);
        let place = Place::of(record, &[endpoint])?;
        if let Some(scheme) = place.scheme.as_deref().filter(|scheme| *scheme != "http") {
            let context =
                format!("{place} is asked over plain HTTP, and the endpoint `{endpoint}` says {scheme}");
            return Err(Error::new(ErrorKind::Unsupported, PROBE, context));
        }
        let request = self.request(&place)?;
        let broken = |error: hyper::Error| broken(&place, error);
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(place.connect().await?))
            .await
            .map_err(broken)?;
        // What ends the connection is an error, or an end, of the exchange as well.
        let drive = async {
            let _ = connection.await;
            pending().await
        };
        tokio::select! {
            well = exchange(&place, sender, request) => well,
            never = drive => never,
        }
    }
}

impl HttpCheck {
    fn request(&self, place: &Place) -> Result<Request<Empty<Bytes>>> {
        let unfit = || {
            Error::new(
                ErrorKind::InvalidArgument,
                PROBE,
                format!("{place} is no host of HTTP"),
            )
        };
        let host = HeaderValue::from_str(&place.to_string()).map_err(|error| unfit().with_source(error))?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from(self.path.clone());
        request.headers_mut().insert(HOST, host);
        request
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(request)
    }
}

async fn exchange(
    place: &Place,
    mut sender: SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<()> {
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| broken(place, error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(unwell(format!("{place} answers {}", status.as_u16())));
    }
    let mut body = Limited::new(response.into_body(), BODY_BYTES_MAX);
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            if error.is::<LengthLimitError>() {
                let context = format!("{place} answers with more than 64 KiB");
                return Err(Error::new(ErrorKind::TooLarge, PROBE, context));
            }
            return Err(unwell(format!(
                "{place} breaks off amid its answer: {}",
                cause(&*error)
            )));
        }
    }
    Ok(())
}

fn broken(place: &Place, error: hyper::Error) -> Error {
    unwell(format!("{place} does not answer in HTTP: {}", cause(&error))).with_source(error)
}
