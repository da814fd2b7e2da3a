//! The contracts of the traits, rule by rule, on a real etcd of three members. The processes' own clock
//! stands still until a rule moves it, and with it the fleet's. `RINGHOLD_ETCD_SERVERS` says how the members differ from
//! plain ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ringhold_core::backend::Capabilities;
use ringhold_core::discovery::DiscoveryConnector;
use ringhold_core::{Backend, Discovery, SessionStore, Timing};
use ringhold_etcd::{EtcdBackend, EtcdConfig};
use ringhold_testkit::launch::{EtcdCluster, EtcdOptions};
use ringhold_testkit::{DiscoveryHarness, SimulatedClock, StoreHarness, TestTime, async_trait};
use url::Url;

struct Etcd {
    cluster: EtcdCluster,
    clock: SimulatedClock,
    capabilities: Capabilities,
}

impl Etcd {
    async fn new() -> Self {
        let start = || EtcdCluster::start(&EtcdOptions::for_suite().expect("kinds")).expect("etcd");
        let cluster = tokio::task::spawn_blocking(start).await.expect("no panic");
        let clock = SimulatedClock::new();
        let capabilities = open(&cluster, &clock, "capabilities").await.capabilities;
        Self {
            cluster,
            clock,
            capabilities,
        }
    }

    /// A fleet of its own. Its watches look often, so that a rule is soon over.
    async fn backend(&self) -> Backend {
        static FLEETS: AtomicU32 = AtomicU32::new(0);
        let fleet = format!("contract-{}", FLEETS.fetch_add(1, Ordering::Relaxed));
        open(&self.cluster, &self.clock, &fleet).await
    }
}

async fn open(cluster: &EtcdCluster, clock: &SimulatedClock, fleet: &str) -> Backend {
    let url = Url::parse(&(cluster.url(fleet) + "&poll_ms=20")).expect("a URL");
    let config = EtcdConfig::from_url(&url).expect("a URL of this adapter");
    let config = config.with_clock(Arc::new(clock.clone()));
    EtcdBackend::open(config)
        .await
        .expect("members that run")
        .backend()
}

#[async_trait]
impl StoreHarness for Etcd {
    async fn store(&self) -> Arc<dyn SessionStore> {
        self.backend().await.sessions
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}

#[async_trait]
impl DiscoveryHarness for Etcd {
    async fn discovery(&self) -> Arc<dyn Discovery> {
        self.backend().await.discovery
    }

    async fn connected_discovery(&self) -> (Arc<dyn Discovery>, Option<Arc<dyn DiscoveryConnector>>) {
        let backend = self.backend().await;
        (backend.discovery, backend.discovery_connector)
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn timing(&self) -> Timing {
        // More than three times the resolution of deadlines.
        Timing::new(Duration::from_secs(4), Duration::from_secs(12)).expect("periods that work")
    }
}

ringhold_testkit::session_store_contract!(Etcd::new().await);
ringhold_testkit::discovery_contract!(Etcd::new().await);
