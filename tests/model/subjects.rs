//! The backends that are held against the reference implementation.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ringhold::FleetName;
use ringhold::core::Backend;
use ringhold::etcd::{EtcdBackend, EtcdConfig};
use ringhold::redb::{EmbeddedConfig, EmbeddedDurability, RedbBackend};
use ringhold::redis::{LEAST_ACL, RedisBackend, RedisConfig};
use ringhold::sled::SledBackend;
use ringhold_testkit::launch::{
    ClusterOptions, EtcdCluster, EtcdOptions, RedisCluster, RedisOptions, RedisServer, ServerClock,
};
use ringhold_testkit::{RedisTime, SimulatedClock, TestTime, async_trait};
use tempfile::TempDir;
use url::Url;

/// How many sequences meet every outcome.
pub(crate) const EVERY: usize = 40;
/// How many sequences a test of the short suite plays.
pub(crate) const FEW: usize = 8;

/// A backend that is held against the reference implementation.
#[async_trait]
pub(crate) trait Subject: Send + Sync {
    /// An empty fleet. Its time is the clock's, or what [`pass`](Self::pass) makes of it.
    async fn open(&self, fleet: FleetName, clock: &SimulatedClock) -> Backend;

    /// Moves its own time on, where it does not run on the clock it was opened with.
    async fn pass(&self, _: Duration) {}

    /// How far its clocks move before that is stored. What passes below it counts too, but above a cap it
    /// is lost, so time passes in steps that are not below it, and is looked at after each.
    fn step(&self) -> Duration {
        Duration::ZERO
    }
}

/// Redis servers, which stand still until they are moved, behind one of the client libraries.
pub(crate) struct Redis {
    servers: Servers,
    time: RedisTime,
    client: &'static str,
}

enum Servers {
    One(Box<RedisServer>),
    Cluster(RedisCluster),
}

impl Redis {
    /// One server.
    pub(crate) async fn one(client: &'static str) -> Self {
        let start = || RedisServer::start(&settable()).expect("redis-server");
        let server = tokio::task::spawn_blocking(start).await.expect("no panic");
        Self {
            time: RedisTime::of_server(&server),
            servers: Servers::One(Box::new(server)),
            client,
        }
    }

    /// Three masters. Nothing fails here, so replicas would only cost time.
    pub(crate) async fn cluster(client: &'static str) -> Self {
        let options = ClusterOptions::new().replicas_per_master(0).server(settable());
        let start = || RedisCluster::start(options).expect("redis-server");
        let cluster = tokio::task::spawn_blocking(start).await.expect("no panic");
        Self {
            time: RedisTime::of_cluster(&cluster),
            servers: Servers::Cluster(cluster),
            client,
        }
    }
}

fn settable() -> RedisOptions {
    let options = RedisOptions::for_suite(LEAST_ACL).expect("a list of dimensions");
    options.clock(ServerClock::Settable)
}

#[async_trait]
impl Subject for Redis {
    async fn open(&self, fleet: FleetName, _: &SimulatedClock) -> Backend {
        let url = match &self.servers {
            Servers::One(server) => server.url(fleet.as_str()),
            Servers::Cluster(cluster) => cluster.url(fleet.as_str()),
        };
        let url = Url::parse(&format!("{url}&client={}", self.client)).expect("a URL");
        let config = RedisConfig::from_url(&url).expect("a URL of this adapter");
        let redis = RedisBackend::open(config).await.expect("servers that run");
        redis.backend()
    }

    async fn pass(&self, duration: Duration) {
        self.time.pass(duration).await;
    }
}

/// Embedded stores in a folder that goes with them.
pub(crate) struct Embedded {
    folder: TempDir,
    open: fn(EmbeddedConfig) -> BoxFuture<'static, Backend>,
}

impl Embedded {
    pub(crate) fn redb() -> Self {
        Self::new(|config| Box::pin(async { RedbBackend::open(config).await.expect("a new file").backend() }))
    }

    pub(crate) fn sled() -> Self {
        Self::new(|config| {
            Box::pin(async { SledBackend::open(config).await.expect("a new folder").backend() })
        })
    }

    fn new(open: fn(EmbeddedConfig) -> BoxFuture<'static, Backend>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, open }
    }
}

#[async_trait]
impl Subject for Embedded {
    async fn open(&self, fleet: FleetName, clock: &SimulatedClock) -> Backend {
        let config = EmbeddedConfig::new(self.folder.path().join("store"), fleet)
            .clock(Arc::new(clock.clone()))
            // Answers are the same, and come sooner.
            .durability(EmbeddedDurability::Fast);
        (self.open)(config).await
    }
}

/// An etcd of one member, whose every write waits for the disk.
pub(crate) struct Etcd(EtcdCluster);

impl Etcd {
    pub(crate) async fn start() -> Self {
        let start = || EtcdCluster::start(&EtcdOptions::new().members(1)).expect("etcd");
        Self(tokio::task::spawn_blocking(start).await.expect("no panic"))
    }
}

#[async_trait]
impl Subject for Etcd {
    async fn open(&self, fleet: FleetName, clock: &SimulatedClock) -> Backend {
        let url = Url::parse(&self.0.url(fleet.as_str())).expect("a URL");
        let config = EtcdConfig::from_url(&url).expect("a URL of this adapter");
        let config = config.with_clock(Arc::new(clock.clone()));
        EtcdBackend::open(config)
            .await
            .expect("a member that runs")
            .backend()
    }

    fn step(&self) -> Duration {
        Duration::from_millis(500)
    }
}
