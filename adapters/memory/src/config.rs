//! What can be set, and the backend that comes of it.

use std::sync::Arc;

use ringhold_core::backend::Capabilities;
use ringhold_core::{Backend, Clock, FleetName, Limits};

use crate::{MemoryDiscovery, MemorySessions, MemoryTransport, TokioClock};

/// The scheme of its URLs: `memory:`.
pub const SCHEME: &str = "memory";

/// The settings of a [`MemoryBackend`].
#[derive(Debug, Clone)]
#[must_use = "it makes nothing until `build` is called"]
pub struct MemoryBuilder {
    fleet: FleetName,
    limits: Limits,
    clock: Option<Arc<dyn Clock>>,
}

impl MemoryBuilder {
    /// Other limits than [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another clock than a [`TokioClock`], such as one that a test moves by hand.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// An empty backend with these settings.
    pub fn build(self) -> MemoryBackend {
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        MemoryBackend {
            fleet: self.fleet,
            sessions: Arc::new(MemorySessions::new(self.limits, Arc::clone(&clock))),
            discovery: Arc::new(MemoryDiscovery::new(clock)),
            transport: Arc::new(MemoryTransport::new()),
        }
    }
}

/// The memory of one fleet. A clone shares it; two that were built apart know nothing of each
/// other, also under one fleet name.
#[derive(Debug, Clone)]
pub struct MemoryBackend {
    fleet: FleetName,
    sessions: Arc<MemorySessions>,
    discovery: Arc<MemoryDiscovery>,
    transport: Arc<MemoryTransport>,
}

impl MemoryBackend {
    /// An empty backend with default limits, on tokio's clock.
    pub fn new(fleet: FleetName) -> Self {
        Self::builder(fleet).build()
    }

    /// An empty backend on a clock of the caller's.
    pub fn with_clock(fleet: FleetName, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self::builder(fleet).limits(limits).clock(clock).build()
    }

    /// Starts with default settings.
    pub fn builder(fleet: FleetName) -> MemoryBuilder {
        MemoryBuilder {
            fleet,
            limits: Limits::default(),
            clock: None,
        }
    }

    /// The fleet whose memory it is.
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// Its sessions.
    pub fn sessions(&self) -> Arc<MemorySessions> {
        Arc::clone(&self.sessions)
    }

    /// Its membership.
    pub fn discovery(&self) -> Arc<MemoryDiscovery> {
        Arc::clone(&self.discovery)
    }

    /// The way between its nodes.
    pub fn transport(&self) -> Arc<MemoryTransport> {
        Arc::clone(&self.transport)
    }

    /// The trait objects, as a URL would open them.
    pub fn backend(&self) -> Backend {
        let (sessions, discovery) = (self.sessions(), self.discovery());
        Backend::new(
            SCHEME,
            self.fleet.clone(),
            Capabilities::embedded(),
            sessions,
            discovery,
        )
        .with_transport(self.transport())
    }
}

impl From<MemoryBackend> for Backend {
    fn from(memory: MemoryBackend) -> Self {
        memory.backend()
    }
}

#[cfg(test)]
mod tests {
    use ringhold_core::SessionStore;

    use super::*;

    #[test]
    fn what_was_set_is_in_force() {
        let fleet = FleetName::new("arena").unwrap();
        let limits = Limits::default().with_data_bytes_max(10).unwrap();
        let memory = MemoryBackend::builder(fleet.clone()).limits(limits).build();
        assert_eq!(memory.sessions().limits(), limits);
        let backend = Backend::from(memory);
        assert_eq!((backend.scheme, backend.fleet), ("memory", fleet));
        assert_eq!(backend.capabilities, Capabilities::embedded());
        assert!(backend.transport.is_some());
    }
}
