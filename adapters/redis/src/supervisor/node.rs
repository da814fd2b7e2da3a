//! One server as the supervisor sees it: a link, whether it answers, and its lane.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, interval_at, timeout};

use super::dial::{Dialed, Dialer};
use super::lane::Lane;
use super::latency::{Bounds, CONNECT_MAX, Latency};
use super::sizes::{PIECES_MAX, Size};
use super::topology::Address;
use crate::client::{Command, Link, LinkError, Reply};

/// How long after a second connection was refused the next one is asked for.
const SHARED: Duration = Duration::from_secs(1);

/// The period in which a probe without an answer gets another beside it.
const FRESH_PROBE: Duration = Duration::from_secs(1);

/// One server.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: Address,
    /// Whether it answers. Callers of one that does not wait here.
    pub(super) answers: watch::Sender<bool>,
    /// Calls that are under way on its partitions, and how many may be.
    in_flight: AtomicUsize,
    in_flight_max: usize,
    /// A watchdog looks at it.
    pub(super) watched: AtomicBool,
    /// Replicas that the topology shows online.
    pub(super) replicas: AtomicU8,
    /// Room for what is large.
    large: Semaphore,
    lanes: [OnceLock<Lane>; 2],
    pub(super) latency: Arc<Latency>,
    /// By what goes over them: what is small, and what is large.
    links: [Mutex<Option<Arc<dyn Link>>>; 2],
    /// The number of times that all links were replaced.
    generation: AtomicU64,
    /// Until when what is large shares the other link, in milliseconds since `origin`.
    shared_until_ms: AtomicU64,
    connecting: [tokio::sync::Mutex<()>; 2],
    /// When it last answered what is small, and what is large, in milliseconds since `origin`.
    heard_ms: [AtomicU64; 2],
    origin: Instant,
}

impl Node {
    pub(super) fn new(address: Address, in_flight_max: usize, bounds: &Arc<Bounds>) -> Self {
        Self {
            address,
            answers: watch::Sender::new(true),
            in_flight: AtomicUsize::new(0),
            in_flight_max,
            watched: AtomicBool::new(false),
            replicas: AtomicU8::new(0),
            large: Semaphore::new(PIECES_MAX as usize),
            lanes: Default::default(),
            latency: Arc::new(Latency::new(Arc::clone(bounds))),
            links: Default::default(),
            generation: AtomicU64::new(0),
            shared_until_ms: AtomicU64::new(0),
            connecting: Default::default(),
            heard_ms: Default::default(),
            origin: Instant::now(),
        }
    }

    /// A place among the calls that are under way; `None` when all are taken.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < self.in_flight_max {
            return Some(Place(Arc::clone(self)));
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Waits for room for a large call of so many pieces, in order. It is the last of what a call waits for.
    pub(super) async fn room(&self, pieces: u32) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.large.acquire_many(pieces).await.ok()
    }

    /// The link for what is so large, where one stands.
    pub(super) fn link(&self, size: Size) -> Option<Arc<dyn Link>> {
        self.slot(size).clone()
    }

    /// Takes the place of the links that stand, if any.
    pub(super) fn set_link(&self, link: Option<Arc<dyn Link>>) {
        *self.slot(Size::Small) = link;
        // The next one that needs it connects anew.
        *self.slot(Size::Large) = None;
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Grows whenever all links are replaced.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Drops the links of this generation, which lead to a server that is not a master. Those of a later generation
    /// were made since then.
    pub(super) fn end_links(&self, generation: u64) {
        if self.generation() == generation {
            self.set_link(None);
        }
    }

    fn slot(&self, size: Size) -> std::sync::MutexGuard<'_, Option<Arc<dyn Link>>> {
        // Nothing panics under this lock.
        let slot = self.links[size as usize].lock();
        slot.unwrap_or_else(PoisonError::into_inner)
    }

    /// The link for what is so large, or a new one; one caller connects and the others wait for it.
    ///
    /// Where a second connection is slow to make, what is large goes over the first one until it is there. A server that
    /// has no place for it serves over the first one.
    pub(super) async fn connected(
        self: &Arc<Self>,
        dialer: &Arc<Dialer>,
        size: Size,
    ) -> Result<Arc<dyn Link>, LinkError> {
        if let Some(link) = self.standing(size) {
            return Ok(link);
        }
        if size == Size::Large
            && let Some(first) = self.link(Size::Small)
        {
            // It goes on when this caller has given up: each one would else begin again.
            let second = Arc::clone(self).second(Arc::clone(dialer), Arc::clone(&first));
            let second = dialer.runtime.spawn(second);
            return match timeout(self.latency.attempt() / 3, second).await {
                Ok(Ok(outcome)) => outcome,
                _ => Ok(first),
            };
        }
        let _one = self.connecting[size as usize].lock().await;
        if let Some(link) = self.standing(size) {
            return Ok(link);
        }
        let made = dialer.connect(&self.address).await?;
        Ok(self.take_in(made, size))
    }

    /// Makes the second connection beside the first, within the time that the round trips of that one suggest.
    async fn second(
        self: Arc<Self>,
        dialer: Arc<Dialer>,
        first: Arc<dyn Link>,
    ) -> Result<Arc<dyn Link>, LinkError> {
        let _one = self.connecting[Size::Large as usize].lock().await;
        if let Some(link) = self.standing(Size::Large) {
            return Ok(link);
        }
        let made = timeout(self.latency.connect(), dialer.connect(&self.address)).await;
        match made.unwrap_or_else(|late| Err(LinkError::Broken(Box::new(late)))) {
            Ok(made) => Ok(self.take_in(made, Size::Large)),
            Err(error @ LinkError::Denied(_)) => Err(error),
            Err(error) => {
                tracing::debug!(address = %self.address, %error, "no second connection");
                let until = millis(self.origin.elapsed() + SHARED);
                self.shared_until_ms.store(until, Ordering::Relaxed);
                Ok(first)
            }
        }
    }

    fn take_in(&self, made: Dialed, size: Size) -> Arc<dyn Link> {
        self.latency.measured(made.round_trip);
        *self.slot(size) = Some(Arc::clone(&made.link));
        made.link
    }

    /// The link that is to be used for what is so large, where one stands.
    fn standing(&self, size: Size) -> Option<Arc<dyn Link>> {
        let link = self.link(size);
        if link.is_some() || size == Size::Small {
            return link;
        }
        let shares = millis(self.origin.elapsed()) < self.shared_until_ms.load(Ordering::Relaxed);
        if shares { self.link(Size::Small) } else { None }
    }

    /// Drops `link` unless another one has taken its place.
    pub(super) fn forget(&self, link: &Arc<dyn Link>) {
        for size in [Size::Small, Size::Large] {
            let mut slot = self.slot(size);
            if slot.as_ref().is_some_and(|stands| Arc::ptr_eq(stands, link)) {
                *slot = None;
            }
        }
    }

    /// The lane for what is so large, whose task runs where the supervisor's do and not where its first caller does.
    pub(super) fn lane(&self, size: Size, dialer: &Arc<Dialer>) -> &Lane {
        self.lanes[size as usize].get_or_init(|| {
            let (dialer, address) = (Arc::clone(dialer), self.address.clone());
            Lane::start(dialer, address, Arc::clone(&self.latency), self.in_flight_max)
        })
    }

    pub(super) fn heard(&self, size: Size) {
        self.heard_since(Instant::now(), size);
    }

    /// It has answered what was asked at `asked`, so that was not before.
    pub(super) fn heard_since(&self, asked: Instant, size: Size) {
        let since = asked.saturating_duration_since(self.origin);
        self.heard_ms[size as usize].fetch_max(millis(since), Ordering::Relaxed);
    }

    /// For how long it has not answered anything.
    pub(super) fn silent(&self) -> Duration {
        self.silent_on(Size::Small).min(self.silent_on(Size::Large))
    }

    /// For how long it has not answered anything that is so large.
    pub(super) fn silent_on(&self, size: Size) -> Duration {
        let heard = Duration::from_millis(self.heard_ms[size as usize].load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(heard)
    }

    /// A connection on which it answered a plain `PING` in time, and does not say that it serves nobody: a
    /// fresh one; where none is to be had, the one that stands.
    ///
    /// A connection that is slow to make is waited for with patience, and another one is tried beside it each second:
    /// the first may be on its way to a server that is gone, and the name or the address leads to another one by now.
    pub(super) async fn probe(
        &self,
        dialer: &Dialer,
        cluster: bool,
        patience: Duration,
    ) -> Result<Arc<dyn Link>, LinkError> {
        let probe = || async {
            match dialer.connect(&self.address).await {
                Ok(made) => {
                    self.latency.measured(made.round_trip);
                    serves(&made.link, cluster).await.map(|()| made.link)
                }
                // It may have no place for another connection, or want another password of it.
                Err(error) => match self.link(Size::Small) {
                    Some(link) if serves(&link, cluster).await.is_ok() => Ok(link),
                    _ => Err(error),
                },
            }
        };
        let probes = async {
            let mut first = pin!(probe());
            let mut fresh = FuturesUnordered::new();
            let mut ticks = interval_at(Instant::now() + FRESH_PROBE, FRESH_PROBE);
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut first => return outcome,
                    Some(Ok(link)) = fresh.next() => return Ok(link),
                    _ = ticks.tick() => {
                        fresh.clear();
                        fresh.push(probe());
                    }
                }
            }
        };
        match timeout(patience.min(CONNECT_MAX), probes).await {
            Ok(outcome) => outcome,
            Err(late) => Err(LinkError::Broken(Box::new(late))),
        }
    }
}

/// One of the calls that are under way on a server's partitions.
#[derive(Debug)]
pub(super) struct Place(Arc<Node>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a link answers a plain `PING`. Any answer of the server will do, also a refusal.
pub(super) async fn ping(link: &Arc<dyn Link>) -> Result<(), LinkError> {
    link.send(&[Command::of(&["PING"])]).await.map(drop)
}

/// Whether the server at the end of a link serves at all: it may be loading its data, or belong to a
/// cluster that is down. A server that does not say so is taken to serve.
async fn serves(link: &Arc<dyn Link>, cluster: bool) -> Result<(), LinkError> {
    let mut commands = vec![Command::of(&["PING"])];
    if cluster {
        commands.push(Command::of(&["CLUSTER", "INFO"]));
    }
    for reply in link.send(&commands).await? {
        let why = match reply {
            Reply::Error(error) if matches!(&error.code[..], "LOADING" | "MASTERDOWN") => error.code,
            Reply::Bytes(info) if info.starts_with(b"cluster_state:fail") => "the cluster is down".to_owned(),
            _ => continue,
        };
        return Err(LinkError::Broken(why.into()));
    }
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
