//! Round trips to a server, and the deadlines that follow from them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::lateness;

/// Round trips that an attempt may take: a lost packet is sent again within them.
const ROUND_TRIPS: u32 = 3;
/// Round trips that a connection takes at most: TCP, TLS, a password, what a client library asks, a greeting.
const ROUND_TRIPS_TO_CONNECT: u32 = 10;
/// The longest patience with a connection.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The period of the timer that runs beside a measurement.
const TICK: Duration = Duration::from_millis(100);

/// Awaits a small answer and measures its time; `None` where this runtime or its process stood still for a part of it.
///
/// # Cancel safety
/// As that of `answer`.
pub(super) async fn timed<T>(answer: impl Future<Output = T>) -> (T, Option<Duration>) {
    let asked = Instant::now();
    let mut answer = pin!(answer);
    let mut stood_still = false;
    loop {
        let tick = Instant::now() + TICK;
        let answered = timeout_at(tick, &mut answer).await;
        stood_still |= lateness(tick).is_some();
        if let Ok(answered) = answered {
            return (answered, (!stood_still).then(|| asked.elapsed()));
        }
    }
}

/// Bounds of the deadlines for all servers.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The shortest deadline of an attempt.
    attempt: Duration,
    /// The shortest deadline of a `PING`.
    probe: Duration,
    /// The longest deadline of both in milliseconds, unless the shortest one is longer.
    most_ms: AtomicU64,
}

impl Bounds {
    /// With the deadlines of the settings. Those of a cluster stay as they are until
    /// [`below_node_timeout`](Self::below_node_timeout) says how long they may be.
    pub(super) fn new(attempt: Duration, probe: Duration, cluster: bool) -> Self {
        let bounds = Self {
            attempt,
            probe,
            most_ms: AtomicU64::new(0),
        };
        if !cluster {
            bounds.raise_to(CONNECT_MAX);
        }
        bounds
    }

    /// Lets attempts take up to three quarters of `cluster-node-timeout`: a master that does not answer for so long is
    /// not replaced yet.
    pub(super) fn below_node_timeout(&self, node_timeout: Duration) {
        self.raise_to((node_timeout * 3 / 4).min(CONNECT_MAX));
    }

    fn raise_to(&self, most: Duration) {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        self.most_ms.store(most, Ordering::Relaxed);
    }

    /// At least `least`, and longer for a slow server where that is allowed.
    fn of(&self, least: Duration, round_trip: Duration) -> Duration {
        let most = Duration::from_millis(self.most_ms.load(Ordering::Relaxed));
        (round_trip * ROUND_TRIPS).min(most).max(least)
    }
}

/// The round trips to one server.
#[derive(Debug)]
pub(super) struct Latency {
    bounds: Arc<Bounds>,
    /// The measured one in microseconds; 0 before the first.
    micros: AtomicU64,
}

impl Latency {
    pub(super) fn new(bounds: Arc<Bounds>) -> Self {
        Self {
            bounds,
            micros: AtomicU64::new(0),
        }
    }

    /// Records the time of a small answer, where it was measured. A faster one counts at once, a slower one by half: a server that is busy
    /// for a moment is not far away.
    pub(super) fn measured(&self, time: impl Into<Option<Duration>>) {
        let Some(time) = time.into() else { return };
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        let known = self.micros.load(Ordering::Relaxed);
        let next = if time < known || known == 0 {
            time
        } else {
            known + (time - known) / 2
        };
        self.micros.store(next, Ordering::Relaxed);
    }

    fn round_trip(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed)).min(CONNECT_MAX)
    }

    /// The deadline of an attempt.
    pub(super) fn attempt(&self) -> Duration {
        self.bounds.of(self.bounds.attempt, self.round_trip())
    }

    /// The deadline of a `PING`.
    pub(super) fn probe(&self) -> Duration {
        self.bounds.of(self.bounds.probe, self.round_trip())
    }

    /// The deadline of a connection that is made beside another one to the same server.
    pub(super) fn connect(&self) -> Duration {
        self.to_connect().max(self.bounds.attempt)
    }

    /// The patience of a watchdog with its first connection; it doubles for later ones.
    pub(super) fn first_probe(&self) -> Duration {
        self.to_connect().max(self.bounds.probe)
    }

    fn to_connect(&self) -> Duration {
        (self.round_trip() * ROUND_TRIPS_TO_CONNECT).min(CONNECT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn latency(cluster: bool) -> Latency {
        Latency::new(Arc::new(Bounds::new(ms(500), ms(300), cluster)))
    }

    #[test]
    fn attempt_has_three_round_trips_where_they_are_longer() {
        let latency = latency(false);
        assert_eq!((latency.attempt(), latency.probe()), (ms(500), ms(300)));
        assert_eq!((latency.connect(), latency.first_probe()), (ms(500), ms(300)));
        latency.measured(ms(120));
        assert_eq!((latency.attempt(), latency.probe()), (ms(500), ms(360)));
        latency.measured(ms(480));
        assert_eq!(latency.attempt(), ms(900), "a slower one counts by half");
        assert_eq!((latency.connect(), latency.first_probe()), (ms(3_000), ms(3_000)));
        latency.measured(ms(10));
        assert_eq!(latency.attempt(), ms(500), "a faster one counts at once");
        latency.measured(Duration::MAX);
        latency.measured(Duration::MAX);
        assert_eq!((latency.attempt(), latency.connect()), (CONNECT_MAX, CONNECT_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn answer_during_which_the_runtime_stood_still_is_not_measured() {
        // sleep: it stands for an answer that takes so long on the paused clock.
        let after = |time| timed(tokio::time::sleep(time));
        let time = after(ms(950)).await.1.unwrap();
        assert!((ms(950)..ms(960)).contains(&time), "{time:?}");
        for before in [ms(0), ms(350)] {
            let answered = tokio::spawn(after(before + ms(700)));
            // sleep: time passes on the paused clock alone, until the measurement is under way.
            tokio::time::sleep(before + ms(1)).await;
            // All of it at once, as for a runtime that a blocking call has stopped.
            tokio::time::advance(ms(600)).await;
            assert_eq!(answered.await.unwrap().1, None, "{before:?}");
        }
    }

    #[test]
    fn attempt_stays_below_the_node_timeout_of_a_cluster() {
        let latency = latency(true);
        latency.measured(ms(1_000));
        assert_eq!(latency.attempt(), ms(500), "the node timeout is not known");
        latency.bounds.below_node_timeout(ms(2_000));
        assert_eq!(latency.attempt(), ms(1_500));
        latency.bounds.below_node_timeout(ms(400));
        assert_eq!(latency.attempt(), ms(500), "what the settings say counts");
        latency.bounds.below_node_timeout(ms(15_000));
        assert_eq!(latency.attempt(), ms(3_000));
    }
}
