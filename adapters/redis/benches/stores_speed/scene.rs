//! The cluster, and the two ways to it.

use std::sync::Arc;

use ringhold_core::{Partition, SessionId, SessionStore};
use ringhold_redis::{RedisBackend, RedisConfig};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, Reply};
use url::Url;

use crate::bare::Bare;
use crate::way::{DATA_BYTES, Operation, Shared, Task};

/// The fleet whose keys both sides use.
pub(crate) const FLEET: &str = "speed";
/// How many random players leave no master out.
const WARM_UP: usize = 64;

/// A cluster of 3 masters with a replica each, and both ways to it.
pub(crate) struct Scene {
    pub(crate) cluster: RedisCluster,
    pub(crate) ours: Arc<dyn SessionStore>,
    pub(crate) bare: Bare,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let cluster = RedisCluster::start(ClusterOptions::new()).expect("a cluster that runs");
        let ours = store(&cluster, "redis").await;
        // The store sends a script to a master that does not know it.
        for partition in Partition::all() {
            let nobody = SessionId::new(partition, [0; 16]);
            assert_eq!(ours.get(&nobody).await.expect("an answer"), None);
        }
        // The same for the scripts that write: sessions of random players are on each master.
        let shared = Shared::new();
        for _ in 0..WARM_UP {
            let mut task = Task::new(ours.clone(), &shared, DATA_BYTES).await;
            task.run(Operation::Save).await;
            task.run(Operation::Touch).await;
        }
        let bare = Bare::connect(&cluster).await;
        Self { cluster, ours, bare }
    }

    /// Takes everything out of all masters, so that no round meets more than another.
    pub(crate) fn empty(&self) {
        for master in self.cluster.masters().expect("a cluster that runs") {
            let reply = self.cluster.command(master, &["FLUSHALL"]);
            assert!(reply.expect("a master that runs").is_ok());
        }
    }
}

/// Opens the fleet through a client library, on connections of its own.
pub(crate) async fn store(cluster: &RedisCluster, client: &str) -> Arc<dyn SessionStore> {
    let url = format!("{}&client={client}", cluster.url(FLEET));
    let config = RedisConfig::from_url(&Url::parse(&url).expect("a URL")).expect("a sound URL");
    let backend = RedisBackend::open(config).await.expect("a cluster that runs");
    backend.backend().sessions
}

/// Which node has a slot: first and last slot, and its port.
pub(crate) fn slots(cluster: &RedisCluster) -> Vec<(i64, i64, i64)> {
    let reply = cluster
        .command(0, &["CLUSTER", "SLOTS"])
        .expect("a node that runs");
    let array = |reply: &Reply| match reply {
        Reply::Array(items) => items.clone(),
        other => panic!("an array is expected, not {other:?}"),
    };
    let number = |reply: &Reply| reply.integer().expect("a number");
    array(&reply)
        .iter()
        .map(|range| {
            let range = array(range);
            (number(&range[0]), number(&range[1]), number(&array(&range[2])[1]))
        })
        .collect()
}
