//! What an adapter brings so that the suites can run on it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::backend::Capabilities;
use ringhold_core::discovery::DiscoveryConnector;
use ringhold_core::{Discovery, SessionStore, Timing, Transport};

/// The backend's server time, as far as a test can move it.
#[async_trait]
pub trait TestTime: Send + Sync {
    /// Lets at least `duration` pass on the backend's server time: a simulated clock is moved, a
    /// real server is waited for, or its clock set.
    async fn pass(&self, duration: Duration);

    /// How much more than asked may pass during one rule, all its round trips and waits together.
    /// Zero where nothing passes by itself.
    fn slack(&self) -> Duration {
        Duration::ZERO
    }
}

/// Brings session stores to [`session_store_contract!`](crate::session_store_contract).
#[async_trait]
pub trait StoreHarness: Send + Sync {
    /// A store on a namespace of its own in which nothing was ever written.
    async fn store(&self) -> Arc<dyn SessionStore>;

    /// The time that its partitions' clocks are fed from.
    fn time(&self) -> &dyn TestTime;

    /// What the backend can do. Its resolution of deadlines and [`TestTime::slack`] together are
    /// below 3 s.
    fn capabilities(&self) -> Capabilities;
}

/// Brings memberships to [`discovery_contract!`](crate::discovery_contract).
#[async_trait]
pub trait DiscoveryHarness: Send + Sync {
    /// The membership of a fleet of its own in which nobody ever registered.
    async fn discovery(&self) -> Arc<dyn Discovery>;

    /// A membership as [`discovery`](Self::discovery), with the connector of its backend where that has one.
    async fn connected_discovery(&self) -> (Arc<dyn Discovery>, Option<Arc<dyn DiscoveryConnector>>) {
        (self.discovery().await, None)
    }

    /// The time that its lease clock is fed from.
    fn time(&self) -> &dyn TestTime;

    /// What the backend can do.
    fn capabilities(&self) -> Capabilities;

    /// The periods that the suite's fleets run by. A heartbeat is more than three times
    /// [`TestTime::slack`] and the resolution of deadlines together.
    fn timing(&self) -> Timing {
        Timing::default()
    }
}

/// Brings transports to [`transport_contract!`](crate::transport_contract).
#[async_trait]
pub trait TransportHarness: Send + Sync {
    /// A transport on which nobody serves yet. The suite serves and calls through the same one, and
    /// puts [`ServeGuard::address`](ringhold_core::transport::ServeGuard::address) into the record
    /// of the served node as its endpoint `peer`.
    async fn transport(&self) -> Arc<dyn Transport>;
}
