//! Joining and observing a fleet.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::id::{Address, Build, EndpointName, LabelKey, LabelValue, Zone};
use ringhold_core::policy::ConsistentHash;
use ringhold_core::transport::PeerHandler;
use ringhold_core::{
    Backend, BalancingPolicy, Error, ErrorKind, HealthCheck, Incarnation, NodeId, NodeRecord, Nonce, Result,
    SessionRecord, Timing, Transport, Ttl, Weight,
};
use tokio::runtime::Handle;

use crate::events::FleetEvent;
use crate::expiry::{Expired, Expiry, ExpiryOptions, Handler, OnExpired};
use crate::fleet::{Fleet, WeakFleet};
use crate::lease_thread::{self, LeaseRuntime, LeaseThread};
use crate::node::{Lent, Node};
use crate::observer::{Observer, first_membership};
use crate::shared::Shared;
use crate::{health, heartbeat, random, sweep, touch};

/// Builds a [`Fleet`] or an [`Observer`]. Bad values are reported by
/// [`join`](Self::join) and [`observe`](Self::observe).
#[derive(Debug)]
#[must_use = "it does nothing before `join` or `observe`"]
pub struct FleetBuilder {
    backend: Backend,
    node: Option<NodeId>,
    record: NodeRecord,
    timing: Timing,
    policy: Arc<dyn BalancingPolicy>,
    session_ttl: Duration,
    health_check: Option<Arc<dyn HealthCheck>>,
    handler: Option<MakeHandler>,
    on_expired: OnExpired,
    expiry: ExpiryOptions,
    heartbeats: Option<Handle>,
    first_error: Option<Error>,
}

/// Makes what answers calls, once there is a fleet that it can be given.
struct MakeHandler(Box<dyn FnOnce(WeakFleet) -> Arc<dyn PeerHandler> + Send>);

impl fmt::Debug for MakeHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeHandler")
    }
}

/// Stands in the record until the node's own id is given.
fn unnamed() -> NodeRecord {
    let incarnation = Incarnation {
        number: 0,
        nonce: Nonce::from_bytes([0; 16]),
    };
    match NodeId::new("unnamed") {
        Ok(id) => NodeRecord::new(id, incarnation),
        Err(_) => unreachable!("the name is a constant of allowed letters"),
    }
}

impl Fleet {
    /// Starts to join or observe the fleet of `backend`.
    pub fn builder(backend: Backend) -> FleetBuilder {
        FleetBuilder::new(backend)
    }
}

impl FleetBuilder {
    fn new(backend: Backend) -> Self {
        Self {
            backend,
            node: None,
            record: unnamed(),
            timing: Timing::default(),
            policy: Arc::new(ConsistentHash),
            session_ttl: Duration::from_secs(60),
            health_check: None,
            handler: None,
            on_expired: OnExpired::Not(Expired::default()),
            expiry: ExpiryOptions::new(),
            heartbeats: None,
            first_error: None,
        }
    }

    fn set<V>(mut self, value: Result<V>, set: impl FnOnce(&mut Self, V) -> Result<()>) -> Self {
        if let Err(error) = value.and_then(|value| set(&mut self, value)) {
            self.first_error.get_or_insert(error);
        }
        self
    }

    /// The node's logical name: it stays when the process moves or restarts, and no two live
    /// processes may share it.
    pub fn node(self, id: impl AsRef<str>) -> Self {
        self.set(NodeId::new(id), |this, id| {
            this.record.id = id.clone();
            this.node = Some(id);
            Ok(())
        })
    }

    /// An endpoint of the node, such as `player`, where clients connect. At most 8. An address of no host, such as
    /// `0.0.0.0:4000`, or of port 0 is refused: see [`Address::ensure_reachable`].
    pub fn endpoint(self, name: impl AsRef<str>, address: impl fmt::Display) -> Self {
        let entry = EndpointName::new(name).and_then(|name| Ok((name, Address::new(address.to_string())?)));
        self.set(entry, |this, (name, address)| {
            this.record.endpoints.insert(name, address).map(drop)
        })
    }

    /// A label of the node. At most 32.
    pub fn label(self, key: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let entry = LabelKey::new(key).and_then(|key| Ok((key, LabelValue::new(value)?)));
        self.set(entry, |this, (key, value)| {
            this.record.labels.insert(key, value).map(drop)
        })
    }

    /// The node's failure domain.
    pub fn zone(self, zone: impl AsRef<str>) -> Self {
        self.set(Zone::new(zone), |this, zone| {
            this.record.zone = zone;
            Ok(())
        })
    }

    /// The build of the application.
    pub fn build_id(self, build: impl AsRef<str>) -> Self {
        self.set(Build::new(build), |this, build| {
            this.record.build = build;
            Ok(())
        })
    }

    /// The node's share of the ring, 0 to 256; 1 unless given. 0 takes no new players.
    pub fn weight(self, weight: u32) -> Self {
        self.set(Weight::new(weight), |this, weight| {
            this.record.weight = weight;
            Ok(())
        })
    }

    /// The most players of the node; no limit unless given.
    pub fn capacity(mut self, players: u32) -> Self {
        self.record.capacity = Some(players);
        self
    }

    /// The periods of the fleet, the same on all its nodes, and this node's own stall limit. [`Timing::default`] unless
    /// given.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The runtime on which the node renews its lease, for tests that share a paused clock with it.
    ///
    /// Unless given, a node of a backend that processes share renews on a thread of that backend, so that a task that
    /// blocks the application's runtime costs no lease; a node of a backend inside this process renews on the runtime
    /// that calls [`join`](Self::join). A runtime that also runs the application gives that protection up.
    pub fn heartbeat_on(mut self, runtime: Handle) -> Self {
        self.heartbeats = Some(runtime);
        self
    }

    /// The policy of [`place`](Observer::place). [`ConsistentHash`] unless given.
    pub fn policy(mut self, policy: impl BalancingPolicy + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// How long a session lives after its player's connection has gone, 1 s to 30 days; 60 s unless
    /// given. From 12 s on it survives a failover of the store.
    pub fn session_ttl(mut self, ttl: Duration) -> Self {
        self.session_ttl = ttl;
        self
    }

    /// Probes the other nodes once per heartbeat; who fails three times in a row is suspect here
    /// and gets nothing new, until two probes in a row succeed. It is never declared dead for that.
    /// None unless given. A node looks at the 16 nodes that follow it by id.
    pub fn health_check(mut self, check: impl HealthCheck + 'static) -> Self {
        self.health_check = Some(Arc::new(check));
        self
    }

    /// Calls `handler` with each session that expires in the partitions of this node. The members with a
    /// handler divide the partitions of the fleet among them.
    ///
    /// Each expiry is delivered at least once, also if it happened while no node ran. It is acknowledged
    /// after the handler returned `Ok`. After an error, a panic or a
    /// [timeout](ExpiryOptions::timeout) the session is delivered again, to some member with a handler,
    /// after exponential backoff with jitter (1 s to 5 minutes per session), and the first failure of a
    /// session is logged. A session may also come again after a crash, and after its acknowledgement was
    /// lost. [`ExpiryOptions`] sets how many handlers run at once.
    ///
    /// The handler gets the stored record with the data as bytes, since a fleet may hold several types of
    /// values. A handler that holds a [`Fleet`] keeps it running for ever;
    /// [`Fleet::downgrade`] gives a handle that does not.
    ///
    /// # A later session of the same player
    /// The handler may run at the same time as a later session of the player, or after it. A write to a
    /// database of your own therefore compares the fence: each login stores the fence of its session beside
    /// the player's row, and the handler writes only where the row still has the fence of the expired
    /// session. Compare for equality, since the fences of different sessions have no order. A login that comes
    /// before the handler reads the row without the data of the expired session.
    ///
    /// ```
    /// # use ringhold::{Backend, Fence, Fleet, PlayerId, Result};
    /// # use ringhold::core::Error;
    /// # #[derive(Clone)] struct Database;
    /// # impl Database {
    /// #     async fn execute(&self, _: &str, _: (&[u8], &PlayerId, Fence)) -> Result<u64> { Ok(1) }
    /// # }
    /// # async fn run(backend: Backend, database: Database) -> Result<Fleet> {
    /// let fleet = Fleet::builder(backend)
    ///     .node("eu-1")
    ///     .on_expired(move |session| {
    ///         let database = database.clone();
    ///         async move {
    ///             // The login wrote: UPDATE players SET fence = $2 WHERE player = $1
    ///             let write = "UPDATE players SET data = $1 WHERE player = $2 AND fence = $3";
    ///             // No row: a later session of the player owns it.
    ///             let _rows = database
    ///                 .execute(write, (&session.data, &session.player, session.fence))
    ///                 .await?;
    ///             Ok::<(), Error>(())
    ///         }
    ///     })
    ///     .join()
    ///     .await?;
    /// # Ok(fleet) }
    /// ```
    pub fn on_expired<H, F, E>(mut self, handler: H) -> Self
    where
        H: Fn(SessionRecord) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.on_expired = OnExpired::Handle(Handler::new(handler));
        self
    }

    /// The use that the node makes of expired sessions without a handler; [`Expired::Discard`] unless
    /// given. Of this and [`on_expired`](Self::on_expired) the last call counts.
    pub fn expired(mut self, choice: Expired) -> Self {
        self.on_expired = OnExpired::Not(choice);
        self
    }

    /// The options of the expiry handler; [`ExpiryOptions::new`] unless given.
    pub fn expiry_options(mut self, options: ExpiryOptions) -> Self {
        self.expiry = options;
        self
    }

    /// How nodes talk to each other, in place of the backend's own way. Observers call through it, too.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.backend.transport = Some(transport);
        self
    }

    /// What answers the calls of other servers, and takes their streams: see
    /// [`call`](Observer::call) and [`open_player`](Observer::open_player). Without one they are `Unsupported`;
    /// messages, kicks and displaced logins need none.
    ///
    /// A handler that holds a [`Fleet`] keeps it running for ever;
    /// [`peer_handler_with`](Self::peer_handler_with) hands out one that does not.
    pub fn peer_handler(self, handler: impl PeerHandler + 'static) -> Self {
        self.peer_handler_with(|_| handler)
    }

    /// The same, where the handler needs the fleet that it answers for: to log players in, or to call
    /// others.
    pub fn peer_handler_with<H: PeerHandler + 'static>(
        mut self,
        make: impl FnOnce(WeakFleet) -> H + Send + 'static,
    ) -> Self {
        self.handler = Some(MakeHandler(Box::new(|fleet| Arc::new(make(fleet)))));
        self
    }

    /// Joins the fleet as a node. On a backend that processes share, this starts the thread that renews the lease and
    /// opens its connections, unless another node of the same opened backend has done so. Where the transport needs an
    /// address, the record tells it as the endpoint `peer`, unless one was given.
    ///
    /// # Errors
    /// - `InvalidArgument`: a bad value, no node id, another timing than that of the fleet, or an address
    ///   that the transport must not have.
    /// - `TooLarge`: more endpoints or labels than are allowed.
    /// - `Unavailable`: the backend did not answer for 20 s, no thread can be started, or the transport cannot have its
    ///   address.
    ///
    /// # Cancel safety
    /// Dropping the future stops what was started. The node may be registered all the same until its lease lapses.
    pub async fn join(mut self) -> Result<Fleet> {
        if let Some(error) = self.first_error.take() {
            return Err(error);
        }
        if self.node.is_none() {
            let context = "a node needs a name; call node(\"…\"), or observe() to be none";
            return Err(Error::new(ErrorKind::InvalidArgument, "join", context));
        }
        let session_ttl = Ttl::new(self.session_ttl)?;
        self.expiry.check()?;
        self.record.expiry = self.on_expired.mode();
        self.record.incarnation.nonce = random::nonce()?;
        if let Some(transport) = &self.backend.transport
            && let Some(address) = transport.listen().await?
            && self.record.endpoint("peer").is_none()
        {
            self.record
                .endpoints
                .insert(EndpointName::new("peer")?, address)?;
        }
        let (lease, thread) = LeaseRuntime::open(&self.backend, self.heartbeats).await?;
        let shared = Arc::new(Shared::new(self.backend, self.policy));
        let record = Arc::new(self.record.clone());
        let expiry = Expiry::new(record.expiry, self.expiry);
        let node = Arc::new(Node::new(
            Arc::clone(&shared),
            lease.clone(),
            self.timing,
            session_ttl,
            record,
            expiry,
        ));
        // From here on a dropped future stops whatever was started.
        let fleet = Fleet::new(Arc::clone(&node));
        if let Some(MakeHandler(make)) = self.handler {
            node.set_peer_handler(make(fleet.downgrade()));
        }
        let lent = Lent::new(&node);
        let register = async move { heartbeat::register(&lent, self.record).await };
        lease_thread::on(&lease.handle, register).await?;
        heartbeat::serve_peers(&node).await;
        shared.events.send(FleetEvent::Registered(node.me()));
        shared.spawn(Arc::clone(&node).serve_until_stopped());
        shared.spawn(Arc::clone(&shared).expire_expected());
        spawn_renewals(&node, thread);
        spawn(&node, touch::run(Arc::clone(&node)));
        spawn(&node, sweep::run(Arc::clone(&node), self.on_expired));
        if let Some(check) = self.health_check {
            spawn(&node, health::run(Arc::clone(&node), check));
        }
        Ok(fleet)
    }

    /// Sees the fleet without being a node of it. The watch runs on the application's runtime.
    ///
    /// # Errors
    /// - `InvalidArgument`: a bad value, or an expiry handler.
    /// - `Unavailable`: the backend did not answer for 20 s.
    pub async fn observe(mut self) -> Result<Observer> {
        if let Some(error) = self.first_error.take() {
            return Err(error);
        }
        if matches!(self.on_expired, OnExpired::Handle(_)) {
            let context =
                "an observer takes no expired sessions; join as a node, with weight 0 if it takes no players";
            return Err(Error::new(ErrorKind::InvalidArgument, "observe", context));
        }
        let shared = Arc::new(Shared::new(self.backend, self.policy));
        let observer = Observer::new(Arc::clone(&shared));
        first_membership(&shared).await?;
        shared.spawn(Observer::follow(Arc::clone(&shared), shared.stop.clone()));
        shared.spawn(Arc::clone(&shared).expire_expected());
        Ok(observer)
    }
}

/// Starts what renews the lease and what marks the progress of the application for it. Holds `thread` for as long.
fn spawn_renewals(node: &Arc<Node>, thread: Option<Arc<LeaseThread>>) {
    let lease = &node.lease.handle;
    let progress = Arc::clone(&node.progress);
    spawn(node, async move { progress.mark().await });
    let (progress, limit) = (Arc::clone(&node.progress), node.timing.stall_limit());
    spawn_on(lease, node, async move { progress.watch(limit).await });
    let (ended, lent) = (node.renewals_ended.clone().drop_guard(), Lent::new(node));
    spawn_on(lease, node, async move {
        heartbeat::run(&lent).await;
        drop((lent, ended, thread));
    });
}

/// Runs a task of the node on the application's runtime until the node stops.
fn spawn(node: &Arc<Node>, task: impl Future<Output = ()> + Send + 'static) {
    spawn_on(node.shared.runtime(), node, task);
}

/// Runs a task of the node until the node stops. A panic in it is a fault of ours: it is reported.
fn spawn_on(runtime: &Handle, node: &Arc<Node>, task: impl Future<Output = ()> + Send + 'static) {
    let stop = node.stop.clone();
    let inner = node.shared.spawn_on(
        runtime,
        async move { stop.run_until_cancelled(task).await.map(drop) },
    );
    node.shared.spawn_on(runtime, async move {
        if let Err(error) = inner.await
            && error.is_panic()
        {
            tracing::error!("a task of the fleet runtime panicked; this node no longer works as it should");
        }
    });
}
