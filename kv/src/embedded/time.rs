//! Where an embedded store gets its time.

use std::fmt;
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

/// The time of day. It may jump: it only tells, at opening, that some time has passed while nobody had the
/// store open, and at most one cap of that counts.
pub trait WallClock: Send + Sync + fmt::Debug {
    /// The time since the beginning of 1970.
    fn now(&self) -> Duration;
}

/// The time of day of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemWallClock;

impl WallClock for SystemWallClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "what passes while no process runs is on no monotonic clock; a jump costs one cap at most"
    )]
    fn now(&self) -> Duration {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }
}
