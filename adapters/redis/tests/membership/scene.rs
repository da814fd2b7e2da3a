//! One server, one fleet on it, and a back door to what is stored.

use std::sync::Arc;

use ringhold_core::discovery::{Changes, EvictNode, LeaveFleet, RegisterNode, RenewLease, Renewed, Watch};
use ringhold_core::node::Load;
use ringhold_core::{
    Discovery, Membership, NodeId, NodeIncarnation, NodeRecord, Result, Revision, Timing, Update,
};
use ringhold_redis::{RedisBackend, RedisConfig};
use ringhold_testkit::launch::{RedisServer, Reply, ServerClock};
use ringhold_testkit::{Make, within};
use tokio::task;
use url::Url;

use crate::suite::servers;

pub(super) async fn open(url: &str) -> Arc<dyn Discovery> {
    let config = RedisConfig::from_url(&Url::parse(url).expect("a URL")).expect("a URL of this adapter");
    RedisBackend::open(config)
        .await
        .expect("a server that runs")
        .discovery()
}

/// A fleet on a server of its own, whose clock stands still.
pub(super) struct Scene {
    pub(super) server: RedisServer,
    pub(super) discovery: Arc<dyn Discovery>,
    pub(super) make: Make,
}

/// The four keys of the membership, as they were.
pub(super) struct Snapshot(Vec<(Vec<u8>, Vec<u8>)>);

impl Scene {
    pub(super) const KEYS: [&str; 4] = ["n", "l", "e", "v"];

    pub(super) async fn new(name: &'static str) -> Self {
        let options = servers().clock(ServerClock::Settable);
        let started = task::spawn_blocking(move || RedisServer::start(&options));
        let server = started.await.expect("no panic").expect("redis-server");
        let discovery = open(&(server.url("arena") + "&poll_ms=20&attempt_ms=10000&deadline_ms=45000")).await;
        Self {
            server,
            discovery,
            make: Make::new(name),
        }
    }

    /// Runs a command past the adapter.
    pub(super) fn command<A: AsRef<[u8]>>(&self, words: &[A]) -> Reply {
        let reply = task::block_in_place(|| self.server.command(words)).expect("an answer");
        reply.check().expect("a command that the server takes")
    }

    pub(super) fn bytes<A: AsRef<[u8]>>(&self, words: &[A]) -> Vec<u8> {
        match self.command(words) {
            Reply::Bytes(bytes) => bytes,
            other => panic!("no bytes: {other:?}"),
        }
    }

    /// The name of one of the four keys.
    pub(super) fn key(&self, name: &str) -> Vec<u8> {
        match self.command(&["KEYS", &format!("ringhold:*:arena:{name}")]) {
            Reply::Array(keys) => match &keys[..] {
                [Reply::Bytes(key)] => key.clone(),
                other => panic!("one key {name}: {other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot(
            Self::KEYS
                .iter()
                .map(|name| {
                    let key = self.key(name);
                    let dump = self.bytes(&[b"DUMP", &key[..]]);
                    (key, dump)
                })
                .collect(),
        )
    }

    /// What a failover to a replica does that did not get the last writes.
    pub(super) fn roll_back(&self, to: &Snapshot) {
        for (key, dump) in &to.0 {
            self.command(&[b"RESTORE", &key[..], b"0", dump, b"REPLACE"]);
        }
    }

    pub(super) async fn register(&self, record: &NodeRecord) -> NodeIncarnation {
        let request = RegisterNode::new(record.clone(), Timing::default());
        let registered = self.discovery.register(request).await.expect("register");
        NodeIncarnation::new(record.id.clone(), registered.incarnation)
    }

    pub(super) async fn join(&self) -> NodeIncarnation {
        self.register(&self.make.node()).await
    }

    pub(super) fn renewal(&self, node: &NodeIncarnation, after: Revision) -> RenewLease {
        RenewLease::new(node.clone(), after, Load::default(), self.make.operation())
    }

    pub(super) async fn try_renew(&self, node: &NodeIncarnation, after: Revision) -> Result<Renewed> {
        self.discovery.renew(self.renewal(node, after)).await
    }

    pub(super) async fn changes(&self, node: &NodeIncarnation, after: Revision) -> Changes {
        self.try_renew(node, after).await.expect("renew").changes
    }

    pub(super) async fn renew(&self, node: &NodeIncarnation) {
        self.try_renew(node, Revision::default()).await.expect("renew");
    }

    pub(super) async fn leave(&self, node: &NodeIncarnation) {
        let request = LeaveFleet::new(node.clone(), self.make.operation());
        self.discovery.leave(request).await.expect("leave");
    }

    pub(super) async fn evict(&self, node: &NodeIncarnation) -> Result<bool> {
        let request = EvictNode::new(node.clone(), self.make.operation());
        Ok(self.discovery.evict(request).await?.was_member)
    }

    pub(super) async fn members(&self) -> Membership {
        self.discovery.members().await.expect("members")
    }

    pub(super) async fn watch(&self, after: Option<Revision>) -> Box<dyn Watch> {
        self.discovery.watch(after).await.expect("a watch")
    }

    /// A watch that has come to the membership of now.
    pub(super) async fn watch_from_now(&self) -> (Box<dyn Watch>, Membership) {
        let mut watch = self.watch(None).await;
        match next(&mut watch).await {
            Update::Reset(membership) => (watch, membership),
            other => panic!("a watch starts with a reset: {other:?}"),
        }
    }

    /// So many changes: somebody comes and goes.
    pub(super) async fn churn(&self, changes: usize) {
        let id = self.make.node_id();
        for _ in 0..changes / 2 {
            let guest = self.register(&self.make.run_of(id.clone())).await;
            self.leave(&guest).await;
        }
    }
}

/// The next update that is no table of loads.
pub(super) async fn next(watch: &mut Box<dyn Watch>) -> Update {
    loop {
        match within("an update", watch.next())
            .await
            .expect("a watch that goes on")
        {
            Update::Loads(_) => {}
            update => return update,
        }
    }
}

pub(super) fn ids(membership: &Membership) -> Vec<NodeId> {
    membership
        .members
        .iter()
        .map(|member| member.record.id.clone())
        .collect()
}
