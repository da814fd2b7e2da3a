//! Time that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::Clock;

use crate::TestTime;

/// A clock that a test moves. Clones share their time.
///
/// It starts at an hour, not at zero: whatever takes zero for "never" shows itself.
///
/// ```
/// use std::time::Duration;
/// use ringhold_core::Clock;
/// use ringhold_testkit::SimulatedClock;
///
/// let clock = SimulatedClock::new();
/// let (other, before) = (clock.clone(), clock.now());
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(other.now(), before + Duration::from_secs(2));
/// ```
#[derive(Debug, Clone)]
pub struct SimulatedClock {
    nanos: Arc<AtomicU64>,
}

impl SimulatedClock {
    const ORIGIN_NANOS: u64 = 3_600 * 1_000_000_000;

    /// A clock of its own.
    pub fn new() -> Self {
        Self {
            nanos: Arc::new(AtomicU64::new(Self::ORIGIN_NANOS)),
        }
    }

    /// Moves it on, for all clones at once.
    ///
    /// # Panics
    /// After 584 years.
    pub fn advance(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).expect("a test that takes centuries");
        self.nanos.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Default for SimulatedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl TestTime for SimulatedClock {
    async fn pass(&self, duration: Duration) {
        self.advance(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_when_it_is_told_to() {
        let clock = SimulatedClock::default();
        let start = clock.now();
        assert!(start > Duration::ZERO);
        assert_eq!(clock.now(), start);
        let other = clock.clone();
        other.advance(Duration::from_nanos(1));
        assert_eq!(clock.now(), start + Duration::from_nanos(1));
        assert_eq!(
            SimulatedClock::new().now(),
            start,
            "clocks of their own do not share"
        );
    }
}
