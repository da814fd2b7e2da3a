//! One server behind a name or an address that moves to another server when its master is demoted.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ringhold_core::Backend;
use ringhold_core::session::SessionRecord;
use ringhold_redis::{RedisBackend, RedisConfig, Resolver};
use ringhold_testkit::launch::{RedisOptions, RedisServer};
use ringhold_testkit::{Make, WAIT_MAX, run, wait_for, within};
use url::Url;

use super::proxy::Proxy;
use crate::each_client::on_each_client;
use crate::real::{Stored, open, ttl};

/// A master and its replica.
struct Pair([RedisServer; 2]);

impl Pair {
    async fn start() -> Self {
        let [master, replica] = [(); 2].map(|()| RedisServer::start(&RedisOptions::new()).unwrap());
        follow(&replica, &master);
        let pair = Self([master, replica]);
        pair.in_sync(0).await;
        pair
    }

    fn address(&self, index: usize) -> SocketAddr {
        self.0[index].address()
    }

    /// Waits until this master has a replica that is online.
    async fn in_sync(&self, master: usize) {
        wait_for("a replica in sync", WAIT_MAX, async || {
            let info = self.0[master].bytes(&[b"INFO", b"replication"]);
            let info = String::from_utf8_lossy(&info).into_owned();
            if info.contains("state=online") {
                Ok(())
            } else {
                Err(info)
            }
        })
        .await;
    }

    /// Promotes the replica once it has all writes, and demotes the master in place, which ends no connection.
    async fn swap(&self) {
        wait_for("a replica with all writes", WAIT_MAX, async || {
            let offsets = self.0.each_ref().map(|server| {
                let info = server.bytes(&[b"INFO", b"replication"]);
                let info = String::from_utf8_lossy(&info).into_owned();
                let offset = info.lines().find(|line| line.starts_with("master_repl_offset"));
                offset.map(str::to_owned)
            });
            match &offsets {
                [Some(master), Some(replica)] if master == replica => Ok(()),
                _ => Err(format!("{offsets:?}")),
            }
        })
        .await;
        self.0[1].ask(&[b"REPLICAOF", b"NO", b"ONE"]);
        follow(&self.0[0], &self.0[1]);
    }
}

fn follow(replica: &RedisServer, master: &RedisServer) {
    let port = master.port().to_string();
    replica.ask(&[b"REPLICAOF", b"127.0.0.1", port.as_bytes()]);
}

/// Calls that a test makes while the master changes.
struct Player {
    make: Make,
    backend: Backend,
    session: SessionRecord,
}

impl Player {
    async fn login(name: &'static str, backend: Backend) -> Self {
        let make = Make::new(name);
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        let session = backend.sessions.create(login).await.unwrap().session;
        Self {
            make,
            backend,
            session,
        }
    }

    /// Saves until `failover` has led new connections to the new master, and for as long as it takes from then on.
    async fn save_across(&self, failover: impl Future<Output = ()>) -> Duration {
        let save = async {
            let save = self.make.save(&self.session, b"saved on the new master");
            self.backend.sessions.save(save).await.unwrap();
            Instant::now()
        };
        let failover = async {
            failover.await;
            Instant::now()
        };
        let (saved, possible) = within("a save", async { tokio::join!(save, failover) }).await;
        saved.saturating_duration_since(possible)
    }
}

/// The time in which a save is to reach the new master. On a machine that stands still for a moment a save takes longer
/// without a fault, so that only the `slow_` tests ask for it.
const RECOVERED: Duration = Duration::from_secs(2);

fn demoted_master_is_left_when_its_address_leads_to_the_new_one(client: &str) {
    leave_for_moved_address(client, WAIT_MAX);
}

fn slow_demoted_master_is_left_within_two_seconds_of_a_moved_address(client: &str) {
    leave_for_moved_address(client, RECOVERED);
}

fn leave_for_moved_address(client: &str, most: Duration) {
    run("an address that moves", async {
        let pair = Pair::start().await;
        let proxy = Proxy::before(pair.address(0)).await;
        let mut players = Vec::new();
        for durability in ["fast", "replicated:1"] {
            let url = format!("{}&durability={durability}{client}", proxy.url("vip"));
            players.push(Player::login("vip", open(&url).await.unwrap()).await);
        }
        let before = proxy.seen().came.len();
        pair.swap().await;
        let moves = async || {
            // They connect again and again, without success.
            let again = proxy.sees("new connections", |seen| seen.came.len() >= before + 6);
            again.await;
            proxy.move_to(pair.address(1));
        };
        let saves = players.iter().map(|player| player.save_across(moves()));
        for took in futures_util::future::join_all(saves).await {
            assert!(
                took < most,
                "{took:?} after new connections reached the new master"
            );
        }
        // The old master is the replica now, and acknowledges writes in the lane.
        pair.in_sync(1).await;
        let player = &players[1];
        wait_for("an acknowledged write", WAIT_MAX, async || {
            let login = player
                .make
                .login(&player.make.player(), &player.make.owner(), ttl(600));
            match player.backend.sessions.create(login).await.unwrap().replicated {
                1 => Ok(()),
                replicated => Err(format!("{replicated} replicas")),
            }
        })
        .await;
    });
}

/// A name that leads where a test says.
#[derive(Debug)]
struct Name(Mutex<Vec<SocketAddr>>);

impl Name {
    fn new(addresses: &[SocketAddr]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(addresses.to_vec())))
    }

    async fn open(self: &Arc<Self>, client: &str) -> Backend {
        let url = Url::parse(&format!("redis://store.example?fleet=name{client}")).unwrap();
        let config = RedisConfig::from_url(&url).unwrap();
        let config = config.with_resolver(Arc::clone(self) as Arc<dyn Resolver>);
        RedisBackend::open(config).await.unwrap().backend()
    }
}

#[async_trait]
impl Resolver for Name {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!((host, port), ("store.example", 6_379));
        Ok(self.0.lock().unwrap().clone())
    }
}

fn demoted_master_is_left_when_its_name_leads_to_the_new_one(client: &str) {
    leave_for_moved_name(client, WAIT_MAX);
}

fn slow_demoted_master_is_left_within_two_seconds_of_a_moved_name(client: &str) {
    leave_for_moved_name(client, RECOVERED);
}

fn leave_for_moved_name(client: &str, most: Duration) {
    run("a name that moves", async {
        let pair = Pair::start().await;
        let name = Name::new(&[pair.address(0)]);
        let player = Player::login("name", name.open(client).await).await;
        pair.swap().await;
        let took = player
            .save_across(async {
                *name.0.lock().unwrap() = vec![pair.address(1)];
            })
            .await;
        assert!(took < most, "{took:?} after the name led to the new master");
    });
}

fn master_is_found_among_the_addresses_of_a_name(client: &str) {
    find_among_addresses(client, WAIT_MAX);
}

fn slow_master_is_found_among_the_addresses_of_a_name_within_two_seconds(client: &str) {
    find_among_addresses(client, RECOVERED);
}

fn find_among_addresses(client: &str, most: Duration) {
    run("several addresses", async {
        let pair = Pair::start().await;
        // It accepts connections and answers nothing.
        let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let name = Name::new(&[hole.local_addr().unwrap(), pair.address(1), pair.address(0)]);
        let player = Player::login("addresses", name.open(client).await).await;
        pair.swap().await;
        let took = player.save_across(async {}).await;
        assert!(took < most, "{took:?} after the other address became the master");
    });
}

on_each_client!(
    demoted_master_is_left_when_its_address_leads_to_the_new_one
    demoted_master_is_left_when_its_name_leads_to_the_new_one
    master_is_found_among_the_addresses_of_a_name
    slow_demoted_master_is_left_within_two_seconds_of_a_moved_address
    slow_demoted_master_is_left_within_two_seconds_of_a_moved_name
    slow_master_is_found_among_the_addresses_of_a_name_within_two_seconds
);
