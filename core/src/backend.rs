//! What a URL opens: the trait objects of one backend, and what it can do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::discovery::DiscoveryConnector;
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
    /// Membership over connections of their own, for the thread on which a node renews its lease; `None` for a
    /// backend inside this process, whose nodes renew on the application's runtime. A wrapper around
    /// `discovery` wraps or removes it as well, or renewals go past that wrapper.
    pub discovery_connector: Option<Arc<dyn DiscoveryConnector>>,
    /// Between nodes, where the backend brings its own way.
    pub transport: Option<Arc<dyn Transport>>,
}

impl Backend {
    /// A backend of these parts, without a transport and a connector.
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
            discovery_connector: None,
            transport: None,
        }
    }

    /// The same backend with a way to connect to its membership once more.
    #[must_use]
    pub fn with_discovery_connector(mut self, connector: Arc<dyn DiscoveryConnector>) -> Self {
        self.discovery_connector = Some(connector);
        self
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

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;

    use crate::discovery::{Departed, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered, RenewLease};
    use crate::discovery::{Renewed, Watch};
    use crate::session::{AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, ListSessions};
    use crate::session::{RemoveSession, Removed, RestoreSession, Restored, SaveSession, Saved, SessionPage};
    use crate::session::{TakeExpired, TakenSessions, Touch, TouchedMany};
    use crate::{
        Limits, Membership, Partition, PlayerId, Result, Revision, SessionId, SessionRecord, Timing,
    };

    /// Made, and never asked.
    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl SessionStore for Silent {
        fn limits(&self) -> Limits {
            unreachable!()
        }
        async fn create(&self, _: CreateSession) -> Result<Created> {
            unreachable!()
        }
        async fn get(&self, _: &SessionId) -> Result<Option<SessionRecord>> {
            unreachable!()
        }
        async fn find(&self, _: &PlayerId) -> Result<Vec<SessionRecord>> {
            unreachable!()
        }
        async fn save(&self, _: SaveSession) -> Result<Saved> {
            unreachable!()
        }
        async fn touch_many(&self, _: &[Touch]) -> Result<TouchedMany> {
            unreachable!()
        }
        async fn claim(&self, _: ClaimSession) -> Result<Claimed> {
            unreachable!()
        }
        async fn remove(&self, _: RemoveSession) -> Result<Removed> {
            unreachable!()
        }
        async fn restore(&self, _: RestoreSession) -> Result<Restored> {
            unreachable!()
        }
        async fn list(&self, _: ListSessions) -> Result<SessionPage> {
            unreachable!()
        }
        async fn count(&self, _: Partition) -> Result<u64> {
            unreachable!()
        }
        async fn take_expired(&self, _: TakeExpired) -> Result<TakenSessions> {
            unreachable!()
        }
        async fn ack_expired(&self, _: AckExpired) -> Result<Acked> {
            unreachable!()
        }
    }

    #[async_trait]
    impl Discovery for Silent {
        async fn register(&self, _: RegisterNode) -> Result<Registered> {
            unreachable!()
        }
        async fn renew(&self, _: RenewLease) -> Result<Renewed> {
            unreachable!()
        }
        async fn leave(&self, _: LeaveFleet) -> Result<Departed> {
            unreachable!()
        }
        async fn evict(&self, _: EvictNode) -> Result<Evicted> {
            unreachable!()
        }
        async fn members(&self) -> Result<Membership> {
            unreachable!()
        }
        async fn timing(&self) -> Result<Option<Timing>> {
            unreachable!()
        }
        async fn watch(&self, _: Option<Revision>) -> Result<Box<dyn Watch>> {
            unreachable!()
        }
    }

    /// What a store holds, an address or a password, is its own to show.
    #[test]
    fn a_backend_shows_its_name_and_nothing_of_its_parts() {
        let fleet = FleetName::new("arena").unwrap();
        let parts = (Arc::new(Silent), Arc::new(Silent));
        let backend = Backend::new("none", fleet, Capabilities::embedded(), parts.0, parts.1);
        let shown = format!("{backend:?}");
        for part in ["\"none\"", "arena", "durable: false"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("Silent"), "{shown}");
    }
}
