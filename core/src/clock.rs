//! Where time comes from, and the clock that a store keeps beside its data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A monotonic source of time. Tests own it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time since an origin that stays the same for this clock. Never goes back.
    fn now(&self) -> Duration;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Duration {
        (**self).now()
    }
}

/// The store clock: time that leases and sessions run on.
///
/// A server's clock jumps, a promoted replica is skewed, and an outage stops nobody's wall clock.
/// So a store keeps its own time beside the data: a write at server time `time` moves it on by
/// `min(max(time - last, 0), cap)` and sets `last = time`; a read computes the same without
/// writing. An outage, a jump or a skewed promotion then costs at most one cap. Where nobody
/// writes, time stands still.
///
/// ```
/// use std::time::Duration;
/// use ringhold_core::clock::StoreClock;
///
/// let secs = Duration::from_secs;
/// let mut clock = StoreClock::new(secs(100), secs(3));
/// assert_eq!(clock.advance(secs(102)), secs(2));
/// assert_eq!(clock.advance(secs(50)), secs(2), "a jump back costs nothing");
/// assert_eq!(clock.advance(secs(9_000)), secs(5), "a jump ahead costs one cap");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreClock {
    now: Duration,
    last: Duration,
    cap: Duration,
}

impl StoreClock {
    /// The cap of a partition's clock.
    pub const PARTITION_CAP: Duration = Duration::from_secs(3);

    /// A clock that reads zero at server time `time`.
    pub const fn new(time: Duration, cap: Duration) -> Self {
        Self {
            now: Duration::ZERO,
            last: time,
            cap,
        }
    }

    /// What the clock reads at server time `time`, for a reader.
    pub fn read(&self, time: Duration) -> Duration {
        self.now
            .saturating_add(time.saturating_sub(self.last).min(self.cap))
    }

    /// Moves the clock on, for a writer, and answers what it then reads.
    pub fn advance(&mut self, time: Duration) -> Duration {
        self.now = self.read(time);
        self.last = time;
        self.now
    }

    /// How long nobody has moved it: `time - last`.
    pub fn lag(&self, time: Duration) -> Duration {
        time.saturating_sub(self.last)
    }

    /// Another cap from now on.
    pub fn set_cap(&mut self, cap: Duration) {
        self.cap = cap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Stopped(Duration);

    impl Clock for Stopped {
        fn now(&self) -> Duration {
            self.0
        }
    }

    #[test]
    fn a_shared_clock_is_that_clock() {
        let time = Duration::from_secs(7);
        assert_eq!(Arc::new(Stopped(time)).now(), time);
    }

    #[test]
    fn a_write_moves_it_by_what_passed_up_to_a_cap() {
        let secs = Duration::from_secs;
        let mut clock = StoreClock::new(secs(100), secs(3));
        assert_eq!((clock.read(secs(100)), clock.lag(secs(100))), (secs(0), secs(0)));
        // A look moves nothing.
        for _ in 0..2 {
            assert_eq!((clock.read(secs(102)), clock.lag(secs(102))), (secs(2), secs(2)));
        }
        assert_eq!(clock.read(secs(104)), secs(3));
        assert_eq!(clock.lag(secs(104)), secs(4), "it is not capped");
        assert_eq!(clock.advance(secs(102)), secs(2));
        assert_eq!((clock.read(secs(102)), clock.lag(secs(103))), (secs(2), secs(1)));
        // Back, and from there on.
        assert_eq!((clock.advance(secs(50)), clock.lag(secs(40))), (secs(2), secs(0)));
        assert_eq!(clock.advance(secs(51)), secs(3));
        assert_eq!(clock.advance(secs(9_000)), secs(6));
        clock.set_cap(secs(10));
        assert_eq!(clock.advance(secs(9_009)), secs(15));
        assert_eq!(clock.advance(Duration::MAX), secs(25));
    }
}
