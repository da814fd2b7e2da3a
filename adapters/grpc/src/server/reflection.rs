//! `grpc.reflection`: which services there are, for tools that ask.

use std::convert::Infallible;
use std::pin::Pin;

use http::{Request, Response};
use hyper::body::Incoming;
use ringhold_core::{Error, ErrorKind, Result};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic_reflection::server::Builder;

use crate::generated::FILE_DESCRIPTOR_SET;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
/// A service whose type has no name.
type Erased = Box<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// Both versions of it: tools in use ask for either.
pub(super) struct Reflection {
    v1: Erased,
    v1alpha: Erased,
}

impl Reflection {
    pub(super) fn new() -> Result<Self> {
        let builder = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let corrupt = |error| {
            let context = "the descriptors of the protocol are none";
            Error::new(ErrorKind::Corrupt, "reflection", context).with_source(error)
        };
        Ok(Self {
            v1: erased(builder().build_v1().map_err(corrupt)?),
            v1alpha: erased(builder().build_v1alpha().map_err(corrupt)?),
        })
    }

    pub(super) fn v1(&self, request: Request<Incoming>) -> Answer {
        (self.v1)(request)
    }

    pub(super) fn v1alpha(&self, request: Request<Incoming>) -> Answer {
        (self.v1alpha)(request)
    }
}

fn erased<S>(service: S) -> Erased
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    Box::new(move |request| Box::pin(service.clone().call(request)))
}
