//! The cluster, the ways to it, and where players are.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::{Partition, SessionStore};
use ringhold_redis::{LEAST_ACL, RedisBackend, RedisConfig};
use ringhold_testkit::Make;
use ringhold_testkit::launch::{ClusterOptions, Error, RedisCluster, RedisOptions};
use url::Url;

/// What may go wrong outside of what is checked.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// How many partitions the players are in: few, so that a slot that moves is one that is written to.
const PARTITIONS: usize = 24;
/// The client libraries, in turn.
const CLIENTS: &[&str] = &[
    "redis",
    #[cfg(feature = "fred")]
    "fred",
];

pub(crate) struct Bed {
    cluster: Arc<RedisCluster>,
    partitions: Vec<Partition>,
    /// What the faults are drawn from.
    pub(crate) make: Make,
}

impl Bed {
    pub(crate) async fn new(seed: u64) -> Result<Self, Failure> {
        let options = ClusterOptions::new()
            .node_timeout(NODE_TIMEOUT)
            .server(RedisOptions::for_suite(LEAST_ACL)?);
        let cluster = blocking(move || RedisCluster::start(options)).await?;
        let make = Make::with_seed("the faults", seed);
        let all: Vec<Partition> = Partition::all().collect();
        Ok(Self {
            cluster: Arc::new(cluster),
            partitions: (0..PARTITIONS).map(|_| all[make.below(all.len())]).collect(),
            make,
        })
    }

    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// So many ways to the cluster, each with connections of its own.
    pub(crate) async fn stores(
        &self,
        ways: usize,
        durability: &str,
    ) -> Result<Vec<Arc<dyn SessionStore>>, Failure> {
        let mut stores: Vec<Arc<dyn SessionStore>> = Vec::new();
        for client in CLIENTS.iter().cycle().take(ways) {
            let url = self.cluster.url("histories");
            let url = Url::parse(&format!("{url}&client={client}&durability={durability}"))?;
            stores.push(RedisBackend::open(RedisConfig::from_url(&url)?).await?.sessions());
        }
        Ok(stores)
    }

    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RedisCluster) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let cluster = Arc::clone(&self.cluster);
        blocking(move || work(&cluster)).await
    }

    /// Some master.
    pub(crate) async fn master(&self) -> Result<usize, Failure> {
        let masters = self.with(RedisCluster::masters).await?;
        let chosen = masters.get(self.make.below(masters.len()));
        Ok(*chosen.ok_or("there is no master")?)
    }

    /// A replica of a master.
    pub(crate) async fn replica_of(&self, master: usize) -> Result<usize, Failure> {
        let replicas = self.with(|cluster| {
            (0..cluster.len())
                .map(|index| cluster.replica_of(index))
                .collect::<Result<Vec<_>, _>>()
        });
        let found = replicas.await?.iter().position(|of| *of == Some(master));
        found.ok_or_else(|| format!("node {master} has no replica").into())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await??)
}
