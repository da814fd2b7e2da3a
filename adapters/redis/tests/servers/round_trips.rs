//! How many commands an operation is, counted by the servers.

use std::collections::BTreeMap;

use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{AckExpired, ClaimSession, RemoveSession, RestoreSession, Touch};
use ringhold_core::{NodeIncarnation, Timing};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions, ServerClock};
use ringhold_testkit::{Make, run};

use crate::each_client::on_each_client;
use crate::real::{Stored, open, ttl};

const PATIENT: &str = "&attempt_ms=10000&deadline_ms=45000";

/// How often each operation is made.
const N: u64 = 5;

/// What the count leaves out. The scripts' own commands: a server counts what a script calls as
/// if a client had sent it. The supervisor's, which come now and then whatever is called: `PING`, and
/// the topology. `REPLCONF`, with which a replica acknowledges. And this test's own.
const LEFT_OUT: &[&str] = &[
    "hget",
    "hgetall",
    "hmget",
    "hset",
    "hdel",
    "hexists",
    "hlen",
    "hstrlen",
    "hkeys",
    "zadd",
    "zcount",
    "zrem",
    "zscore",
    "zrange",
    "zrangebyscore",
    "lindex",
    "lrange",
    "ltrim",
    "rpush",
    "time",
    "ping",
    "cluster|nodes",
    "cluster|info",
    "replconf",
    "config|resetstat",
    "info",
];

/// The masters of a cluster.
struct Masters<'c>(&'c RedisCluster, Vec<usize>);

impl Masters<'_> {
    fn reset(&self) {
        for index in &self.1 {
            (self.0, *index).ask(&[b"CONFIG", b"RESETSTAT"]);
        }
    }

    /// The commands since then that are not left out, with how often each ran.
    fn counted(&self) -> BTreeMap<String, u64> {
        let mut counted = BTreeMap::new();
        for index in &self.1 {
            let stats = (self.0, *index).ask(&[b"INFO", b"commandstats"]);
            for line in stats.text().expect("a text").lines() {
                let Some((command, stats)) = line.strip_prefix("cmdstat_").and_then(|it| it.split_once(':'))
                else {
                    continue;
                };
                let calls = stats.split(',').find_map(|stat| stat.strip_prefix("calls="));
                let calls: u64 = calls.expect("calls").parse().expect("a number");
                if !LEFT_OUT.contains(&command) && calls > 0 {
                    *counted.entry(command.to_owned()).or_default() += calls;
                }
            }
        }
        counted
    }
}

/// Each operation `N` times. `waits` says whether an operation waits for replicas.
#[expect(
    clippy::too_many_lines,
    reason = "a list of all operations, each of which needs the sessions of those before it"
)]
async fn count(cluster: &RedisCluster, url: &str, waits: impl Fn(&str) -> bool) {
    let make = Make::new("round trips");
    let masters = Masters(cluster, cluster.masters().unwrap());
    // An attempt on a busy machine is late and comes again unless it has much time.
    let url = format!("{url}{PATIENT}");
    let backend = open(&url).await.unwrap();
    let (sessions, discovery) = (&backend.sessions, &backend.discovery);
    let owner = make.owner();
    // Connections to all masters stand before anything is counted.
    for _ in 0..64 {
        sessions.find(&make.player()).await.unwrap();
    }
    let expect = |operation: &str| {
        let mut expected = BTreeMap::from([("evalsha".to_owned(), N)]);
        if waits(operation) {
            expected.insert("wait".to_owned(), N);
        }
        let mut counted = masters.counted();
        // The first such write to a master makes a connection of its own, on which fred asks who it is.
        if waits(operation) {
            counted.remove("client|id");
        }
        // A master that does not know a script yet is sent its source, and says so once.
        let sources = counted.remove("eval").unwrap_or(0);
        assert!(
            sources <= masters.1.len() as u64,
            "{operation}: {sources} sources"
        );
        // The pipeline that was refused so had its own WAIT.
        if let Some(waits) = counted.get_mut("wait") {
            *waits -= sources;
        }
        assert_eq!(counted, expected, "{operation}");
        masters.reset();
    };
    macro_rules! each {
        ($operation:literal, $items:expr, |$item:pat_param| $call:expr) => {{
            let mut answers = Vec::new();
            for $item in $items {
                answers.push($call.await.unwrap());
            }
            expect($operation);
            answers
        }};
    }
    masters.reset();
    let players: Vec<_> = (0..N).map(|_| make.player()).collect();
    let created = each!("create", &players, |player| sessions.create(make.login(
        player,
        &owner,
        ttl(600)
    )));
    let held: Vec<_> = created.into_iter().map(|created| created.session).collect();
    each!("get", &held, |session| sessions.get(&session.id));
    each!("find", &players, |player| sessions.find(player));
    each!("save", &held, |session| sessions
        .save(make.save(session, b"data")));
    each!("touch", &held, |session| {
        let touches = [Touch::new(session.id, session.fence, ttl(600)); 3];
        let sessions = &sessions;
        async move { sessions.touch_many(&touches).await }
    });
    let claimed = each!("claim", &held, |session| sessions.claim(ClaimSession::new(
        session.id,
        session.fence,
        owner.clone(),
        make.nonce(),
        ttl(600)
    )));
    let held: Vec<_> = claimed.into_iter().map(|claimed| claimed.session).collect();
    each!("restore", &held, |session| sessions
        .restore(RestoreSession::new(session.clone(), make.nonce())));
    each!("remove", &held, |session| sessions.remove(RemoveSession::new(
        session.id,
        session.fence,
        make.operation()
    )));

    let players: Vec<_> = (0..N).map(|_| make.player()).collect();
    each!("create", &players, |player| sessions.create(make.login(
        player,
        &owner,
        ttl(1)
    )));
    let clock = cluster.clock().expect("it is settable");
    clock.advance(std::time::Duration::from_secs(2)).unwrap();
    let taken = each!("take_expired", &players, |player| sessions
        .take_expired(make.take(player.partition(), 9)));
    let taken: Vec<_> = taken.into_iter().flat_map(|taken| taken.sessions).collect();
    assert_eq!(taken.len() as u64, N);
    each!("ack_expired", &taken, |taken| sessions
        .ack_expired(AckExpired::new(taken.session.id, taken.token)));

    let records: Vec<_> = (0..2 * N).map(|_| make.node()).collect();
    let mut nodes = Vec::new();
    for records in records.chunks(5) {
        let registered = each!("register", records, |record| discovery
            .register(RegisterNode::new(record.clone(), Timing::default())));
        for (record, registered) in records.iter().zip(registered) {
            let node = NodeIncarnation::new(record.id.clone(), registered.incarnation);
            nodes.push((node, registered.membership.revision));
        }
    }
    let (first, second) = nodes.split_at(5);
    each!("renew", first, |(node, revision)| discovery.renew(
        RenewLease::new(node.clone(), *revision, Load::new(1), make.operation())
    ));
    each!("leave", first, |(node, _)| discovery
        .leave(LeaveFleet::new(node.clone(), make.operation())));
    each!("evict", second, |(node, _)| discovery
        .evict(EvictNode::new(node.clone(), make.operation())));
    each!("members", 0..N, |_| discovery.members());
    each!("timing", 0..N, |_| discovery.timing());
}

fn start(replicas: usize) -> RedisCluster {
    let servers = RedisOptions::new().clock(ServerClock::Settable);
    let options = ClusterOptions::new().replicas_per_master(replicas);
    RedisCluster::start(options.server(servers)).unwrap()
}

fn each_operation_is_one_command(client: &str) {
    let cluster = start(0);
    run("one command", async {
        let url = cluster.url("count") + client;
        // Nobody waits for replicas that are not there.
        count(
            &cluster,
            &(cluster.url("count-asked") + "&durability=replicated:1" + client),
            |_| false,
        )
        .await;
        count(&cluster, &url, |_| false).await;
    });
}

fn with_replicas_some_operations_wait_in_the_same_round_trip(client: &str) {
    let cluster = start(1);
    cluster
        .wait_until_in_sync(std::time::Duration::from_secs(20))
        .unwrap();
    run("one command and a wait", async {
        let decide = ["claim", "register", "evict"];
        count(&cluster, &(cluster.url("fast") + client), |operation| {
            decide.contains(&operation)
        })
        .await;
        let reads = ["get", "find", "take_expired", "members", "timing"];
        let url = cluster.url("asked") + "&durability=replicated:1" + client;
        count(&cluster, &url, |operation| !reads.contains(&operation)).await;
    });
}

on_each_client!(
    each_operation_is_one_command
    with_replicas_some_operations_wait_in_the_same_round_trip
);
