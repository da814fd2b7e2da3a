//! What these tests share.

use std::sync::Arc;

use etcd_client::{Client, GetOptions, KeyValue};
use ringhold_core::{Backend, Result, Ttl};
use ringhold_etcd::{EtcdBackend, EtcdConfig};
use ringhold_testkit::SimulatedClock;
use ringhold_testkit::launch::{EtcdCluster, EtcdOptions};
use url::Url;

/// Starts an etcd.
pub(crate) async fn start(options: EtcdOptions) -> EtcdCluster {
    let start = move || EtcdCluster::start(&options).expect("etcd");
    tokio::task::spawn_blocking(start).await.expect("no panic")
}

/// One member, for what has nothing to do with there being several.
pub(crate) async fn one() -> EtcdCluster {
    start(EtcdOptions::new().members(1)).await
}

pub(crate) fn config(url: &str) -> EtcdConfig {
    EtcdConfig::from_url(&Url::parse(url).expect("a URL")).expect("a URL of this adapter")
}

pub(crate) async fn open(url: &str) -> Result<Backend> {
    EtcdBackend::open(config(url)).await.map(|etcd| etcd.backend())
}

/// The same, with time that the test moves.
pub(crate) async fn open_at(url: &str, clock: &SimulatedClock) -> Backend {
    let config = config(url).with_clock(Arc::new(clock.clone()));
    EtcdBackend::open(config)
        .await
        .expect("members that run")
        .backend()
}

pub(crate) fn ttl(secs: u64) -> Ttl {
    Ttl::from_millis(secs * 1_000).expect("some seconds")
}

/// A way past the adapter, to look at what is stored and to spoil it.
pub(crate) async fn raw(cluster: &EtcdCluster) -> Client {
    let endpoint = cluster.address(0).to_string();
    Client::connect([endpoint], None)
        .await
        .expect("a member that runs")
}

/// All that begins so.
pub(crate) async fn stored(raw: &Client, prefix: &str) -> Vec<KeyValue> {
    let options = GetOptions::new().with_prefix();
    let mut found = raw
        .kv_client()
        .get(prefix, Some(options))
        .await
        .expect("an answer");
    found.take_kvs()
}

/// The keys among them, as text, without what they begin with.
pub(crate) fn names(prefix: &str, stored: &[KeyValue]) -> Vec<String> {
    let name = |kv: &KeyValue| {
        let key = kv.key_str().expect("keys are text");
        key.strip_prefix(prefix).expect("it was asked for").to_owned()
    };
    stored.iter().map(name).collect()
}
