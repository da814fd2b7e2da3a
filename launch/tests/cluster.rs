//! A real cluster, and what can happen to its nodes.

use std::path::Path;
use std::time::Duration;

use ringhold_launch::{ClusterOptions, ErrorKind, RedisCluster, RedisOptions, Reply, ServerClock};

const LIMIT: Duration = Duration::from_secs(30);

fn settable() -> ClusterOptions {
    ClusterOptions::new().server(RedisOptions::new().clock(ServerClock::Settable))
}

fn start(options: ClusterOptions) -> RedisCluster {
    RedisCluster::start(options).unwrap()
}

fn ok(cluster: &RedisCluster, index: usize, words: &[&str]) -> Reply {
    let reply = cluster.command(index, words).unwrap();
    reply
        .check()
        .unwrap_or_else(|error| panic!("{words:?} on node {index}: {error}"))
}

fn slot_of(cluster: &RedisCluster, key: &str) -> u16 {
    let slot = ok(cluster, 0, &["CLUSTER", "KEYSLOT", key]).integer().unwrap();
    slot.try_into().unwrap()
}

fn master_of(cluster: &RedisCluster, key: &str) -> usize {
    cluster.master_of_slot(slot_of(cluster, key)).unwrap()
}

fn seconds(cluster: &RedisCluster, index: usize) -> i64 {
    match ok(cluster, index, &["TIME"]) {
        Reply::Array(parts) => parts[0].text().unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_starts_in_order_and_leaves_nothing_behind() {
    let cluster = start(settable());
    assert_eq!(cluster.len(), 6);
    assert_eq!(cluster.masters().unwrap(), [0, 1, 2]);
    for index in 0..3 {
        assert_eq!(cluster.replica_of(index).unwrap(), None);
        assert_eq!(cluster.replica_of(index + 3).unwrap(), Some(index));
        let id = ok(&cluster, index, &["CLUSTER", "MYID"]).text();
        assert_eq!(id.as_deref(), Some(cluster.id(index)));
    }
    for (slot, master) in [(0, 0), (5_460, 0), (5_461, 1), (16_383, 2)] {
        assert_eq!(cluster.master_of_slot(slot).unwrap(), master, "{slot}");
    }
    assert_eq!(
        cluster.master_of_slot(16_384).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let url = cluster.url("arena");
    assert!(
        url.starts_with(&format!("redis-cluster://{}?node=", cluster.address(0))),
        "{url}"
    );
    assert!(
        url.ends_with("&fleet=arena") && url.matches("node=").count() == 5,
        "{url}"
    );
    let key = "some key";
    let master = master_of(&cluster, key);
    ok(&cluster, master, &["SET", key, "1"]);
    cluster.wait_until_in_sync(LIMIT).unwrap();
    assert_eq!(ok(&cluster, master + 3, &["DBSIZE"]), Reply::Integer(1));

    let processes: Vec<String> = (0..6)
        .map(|index| format!("/proc/{}", cluster.pid(index).unwrap()))
        .collect();
    assert!(processes.iter().all(|process| Path::new(process).exists()));
    drop(cluster);
    assert!(processes.iter().all(|process| !Path::new(process).exists()));
}

#[test]
fn a_settable_clock_is_that_of_all_nodes_and_may_jump() {
    let cluster = start(
        settable().server(
            RedisOptions::new()
                .clock(ServerClock::Settable)
                .password("secret"),
        ),
    );
    let clock = cluster.clock().unwrap();
    let before = seconds(&cluster, 0);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(600)).unwrap();
        for index in 0..6 {
            let info = ok(&cluster, index, &["CLUSTER", "INFO"]).text().unwrap();
            assert!(info.contains("cluster_state:ok"), "node {index}: {info}");
        }
    }
    for index in 0..6 {
        assert_eq!(seconds(&cluster, index), before + 1_800);
    }
    cluster.wait_until_in_sync(LIMIT).unwrap();
    assert_eq!(cluster.masters().unwrap(), [0, 1, 2]);
    let failure = cluster.set_clock_offset(0, 5).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Invalid);
    assert_eq!(cluster.cut_off(0).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_planned_failover_makes_the_replica_the_master() {
    let cluster = start(settable());
    ok(&cluster, master_of(&cluster, "a"), &["SET", "a", "1"]);
    let (old, new) = (master_of(&cluster, "a"), master_of(&cluster, "a") + 3);
    cluster.fail_over(new).unwrap();
    assert_eq!(master_of(&cluster, "a"), new);
    cluster.wait_until_in_sync(LIMIT).unwrap();
    assert_eq!(cluster.replica_of(old).unwrap(), Some(new));
    assert_eq!(ok(&cluster, new, &["GET", "a"]).text().as_deref(), Some("1"));
    assert_eq!(cluster.fail_over(new).unwrap_err().kind(), ErrorKind::Answer);
}

#[test]
fn a_slot_moves_step_by_step() {
    let cluster = start(settable());
    let keys = ["{x}1", "{x}2", "{x}3"];
    let (slot, from) = (slot_of(&cluster, keys[0]), master_of(&cluster, keys[0]));
    let to = (from + 1) % 3;
    for key in keys {
        ok(&cluster, from, &["SET", key, key]);
    }
    let step = cluster.begin_move(slot, from, to).unwrap();
    step.set_importing().unwrap();
    step.set_migrating().unwrap();
    assert_eq!(step.keys(10).unwrap().len(), 3);
    assert_eq!(step.migrate_key(keys[0]).unwrap(), 2);
    let moved = cluster.command(from, &["GET", keys[0]]).unwrap();
    assert!(
        matches!(&moved, Reply::Error(words) if words.starts_with(&format!("ASK {slot} "))),
        "{moved:?}"
    );
    let gone = step.migrate_key(keys[0]).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Answer);
    assert_eq!(
        step.finish().unwrap_err().kind(),
        ErrorKind::Answer,
        "keys are left"
    );
    assert_eq!(step.migrate_key(keys[1]).unwrap(), 1);
    assert_eq!(step.migrate_key(keys[2]).unwrap(), 0);
    step.finish().unwrap();
    assert_eq!(cluster.master_of_slot(slot).unwrap(), to);
    let moved = cluster.command(from, &["GET", keys[0]]).unwrap();
    assert!(
        matches!(&moved, Reply::Error(words) if words.starts_with(&format!("MOVED {slot} "))),
        "{moved:?}"
    );
    for key in keys {
        assert_eq!(ok(&cluster, to, &["GET", key]).text().as_deref(), Some(key));
    }
    assert!(cluster.begin_move(slot, to, to).is_err() && cluster.begin_move(16_384, 0, 1).is_err());
}

#[test]
fn slots_move_with_their_keys_and_a_password() {
    let cluster = start(
        settable().server(
            RedisOptions::new()
                .clock(ServerClock::Settable)
                .password("secret"),
        ),
    );
    let (slot, from) = (slot_of(&cluster, "{y}"), master_of(&cluster, "{y}"));
    for number in 0..250 {
        ok(&cluster, from, &["SET", &format!("{{y}}{number}"), "1"]);
    }
    let to = (from + 1) % 3;
    let first = slot.saturating_sub(5);
    cluster.move_slots(first..=slot, to).unwrap();
    assert_eq!(cluster.master_of_slot(first).unwrap(), to);
    assert_eq!(ok(&cluster, to, &["DBSIZE"]), Reply::Integer(250));
}

#[test]
fn slow_a_killed_master_is_replaced_and_comes_back_as_a_replica() {
    let cluster = start(ClusterOptions::new().node_timeout(Duration::from_secs(1)));
    let old = master_of(&cluster, "a");
    ok(&cluster, old, &["SET", "a", "1"]);
    cluster.wait_until_in_sync(LIMIT).unwrap();
    cluster.kill(old).unwrap();
    let new = cluster.wait_until_promoted(old, LIMIT).unwrap();
    assert_eq!(new, old + 3);
    cluster.wait_until_ok(LIMIT).unwrap();
    assert_eq!(
        (
            master_of(&cluster, "a"),
            cluster.masters().unwrap().contains(&old)
        ),
        (new, false)
    );
    cluster.restart(old).unwrap();
    // It first takes itself for the master of its file, until the others tell it.
    let told = std::time::Instant::now();
    while cluster.replica_of(old).unwrap() != Some(new) {
        assert!(told.elapsed() < LIMIT, "node {old} stays a master");
        std::thread::yield_now();
    }
    cluster.wait_until_in_sync(LIMIT).unwrap();
    assert_eq!(ok(&cluster, old, &["DBSIZE"]), Reply::Integer(1));
    cluster.kill_connections(new).unwrap();
    assert_eq!(ok(&cluster, new, &["GET", "a"]).text().as_deref(), Some("1"));
}

#[test]
fn slow_a_stopped_master_is_replaced_and_learns_it_when_it_goes_on() {
    let cluster = start(ClusterOptions::new().node_timeout(Duration::from_secs(1)));
    cluster.stop(0).unwrap();
    assert_eq!(cluster.wait_until_promoted(0, LIMIT).unwrap(), 3);
    cluster.resume(0).unwrap();
    let told = std::time::Instant::now();
    while cluster.replica_of(0).unwrap() != Some(3) {
        assert!(told.elapsed() < LIMIT, "node 0 stays a master");
        std::thread::yield_now();
    }
}

#[test]
fn slow_clocks_run_apart() {
    let cluster = start(ClusterOptions::new().skewable(true));
    cluster.set_clock_offset(1, 3_600_000).unwrap();
    cluster.set_clock_offset(2, -3_600_000).unwrap();
    let (ahead, behind) = (seconds(&cluster, 1), seconds(&cluster, 2));
    assert!((7_199..=7_201).contains(&(ahead - behind)), "{ahead} {behind}");
    assert!(cluster.clock().is_none());
}
