//! Clients are killed between any two steps of what they do, and then every key of every master is
//! looked at: the books balance.

mod child;
#[path = "../raw/mod.rs"]
mod raw;
mod scan;
#[path = "../suite/mod.rs"]
mod suite;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhold_core::Partition;
use ringhold_redis::{RedisBackend, RedisConfig};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, ServerClock};
use ringhold_testkit::{Make, wait_for};
use url::Url;

use self::raw::Raw;
use self::scan::{Counts, Stored, faults};
use self::suite::servers;

const OPERATIONS: usize = 10_000;
/// How many clients there are at a time.
const CLIENTS: u64 = 2;
/// How many operations a client makes at most before it is killed.
const LIFE_MAX: usize = 250;
/// After how many operations of a client the servers' clocks move on by a second.
const OPERATIONS_PER_SECOND: usize = 20;

const URL: &str = "RINGHOLD_ACCOUNT_URL";
const SEED: &str = "RINGHOLD_ACCOUNT_SEED";

/// Does nothing, but in the processes that the other test starts, which are its clients.
#[test]
fn client() {
    let Ok(url) = std::env::var(URL) else { return };
    let seed = std::env::var(SEED).expect("a seed").parse().expect("a number");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = RedisConfig::from_url(&Url::parse(&url).expect("a URL")).expect("its parts");
        let backend = RedisBackend::open(config).await.expect("servers that run");
        child::run(backend.sessions(), seed).await;
    });
}

/// Starts clients one behind the other, and kills each at some moment, until enough was done.
fn start_and_kill(cluster: &RedisCluster, seed: u64, done: &AtomicUsize) -> usize {
    let make = Make::with_seed("killer", seed);
    let program = std::env::current_exe().expect("this program");
    let clock = cluster.clock().expect("it is settable");
    let mut killed = 0;
    while done.load(Ordering::Relaxed) < OPERATIONS {
        let mut child = Command::new(&program)
            .args(["--exact", "client", "--nocapture"])
            .env(URL, cluster.url("account"))
            .env(SEED, make.bits().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let most = 1 + make.below(LIFE_MAX);
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut operations = 0;
        for line in lines.by_ref() {
            let line = line.expect("a pipe");
            assert!(!line.starts_with("bad "), "{line}");
            operations += usize::from(line == "op");
            if line == "op" && operations % OPERATIONS_PER_SECOND == 0 {
                clock.advance(Duration::from_secs(1)).expect("a clock");
            }
            if operations == most {
                break;
            }
        }
        assert_eq!(operations, most, "a client ended by itself");
        child.kill().expect("a client that runs");
        child.wait().expect("a client that was killed");
        let late = lines.map_while(Result::ok).filter(|line| line == "op").count();
        done.fetch_add(operations + late, Ordering::Relaxed);
        killed += 1;
    }
    killed
}

/// The types of all keys that there may be, by the ends of their names.
const TYPES: [(&str, &str); 8] = [
    ("s", "hash"),
    ("p", "hash"),
    ("d", "zset"),
    ("n", "hash"),
    ("l", "hash"),
    ("e", "zset"),
    ("v", "list"),
    ("schema", "string"),
];

/// Reads all partitions of a master by their numbers; what is no key of the fleet is a fault.
fn read(raw: &mut Raw, faults: &mut Vec<String>) -> BTreeMap<u16, Stored> {
    let keys: Vec<Vec<u8>> = raw.run(&[b"KEYS", b"*"]);
    let mut partitions: BTreeMap<u16, (Stored, usize)> = BTreeMap::new();
    for key in &keys {
        let name = String::from_utf8_lossy(key).into_owned();
        let parts: Vec<&str> = name.split(':').collect();
        let slot: u16 = raw.run(&[b"CLUSTER", b"KEYSLOT", key]);
        let found: String = raw.run(&[b"TYPE", key]);
        let known = TYPES.iter().find(|(end, _)| parts.last() == Some(end));
        let is_ours = parts.len() == 4 && parts[0] == "ringhold" && parts[2] == "account" && slot % 16 == 8;
        let Some((end, _)) = known.filter(|(_, kind)| is_ours && *kind == found) else {
            faults.push(format!("{name} is a {found}"));
            continue;
        };
        let (stored, number) = partitions.entry(slot / 16).or_default();
        match *end {
            "s" => stored.records = raw.run(&[b"HGETALL", key]),
            "p" => stored.players = raw.run(&[b"HGETALL", key]),
            "d" => stored.deadlines = raw.run(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
            _ => continue,
        }
        *number += 1;
    }
    partitions.retain(|partition, (_, number)| {
        if !matches!(*number, 0 | 3) {
            faults.push(format!("partition {partition} has {number} of its three keys"));
        }
        *number == 3
    });
    let stored = partitions
        .into_iter()
        .map(|(partition, (stored, _))| (partition, stored));
    stored.collect()
}

#[test]
fn slow_the_books_balance_after_ten_thousand_operations_of_clients_that_are_killed() {
    let settable = servers().clock(ServerClock::Settable);
    let cluster = RedisCluster::start(ClusterOptions::new().server(settable)).expect("redis-server");
    let done = AtomicUsize::new(0);
    let killed: usize = std::thread::scope(|scope| {
        let (cluster, done) = (&cluster, &done);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|seed| scope.spawn(move || start_and_kill(cluster, seed, done)))
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("no panic"))
            .sum()
    });
    let done = done.into_inner();

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut found, mut counts, mut partitions) = (Vec::new(), Counts::default(), 0);
    for master in cluster.masters().expect("masters") {
        let mut raw = Raw::open(cluster.address(master));
        // What a killed client had sent is carried out before its connection goes.
        runtime.block_on(wait_for(
            "the connections of the killed",
            Duration::from_secs(10),
            async || {
                let info: String = raw.run(&[b"INFO", b"clients"]);
                if info.contains("connected_clients:1\r") {
                    Ok(())
                } else {
                    Err(info)
                }
            },
        ));
        for (partition, stored) in read(&mut raw, &mut found) {
            let partition = Partition::new(partition).expect("a slot of a partition");
            let of_partition = faults(partition, &stored, &mut counts);
            found.extend(of_partition.iter().map(|fault| format!("{partition:?}: {fault}")));
            partitions += 1;
        }
    }
    println!("{done} operations, {killed} clients killed, {partitions} partitions, {counts:?}");
    assert!(found.is_empty(), "{} faults: {found:#?}", found.len());
    assert!(
        done >= OPERATIONS && killed > 30,
        "{done} operations, {killed} killed"
    );
    assert_eq!(partitions, 64, "all players' partitions were written to");
    let all = [counts.linked, counts.unlinked, counts.taken, counts.tombstones];
    assert!(
        all.iter().all(|count| *count > 0),
        "every state is there: {counts:?}"
    );
}
