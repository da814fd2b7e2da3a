//! How two nodes talk about a player, and how one asks whether another is well.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::id::Address;
use crate::{FleetName, NodeIncarnation, NodeRecord, Result, Revision};

/// The most bytes of one request or reply body: 1 MiB.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// A request to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerRequest {
    /// The caller's fleet; another fleet's calls are refused.
    pub fleet: FleetName,
    /// Who calls; `None` for one who is no node.
    pub from: Option<NodeIncarnation>,
    /// The run of the node that is meant; its successor refuses the call.
    pub target: NodeIncarnation,
    /// The membership revision that the caller acted upon.
    pub revision: Revision,
    /// What is asked, in the runtime's encoding.
    pub body: Bytes,
}

impl PeerRequest {
    /// A request to `target`.
    pub fn new(
        fleet: FleetName,
        target: NodeIncarnation,
        revision: Revision,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            fleet,
            from: None,
            target,
            revision,
            body: body.into(),
        }
    }

    /// The same request, signed with the caller's name.
    #[must_use]
    pub fn from(mut self, node: NodeIncarnation) -> Self {
        self.from = Some(node);
        self
    }
}

/// Answers requests on the node that they are meant for.
#[async_trait]
pub trait PeerHandler: Send + Sync {
    /// Answers one request.
    async fn handle(&self, request: PeerRequest) -> Result<Bytes>;
}

/// Serving; dropping it stops.
#[must_use = "dropping it stops serving"]
pub struct ServeGuard {
    address: Option<Address>,
    // Dropped last and looked at by nobody: its drop is what stops the server.
    _stop: Box<dyn Any + Send + Sync>,
}

impl ServeGuard {
    /// Serving until `stop` is dropped, at `address` where others need one to call.
    pub fn new(address: Option<Address>, stop: impl Any + Send + Sync) -> Self {
        Self {
            address,
            _stop: Box::new(stop),
        }
    }

    /// Where the node is called, for its `peer` endpoint.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }
}

impl fmt::Debug for ServeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeGuard")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Carries calls between nodes.
///
/// # Contract
///
/// Each rule has one function of the same name in `ringhold_testkit::transport`.
///
/// - `call_reaches_the_handler`: with the request as it was sent, and answers what it answered.
/// - `an_error_keeps_its_kind`: a handler's `Err` reaches the caller with its kind and context.
/// - `nobody_serves_is_unavailable`: at once, for a node that never served or whose guard was
///   dropped.
/// - `an_older_run_is_not_called`: a call to another incarnation than the one that serves is
///   `Unavailable`.
/// - `calls_run_beside_each_other`: a handler that does not answer holds up no other call.
/// - `a_panic_is_an_error`: a handler's panic is `Unavailable` for its caller alone; serving goes on.
/// - `a_large_body_is_too_large`: above [`BODY_BYTES_MAX`], before it is sent; of a reply too.
///
/// # Cancel safety
/// Dropping the future of a call is ambiguous: the handler may run, or have run.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Calls the node of `record`.
    async fn call(&self, record: &NodeRecord, request: PeerRequest) -> Result<Bytes>;

    /// Serves `node` until the guard is dropped; one guard at a time, a second is `AlreadyExists`.
    async fn serve(&self, node: NodeIncarnation, handler: Arc<dyn PeerHandler>) -> Result<ServeGuard>;
}

/// Asks once whether a node is well. How often, and how many failures count, is the runtime's.
#[async_trait]
pub trait HealthCheck: Send + Sync + fmt::Debug {
    /// One probe. An `Err` is a failure; the caller sets the deadline by dropping the future.
    async fn probe(&self, record: &NodeRecord) -> Result<()>;
}
