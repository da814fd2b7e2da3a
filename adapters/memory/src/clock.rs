//! The clock that a backend runs on unless it is given another.

use std::time::Duration;

use ringhold_core::Clock;
use tokio::time::Instant;

/// The monotonic clock of tokio: the operating system's, unless a test pauses it.
///
/// With tokio's feature `test-util`, `tokio::time::pause` and `tokio::time::advance` hold it still
/// and move it on. It can be read outside of a runtime too.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    /// A clock that reads zero now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_stands_still_when_time_is_paused() {
        let clock = TokioClock::new();
        assert_eq!(clock.now(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now(), Duration::from_secs(7));
    }
}
