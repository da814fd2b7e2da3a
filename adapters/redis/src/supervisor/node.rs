//! One server as the supervisor sees it: a link, whether it answers, and its lane.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::Settings;
use super::lane::Lane;
use super::topology::Address;
use crate::client::{Command, Connector, Link, LinkError, Reply};
use crate::script;

/// One server.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: Address,
    /// Whether it answers. Callers of one that does not wait here.
    pub(super) answers: watch::Sender<bool>,
    /// Calls that are under way on its partitions.
    pub(super) in_flight: Arc<Semaphore>,
    /// A watchdog looks at it.
    pub(super) watched: AtomicBool,
    /// Replicas that the topology shows online.
    pub(super) replicas: AtomicU8,
    lane: OnceLock<Lane>,
    link: Mutex<Option<Arc<dyn Link>>>,
    connecting: tokio::sync::Mutex<()>,
    /// When it last answered, in milliseconds since `origin`.
    heard_ms: AtomicU64,
    origin: Instant,
}

impl Node {
    pub(super) fn new(address: Address, in_flight_max: usize) -> Self {
        Self {
            address,
            answers: watch::Sender::new(true),
            in_flight: Arc::new(Semaphore::new(in_flight_max)),
            watched: AtomicBool::new(false),
            replicas: AtomicU8::new(0),
            lane: OnceLock::new(),
            link: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            heard_ms: AtomicU64::new(0),
            origin: Instant::now(),
        }
    }

    /// The link that stands.
    pub(super) fn link(&self) -> Option<Arc<dyn Link>> {
        self.slot().clone()
    }

    /// Takes the place of the link that stands, if any.
    pub(super) fn set_link(&self, link: Option<Arc<dyn Link>>) {
        *self.slot() = link;
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn Link>>> {
        // Nothing panics under this lock.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link that stands, or a new one; one caller connects and the others wait for it.
    pub(super) async fn connected(&self, connector: &dyn Connector) -> Result<Arc<dyn Link>, LinkError> {
        if let Some(link) = self.link() {
            return Ok(link);
        }
        let _one = self.connecting.lock().await;
        if let Some(link) = self.link() {
            return Ok(link);
        }
        let link = connect(connector, &self.address).await?;
        self.set_link(Some(Arc::clone(&link)));
        Ok(link)
    }

    /// Drops `link` unless another one has taken its place.
    pub(super) fn forget(&self, link: &Arc<dyn Link>) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|stands| Arc::ptr_eq(stands, link)) {
            *slot = None;
        }
    }

    /// The lane, whose task runs where the supervisor's do and not where its first caller does.
    pub(super) fn lane(
        &self,
        runtime: &Handle,
        connector: &Arc<dyn Connector>,
        settings: &Settings,
    ) -> &Lane {
        self.lane.get_or_init(|| {
            let (connector, address) = (Arc::clone(connector), self.address.clone());
            let (attempt, room) = (settings.attempt, settings.in_flight_max);
            Lane::start(runtime, connector, address, attempt, room)
        })
    }

    pub(super) fn heard(&self) {
        let millis = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(millis, Ordering::Relaxed);
    }

    /// For how long it has not answered anything.
    pub(super) fn silent(&self) -> Duration {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(heard)
    }

    /// A fresh connection on which it answered a plain `PING` in time, and does not say that it serves
    /// nobody.
    pub(super) async fn probe(
        &self,
        connector: &dyn Connector,
        settings: &Settings,
        patience: Duration,
    ) -> Result<Arc<dyn Link>, LinkError> {
        let probe = async {
            let link = connect(connector, &self.address).await?;
            serves(&link, settings.cluster).await?;
            Ok(link)
        };
        match timeout(patience, probe).await {
            Ok(outcome) => outcome,
            Err(late) => Err(LinkError::Broken(Box::new(late))),
        }
    }
}

/// Whether a link answers a plain `PING`. Any answer of the server will do, also a refusal.
pub(super) async fn ping(link: &Arc<dyn Link>) -> Result<(), LinkError> {
    link.send(vec![vec![Bytes::from_static(b"PING")]]).await.map(drop)
}

/// Whether the server at the end of a link serves at all: it may be loading its data, or belong to a
/// cluster that is down. A server that does not say so is taken to serve.
async fn serves(link: &Arc<dyn Link>, cluster: bool) -> Result<(), LinkError> {
    let mut commands: Vec<Command> = vec![vec![Bytes::from_static(b"PING")]];
    if cluster {
        commands.push(vec![Bytes::from_static(b"CLUSTER"), Bytes::from_static(b"INFO")]);
    }
    for reply in link.send(commands).await? {
        let why = match reply {
            Reply::Error(error) if matches!(&error.code[..], "LOADING" | "MASTERDOWN") => error.code,
            Reply::Bytes(info) if info.starts_with(b"cluster_state:fail") => "the cluster is down".to_owned(),
            _ => continue,
        };
        return Err(LinkError::Broken(why.into()));
    }
    Ok(())
}

/// Connects, and tells the server all scripts, so that it knows them before the first call.
async fn connect(connector: &dyn Connector, address: &Address) -> Result<Arc<dyn Link>, LinkError> {
    let link = connector.connect(&address.host, address.port).await?;
    let commands: Vec<Command> = script::ALL
        .iter()
        .map(|script| {
            vec![
                Bytes::from_static(b"SCRIPT"),
                Bytes::from_static(b"LOAD"),
                script.source(),
            ]
        })
        .collect();
    for (reply, script) in link.send(commands).await?.into_iter().zip(script::ALL) {
        // A server that is loading, or an old one, refuses here; the call itself will say why.
        if let Reply::Error(error) = reply {
            tracing::debug!(%address, script = script.name, code = error.code, "the server did not take a script");
        }
    }
    Ok(link)
}
