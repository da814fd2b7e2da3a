//! A node that the others do not reach, and clients do.

use std::time::{Duration, Instant};

use ringhold_launch::{ClusterOptions, RedisCluster, RedisOptions, Reply};

const LIMIT: Duration = Duration::from_secs(30);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

fn key_of(cluster: &RedisCluster, master: usize) -> String {
    let owned = |key: &String| {
        let slot = cluster.command(0, &["CLUSTER", "KEYSLOT", key]).unwrap();
        cluster
            .master_of_slot(slot.integer().unwrap().try_into().unwrap())
            .unwrap()
            == master
    };
    (0..1_000)
        .map(|number| format!("key {number}"))
        .find(owned)
        .unwrap()
}

#[test]
fn slow_a_master_that_is_cut_off_is_replaced_while_clients_still_write_to_it() {
    let options = ClusterOptions::new()
        .cuttable(true)
        .node_timeout(Duration::from_secs(2))
        .server(RedisOptions::new().password("secret"));
    let cluster = RedisCluster::start(options).unwrap();
    let key = key_of(&cluster, 0);
    let write = |value: &str| cluster.command(0, &["SET", &key, value]).unwrap();
    assert!(write("before").is_ok());
    cluster.wait_until_in_sync(LIMIT).unwrap();

    cluster.cut_off(0).unwrap();
    assert!(write("lost").is_ok(), "clients reach it as before");
    let begin = Instant::now();
    assert_eq!(cluster.wait_until_promoted(0, LIMIT).unwrap(), 3);
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    let seen = cluster.command(3, &["GET", &key]).unwrap();
    assert_eq!(seen.text().as_deref(), Some("before"), "nothing came through");
    until(
        "it finds itself alone",
        || matches!(write("late"), Reply::Error(words) if words.starts_with("CLUSTERDOWN")),
    );

    cluster.heal(0).unwrap();
    until("it learns of its successor", || {
        cluster.replica_of(0).unwrap() == Some(3)
    });
    cluster.wait_until_in_sync(LIMIT).unwrap();
    cluster.wait_until_ok(LIMIT).unwrap();
}

#[test]
fn slow_a_replica_that_is_cut_off_stays_so_over_restarts() {
    let cluster = RedisCluster::start(ClusterOptions::new().cuttable(true)).unwrap();
    let key = key_of(&cluster, 0);
    let link = || {
        let info = cluster.command(3, &["INFO", "replication"]).unwrap();
        let info = info.text().unwrap();
        info.contains("master_link_status:up")
    };
    assert!(link());
    cluster.cut_off(3).unwrap();
    until("its link breaks", || !link());
    cluster.restart(3).unwrap();
    assert!(cluster.command(0, &["SET", &key, "1"]).unwrap().is_ok());
    assert!(!link());
    cluster.heal(3).unwrap();
    until("its link is back", link);
    cluster.wait_until_in_sync(LIMIT).unwrap();
    let size = cluster.command(3, &["DBSIZE"]).unwrap();
    assert_eq!(size, Reply::Integer(1));
}
