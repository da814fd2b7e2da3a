//! How much may be retried: a trickle, and a share of what is asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Retries that may be made at once after a quiet time.
const BURST: f64 = 1_000.0;
/// Retries per second that are always allowed.
const PER_SECOND: f64 = 1_000.0;
/// Retries that each first attempt allows.
const PER_CALL: f64 = 0.2;

/// Tokens for retries. Whoever finds none waits for one, so that a retry is late rather than one of
/// a storm.
#[derive(Debug)]
pub(super) struct Budget {
    state: Mutex<(f64, Instant)>,
    /// There is no room for more, so that nobody who earns has to look.
    full: AtomicBool,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new((BURST, Instant::now())),
            full: AtomicBool::new(true),
        }
    }

    /// Counts a first attempt.
    pub(super) fn earn(&self) {
        if self.full.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = (state.0 + PER_CALL).min(BURST);
        self.full.store(state.0 >= BURST, Ordering::Relaxed);
    }

    /// Takes a token, waiting for it where there is none. O(waiters) in wake-ups, none of them early.
    pub(super) async fn spend(&self) {
        let wait = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let grown = now.saturating_duration_since(state.1).as_secs_f64() * PER_SECOND;
            // A debt is a place in the queue.
            *state = ((state.0 + grown).min(BURST) - 1.0, now);
            self.full.store(false, Ordering::Relaxed);
            (-state.0 / PER_SECOND).max(0.0)
        };
        if wait > 0.0 {
            let mut place = Place(Some(self));
            sleep(Duration::from_secs_f64(wait)).await;
            place.0 = None;
        }
    }
}

/// A place in the queue, which whoever leaves gives back: debts of those who have gone would hold up
/// the retries of everybody after them.
struct Place<'a>(Option<&'a Budget>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.state.lock().unwrap_or_else(PoisonError::into_inner).0 += 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_queue_owes_nothing() {
        let budget = Budget::new();
        for _ in 0..10 {
            let gone = join_all((0..9_000).map(|_| budget.spend()));
            let _ = timeout(Duration::from_millis(100), gone).await;
        }
        let start = Instant::now();
        budget.spend().await;
        assert!(
            start.elapsed() < Duration::from_millis(50),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_burst_and_then_a_trickle() {
        let budget = Budget::new();
        let start = Instant::now();
        join_all((0..3_000).map(|_| budget.spend())).await;
        assert_eq!(start.elapsed().as_millis().div_ceil(100), 20);
    }
}
