//! The contracts of the three traits, rule by rule, on a clock that the suites move.

use std::sync::Arc;

use ringhold_core::backend::Capabilities;
use ringhold_core::{Backend, Discovery, FleetName, Limits, SessionStore, Transport};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::{
    DiscoveryHarness, SimulatedClock, StoreHarness, TestTime, TransportHarness, async_trait,
};

#[derive(Default)]
struct Memory {
    clock: SimulatedClock,
}

impl Memory {
    fn backend(&self) -> Backend {
        let fleet = FleetName::new("contract").expect("a word");
        MemoryBackend::with_clock(fleet, Limits::default(), Arc::new(self.clock.clone())).backend()
    }
}

#[async_trait]
impl StoreHarness for Memory {
    async fn store(&self) -> Arc<dyn SessionStore> {
        self.backend().sessions
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        self.backend().capabilities
    }
}

#[async_trait]
impl DiscoveryHarness for Memory {
    async fn discovery(&self) -> Arc<dyn Discovery> {
        self.backend().discovery
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        self.backend().capabilities
    }
}

#[async_trait]
impl TransportHarness for Memory {
    async fn transport(&self) -> Arc<dyn Transport> {
        self.backend().transport.expect("memory brings a transport")
    }
}

ringhold_testkit::session_store_contract!(Memory::default());
ringhold_testkit::discovery_contract!(Memory::default());
ringhold_testkit::transport_contract!(Memory::default());
