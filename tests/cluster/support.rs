//! What the tests on a real cluster share.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringhold::redis::LEAST_ACL;
use ringhold::{
    Backend, Fleet, FleetBuilder, FleetEvent, Login, LoginOptions, NodeStatus, PlayerId, Redirect, Result,
    Session, SessionId, SessionRecord,
};
use ringhold_testkit::launch::{self, ClusterOptions, RedisCluster, RedisOptions, Reply};
use ringhold_testkit::{poll_once, wait_for};
use tokio::time::Instant;

/// Above everything that is waited for: a failover with both cores busy takes a third of it.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The client libraries, as the ends of URLs: the nodes of a fleet take them in turn.
const CLIENTS: &[&str] = &[
    "&client=redis",
    #[cfg(feature = "fred")]
    "&client=fred",
];

/// A cluster of its own for a test.
#[derive(Clone)]
pub(crate) struct Bed {
    cluster: Arc<RedisCluster>,
    opened: Arc<AtomicUsize>,
    /// The expiries that the handlers of its nodes got.
    expired: Arc<Mutex<Vec<SessionRecord>>>,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        Self::start_with(ClusterOptions::new().node_timeout(Duration::from_secs(2))).await
    }

    pub(crate) async fn start_with(options: ClusterOptions) -> Self {
        let servers = RedisOptions::for_suite(LEAST_ACL).expect("a list of dimensions");
        let options = options.server(servers);
        let starting = tokio::task::spawn_blocking(move || RedisCluster::start(options));
        Self {
            cluster: Arc::new(starting.await.unwrap().unwrap()),
            opened: Arc::default(),
            expired: Arc::default(),
        }
    }

    /// A backend with connections of its own, as each process has, through the client library whose turn
    /// it is.
    pub(crate) async fn backend(&self) -> Backend {
        let turn = self.opened.fetch_add(1, Ordering::SeqCst);
        let url = self.cluster.url("test") + CLIENTS[turn % CLIENTS.len()];
        ringhold::open(&url).await.unwrap()
    }

    /// Does something to the cluster, on a thread that may block.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RedisCluster) -> launch::Result<T> + Send + 'static,
    ) -> T {
        let cluster = Arc::clone(&self.cluster);
        let working = tokio::task::spawn_blocking(move || work(&cluster));
        working.await.unwrap().unwrap()
    }

    /// A node that sees whoever was there before it, with sessions of this time to live.
    pub(crate) async fn node_with(&self, id: &str, ttl: Duration) -> Fleet {
        self.builder(id, ttl).await.join().await.unwrap()
    }

    /// A node that notes the expiries that it handles.
    pub(crate) async fn builder(&self, id: &str, ttl: Duration) -> FleetBuilder {
        let expired = Arc::clone(&self.expired);
        Fleet::builder(self.backend().await)
            .node(id)
            .endpoint("player", format!("{id}.test:4000"))
            .session_ttl(ttl)
            .on_expired(move |session| {
                let mut expired = expired.lock().unwrap_or_else(PoisonError::into_inner);
                expired.push(session);
                async { Ok::<(), &str>(()) }
            })
    }

    /// Nodes `n0`, `n1`, … who all see each other, each with connections of its own.
    pub(crate) async fn fleet(&self, nodes: usize, ttl: Duration) -> Vec<Fleet> {
        let mut fleet = Vec::new();
        for index in 0..nodes {
            fleet.push(self.node_with(&format!("n{index}"), ttl).await);
        }
        sees(&fleet, nodes).await;
        fleet
    }

    /// The sessions whose expiry its nodes have handled.
    pub(crate) fn expired(&self) -> Vec<SessionRecord> {
        self.expired
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The slot of the membership.
    pub(crate) async fn slot_of_membership(&self) -> u16 {
        self.with(|cluster| {
            for index in cluster.masters()? {
                let Reply::Array(keys) = cluster.command(index, &["KEYS", "ringhold:*:test:n"])?.check()?
                else {
                    continue;
                };
                if let Some(Reply::Bytes(key)) = keys.first() {
                    let slot = cluster.command(index, &[b"CLUSTER".as_slice(), b"KEYSLOT", key])?;
                    return Ok(u16::try_from(slot.integer().unwrap()).unwrap());
                }
            }
            panic!("no master has the membership");
        })
        .await
    }

    pub(crate) async fn master_of(&self, slot: u16) -> usize {
        self.with(move |cluster| cluster.master_of_slot(slot)).await
    }
}

/// The slot of a session, as the schema has it.
pub(crate) fn slot_of(id: &SessionId) -> u16 {
    16 * id.partition().get() + 8
}

/// Waits until each of `fleet` sees so many nodes.
pub(crate) async fn sees(fleet: &[Fleet], nodes: usize) {
    for node in fleet {
        wait_for("all nodes to be seen", LONG, async || {
            let seen = node.view().nodes().len();
            if seen == nodes {
                Ok(())
            } else {
                Err(format!("{} sees {seen}", node.node()))
            }
        })
        .await;
    }
}

/// Waits until each of `fleet` has a lease that it knows of.
pub(crate) async fn are_attached(fleet: &[Fleet]) {
    for node in fleet {
        wait_for("the node to be attached", LONG, async || match node.status() {
            NodeStatus::Attached => Ok(()),
            other => Err(format!("{} is {other:?}", node.node())),
        })
        .await;
    }
}

pub(crate) fn player(name: impl AsRef<str>) -> PlayerId {
    PlayerId::new(name).unwrap()
}

pub(crate) async fn login(node: &Fleet, name: impl AsRef<str>) -> Result<Login<u64>> {
    node.login::<u64>(&player(name), LoginOptions::new()).await
}

/// Logs in again and again until the player is here, as a client that reconnects does.
pub(crate) async fn login_until_here(node: &Fleet, name: &str) -> Session<u64> {
    let end = Instant::now() + LONG;
    loop {
        let seen = match login(node, name).await {
            Ok(Login::Here(session)) => return session,
            Ok(Login::Elsewhere(to)) => format!("{name} is on {}", to.node),
            Err(error) => error.to_string(),
        };
        assert!(
            Instant::now() < end,
            "{name} was never taken by {}: {seen}",
            node.node()
        );
        // sleep: the pause of a client between two attempts
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[track_caller]
pub(crate) fn here<T>(login: Result<Login<T>>) -> Session<T> {
    match login {
        Ok(Login::Here(session)) => session,
        Ok(Login::Elsewhere(to)) => panic!("the player is on {}", to.node),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
pub(crate) fn elsewhere<T>(login: Result<Login<T>>) -> Redirect {
    match login {
        Ok(Login::Elsewhere(to)) => to,
        Ok(Login::Here(session)) => panic!("{} is here", session.player()),
        Err(error) => panic!("{error}"),
    }
}

/// The value that the store has.
pub(crate) async fn stored(backend: &Backend, id: &SessionId) -> Option<u64> {
    let stored = backend.sessions.get(id).await.unwrap()?;
    Some(postcard::from_bytes(&stored.data).unwrap())
}

/// Nothing was ever told about this session.
pub(crate) async fn is_undisturbed<T: Debug>(session: &mut Session<T>) {
    let told = poll_once(session.event()).await;
    assert!(told.is_none(), "{} was told {told:?}", session.player());
}

/// Keeps what nodes tell of the fleet.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<Vec<String>>>);

impl Witness {
    /// Listens for events that mean an end or an interruption.
    pub(crate) fn of(fleet: &[Fleet], bad: fn(&FleetEvent) -> bool) -> Self {
        let witness = Self::default();
        for node in fleet {
            let (seen, by) = (Arc::clone(&witness.0), node.node());
            node.on_event(move |event| {
                if bad(&event) {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push(format!("{by}: {event:?}"));
                }
            });
        }
        witness
    }

    #[track_caller]
    pub(crate) fn saw_nothing(&self) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(seen.is_empty(), "{seen:#?}");
    }
}

/// A death, or a player taken from a node that never died.
pub(crate) fn is_a_loss(event: &FleetEvent) -> bool {
    matches!(event, FleetEvent::Left { .. } | FleetEvent::Fenced(_))
}
