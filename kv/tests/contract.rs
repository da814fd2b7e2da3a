//! The contract of the membership, rule by rule, on keys at hand and on keys from afar.

mod common;

use std::sync::Arc;

use common::discovery::TestDiscovery;
use common::{Reach, TestStore};
use ringhold_core::Discovery;
use ringhold_core::backend::Capabilities;
use ringhold_testkit::{DiscoveryHarness, SimulatedClock, TestTime, async_trait};

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
        Capabilities::embedded()
    }
}

mod near {
    use super::{Reach, Rules};

    ringhold_testkit::discovery_contract!(Rules::new(Reach::Near));
}

mod far {
    use super::{Reach, Rules};

    ringhold_testkit::discovery_contract!(Rules::new(Reach::Far));
}
