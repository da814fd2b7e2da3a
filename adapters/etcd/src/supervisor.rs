//! The way to etcd: one connection per member, and of the members those that serve.
//!
//! A member that does not answer in time, cannot be reached, or says that it cannot serve is left out at
//! once, and its keeper asks it until it answers: first over the connection that there is, then over fresh
//! ones. What it asks needs a majority, so a member that is cut off stays left out. Where no member serves,
//! operations wait and send nothing. So one that hangs costs each operation under way one attempt, and
//! those after it nothing.

mod effort;
mod endpoint;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ringhold_core::{Error, ErrorKind, Result};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::effort::Effort;
use self::endpoint::Endpoint;
pub(crate) use self::endpoint::Link;
use crate::config::Address;

/// How many requests of sessions are sent at once, and how many of membership. An etcd applies one after
/// another, so more at once make none faster: they only wait there, until their attempts are over, instead of
/// here. And a renewal does not wait behind a thousand logins.
const SESSIONS_AT_ONCE: usize = 32;
const MEMBERSHIP_AT_ONCE: usize = 16;

/// How long opening waits for members beside the first that serves.
const SETTLED_MAX: Duration = Duration::from_secs(1);

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Sessions,
    Membership,
}

/// What the way to etcd is built from.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Those of TLS connections; `None` for connections in the clear.
    #[cfg(feature = "tls")]
    pub(crate) certificates: Option<Arc<ringhold_access::ClientCertificates>>,
    pub(crate) endpoints: Vec<Address>,
    pub(crate) login: Option<(String, String)>,
    /// How long one attempt may take.
    pub(crate) attempt: Duration,
    /// How long an operation may take.
    pub(crate) overall: Duration,
    pub(crate) in_flight_max: usize,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Settings");
        #[cfg(feature = "tls")]
        shown.field("certificates", &self.certificates);
        shown
            .field("endpoints", &self.endpoints)
            .field("login", &self.login.as_ref().map(|_| ".."))
            .field("attempt", &self.attempt)
            .field("overall", &self.overall)
            .field("in_flight_max", &self.in_flight_max)
            .finish()
    }
}

/// The way to etcd. A clone of its `Arc` shares it; dropping the last one ends its tasks.
#[derive(Debug)]
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    _keepers: Vec<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    endpoints: Vec<Endpoint>,
    /// Bumped whenever a member comes, goes or refuses.
    changes: watch::Sender<u64>,
    permits: Arc<Semaphore>,
    sessions: Semaphore,
    membership: Semaphore,
    /// Which etcd the members are of, by the first that has answered.
    cluster: OnceLock<u64>,
    turn: AtomicUsize,
}

impl Supervisor {
    /// Connects to all members, and returns when one of them serves. `probe` is the key that members are
    /// asked for.
    ///
    /// # Errors
    /// `InvalidArgument` where they refuse the user or the password; `Unavailable` or `Timeout` where none
    /// serves within the deadline of an operation, and at once where certificates are refused before any member
    /// has served.
    pub(crate) async fn connect(settings: Settings, probe: Vec<u8>) -> Result<Arc<Self>> {
        let endpoints = settings.endpoints.iter().cloned().map(Endpoint::new).collect();
        let shared = Arc::new(Shared {
            endpoints,
            changes: watch::Sender::new(0),
            permits: Arc::new(Semaphore::new(settings.in_flight_max)),
            sessions: Semaphore::new(SESSIONS_AT_ONCE),
            membership: Semaphore::new(MEMBERSHIP_AT_ONCE),
            cluster: OnceLock::new(),
            turn: AtomicUsize::new(0),
            settings,
        });
        let keepers = (0..shared.endpoints.len()).map(|index| {
            let keeper = endpoint::keep(Arc::clone(&shared), index, probe.clone());
            AbortOnDropHandle::new(tokio::spawn(keeper))
        });
        let supervisor = Self {
            _keepers: keepers.collect(),
            shared: Arc::clone(&shared),
        };
        let deadline = Instant::now() + shared.settings.overall;
        shared.serving("open", None, deadline).await?;
        shared.one_cluster().await?;
        Ok(Arc::new(supervisor))
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// `Overloaded` when too many are under way.
    pub(crate) fn begin(&self, operation: &'static str, lane: Lane) -> Result<Effort> {
        let shared = &self.shared;
        let permit = Arc::clone(&shared.permits).try_acquire_owned().map_err(|_| {
            let most = shared.settings.in_flight_max;
            let context = format!("{most} operations are under way; raise in_flight_max, or slow down");
            Error::new(ErrorKind::Overloaded, operation, context)
        })?;
        Ok(Effort::new(Arc::clone(shared), operation, lane, permit))
    }

    /// A member that serves.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub(crate) async fn link(&self, operation: &'static str) -> Result<Link> {
        let deadline = Instant::now() + self.shared.settings.overall;
        self.shared.serving(operation, None, deadline).await
    }

    /// How long an operation may take.
    pub(crate) fn overall(&self) -> Duration {
        self.shared.settings.overall
    }

    /// Returns when the member behind `link` has been left out.
    pub(crate) async fn left_out(&self, link: &Link) {
        let mut changes = self.shared.changes.subscribe();
        while self.shared.endpoints[link.index].serves(link.id) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Shared {
    const fn lane(&self, lane: Lane) -> &Semaphore {
        match lane {
            Lane::Sessions => &self.sessions,
            Lane::Membership => &self.membership,
        }
    }

    /// Lets every member answer once, and refuses those that are of different etcds: what one is told, the
    /// other does not know.
    async fn one_cluster(&self) -> Result<()> {
        let mut changes = self.changes.subscribe();
        let deadline = Instant::now() + SETTLED_MAX;
        loop {
            changes.mark_unchanged();
            let troubles = self.endpoints.iter().map(Endpoint::trouble);
            if let Some(trouble) = troubles.flatten().find(|trouble| trouble.other_cluster) {
                return Err(Error::new(trouble.kind, "open", trouble.context));
            }
            let settled = self.endpoints.iter().all(Endpoint::is_settled);
            // One that answers later is left out then.
            if settled || timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(());
            }
        }
    }

    /// A member that serves, in turn, and another one than `avoid` where there is one.
    fn choose(&self, avoid: Option<usize>) -> Option<Link> {
        let links: Vec<Link> = self.endpoints.iter().filter_map(Endpoint::link).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut others = links.iter().filter(|link| Some(link.index) != avoid);
        let count = others.clone().count();
        let chosen = match turn.checked_rem(count) {
            Some(nth) => others.nth(nth),
            None => links.first(),
        };
        chosen.cloned()
    }

    /// Waits until a member serves, or until it is clear that waiting is no use.
    async fn serving(
        &self,
        operation: &'static str,
        avoid: Option<usize>,
        deadline: Instant,
    ) -> Result<Link> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(link) = self.choose(avoid) {
                return Ok(link);
            }
            let states: Vec<_> = self.endpoints.iter().map(Endpoint::trouble).collect();
            let refusal = states.iter().flatten().find(|trouble| trouble.is_final);
            // Where one has served before, it will again, whatever others refuse for good.
            let is_over = |(state, endpoint): (&Option<endpoint::Trouble>, &Endpoint)| match state {
                Some(trouble) => trouble.is_final || !endpoint.has_served(),
                None => false,
            };
            if let Some(refusal) = refusal.filter(|_| states.iter().zip(&self.endpoints).all(is_over)) {
                let error = Error::new(refusal.kind, operation, refusal.context.clone());
                return Err(error.with_retryable(false));
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                let (kind, context) = match states.into_iter().flatten().next() {
                    Some(trouble) => (trouble.kind, trouble.context),
                    None => (ErrorKind::Unavailable, "no member has answered".to_owned()),
                };
                let context = format!("no member of etcd serves: {context}");
                return Err(Error::new(kind, operation, context));
            }
        }
    }

    /// Leaves out the member behind `link`, until its keeper brings it back.
    fn leave_out(&self, link: &Link, error: &Error) {
        if self.endpoints[link.index].leave_out(link.id, error) {
            tracing::debug!(member = %self.settings.endpoints[link.index], %error, "a member is left out");
            self.bump();
        }
    }

    fn bump(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}
