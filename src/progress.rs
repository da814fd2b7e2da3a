//! Whether the application's runtime makes progress.
//!
//! A task on that runtime counts up once a second; the runtime that renews the lease watches the count. Where both are
//! one runtime, a stall stops the watcher too, and the lease lapses by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Interval, sleep};
use tokio_util::sync::CancellationToken;

/// How often progress is marked and looked for.
const PERIOD: Duration = Duration::from_secs(1);

/// The progress marks of the application's runtime, and the stalls that they show.
#[derive(Debug)]
pub(crate) struct Progress {
    marks: AtomicU64,
    /// Since when there has been no mark, once that is longer than the limit.
    stalled: watch::Sender<Option<Instant>>,
    /// The task that marks has ended, and with it the node or the runtime.
    ended: CancellationToken,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            marks: AtomicU64::new(0),
            stalled: watch::Sender::new(None),
            ended: CancellationToken::new(),
        }
    }

    /// Marks progress until dropped. Runs on the application's runtime.
    pub(crate) async fn mark(&self) {
        let _ended = self.ended.clone().drop_guard();
        loop {
            self.marks.fetch_add(1, Ordering::Relaxed);
            sleep(PERIOD).await;
        }
    }

    /// Notices stalls of more than `limit` until dropped. Runs where the lease is renewed.
    pub(crate) async fn watch(&self, limit: Duration) {
        let (mut marks, mut still, mut looked) = (0, Duration::ZERO, Instant::now());
        loop {
            sleep(PERIOD).await;
            // A process that was paused as a whole is not an application that hangs.
            let passed = looked.elapsed().min(PERIOD * 2);
            looked = Instant::now();
            let now = self.marks.load(Ordering::Relaxed);
            still = if now == marks {
                still + passed
            } else {
                Duration::ZERO
            };
            marks = now;
            self.stalled.send_if_modified(|since| {
                let changes = since.is_some() != (still >= limit);
                if changes {
                    *since = since
                        .is_none()
                        .then(|| looked.checked_sub(still).unwrap_or(looked));
                }
                changes
            });
        }
    }

    /// Since when the application's runtime has stood still, once that is longer than the limit.
    pub(crate) fn stalled(&self) -> Option<Instant> {
        *self.stalled.borrow()
    }

    /// Waits until the application's runtime has stood still for the limit, or moves again. Cancel safe.
    pub(crate) async fn until_stalled(&self, stalled: bool) {
        let mut changes = self.stalled.subscribe();
        // The sender is in `self`.
        let _ = changes.wait_for(|since| since.is_some() == stalled).await;
    }

    /// Waits until no further progress can be marked: the node has stopped, or its runtime has ended. Cancel safe.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

/// Waits for the next tick and returns how long after its time this task ran: longer than a moment only where its
/// runtime or its process stood still. Cancel safe.
pub(crate) async fn tick(ticks: &mut Interval) -> Duration {
    // A tick that was due before it was waited for is late for another reason.
    let asked = Instant::now();
    ticks.tick().await.max(asked).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::time::{advance, timeout};

    const LIMIT: Duration = Duration::from_secs(10);

    fn watched() -> Arc<Progress> {
        let progress = Arc::new(Progress::new());
        let watching = Arc::clone(&progress);
        tokio::spawn(async move { watching.watch(LIMIT).await });
        progress
    }

    #[tokio::test(start_paused = true)]
    async fn runtime_without_a_mark_for_the_limit_is_stalled_until_the_next_mark() {
        let progress = watched();
        let marking = tokio::spawn({
            let progress = Arc::clone(&progress);
            async move { progress.mark().await }
        });
        let start = Instant::now();
        assert!(timeout(LIMIT * 10, progress.until_stalled(true)).await.is_err());
        marking.abort();
        let ended = timeout(LIMIT, progress.ended()).await;
        assert!(ended.is_ok(), "the end of the task that marks is noticed");
        let last = start.elapsed();
        progress.until_stalled(true).await;
        let noticed = start.elapsed().saturating_sub(last);
        assert!(
            (LIMIT..LIMIT + PERIOD * 2).contains(&noticed),
            "noticed after {noticed:?}"
        );
        let since = progress.stalled().expect("it is stalled").elapsed();
        assert!((LIMIT..LIMIT + PERIOD * 2).contains(&since), "since {since:?}");
        progress.marks.fetch_add(1, Ordering::Relaxed);
        let moved = timeout(PERIOD * 2, progress.until_stalled(false)).await;
        assert!(moved.is_ok() && progress.stalled().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn pause_of_the_whole_process_is_not_a_stall() {
        let progress = watched();
        tokio::task::yield_now().await;
        for _ in 0..2 {
            // Nothing ran in the pause: neither the task that marks nor the one that looks.
            advance(LIMIT * 6).await;
            tokio::task::yield_now().await;
            assert_eq!(progress.stalled(), None);
        }
    }
}
