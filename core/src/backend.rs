//! What a URL opens: the trait objects of one backend, and what it can do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Discovery, FleetName, SessionStore, Transport};

/// What a backend can and cannot do. The contract suites read it, and combinations that cannot
/// work are refused with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Several processes can share it.
    pub shared: bool,
    /// Sessions survive a restart of everything.
    pub durable: bool,
    /// The most replicas that can acknowledge a write.
    pub replicas_max: u8,
    /// Deadlines are kept to this precision.
    pub ttl_resolution: Duration,
    /// What stands still together where nobody writes.
    pub session_clocks: ClockScope,
}

/// How many clocks a fleet's sessions run on. Each stands still while nobody writes to what it belongs to
/// or takes from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClockScope {
    /// Each partition has its own: where partitions are reached, or not, one by one.
    Partition,
    /// One for all: where the store is reached as a whole or not at all.
    Fleet,
}

impl Capabilities {
    /// A store inside one process that keeps nothing: not shared, not durable, no replicas, 1 ms, a clock
    /// for each partition.
    pub const fn embedded() -> Self {
        Self {
            shared: false,
            durable: false,
            replicas_max: 0,
            ttl_resolution: Duration::from_millis(1),
            session_clocks: ClockScope::Partition,
        }
    }
}

/// One opened backend. A clone shares it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Backend {
    /// Its scheme, such as `memory`.
    pub scheme: &'static str,
    /// The fleet whose namespace it is.
    pub fleet: FleetName,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Membership.
    pub discovery: Arc<dyn Discovery>,
    /// Between nodes, where the backend brings its own way.
    pub transport: Option<Arc<dyn Transport>>,
}

impl Backend {
    /// A backend of these parts, without a transport.
    pub fn new(
        scheme: &'static str,
        fleet: FleetName,
        capabilities: Capabilities,
        sessions: Arc<dyn SessionStore>,
        discovery: Arc<dyn Discovery>,
    ) -> Self {
        Self {
            scheme,
            fleet,
            capabilities,
            sessions,
            discovery,
            transport: None,
        }
    }

    /// The same backend with a transport.
    #[must_use]
    pub fn with_transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("scheme", &self.scheme)
            .field("fleet", &self.fleet)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}
