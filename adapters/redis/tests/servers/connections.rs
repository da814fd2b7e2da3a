//! What goes over which connection, and how: small things at once and many together, large ones apart.

use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use ringhold_core::session::ClaimSession;
use ringhold_core::{Partition, SessionRecord, SessionStore};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions, RedisServer};
use ringhold_testkit::{Make, WAIT_MAX, run, wait_for};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::each_client::on_each_client;
use crate::proxy::{Proxy, Seen, Still};
use crate::raw::Raw;
use crate::real::{Stored, open, ttl};

/// An attempt on a busy machine is late and comes again unless it has much time.
const PATIENT: &str = "&attempt_ms=10000&deadline_ms=45000";

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

fn calls_in_flight_share_round_trips(client: &str) {
    const CALLS: u64 = 640;
    let server = RedisServer::start(&RedisOptions::new()).unwrap();
    // On one thread, which looks at its sockets after every step, a client writes by the order of its tasks and
    // not by how soon they get to it, and the proxy has read one piece before the next one is written.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .event_interval(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let make = Make::new("calls share round trips");
        let proxy = Proxy::before(server.address()).await;
        let backend = open(&(proxy.url("shared") + PATIENT + client)).await.unwrap();
        let sessions = &backend.sessions;
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        let id = sessions.create(login).await.unwrap().session.id;
        proxy.forget();
        proxy.hold(Still::Answers);
        let together = join_all((0..CALLS).map(|_| sessions.get(&id)));
        // Not one of them is answered before all of them were sent.
        let sent = async {
            let calls = |seen: &Seen| seen.came.values().map(|came| came.calls).sum::<u64>();
            let all = format!("{CALLS} calls on their way at once");
            proxy.sees(all, |seen| calls(seen) >= CALLS).await;
            let seen = proxy.seen();
            proxy.hold(Still::Nothing);
            seen
        };
        let (answers, sent) = tokio::join!(together, sent);
        for answer in answers {
            assert_eq!(answer.unwrap().expect("it lives").id, id);
        }
        let mut shared = sent.came.values().filter(|came| came.calls > 0);
        assert!(
            shared
                .next()
                .is_some_and(|came| came.calls == CALLS && came.pieces <= CALLS / 8)
                && shared.next().is_none(),
            "{CALLS} calls came as {sent:?}"
        );
    });
}

/// An attempt has all the time that there is: what did not come in the first one fails.
const ONE_ATTEMPT: &str = "&attempt_ms=10000&deadline_ms=10000";

const LARGE: usize = 4;
const SMALL: usize = 32;

/// So many sessions of the greatest length, and a small one.
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

/// Runs `small` while the first of the large things that `large` asks for stands still half-way.
async fn passes(
    proxy: &Proxy,
    still: Still,
    large: impl Future<Output = ()>,
    small: impl Future<Output = ()>,
) {
    proxy.hold(still);
    let mut large = pin!(large);
    let small = async {
        proxy
            .sees("something large half-way", |seen| seen.standing > 0)
            .await;
        small.await;
        assert_eq!(proxy.seen().standing, 1, "connections stand still");
    };
    tokio::select! {
        biased;
        () = &mut large => panic!("what stands still has come"),
        () = small => {}
    }
    proxy.hold(Still::Nothing);
    large.await;
}

fn a_large_value_does_not_block_small_ones(client: &str) {
    let server = RedisServer::start(&RedisOptions::new()).unwrap();
    run("large and small", async {
        let make = Make::new("large and small");
        let proxy = Proxy::before(server.address()).await;
        let url = proxy.url("large") + "&data_bytes_max=1048576" + ONE_ATTEMPT + client;
        let backend = open(&url).await.unwrap();
        let sessions = &*backend.sessions;
        let (large, small) = large_and_small(sessions, &make).await;
        // What is read for the first time is not known to be large.
        for session in &large {
            sessions.get(&session.id).await.unwrap().expect("it lives");
        }
        let read_small = async || {
            let reads = (0..SMALL).map(|_| sessions.get(&small.id));
            for read in try_join_all(reads).await.unwrap() {
                assert_eq!(read.expect("it lives").data, small.data);
            }
        };
        let read_large = async || {
            let reads = large.iter().map(|session| sessions.get(&session.id));
            for (read, session) in try_join_all(reads).await.unwrap().into_iter().zip(&large) {
                assert_eq!(read.expect("it lives").data, session.data);
            }
        };
        let write_large = async || {
            let saves = large.iter().map(|session| {
                let mut save = make.save(session, b"");
                save.data = session.data.clone();
                sessions.save(save)
            });
            try_join_all(saves).await.unwrap();
        };
        let write_small = async || {
            read_small().await;
            sessions.save(make.save(&small, b"smaller")).await.unwrap();
        };
        passes(&proxy, Still::LargeAnswers, read_large(), read_small()).await;
        passes(&proxy, Still::LargeRequests, write_large(), write_small()).await;
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

fn a_full_server_serves_over_the_connection_that_stands(client: &str) {
    let server = RedisServer::start(&RedisOptions::new()).unwrap();
    run("a full server", async {
        let make = Make::new("a full server");
        let backend = open(&(server.url("full") + PATIENT + client)).await.unwrap();
        let sessions = &backend.sessions;
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        let large = sessions.create(login.with_data(vec![7; 60_000])).await.unwrap();
        let id = large.session.id;
        let mut raw = Raw::open(server.address());
        let own: u64 = raw.run(&[b"CLIENT", b"ID"]);
        let others = move |raw: &mut Raw| {
            let list: String = raw.run(&[b"CLIENT", b"LIST", b"TYPE", b"normal"]);
            let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
            let mut ids: Vec<u64> = list.lines().filter_map(id).filter(|id| *id != own).collect();
            ids.sort_unstable();
            ids
        };
        let ids = others(&mut raw);
        let [first, second] = ids[..] else {
            panic!("two connections, not {ids:?}");
        };
        // The second one ends, and another client takes its place, which was the last.
        raw.run::<()>(&[b"CONFIG", b"SET", b"maxclients", b"3"]);
        raw.run::<()>(&[b"CLIENT", b"KILL", b"ID", second.to_string().as_bytes()]);
        let _last = Raw::open(server.address());
        let full = others(&mut raw);
        // A watchdog looks at the server, which has no place for its connection either.
        wait_for("connections that are refused", WAIT_MAX, async || {
            sessions.get(&id).await.unwrap().expect("it lives");
            let stats: String = raw.run(&[b"INFO", b"stats"]);
            let refused = stats
                .lines()
                .find_map(|line| line.strip_prefix("rejected_connections:"));
            match refused.and_then(|refused| refused.parse().ok()) {
                Some(2_u64..) => Ok(()),
                _ => Err(format!("{refused:?}")),
            }
        })
        .await;
        sessions.get(&id).await.unwrap().expect("it lives");
        assert_eq!((full[0], others(&mut raw)), (first, full));
    });
}

on_each_client!(
    no_connection_waits_for_a_full_packet
    calls_in_flight_share_round_trips
    a_large_value_does_not_block_small_ones
    a_server_without_a_place_for_a_second_connection_serves_over_the_first
    a_full_server_serves_over_the_connection_that_stands
);
