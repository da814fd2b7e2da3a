//! How the program speaks to nodes, and the demo's nodes to each other.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ringhold::{Backend, Transport};

use crate::exit::Failure;

/// The URL of a transport, as it was given.
#[derive(Clone)]
pub struct PeerUrl(String);

impl FromStr for PeerUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever takes it for a place for secrets is not to find them in a log.
        let scheme = self.0.split_once(':').map_or("", |(scheme, _)| scheme);
        write!(f, "PeerUrl({scheme}:..)")
    }
}

impl PeerUrl {
    /// Opens the transport, which serves nobody unless the URL says where.
    ///
    /// # Errors
    /// `Unsupported` in a build without one; those of the URL, which say what to do.
    pub fn open(&self) -> Result<Arc<dyn Transport>, Failure> {
        grpc(&self.0).map_err(|failure| failure.during("--peer"))
    }
}

/// Plain, on a free loopback port.
const LOOPBACK: &str = "grpc://127.0.0.1:0";

/// Whether the demo's nodes can speak to each other: in the way that the backend brings, or in this build's.
pub(crate) fn is_between_nodes(backend: &Backend) -> bool {
    backend.transport.is_some() || cfg!(feature = "grpc")
}

/// What a node of the demo brings, so that the others can speak to it: nothing where the backend has a way of
/// its own, or where this build has none.
pub(crate) fn of_node(backend: &Backend) -> Result<Option<Arc<dyn Transport>>, Failure> {
    if backend.transport.is_some() || !cfg!(feature = "grpc") {
        return Ok(None);
    }
    grpc(LOOPBACK).map(Some)
}

#[cfg(feature = "grpc")]
fn grpc(url: &str) -> Result<Arc<dyn Transport>, Failure> {
    let config = ringhold::grpc::GrpcConfig::parse(url)?;
    Ok(Arc::new(ringhold::grpc::GrpcTransport::new(config)?))
}

#[cfg(not(feature = "grpc"))]
fn grpc(_: &str) -> Result<Arc<dyn Transport>, Failure> {
    Err(Failure::unsupported(NO_WAY))
}

/// What a build without a transport has to say.
pub(crate) const NO_WAY: &str =
    "this build cannot speak to nodes: add the feature grpc, as in `cargo run --features grpc`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_not_shown() {
        let url: PeerUrl = "grpcs://hunter2@h?key=hunter2".parse().unwrap();
        assert_eq!(format!("{url:?}"), "PeerUrl(grpcs:..)");
    }

    #[tokio::test]
    async fn a_way_of_the_backends_own_is_kept() {
        let backend = ringhold::open("memory:").await.unwrap();
        assert!(is_between_nodes(&backend) && of_node(&backend).unwrap().is_none());
    }

    #[cfg(feature = "grpc")]
    #[tokio::test]
    async fn what_cannot_be_opened_says_why() {
        for bad in ["grpc", "http://h:1", "grpc://192.0.2.1:0", "grpcs://0.0.0.0:0"] {
            let failure = bad.parse::<PeerUrl>().unwrap().open().unwrap_err();
            assert_eq!(failure.exit(), crate::exit::Exit::Usage, "{bad}: {failure}");
            assert!(failure.message().starts_with("--peer: "), "{failure}");
        }
        let mut backend = ringhold::open("memory:").await.unwrap();
        backend.transport = None;
        assert!(is_between_nodes(&backend) && of_node(&backend).unwrap().is_some());
    }

    #[cfg(not(feature = "grpc"))]
    #[test]
    fn a_build_without_a_way_says_what_to_add() {
        let failure = "grpc://".parse::<PeerUrl>().unwrap().open().unwrap_err();
        assert_eq!(failure.exit(), crate::exit::Exit::Unsupported);
        assert!(failure.message().contains("--features grpc"), "{failure}");
    }
}
