//! The contracts of the traits, rule by rule: on a real Redis Cluster of three masters and three
//! replicas, and on one real Redis, each with every client library. The servers' clocks stand still
//! until a rule moves them. `RINGHOLD_REDIS_SERVERS` says in what they differ from plain ones.

#[path = "suite/mod.rs"]
mod suite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ringhold_core::backend::Capabilities;
use ringhold_core::discovery::DiscoveryConnector;
use ringhold_core::{Backend, Discovery, SessionStore, Timing};
use ringhold_redis::{RedisBackend, RedisConfig};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions, RedisServer, ServerClock};
use ringhold_testkit::{DiscoveryHarness, RedisTime, StoreHarness, TestTime, async_trait};
use url::Url;

use self::suite::servers;

fn settable() -> RedisOptions {
    servers().clock(ServerClock::Settable)
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
    ($name:ident, $servers:ident, $time:path) => {
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

            async fn connected_discovery(&self) -> (Arc<dyn Discovery>, Option<Arc<dyn DiscoveryConnector>>) {
                let backend = self.backend().await;
                (backend.discovery, backend.discovery_connector)
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
            async fn new(client: &'static str) -> Self {
                let servers = tokio::task::spawn_blocking(Self::start)
                    .await
                    .expect("no panic");
                let url = servers.url("capabilities") + "&client=" + client;
                let capabilities = open(&url).await.capabilities;
                Self {
                    time: $time(&servers),
                    capabilities,
                    servers,
                    client,
                }
            }

            /// A fleet of its own. Its watches look often, so that a rule is soon over.
            async fn backend(&self) -> Backend {
                static FLEETS: AtomicU32 = AtomicU32::new(0);
                let fleet = format!("contract-{}", FLEETS.fetch_add(1, Ordering::Relaxed));
                open(&format!(
                    "{}&poll_ms=20&client={}",
                    self.servers.url(&fleet),
                    self.client
                ))
                .await
            }
        }

        struct $name {
            time: RedisTime,
            capabilities: Capabilities,
            servers: $servers,
            client: &'static str,
        }
    };
}

harness!(Cluster, RedisCluster, RedisTime::of_cluster);
harness!(Single, RedisServer, RedisTime::of_server);

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

/// Both suites with one client library.
macro_rules! contracts {
    ($client:ident) => {
        mod $client {
            mod cluster {
                use super::super::*;

                ringhold_testkit::session_store_contract!(Cluster::new(stringify!($client)).await);
                ringhold_testkit::discovery_contract!(Cluster::new(stringify!($client)).await);
            }

            mod single {
                use super::super::*;

                ringhold_testkit::session_store_contract!(Single::new(stringify!($client)).await);
                ringhold_testkit::discovery_contract!(Single::new(stringify!($client)).await);
            }
        }
    };
}

contracts!(redis);
#[cfg(feature = "fred")]
contracts!(fred);
