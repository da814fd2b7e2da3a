//! The application's part in the expiry of sessions: a handler or a choice, its options, and counts.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold_core::node::ExpiryMode;
use ringhold_core::session::TakeExpired;
use ringhold_core::{Error, ErrorKind, Result, SessionId, SessionRecord};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::random;
use crate::shared::lock;

/// The use that a node without a handler makes of expired sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expired {
    /// Acknowledge and count them, where no member has a handler. The node begins one grace period after
    /// it joined, and after the last member with a handler left: the longer of the lease and a third of
    /// the session's time to live (at most 20 s).
    #[default]
    Discard,
    /// Leave them in the store, for a member that handles or discards them.
    Leave,
}

/// Options of an expiry handler.
///
/// ```
/// # use std::time::Duration;
/// # use ringhold::ExpiryOptions;
/// let options = ExpiryOptions::new()
///     .permits(64)
///     .visibility(Duration::from_secs(10))
///     .timeout(Duration::from_secs(120));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct ExpiryOptions {
    permits: usize,
    visibility: Duration,
    timeout: Duration,
}

impl ExpiryOptions {
    /// The most permits.
    pub const PERMITS_MAX: usize = 4_096;

    /// 16 permits, a visibility timeout of 30 s and a timeout of 60 s.
    pub const fn new() -> Self {
        Self {
            permits: 16,
            visibility: Duration::from_secs(30),
            timeout: Duration::from_secs(60),
        }
    }

    /// How many handlers run at once on this node, 1 to 4,096. The node takes no more sessions than it has
    /// free permits.
    pub const fn permits(mut self, permits: usize) -> Self {
        self.permits = permits;
        self
    }

    /// How long after a crash of this node a session goes to another one, 1 s to 1 hour. The node extends
    /// it while a handler runs.
    pub const fn visibility(mut self, visibility: Duration) -> Self {
        self.visibility = visibility;
        self
    }

    /// How long one call of the handler may take, 1 ms to 1 day. Then its future is dropped and the session
    /// is retried.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let bad = |context| Err(Error::new(ErrorKind::InvalidArgument, "join", context));
        if !(1..=Self::PERMITS_MAX).contains(&self.permits) {
            return bad(format!(
                "expected 1 to {} expiry permits, found {}",
                Self::PERMITS_MAX,
                self.permits
            ));
        }
        let (least, most) = (TakeExpired::VISIBILITY_MIN, TakeExpired::VISIBILITY_MAX);
        if !(least..=most).contains(&self.visibility) {
            let found = self.visibility;
            return bad(format!(
                "expected a visibility timeout of {least:?} to {most:?}, found {found:?}"
            ));
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(86_400));
        if !(least..=most).contains(&self.timeout) {
            let found = self.timeout;
            return bad(format!(
                "expected an expiry timeout of {least:?} to {most:?}, found {found:?}"
            ));
        }
        Ok(())
    }
}

impl Default for ExpiryOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts of one node's part in the expiry of sessions, since it joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpiryCounts {
    /// Calls of the handler that succeeded.
    pub handled: u64,
    /// Calls of the handler that failed, panicked or timed out; each is retried.
    pub failed: u64,
    /// Sessions that were discarded.
    pub discarded: u64,
}

type BoxError = Box<dyn StdError + Send + Sync>;
type Outcome = std::result::Result<(), BoxError>;
type HandlerFn = dyn Fn(SessionRecord) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;

/// The handler of the application.
#[derive(Clone)]
pub(crate) struct Handler(Arc<HandlerFn>);

impl Handler {
    pub(crate) fn new<H, F, E>(handler: H) -> Self
    where
        H: Fn(SessionRecord) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move |session| {
            let call = handler(session);
            Box::pin(async move { call.await.map_err(Into::into) })
        }))
    }

    /// Calls it; a panic before its first `.await` is one of this future, too.
    pub(crate) async fn call(self, session: SessionRecord) -> Outcome {
        (self.0)(session).await
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// A handler, or the choice of a node without one.
#[derive(Debug, Clone)]
pub(crate) enum OnExpired {
    Handle(Handler),
    Not(Expired),
}

impl OnExpired {
    pub(crate) const fn mode(&self) -> ExpiryMode {
        match self {
            Self::Handle(_) => ExpiryMode::Handle,
            Self::Not(Expired::Discard) => ExpiryMode::Discard,
            Self::Not(Expired::Leave) => ExpiryMode::Leave,
        }
    }
}

/// The permits, tasks, failures and counts of one node.
#[derive(Debug)]
pub(crate) struct Expiry {
    options: ExpiryOptions,
    permits: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    failures: Failures,
    handled: AtomicU64,
    failed: AtomicU64,
    discarded: AtomicU64,
}

impl Expiry {
    /// `options` have been [checked](ExpiryOptions::check).
    pub(crate) fn new(mode: ExpiryMode, mut options: ExpiryOptions) -> Self {
        if mode != ExpiryMode::Handle {
            options = ExpiryOptions::new().permits(DISCARD_PERMITS);
        }
        Self {
            permits: Arc::new(Semaphore::new(options.permits)),
            options,
            tasks: TaskTracker::new(),
            failures: Failures::default(),
            handled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
        }
    }

    pub(crate) const fn visibility(&self) -> Duration {
        self.options.visibility
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.options.timeout
    }

    pub(crate) fn counts(&self) -> ExpiryCounts {
        ExpiryCounts {
            handled: self.handled.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            discarded: self.discarded.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn note_discarded(&self) {
        self.discarded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_handled(&self, id: &SessionId) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.failures.forget(id);
    }

    /// Counts a failure; returns how many calls have failed for this session in a row, and how long to
    /// wait before the next one.
    pub(crate) fn note_failed(&self, id: SessionId) -> (u32, Duration) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let count = self.failures.add(id);
        (count, backoff(count))
    }

    /// Waits for free permits: for a quarter of all, so that a take is worth its request, but not longer than
    /// [`BATCH_WAIT`] after the first one. `None` when there will be none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn free_permits(&self) -> Option<OwnedSemaphorePermit> {
        let permits = || Arc::clone(&self.permits);
        let mut free = permits().acquire_owned().await.ok()?;
        let batch = u32::try_from(self.options.permits / 4).unwrap_or(u32::MAX);
        let rest = permits().acquire_many_owned(batch.saturating_sub(1));
        if let Ok(rest) = timeout(BATCH_WAIT, rest).await {
            free.merge(rest.ok()?);
        }
        while let Ok(permit) = permits().try_acquire_owned() {
            free.merge(permit);
        }
        Some(free)
    }

    /// Waits until no handler runs and all that succeeded are acknowledged, but not longer than `limit`. The
    /// caller has stopped the sweeper from taking more; a take that is under way holds permits, so its
    /// sessions are waited for, too.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn finished(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let all = u32::try_from(self.options.permits).unwrap_or(u32::MAX);
        let Ok(Ok(_none_starts)) = timeout_at(deadline, self.permits.acquire_many(all)).await else {
            tracing::warn!("expiry handlers still run; their sessions are handled again later");
            return;
        };
        self.tasks.close();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!("handled expiries are not acknowledged; they are handled again later");
        }
    }
}

/// How long a take waits for more than one free permit.
const BATCH_WAIT: Duration = Duration::from_millis(20);

/// How many sessions a node without a handler discards at once.
const DISCARD_PERMITS: usize = 256;

/// The first pause after a failure.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

fn backoff(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    random::jittered(BACKOFF_MIN.saturating_mul(doubled).min(BACKOFF_MAX), 100, 150)
}

/// How often the handler has failed for a session, where it has.
#[derive(Debug, Default)]
struct Failures(Mutex<HashMap<SessionId, (u32, Instant)>>);

impl Failures {
    /// Above so many sessions, those that failed elsewhere since, or nowhere any more, are dropped.
    const PRUNED_ABOVE: usize = 4_096;

    fn add(&self, id: SessionId) -> u32 {
        let now = Instant::now();
        let mut failures = lock(&self.0);
        if failures.len() >= Self::PRUNED_ABOVE {
            failures.retain(|_, (_, last)| now.duration_since(*last) < BACKOFF_MAX * 2);
        }
        let (count, last) = failures.entry(id).or_insert((0, now));
        (*count, *last) = (count.saturating_add(1), now);
        *count
    }

    fn forget(&self, id: &SessionId) {
        lock(&self.0).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::Partition;

    #[test]
    fn backoff_doubles_up_to_five_minutes() {
        let secs = Duration::from_secs;
        for (failures, least) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (400, 300)] {
            let drawn = backoff(failures);
            assert!(
                (secs(least)..=secs(least) * 3 / 2).contains(&drawn),
                "{drawn:?} after {failures} failures"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_per_session_and_old_ones_are_dropped() {
        let failures = Failures::default();
        let id = |number: u128| SessionId::new(Partition::new(7).unwrap(), number.to_be_bytes());
        assert_eq!(
            [failures.add(id(0)), failures.add(id(0)), failures.add(id(1))],
            [1, 2, 1]
        );
        failures.forget(&id(0));
        assert_eq!(failures.add(id(0)), 1);
        for number in 0..Failures::PRUNED_ABOVE as u128 {
            failures.add(id(number));
        }
        tokio::time::advance(BACKOFF_MAX * 2).await;
        failures.add(id(9_999));
        assert_eq!(lock(&failures.0).len(), 1);
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let day = Duration::from_secs(86_400);
        let options = ExpiryOptions::default();
        options.check().unwrap();
        options
            .permits(ExpiryOptions::PERMITS_MAX)
            .visibility(TakeExpired::VISIBILITY_MAX)
            .timeout(day)
            .check()
            .unwrap();
        for (options, expected) in [
            (options.permits(0), "1 to 4096 expiry permits"),
            (options.permits(4_097), "1 to 4096 expiry permits"),
            (
                options.visibility(Duration::from_millis(999)),
                "visibility timeout",
            ),
            (options.visibility(day), "visibility timeout"),
            (options.timeout(Duration::ZERO), "expiry timeout"),
            (options.timeout(day * 2), "expiry timeout"),
        ] {
            let error = options.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.context().contains(expected), "{error}");
        }
    }
}
