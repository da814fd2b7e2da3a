//! The time of real servers whose clock a test sets.

use std::time::Duration;

use async_trait::async_trait;
use ringhold_launch::{RedisCluster, RedisServer, SettableClock};

use crate::TestTime;

/// The settable clock of a Redis server or cluster. Nothing passes beside what is asked for.
///
/// ```no_run
/// use std::time::Duration;
/// use ringhold_testkit::launch::{RedisOptions, RedisServer, ServerClock};
/// use ringhold_testkit::{RedisTime, TestTime};
///
/// # async fn example() {
/// let options = RedisOptions::new().clock(ServerClock::Settable);
/// let server = RedisServer::start(&options).expect("redis-server is installed");
/// RedisTime::of_server(&server).pass(Duration::from_secs(5)).await;
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RedisTime {
    clock: SettableClock,
}

impl RedisTime {
    /// The time of one server.
    ///
    /// # Panics
    /// Where it runs by the real clock.
    pub fn of_server(server: &RedisServer) -> Self {
        Self::new(server.clock())
    }

    /// The time of all nodes of a cluster.
    ///
    /// # Panics
    /// Where it runs by the real clock.
    pub fn of_cluster(cluster: &RedisCluster) -> Self {
        Self::new(cluster.clock())
    }

    fn new(clock: Option<&SettableClock>) -> Self {
        let clock = clock.expect("started with `ServerClock::Settable`");
        Self { clock: clock.clone() }
    }
}

#[async_trait]
impl TestTime for RedisTime {
    async fn pass(&self, duration: Duration) {
        // Servers count in whole microseconds, and no less than was asked for is to pass.
        let micros = u64::try_from(duration.as_nanos().div_ceil(1_000)).expect("a test that takes centuries");
        self.clock
            .advance(Duration::from_micros(micros))
            .expect("the file of the clock");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_launch::{RedisOptions, ServerClock};

    #[tokio::test]
    async fn at_least_what_was_asked_for_passes() {
        let options = RedisOptions::new().clock(ServerClock::Settable);
        let server = RedisServer::start(&options).unwrap();
        let clock = server.clock().unwrap();
        let (time, begin) = (RedisTime::of_server(&server), clock.now());
        time.pass(Duration::from_nanos(1_001)).await;
        assert_eq!(clock.now(), begin + Duration::from_micros(2));
        assert_eq!(time.slack(), Duration::ZERO);
    }
}
