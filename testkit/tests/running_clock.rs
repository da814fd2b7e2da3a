//! The suites hold where time passes by itself, as on a real server: each look at the clock moves
//! it, and every wait takes longer than it was asked to.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::backend::Capabilities;
use ringhold_core::{Backend, Clock, Discovery, FleetName, Limits, SessionStore, Timing};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::{DiscoveryHarness, SimulatedClock, StoreHarness, TestTime, async_trait};

/// How much one look at the clock takes, some ten thousand of them in the longest rule.
const LOOK: Duration = Duration::from_micros(1);
/// How much longer than asked each wait is, a hundred of them in the longest rule.
const LATE: Duration = Duration::from_millis(3);

#[derive(Debug, Clone, Default)]
struct RunningClock(SimulatedClock);

impl Clock for RunningClock {
    fn now(&self) -> Duration {
        self.0.advance(LOOK);
        self.0.now()
    }
}

#[async_trait]
impl TestTime for RunningClock {
    async fn pass(&self, duration: Duration) {
        self.0.advance(duration + LATE);
    }

    fn slack(&self) -> Duration {
        Duration::from_millis(500)
    }
}

#[derive(Default)]
struct Running {
    clock: RunningClock,
}

impl Running {
    fn backend(&self) -> Backend {
        let fleet = FleetName::new("running").expect("a word");
        MemoryBackend::with_clock(fleet, Limits::default(), Arc::new(self.clock.clone())).backend()
    }
}

#[async_trait]
impl StoreHarness for Running {
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
impl DiscoveryHarness for Running {
    async fn discovery(&self) -> Arc<dyn Discovery> {
        self.backend().discovery
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        self.backend().capabilities
    }

    // The lease with the fewest heartbeats that there is: three.
    fn timing(&self) -> Timing {
        Timing::relaxed()
    }
}

ringhold_testkit::session_store_contract!(Running::default());
ringhold_testkit::discovery_contract!(Running::default());
