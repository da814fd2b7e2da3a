//! The contracts of both traits, rule by rule, on a clock that the suites move.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringhold_core::backend::Capabilities;
use ringhold_core::{Backend, Discovery, FleetName, SessionStore};
use ringhold_sled::{EmbeddedConfig, SledBackend};
use ringhold_testkit::{DiscoveryHarness, SimulatedClock, StoreHarness, TestTime, async_trait};
use tempfile::TempDir;

struct Sled {
    clock: SimulatedClock,
    folder: TempDir,
    /// How many folders there are: each store is a new one.
    folders: AtomicUsize,
}

impl Sled {
    fn new() -> Self {
        Self {
            clock: SimulatedClock::new(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            folders: AtomicUsize::new(0),
        }
    }

    async fn backend(&self) -> Backend {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("contract-{number}"));
        let config = EmbeddedConfig::new(path, FleetName::new("contract").expect("a word"))
            .clock(Arc::new(self.clock.clone()));
        SledBackend::open(config).await.expect("a new folder").backend()
    }
}

#[async_trait]
impl StoreHarness for Sled {
    async fn store(&self) -> Arc<dyn SessionStore> {
        self.backend().await.sessions
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        SledBackend::capabilities()
    }
}

#[async_trait]
impl DiscoveryHarness for Sled {
    async fn discovery(&self) -> Arc<dyn Discovery> {
        self.backend().await.discovery
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        SledBackend::capabilities()
    }
}

ringhold_testkit::session_store_contract!(Sled::new());
ringhold_testkit::discovery_contract!(Sled::new());
