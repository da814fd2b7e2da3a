//! The contracts of the traits, rule by rule: on a real Redis Cluster of three masters and three
//! replicas, and on one real Redis. The servers' clocks stand still until a rule moves them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ringhold_core::backend::Capabilities;
use ringhold_core::{Backend, Discovery, SessionStore, Timing};
use ringhold_redis::{RedisBackend, RedisConfig};
use ringhold_testkit::launch::{
    ClusterOptions, RedisCluster, RedisOptions, RedisServer, ServerClock, SettableClock,
};
use ringhold_testkit::{DiscoveryHarness, StoreHarness, TestTime, async_trait};
use url::Url;

/// Server time that a rule moves. Nothing passes beside that.
struct Time(SettableClock);

#[async_trait]
impl TestTime for Time {
    async fn pass(&self, duration: Duration) {
        // The servers count in whole microseconds, and at least this much is to pass.
        let micros = u64::try_from(duration.as_nanos().div_ceil(1_000)).expect("a rule of some years");
        self.0
            .advance(Duration::from_micros(micros))
            .expect("a clock that can be set");
    }
}

fn settable() -> RedisOptions {
    RedisOptions::new().clock(ServerClock::Settable)
}

async fn open(url: &str) -> Backend {
    let url = Url::parse(url).expect("a URL");
    let config = RedisConfig::from_url(&url).expect("a URL of this adapter");
    RedisBackend::open(config)
        .await
        .expect("servers that run")
        .backend()
}

/// What both harnesses have in common.
macro_rules! harness {
    ($name:ident, $servers:ident) => {
        #[async_trait]
        impl StoreHarness for $name {
            async fn store(&self) -> Arc<dyn SessionStore> {
                self.backend().await.sessions
            }

            fn time(&self) -> &dyn TestTime {
                &self.time
            }

            fn capabilities(&self) -> Capabilities {
                self.capabilities
            }
        }

        #[async_trait]
        impl DiscoveryHarness for $name {
            async fn discovery(&self) -> Arc<dyn Discovery> {
                self.backend().await.discovery
            }

            fn time(&self) -> &dyn TestTime {
                &self.time
            }

            fn capabilities(&self) -> Capabilities {
                self.capabilities
            }

            fn timing(&self) -> Timing {
                Timing::default()
            }
        }

        impl $name {
            async fn new() -> Self {
                let servers = tokio::task::spawn_blocking(Self::start)
                    .await
                    .expect("no panic");
                let clock = servers.clock().expect("it is settable").clone();
                let capabilities = open(&servers.url("capabilities")).await.capabilities;
                Self {
                    time: Time(clock),
                    capabilities,
                    servers,
                }
            }

            /// A fleet of its own. Its watches look often, so that a rule is soon over.
            async fn backend(&self) -> Backend {
                static FLEETS: AtomicU32 = AtomicU32::new(0);
                let fleet = format!("contract-{}", FLEETS.fetch_add(1, Ordering::Relaxed));
                open(&(self.servers.url(&fleet) + "&poll_ms=20")).await
            }
        }

        struct $name {
            time: Time,
            capabilities: Capabilities,
            servers: $servers,
        }
    };
}

harness!(Cluster, RedisCluster);
harness!(Single, RedisServer);

impl Cluster {
    fn start() -> RedisCluster {
        RedisCluster::start(ClusterOptions::new().server(settable())).expect("redis-server")
    }
}

impl Single {
    fn start() -> RedisServer {
        RedisServer::start(&settable()).expect("redis-server")
    }
}

mod cluster {
    use super::*;

    ringhold_testkit::session_store_contract!(Cluster::new().await);
    ringhold_testkit::discovery_contract!(Cluster::new().await);
}

mod single {
    use super::*;

    ringhold_testkit::session_store_contract!(Single::new().await);
    ringhold_testkit::discovery_contract!(Single::new().await);
}
