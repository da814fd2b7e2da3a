//! A real etcd: what the launcher promises.

use std::time::Duration;

use ringhold_launch::{EtcdCluster, EtcdOptions};

const LIMIT: Duration = Duration::from_secs(20);

fn quick() -> EtcdOptions {
    EtcdOptions::new()
}

/// Whether the member acknowledges a write.
fn put(cluster: &EtcdCluster, index: usize) -> ringhold_launch::Result<String> {
    cluster.post(index, "/v3/kv/put", r#"{"key":"YQ==","value":"Yg=="}"#)
}

#[test]
fn a_killed_leader_is_followed_and_comes_back() {
    let cluster = EtcdCluster::start(&quick()).unwrap();
    let first = cluster.wait_for_leader(LIMIT).unwrap();
    put(&cluster, first).unwrap();
    cluster.kill(first);
    assert_eq!(cluster.pid(first), None);
    assert!(put(&cluster, first).is_err());
    let second = cluster.wait_for_leader(LIMIT).unwrap();
    assert_ne!(first, second);
    put(&cluster, second).unwrap();
    cluster.restart(first).unwrap();
    cluster.wait_until_ok(LIMIT).unwrap();
    let found = cluster.post(first, "/v3/kv/range", r#"{"key":"YQ=="}"#).unwrap();
    assert!(found.contains("Yg=="), "{found}");
}

#[test]
fn a_stopped_leader_is_followed_and_goes_on() {
    let cluster = EtcdCluster::start(&quick()).unwrap();
    let first = cluster.wait_for_leader(LIMIT).unwrap();
    cluster.stop(first).unwrap();
    let second = cluster.wait_for_leader(LIMIT).unwrap();
    assert_ne!(first, second);
    cluster.resume(first).unwrap();
    cluster.wait_until_ok(LIMIT).unwrap();
    put(&cluster, first).unwrap();
}

#[test]
fn all_restart_with_what_they_had_and_ask_for_a_password() {
    let cluster = EtcdCluster::start(&quick().password("p \"w@é")).unwrap();
    let refused = put(&cluster, 0).unwrap_err();
    assert!(refused.message().contains("user name is empty"), "{refused}");
    cluster.restart_all().unwrap();
    assert!(put(&cluster, 0).is_err(), "it still asks");
    assert!(
        cluster
            .url("eu")
            .starts_with("etcd://root:p%20%22w%40%C3%A9@127.0.0.1:")
    );
    assert!(
        cluster
            .metric(0, "etcd_server_proposals_committed_total")
            .unwrap()
            > 0.0
    );
}

#[test]
fn one_member_is_an_etcd_too() {
    let cluster = EtcdCluster::start(&quick().members(1)).unwrap();
    assert_eq!((cluster.len(), cluster.wait_for_leader(LIMIT).unwrap()), (1, 0));
    put(&cluster, 0).unwrap();
}
