//! How much may be retried: a trickle, and a share of what is asked.

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
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new((BURST, Instant::now())),
        }
    }

    /// Counts a first attempt.
    pub(super) fn earn(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = (state.0 + PER_CALL).min(BURST);
    }

    /// Takes a token, waiting for it where there is none. O(waiters) in wake-ups, none of them early.
    pub(super) async fn spend(&self) {
        let wait = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let grown = now.saturating_duration_since(state.1).as_secs_f64() * PER_SECOND;
            // A debt is a place in the queue.
            *state = ((state.0 + grown).min(BURST) - 1.0, now);
            (-state.0 / PER_SECOND).max(0.0)
        };
        if wait > 0.0 {
            sleep(Duration::from_secs_f64(wait)).await;
        }
    }
}
