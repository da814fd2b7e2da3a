//! The periods of a fleet, as one checked value.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// How often nodes renew their leases and how long a lease lasts; everything else follows.
///
/// The first node that registers stores heartbeat and lease with the fleet; while any node lives, others
/// are refused.
///
/// The [stall limit](Self::stall_limit) belongs to one process. It is neither stored nor compared: no other
/// node relies on it, so the nodes of a fleet may differ in it, and a rolling restart may change it.
/// [`shared`](Self::shared) is the part that a store keeps.
///
/// | | heartbeat | lease | noticed dead after |
/// |---|---|---|---|
/// | [`Timing::default`] | 1 s | 5 s | 4 to 6 s |
/// | [`Timing::relaxed`] | 5 s | 15 s | 10 to 16 s |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timing {
    heartbeat: Duration,
    lease: Duration,
    stall_limit: Duration,
}

impl Timing {
    /// The shortest heartbeat.
    pub const HEARTBEAT_MIN: Duration = Duration::from_millis(20);
    /// The longest heartbeat.
    pub const HEARTBEAT_MAX: Duration = Duration::from_secs(60);
    /// The longest lease.
    pub const LEASE_MAX: Duration = Duration::from_secs(600);
    /// The shortest stall limit. Progress is marked once a second, so a shorter one would take a busy runtime for
    /// a blocked one.
    pub const STALL_LIMIT_MIN: Duration = Duration::from_secs(3);
    /// The longest stall limit.
    pub const STALL_LIMIT_MAX: Duration = Duration::from_secs(600);
    /// The stall limit unless another is given.
    const STALL_LIMIT: Duration = Duration::from_secs(10);

    /// Checks a heartbeat and a lease, both in whole milliseconds.
    ///
    /// # Errors
    /// `InvalidArgument` unless the heartbeat is 20 ms to 60 s and the lease is 3 heartbeats to
    /// 10 minutes: two heartbeats before the end of its lease a node must have stopped, and one it
    /// must have to renew in.
    pub fn new(heartbeat: Duration, lease: Duration) -> Result<Self> {
        let bad = |context| Err(Error::new(ErrorKind::InvalidArgument, "timing", context));
        let heartbeat = whole_millis(heartbeat);
        let lease = whole_millis(lease);
        if !(Self::HEARTBEAT_MIN..=Self::HEARTBEAT_MAX).contains(&heartbeat) {
            return bad(format!("heartbeat is {heartbeat:?}; it takes 20 ms to 60 s"));
        }
        if lease > Self::LEASE_MAX || lease < heartbeat * 3 {
            return bad(format!(
                "lease is {lease:?} with a heartbeat of {heartbeat:?}; it takes 3 heartbeats to 10 minutes"
            ));
        }
        Ok(Self {
            heartbeat,
            lease,
            stall_limit: Self::STALL_LIMIT,
        })
    }

    /// For slow networks and few messages: a heartbeat of 5 s, a lease of 15 s.
    pub const fn relaxed() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            stall_limit: Self::STALL_LIMIT,
        }
    }

    /// Sets the [stall limit](Self::stall_limit), in whole milliseconds; 10 s unless given.
    ///
    /// # Errors
    /// `InvalidArgument` unless it is 3 s to 10 minutes.
    pub fn with_stall_limit(self, stall_limit: Duration) -> Result<Self> {
        let stall_limit = whole_millis(stall_limit);
        if !(Self::STALL_LIMIT_MIN..=Self::STALL_LIMIT_MAX).contains(&stall_limit) {
            let context = format!("stall limit is {stall_limit:?}; it takes 3 s to 10 minutes");
            return Err(Error::new(ErrorKind::InvalidArgument, "timing", context));
        }
        Ok(Self { stall_limit, ..self })
    }

    /// The period of renewals.
    pub const fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// How long a lease lasts on the store clock.
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How long the application's runtime may make no progress before its node evicts itself, so that others
    /// can claim its players. The node registers again once the runtime moves.
    ///
    /// It bounds how long a lease outlives an application that hangs. A process that is paused as a whole does
    /// not use it up: its lease lapses instead.
    pub const fn stall_limit(&self) -> Duration {
        self.stall_limit
    }

    /// The part that the nodes of a fleet share, which a store keeps and compares: heartbeat and lease, with the
    /// default stall limit.
    #[must_use]
    pub const fn shared(&self) -> Self {
        Self {
            stall_limit: Self::STALL_LIMIT,
            ..*self
        }
    }

    /// 1.5 heartbeats after the last acknowledged renewal was sent a node is late: it accuses
    /// nobody, takes over nothing, and knows that its view may be old.
    pub fn soft(&self) -> Duration {
        self.heartbeat * 3 / 2
    }

    /// This long after its last acknowledged renewal was sent a node must no longer act as if its
    /// lease held: two heartbeats before the store may give its sessions away.
    pub fn hard(&self) -> Duration {
        self.lease.saturating_sub(self.heartbeat * 2)
    }

    /// The cap of the lease clock: 1.5 heartbeats.
    pub fn clock_cap(&self) -> Duration {
        self.heartbeat * 3 / 2
    }
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            lease: Duration::from_secs(5),
            stall_limit: Self::STALL_LIMIT,
        }
    }
}

impl<'de> Deserialize<'de> for Timing {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            heartbeat: Duration,
            lease: Duration,
            #[serde(default = "stall_limit")]
            stall_limit: Duration,
        }
        fn stall_limit() -> Duration {
            Timing::STALL_LIMIT
        }
        let raw = Raw::deserialize(deserializer)?;
        Self::new(raw.heartbeat, raw.lease)
            .and_then(|timing| timing.with_stall_limit(raw.stall_limit))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_pass_their_own_check() {
        for timing in [Timing::default(), Timing::relaxed()] {
            assert_eq!(Timing::new(timing.heartbeat(), timing.lease()).unwrap(), timing);
            assert!(timing.hard() >= timing.heartbeat());
        }
        assert_eq!(Timing::default().hard(), Duration::from_secs(3));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let secs = Duration::from_secs;
        for (heartbeat, lease) in [
            (Duration::ZERO, secs(5)),
            (secs(61), secs(600)),
            (secs(2), secs(5)),
            (secs(1), Duration::MAX),
        ] {
            assert_eq!(
                Timing::new(heartbeat, lease).unwrap_err().kind(),
                ErrorKind::InvalidArgument
            );
        }
    }

    #[test]
    fn everything_follows_from_heartbeat_and_lease() {
        let millis = Duration::from_millis;
        let timing = Timing::new(millis(400), millis(2_000)).unwrap();
        assert_eq!((timing.heartbeat(), timing.lease()), (millis(400), millis(2_000)));
        assert_eq!(timing.soft(), millis(600));
        assert_eq!(timing.hard(), millis(1_200));
        assert_eq!(timing.clock_cap(), millis(600));
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let (min, max) = (Timing::HEARTBEAT_MIN, Timing::HEARTBEAT_MAX);
        assert!(Timing::new(min, min * 3).is_ok());
        assert!(Timing::new(max, Timing::LEASE_MAX).is_ok());
        assert!(Timing::new(min, Timing::LEASE_MAX + min).is_err());
        // Parts of a millisecond are dropped.
        let timing = Timing::new(Duration::from_micros(20_999), Duration::from_micros(60_999)).unwrap();
        assert_eq!((timing.heartbeat(), timing.lease()), (min, min * 3));
    }

    #[test]
    fn what_is_read_is_checked() {
        let written = |heartbeat: u64, lease: u64, stall_limit: u64| {
            let periods = [heartbeat, lease, stall_limit].map(Duration::from_millis);
            postcard::to_allocvec(&periods).unwrap()
        };
        let timing = Timing::new(Duration::from_millis(400), Duration::from_secs(2)).unwrap();
        let timing = timing.with_stall_limit(Duration::from_secs(4)).unwrap();
        let bytes = postcard::to_allocvec(&timing).unwrap();
        assert_eq!(bytes, written(400, 2_000, 4_000));
        assert_eq!(postcard::from_bytes::<Timing>(&bytes).unwrap(), timing);
        assert!(postcard::from_bytes::<Timing>(&written(400, 1_199, 4_000)).is_err());
        assert!(postcard::from_bytes::<Timing>(&written(400, 2_000, 2_999)).is_err());
    }

    #[test]
    fn stall_limit_is_checked_and_not_part_of_what_a_fleet_shares() {
        let timing = Timing::default();
        assert_eq!(timing.stall_limit(), Duration::from_secs(10));
        for allowed in [Timing::STALL_LIMIT_MIN, Timing::STALL_LIMIT_MAX] {
            let changed = timing.with_stall_limit(allowed).unwrap();
            assert_eq!(changed.stall_limit(), allowed);
            assert_ne!(changed, timing);
            assert_eq!(changed.shared(), timing);
        }
        for refused in [
            Duration::from_millis(2_999),
            Timing::STALL_LIMIT_MAX + Duration::from_millis(1),
            Duration::MAX,
        ] {
            let error = timing.with_stall_limit(refused).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{refused:?}");
        }
    }
}
