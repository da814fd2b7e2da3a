//! A clock that counts while the machine sleeps, for deadlines after which a node must not act.
//!
//! `Instant` stops while a laptop or a virtual machine is suspended; the fleet does not.

use std::time::Duration;

/// The time since the machine started, sleep included, where the system tells it; `None` elsewhere.
#[cfg(target_os = "linux")]
pub(crate) fn since_boot() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Duration::new(
        u64::try_from(time.tv_sec).ok()?,
        u32::try_from(time.tv_nsec).ok()?,
    ))
}

/// The time since the machine started, sleep included, where the system tells it; `None` elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn since_boot() -> Option<Duration> {
    None
}

/// A moment whose age counts the time that the machine slept since.
///
/// The time asleep is what the boot-time clock has over the monotonic one, so that simulated time
/// stays the only time in tests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    instant: tokio::time::Instant,
    awake: std::time::Instant,
    boot: Option<Duration>,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            instant: tokio::time::Instant::now(),
            awake: std::time::Instant::now(),
            boot: since_boot(),
        }
    }

    pub(crate) fn age(&self) -> Duration {
        let since = self
            .boot
            .zip(since_boot())
            .map_or(Duration::ZERO, |(then, now)| now.saturating_sub(then));
        let asleep = since.saturating_sub(self.awake.elapsed());
        // Two clocks that are read one after the other differ by a little.
        let asleep = if asleep < Duration::from_millis(100) {
            Duration::ZERO
        } else {
            asleep
        };
        self.instant.elapsed() + asleep
    }

    /// Whether it is not before `other`.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        self.instant >= other.instant
    }
}
