//! From settings to a backend.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::backend::{Capabilities, ClockScope};
use ringhold_core::{Backend, FleetName, Result};

use super::config::EmbeddedConfig;
use super::discovery::EmbeddedDiscovery;
use super::handle::{Handle, blocking};
use super::open;
use super::sessions::EmbeddedSessions;
use super::storage::Storage;
use crate::sessions::Account;

/// What makes a store of a path.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    /// The scheme of its URLs.
    pub scheme: &'static str,
    /// Whether a path is a folder and not a file.
    pub folder: bool,
    /// Opens a path. Whatever it answers is the whole store: nobody else has it open.
    pub open: fn(&Path, Opening) -> Result<Box<dyn Storage>>,
}

/// What is done where a path holds no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// One is made.
    OrMake,
    /// `Unavailable`, and nothing is made: this process had one open there, and it has failed.
    Again,
}

/// One fleet in an open file or folder. A clone shares it.
#[derive(Clone)]
pub struct EmbeddedBackend {
    scheme: &'static str,
    fleet: FleetName,
    sessions: Arc<EmbeddedSessions>,
    discovery: Arc<EmbeddedDiscovery>,
}

impl EmbeddedBackend {
    /// Opens it. Nothing is on the disk before this, and what a process that was killed left there is put in
    /// order.
    ///
    /// # Errors
    /// - `InvalidArgument`: a path that cannot be one, or may not be opened; called outside of a tokio runtime.
    /// - `Unavailable`: another process has it open; the disk is full, or fails.
    /// - `Corrupt`: it is damaged, or nothing of ours.
    /// - `Unsupported`: it has another schema.
    pub async fn open(driver: Driver, config: EmbeddedConfig) -> Result<Self> {
        blocking("open", move || Self::open_now(driver, &config)).await
    }

    fn open_now(driver: Driver, config: &EmbeddedConfig) -> Result<Self> {
        let engine = open::engine(driver, &config.path)?;
        let fleet = engine.fleet(&config.fleet, &config.clock, &config.wall)?;
        let handle = Handle {
            engine,
            fleet,
            sync_within: config.durability.sync_within(),
        };
        Ok(Self {
            scheme: driver.scheme,
            fleet: config.fleet.clone(),
            sessions: Arc::new(EmbeddedSessions::new(handle.clone(), config.limits)),
            discovery: Arc::new(EmbeddedDiscovery::new(handle)),
        })
    }

    /// What embedded stores can do: one process, and sessions that survive its end.
    pub fn capabilities() -> Capabilities {
        let mut capabilities = Capabilities::embedded();
        capabilities.durable = true;
        capabilities.session_clocks = ClockScope::Fleet;
        capabilities.ttl_resolution = Duration::from_millis(1);
        capabilities
    }

    /// The fleet.
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// Its sessions.
    pub fn sessions(&self) -> Arc<EmbeddedSessions> {
        Arc::clone(&self.sessions)
    }

    /// Its membership.
    pub fn discovery(&self) -> Arc<EmbeddedDiscovery> {
        Arc::clone(&self.discovery)
    }

    /// Looks at every key of the fleet's sessions, as they are at one moment, and whether they fit together.
    ///
    /// # Errors
    /// `Unavailable` and `Corrupt`.
    pub async fn account(&self) -> Result<Account> {
        self.sessions.account().await
    }

    /// The trait objects, as a URL would open them.
    pub fn backend(&self) -> Backend {
        let (sessions, discovery) = (self.sessions(), self.discovery());
        let fleet = self.fleet.clone();
        Backend::new(self.scheme, fleet, Self::capabilities(), sessions, discovery)
    }
}

impl fmt::Debug for EmbeddedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBackend")
            .field("scheme", &self.scheme)
            .field("fleet", &self.fleet)
            .finish_non_exhaustive()
    }
}

impl From<EmbeddedBackend> for Backend {
    fn from(embedded: EmbeddedBackend) -> Self {
        embedded.backend()
    }
}
