//! What goes over which connection, and how: small things at once and many together, large ones apart.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use ringhold_core::session::ClaimSession;
use ringhold_core::{Partition, SessionRecord, SessionStore};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions, RedisServer};
use ringhold_testkit::{Make, run};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::each_client::on_each_client;
use crate::real::{Stored, open, ttl};

/// An attempt on a busy machine is late and comes again unless it has much time.
const PATIENT: &str = "&attempt_ms=10000&deadline_ms=45000";

const ONE_CLIENT: &str = "&client=redis";

/// The connections of this process to `servers`, through copies of their sockets.
fn connections(servers: &[SocketAddr]) -> Vec<TcpStream> {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).expect("Linux shows a process to itself");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").expect("Linux has it") {
        let name = entry.expect("a name").file_name();
        let number = name
            .to_str()
            .and_then(|name| name.parse().ok())
            .expect("a number");
        // The folder's own descriptor is gone by now.
        let Ok(copy) = pidfd_getfd(&own, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let stream = TcpStream::from(copy);
        // What is no connection has no other side.
        if stream.peer_addr().is_ok_and(|peer| servers.contains(&peer)) {
            found.push(stream);
        }
    }
    found
}

fn no_connection_waits_for_a_full_packet(client: &str) {
    let cluster = RedisCluster::start(ClusterOptions::new()).unwrap();
    cluster.wait_until_in_sync(Duration::from_secs(20)).unwrap();
    run("no connection waits", async {
        let make = Make::new("no connection waits");
        let backend = open(&(cluster.url("delay") + PATIENT + client)).await.unwrap();
        let owner = make.owner();
        // Each master gets something small, something large, and something that waits for its replica.
        for index in 0..12 {
            let partition = Partition::new(index * 85).unwrap();
            let login = make.login(&make.player_in(partition), &owner, ttl(600));
            let login = login.with_data(vec![7; 60_000]);
            let session = backend.sessions.create(login).await.unwrap().session;
            backend
                .sessions
                .save(make.save(&session, b"small"))
                .await
                .unwrap();
            let claim = ClaimSession::new(session.id, session.fence, make.owner(), make.nonce(), ttl(600));
            backend.sessions.claim(claim).await.unwrap();
        }
        let servers: Vec<_> = (0..cluster.len()).map(|index| cluster.address(index)).collect();
        let connections = connections(&servers);
        for master in cluster.masters().unwrap() {
            let of_master =
                |stream: &&TcpStream| stream.peer_addr().is_ok_and(|peer| peer == servers[master]);
            let count = connections.iter().filter(of_master).count();
            assert!(count >= 3, "{count} connections to a master");
        }
        for stream in &connections {
            assert!(stream.nodelay().unwrap(), "{:?}", stream.peer_addr());
        }
    });
}

/// How often a server has read from its clients, and how many commands it has run for them.
fn reads_and_calls(server: &RedisServer) -> (u64, u64) {
    let number = |section: &[u8], name: &str, field: &str| -> u64 {
        let text = server.ask(&[b"INFO", section]).text().expect("a text");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("it tells");
        let value = line.split([',', ':']).find_map(|part| part.strip_prefix(field));
        value.and_then(|value| value.parse().ok()).expect("a number")
    };
    (
        number(b"stats", "total_reads_processed:", ""),
        number(b"commandstats", "cmdstat_evalsha:", "calls="),
    )
}

// What goes where is the supervisor's, so what follows is looked at with one client alone. How soon fred's own
// tasks get to it, and so these numbers, is up to the machine.

#[test]
fn calls_in_flight_share_round_trips() {
    const CALLS: u64 = 640;
    let server = RedisServer::start(&RedisOptions::new()).unwrap();
    run("calls share round trips", async {
        let make = Make::new("calls share round trips");
        let backend = open(&(server.url("shared") + PATIENT + ONE_CLIENT))
            .await
            .unwrap();
        let sessions = &backend.sessions;
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        let id = sessions.create(login).await.unwrap().session.id;
        let (reads, calls) = reads_and_calls(&server);
        for _ in 0..10 {
            let together = (0..CALLS / 10).map(|_| sessions.get(&id));
            try_join_all(together).await.unwrap();
        }
        let (reads_then, calls_then) = reads_and_calls(&server);
        assert_eq!(calls_then - calls, CALLS);
        // 64 at a time: each alone would be 640 reads.
        let shared = reads_then - reads;
        assert!(shared <= CALLS / 8, "{CALLS} calls in {shared} reads");
    });
}

const LARGE: usize = 32;

/// So many sessions of the greatest length, and a small one, on one server.
async fn large_and_small(sessions: &dyn SessionStore, make: &Make) -> (Vec<SessionRecord>, SessionRecord) {
    let owner = make.owner();
    let login = |data: Bytes| make.login(&make.player(), &owner, ttl(600)).with_data(data);
    let small = sessions
        .create(login(Bytes::from_static(b"small")))
        .await
        .unwrap()
        .session;
    let data = Bytes::from(vec![7; 1 << 20]);
    let mut large = Vec::new();
    for _ in 0..LARGE {
        large.push(sessions.create(login(data.clone())).await.unwrap().session);
    }
    (large, small)
}

#[test]
fn a_large_value_does_not_block_small_ones() {
    let server = RedisServer::start(&RedisOptions::new()).unwrap();
    run("large and small", async {
        let make = Make::new("large and small");
        let url = server.url("large") + "&data_bytes_max=1048576" + PATIENT + ONE_CLIENT;
        let backend = open(&url).await.unwrap();
        let sessions = Arc::clone(&backend.sessions);
        let (large, small) = large_and_small(&*sessions, &make).await;
        // What is read for the first time is not known to be large.
        for session in &large {
            sessions.get(&session.id).await.unwrap().expect("it lives");
        }
        let answered = AtomicUsize::new(0);
        let small_one = async {
            assert_eq!(
                sessions.get(&small.id).await.unwrap().expect("it lives").data,
                small.data
            );
            answered.load(Ordering::Relaxed)
        };
        let reads = join_all(large.iter().map(|session| async {
            sessions.get(&session.id).await.unwrap().expect("it lives");
            answered.fetch_add(1, Ordering::Relaxed);
        }));
        // All of the large ones are asked for before the small one is.
        let (_, before) = tokio::join!(biased; reads, small_one);
        assert!(
            before < LARGE / 2,
            "{before} of {LARGE} large values were read first"
        );

        let answered = AtomicUsize::new(0);
        let small_one = async {
            sessions.save(make.save(&small, b"smaller")).await.unwrap();
            answered.load(Ordering::Relaxed)
        };
        let writes = join_all(large.iter().map(|session| {
            let mut save = make.save(session, b"");
            save.data = session.data.clone();
            let (sessions, answered) = (&sessions, &answered);
            async move {
                sessions.save(save).await.unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let (_, before) = tokio::join!(biased; writes, small_one);
        assert!(
            before < LARGE / 2,
            "{before} of {LARGE} large values were written first"
        );
    });
}

fn a_server_without_a_place_for_a_second_connection_serves_over_the_first(client: &str) {
    let server = RedisServer::start(&RedisOptions::new()).unwrap();
    run("no second connection", async {
        let make = Make::new("no second connection");
        let backend = open(&(server.url("full") + PATIENT + client)).await.unwrap();
        let owner = make.owner();
        let login = |len| {
            let login = make.login(&make.player(), &owner, ttl(600));
            login.with_data(vec![7; len])
        };
        let small = backend.sessions.create(login(10)).await.unwrap().session;
        // One place, which the first connection has.
        server.ask(&[b"CONFIG", b"SET", b"maxclients", b"1"]);
        for _ in 0..3 {
            let large = backend.sessions.create(login(60_000)).await.unwrap().session;
            let read = backend.sessions.get(&large.id).await.unwrap().expect("it lives");
            assert_eq!(read.data.len(), 60_000);
            backend.sessions.get(&small.id).await.unwrap().expect("it lives");
        }
    });
}

on_each_client!(
    no_connection_waits_for_a_full_packet
    a_server_without_a_place_for_a_second_connection_serves_over_the_first
);
