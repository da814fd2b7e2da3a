//! Both contracts, rule by rule, on keys at hand and on keys from afar.

use std::sync::Arc;

use crate::common::discovery::TestDiscovery;
use crate::common::sessions::KvSessions;
use crate::common::{Reach, TestStore};
use ringhold_core::backend::{Capabilities, ClockScope};
use ringhold_core::{Discovery, SessionStore};
use ringhold_testkit::{DiscoveryHarness, SimulatedClock, StoreHarness, TestTime, async_trait};

struct Rules {
    reach: Reach,
    clock: SimulatedClock,
}

impl Rules {
    fn new(reach: Reach) -> Self {
        let clock = SimulatedClock::new();
        Self { reach, clock }
    }
}

#[async_trait]
impl DiscoveryHarness for Rules {
    async fn discovery(&self) -> Arc<dyn Discovery> {
        let store = TestStore::new(self.reach);
        Arc::new(TestDiscovery::new(store, Arc::new(self.clock.clone())))
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }
}

#[async_trait]
impl StoreHarness for Rules {
    async fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(KvSessions::new(self.reach, self.clock.clone()))
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }
}

fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::embedded();
    capabilities.session_clocks = ClockScope::Fleet;
    capabilities
}

mod near {
    use super::{Reach, Rules};

    ringhold_testkit::session_store_contract!(Rules::new(Reach::Near));
    ringhold_testkit::discovery_contract!(Rules::new(Reach::Near));
}

mod far {
    use super::{Reach, Rules};

    ringhold_testkit::session_store_contract!(Rules::new(Reach::Far));
    ringhold_testkit::discovery_contract!(Rules::new(Reach::Far));
}
