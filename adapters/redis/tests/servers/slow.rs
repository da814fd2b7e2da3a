//! Backends that connect over a slow network, or all at once.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use ringhold_core::discovery::{RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::{NodeIncarnation, Timing};
use ringhold_testkit::launch::{RedisOptions, RedisServer};
use ringhold_testkit::{Make, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::each_client::on_each_client;
use crate::real::{open, ttl};

/// A network of little bandwidth and long round trips before one server, until it is dropped.
struct SlowNetwork {
    address: SocketAddr,
    cut: Arc<Notify>,
    _accepting: AbortOnDropHandle<()>,
}

/// One direction of it.
struct Direction {
    bytes_per_second: u32,
    delay: Duration,
    /// The time at which all that was sent until now has left: all connections share the bandwidth.
    free: Mutex<tokio::time::Instant>,
}

impl Direction {
    fn new(bytes_per_second: u32, delay: Duration) -> Arc<Self> {
        Arc::new(Self {
            bytes_per_second,
            delay,
            free: Mutex::new(tokio::time::Instant::now()),
        })
    }

    /// The arrival of so many bytes that are sent now.
    fn arrival(&self, bytes: usize) -> tokio::time::Instant {
        let mut free = self.free.lock().unwrap();
        let bytes = u32::try_from(bytes).unwrap();
        let takes = Duration::from_secs(1) * bytes / self.bytes_per_second;
        *free = (*free).max(tokio::time::Instant::now()) + takes;
        *free + self.delay
    }
}

impl SlowNetwork {
    async fn before(server: SocketAddr, bytes_per_second: u32, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let directions = [(); 2].map(|()| Direction::new(bytes_per_second, round_trip / 2));
        let cut = Arc::new(Notify::new());
        let cutting = Arc::clone(&cut);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        connections.spawn(carry(client, server, directions.clone()));
                    }
                    () = cutting.notified() => connections.abort_all(),
                }
            }
        });
        Self {
            address,
            cut,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }
}

async fn carry(client: TcpStream, server: SocketAddr, directions: [Arc<Direction>; 2]) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let [there, back] = directions;
    // The kernel has accepted the connection at once, which takes a round trip on such a network.
    let handshake = there.delay + back.delay;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        pump(from_client, to_server, there, handshake),
        pump(from_server, to_client, back, Duration::ZERO),
    )?;
    Ok(())
}

/// Brings over what one side sends. It ends as an error always.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Arc<Direction>,
    first: Duration,
) -> io::Result<()> {
    let (sent, mut carried) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    let earliest = tokio::time::Instant::now() + first + direction.delay;
    let read = async {
        let mut buffer = vec![0; 4_096];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Err::<(), _>(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            let arrival = direction.arrival(count).max(earliest);
            // The other half of this function has the receiver.
            let _ = sent.send((arrival, buffer[..count].to_vec()));
        }
    };
    let write = async {
        while let Some((arrival, bytes)) = carried.recv().await {
            // sleep: this is what a slow network is.
            tokio::time::sleep_until(arrival).await;
            to.write_all(&bytes).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write)?;
    Ok(())
}

/// The time in which a lost connection is to be replaced.
const RECOVERED: Duration = Duration::from_secs(10);

fn slow_lease_is_held_over_a_slow_network_and_a_lost_connection(client: &str) {
    let server = RedisServer::start(&RedisOptions::new()).unwrap();
    run("a slow network", async {
        let make = Make::new("a slow network");
        let network = SlowNetwork::before(server.address(), 100_000, Duration::from_millis(300)).await;
        let url = format!("redis://{}?fleet=slow{client}", network.address);
        let backend = open(&url).await.unwrap();
        let timing = Timing::default();
        let request = RegisterNode::new(make.node(), timing);
        let registered = backend.discovery.register(request.clone()).await.unwrap();
        let node = NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
        let revision = registered.membership.revision;
        // A renewal that comes later than the lease is refused with `LeaseLost`.
        let renew = async || {
            let renew = RenewLease::new(node.clone(), revision, Load::new(1), make.operation());
            backend.discovery.renew(renew).await
        };
        let held = Instant::now();
        while held.elapsed() < timing.lease() + timing.heartbeat() {
            renew().await.unwrap();
        }
        network.cut.notify_one();
        let cut = Instant::now();
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        backend
            .sessions
            .create(login.with_data(vec![7; 20_000]))
            .await
            .unwrap();
        assert!(cut.elapsed() < RECOVERED, "recovered in {:?}", cut.elapsed());
        renew().await.unwrap();
    });
}

const BACKENDS: usize = 1_000;

fn slow_backends_that_open_all_at_once_succeed(client: &str) {
    let server = RedisServer::start(&RedisOptions::new()).unwrap();
    run("a thousand backends", async {
        let make = Make::new("a thousand backends");
        // On a machine that does other work beside it, all of them together take longer than the default deadline.
        let url = server.url("herd") + "&deadline_ms=45000" + client;
        let backends = try_join_all((0..BACKENDS).map(|_| open(&url))).await.unwrap();
        let logins = backends.iter().map(|backend| {
            let login = make.login(&make.player(), &make.owner(), ttl(600));
            backend.sessions.create(login)
        });
        let failed = join_all(logins).await.into_iter().filter_map(Result::err);
        assert_eq!(failed.map(|error| error.to_string()).collect::<Vec<_>>(), [""; 0]);
    });
}

on_each_client!(
    slow_lease_is_held_over_a_slow_network_and_a_lost_connection
    slow_backends_that_open_all_at_once_succeed
);
