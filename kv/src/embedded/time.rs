//! Where an embedded store gets its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_core::Clock;

/// This process's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    origin: Instant,
}

impl SteadyClock {
    /// A clock whose origin is now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SteadyClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// The time of day, since the beginning of 1970. It may jump: it only tells, at opening, that some time has
/// passed while nobody had the store open, and at most one cap of that counts.
pub(super) type WallClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The time of day of this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "what passes while no process runs is on no monotonic clock; a jump costs one cap at most"
)]
pub(super) fn time_of_day() -> Duration {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
