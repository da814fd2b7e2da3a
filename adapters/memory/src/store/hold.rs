//! How long locks are held, measured inside: with the feature `holds`, and for nothing without it.
//!
//! It is the holder's time on a CPU, since a machine that has other work may take the CPU away amid a hold.

#[cfg(all(feature = "holds", target_os = "linux"))]
pub(crate) use self::measured::Holds;

/// Measures nothing.
#[cfg(not(all(feature = "holds", target_os = "linux")))]
#[derive(Debug, Default)]
pub(crate) struct Holds(());

#[cfg(not(all(feature = "holds", target_os = "linux")))]
impl Holds {
    /// The beginning of a hold.
    #[inline]
    pub(crate) fn begin(&self) -> Hold<'_> {
        Hold { _of: &self.0 }
    }
}

/// Lasts as long as the lock is held.
#[cfg(not(all(feature = "holds", target_os = "linux")))]
pub(crate) struct Hold<'a> {
    _of: &'a (),
}

#[cfg(all(feature = "holds", target_os = "linux"))]
mod measured {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// The longest hold, in nanoseconds.
    #[derive(Debug, Default)]
    pub(crate) struct Holds(AtomicU64);

    /// Lasts as long as the lock is held.
    pub(crate) struct Hold<'a>(&'a Holds, Duration);

    impl Holds {
        /// The beginning of a hold.
        pub(crate) fn begin(&self) -> Hold<'_> {
            Hold(self, cpu())
        }

        /// The longest since this was last asked.
        pub(crate) fn longest(&self) -> Duration {
            Duration::from_nanos(self.0.swap(0, Ordering::Relaxed))
        }
    }

    impl Drop for Hold<'_> {
        fn drop(&mut self) {
            let held = cpu().saturating_sub(self.1).as_nanos();
            let held = u64::try_from(held).unwrap_or(u64::MAX);
            self.0.0.fetch_max(held, Ordering::Relaxed);
        }
    }

    /// How long this thread has been on a CPU.
    fn cpu() -> Duration {
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_longest_is_told_once() {
            let holds = Holds::default();
            let hold = holds.begin();
            let start = cpu();
            while cpu().saturating_sub(start) < Duration::from_millis(2) {}
            drop(hold);
            drop(holds.begin());
            assert!(holds.longest() >= Duration::from_millis(2));
            assert_eq!(holds.longest(), Duration::ZERO);
        }
    }
}
