//! From settings to a backend.

use std::sync::Arc;

use ringhold_core::backend::Capabilities;
use ringhold_core::{Backend, FleetName, Result};
use ringhold_kv::embedded::{Driver, EmbeddedBackend, EmbeddedConfig, EmbeddedDiscovery, EmbeddedSessions};
use ringhold_kv::sessions::Account;
use url::Url;

use crate::storage;

/// The scheme of its URLs: `sled:///absolute/folder` and `sled:relative/folder`.
pub const SCHEME: &str = "sled";

const DRIVER: Driver = Driver {
    scheme: SCHEME,
    folder: true,
    open: storage::open,
};

/// One fleet in a sled folder. A clone shares it; so does whoever opens the same folder in this process.
#[derive(Debug, Clone)]
pub struct SledBackend(EmbeddedBackend);

impl SledBackend {
    /// Opens the folder, or makes it in a folder that is there.
    ///
    /// # Errors
    /// As [`EmbeddedBackend::open`].
    pub async fn open(config: EmbeddedConfig) -> Result<Self> {
        EmbeddedBackend::open(DRIVER, config).await.map(Self)
    }

    /// Opens what a URL names.
    ///
    /// # Errors
    /// As [`EmbeddedConfig::from_url`] and [`open`](Self::open).
    pub async fn open_url(url: &Url) -> Result<Self> {
        Self::open(EmbeddedConfig::from_url(SCHEME, url)?).await
    }

    /// The fleet.
    pub fn fleet(&self) -> &FleetName {
        self.0.fleet()
    }

    /// What it can do.
    pub fn capabilities() -> Capabilities {
        EmbeddedBackend::capabilities()
    }

    /// Its sessions.
    pub fn sessions(&self) -> Arc<EmbeddedSessions> {
        self.0.sessions()
    }

    /// Its membership.
    pub fn discovery(&self) -> Arc<EmbeddedDiscovery> {
        self.0.discovery()
    }

    /// Looks at every key of the fleet's sessions, as they are at one moment, and whether they fit together.
    /// Writers wait until it is done, since sled shows no moment otherwise.
    ///
    /// # Errors
    /// As [`EmbeddedBackend::account`].
    pub async fn account(&self) -> Result<Account> {
        self.0.account().await
    }

    /// The trait objects, as a URL would open them.
    pub fn backend(&self) -> Backend {
        self.0.backend()
    }
}

impl From<SledBackend> for Backend {
    fn from(sled: SledBackend) -> Self {
        sled.backend()
    }
}
