//! The contracts, rule by rule, on a store whose keys are at hand and on one that fetches them.

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::Reach;
use common::sessions::KvSessions;
use ringhold_core::SessionStore;
use ringhold_core::backend::{Capabilities, ClockScope};
use ringhold_testkit::{SimulatedClock, StoreHarness, TestTime};

struct Kv {
    reach: Reach,
    clock: SimulatedClock,
}

impl Kv {
    fn new(reach: Reach) -> Self {
        let clock = SimulatedClock::new();
        Self { reach, clock }
    }
}

#[async_trait]
impl StoreHarness for Kv {
    async fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(KvSessions::new(self.reach, self.clock.clone()))
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::embedded();
        capabilities.session_clocks = ClockScope::Fleet;
        capabilities
    }
}

mod near {
    use super::*;

    ringhold_testkit::session_store_contract!(Kv::new(Reach::Near));
}

mod far {
    use super::*;

    ringhold_testkit::session_store_contract!(Kv::new(Reach::Far));
}
