//! How long locks are held, measured inside: with the feature `holds`, and for nothing without it.

#[cfg(feature = "holds")]
pub(crate) use self::measured::Holds;

/// Measures nothing.
#[cfg(not(feature = "holds"))]
#[derive(Debug, Default)]
pub(crate) struct Holds;

#[cfg(not(feature = "holds"))]
impl Holds {
    /// The beginning of a hold.
    #[inline]
    pub(crate) fn begin(&self) -> Hold {
        Hold
    }
}

/// Lasts as long as the lock is held.
#[cfg(not(feature = "holds"))]
pub(crate) struct Hold;

#[cfg(feature = "holds")]
mod measured {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    /// The longest hold, in nanoseconds.
    #[derive(Debug, Default)]
    pub(crate) struct Holds(AtomicU64);

    /// Lasts as long as the lock is held.
    pub(crate) struct Hold<'a>(&'a Holds, Instant);

    impl Holds {
        /// The beginning of a hold.
        pub(crate) fn begin(&self) -> Hold<'_> {
            Hold(self, Instant::now())
        }

        /// The longest since this was last asked.
        pub(crate) fn longest(&self) -> Duration {
            Duration::from_nanos(self.0.swap(0, Ordering::Relaxed))
        }
    }

    impl Drop for Hold<'_> {
        fn drop(&mut self) {
            let held = u64::try_from(self.1.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.0.0.fetch_max(held, Ordering::Relaxed);
        }
    }
}
