//! Calls and streams for the nodes that are served here.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use http::HeaderMap;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerRequest};
use ringhold_core::{Error, ErrorKind, Result};
use tokio::time::Instant;
use tonic::{Code, Extensions, Request, Response, Status, Streaming};

use super::connection::Deadline;
use crate::error::{to_status, to_status_of};
use crate::generated::v1::peer_server::Peer;
use crate::generated::v1::stream_frame::Step;
use crate::generated::v1::{CallReply, CallRequest, StreamFrame};
use crate::security::Caller;
use crate::stream::{self, Half};
use crate::table::{Served, Table};
use crate::wire;

const CALL: &str = "call";
const OPEN: &str = "open";

/// The most bytes of one message: a body, and what stands around it.
pub(crate) const MESSAGE_BYTES_MAX: usize = BODY_BYTES_MAX + (16 << 10);

/// What the caller of one connection may ask of the nodes here.
pub(super) struct Peers {
    table: Arc<Table>,
    caller: Arc<Caller>,
}

impl Peers {
    pub(super) fn new(table: Arc<Table>, caller: Arc<Caller>) -> Self {
        Self { table, caller }
    }

    /// A request as it came, and who answers it.
    fn receive(
        &self,
        message: CallRequest,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<(PeerRequest, Served), Status> {
        let deadline = extensions.get().map_or_else(Instant::now, |Deadline(at)| *at);
        let left = deadline.saturating_duration_since(Instant::now());
        let request = wire::to_request(message, left, headers).map_err(|error| to_status(&error))?;
        if let Some(from) = request
            .from
            .as_ref()
            .filter(|from| !self.caller.may_be(&from.node))
        {
            let context = format!("the certificate of the caller is not one of node {}", from.node);
            let error = Error::new(ErrorKind::InvalidArgument, CALL, context);
            return Err(to_status_of(Code::PermissionDenied, &error));
        }
        if request.body.len() > BODY_BYTES_MAX {
            return Err(to_status(&too_large("request", request.body.len())));
        }
        let served = self
            .table
            .find(&request.target)
            .map_err(|error| to_status(&error))?;
        Ok((request, served))
    }

    async fn opening(frames: &mut Streaming<StreamFrame>) -> Result<CallRequest, Status> {
        let first = frames.message().await?.and_then(|frame| frame.step);
        if let Some(Step::Opening(opening)) = first {
            return Ok(opening);
        }
        let context = "the first frame of a stream is its `opening`";
        Err(to_status(&Error::new(ErrorKind::InvalidArgument, OPEN, context)))
    }
}

#[tonic::async_trait]
impl Peer for Peers {
    async fn call(&self, request: Request<CallRequest>) -> Result<Response<CallReply>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let (request, served) = self.receive(message, metadata.as_ref(), &extensions)?;
        let target = request.target.clone();
        let answer = served.run(&target, served.handler.handle(request)).await;
        match answer {
            Ok(body) if body.len() <= BODY_BYTES_MAX => Ok(Response::new(CallReply { body })),
            Ok(body) => Err(to_status(&too_large("reply", body.len()))),
            Err(error) => Err(to_status(&error)),
        }
    }

    type OpenStream = BoxStream<'static, Result<StreamFrame, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<StreamFrame>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let (metadata, extensions, mut frames) = request.into_parts();
        let opening = Self::opening(&mut frames).await?;
        let (request, served) = self.receive(opening, metadata.as_ref(), &extensions)?;
        let Half {
            stream,
            outgoing,
            incoming,
        } = stream::half();
        let target = request.target.clone();
        let taken = served.run(&target, served.handler.open(request, stream)).await;
        taken.map_err(|error| to_status(&error))?;
        // It ends with the stream, which ends with the connection, which ends with the transport.
        tokio::spawn(incoming.serve(frames, served.stopped.clone()));
        Ok(Response::new(outgoing.of_server()))
    }
}

pub(crate) fn too_large(what: &str, bytes: usize) -> Error {
    let context = format!("the {what} has {bytes} bytes; at most {BODY_BYTES_MAX} can be sent");
    Error::new(ErrorKind::TooLarge, CALL, context)
}
