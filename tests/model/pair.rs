//! Two backends whose clocks go together.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use ringhold::core::{Backend, Limits};
use ringhold::memory::MemoryBackend;
use ringhold::redis::{RedisBackend, RedisConfig};
use ringhold::{ErrorKind, Result};
use ringhold_testkit::launch::{RedisOptions, RedisServer, ServerClock};
use ringhold_testkit::{Make, RedisTime, SimulatedClock, TestTime};
use url::Url;

/// How many sequences a test plays, each in a fleet of its own.
pub(crate) const SEQUENCES: usize = 40;

/// How many requests there are in one of them.
pub(crate) const STEPS: usize = 300;

/// A server that stands still until it is moved.
pub(crate) async fn server() -> RedisServer {
    let options = RedisOptions::new().clock(ServerClock::Settable);
    let started = tokio::task::spawn_blocking(move || RedisServer::start(&options));
    started.await.expect("no panic").expect("redis-server")
}

/// The reference implementation and Redis, both empty.
pub(crate) struct Pair {
    pub(crate) memory: Backend,
    pub(crate) redis: Backend,
    clock: SimulatedClock,
    time: RedisTime,
}

impl Pair {
    pub(crate) async fn new(server: &RedisServer, make: &Make) -> Self {
        let (fleet, clock) = (make.fleet(), SimulatedClock::new());
        let url = Url::parse(&server.url(fleet.as_str())).expect("a URL");
        let config = RedisConfig::from_url(&url).expect("a URL of this adapter");
        let redis = RedisBackend::open(config).await.expect("a server that runs");
        let memory = MemoryBackend::with_clock(fleet, Limits::default(), Arc::new(clock.clone()));
        Self {
            memory: memory.backend(),
            redis: redis.backend(),
            clock,
            time: RedisTime::of_server(server),
        }
    }

    /// Moves both clocks on. Both start at a whole millisecond and go by whole ones, as Redis cuts the
    /// rest off.
    pub(crate) async fn pass(&self, millis: u64) {
        let duration = Duration::from_millis(millis);
        self.clock.advance(duration);
        self.time.pass(duration).await;
    }
}

/// How long passes before the next request: mostly nothing, sometimes more than a clock's cap.
pub(crate) fn pause(make: &Make) -> u64 {
    match make.below(20) {
        0..=10 => 0,
        11..=13 => 1 + make.bits() % 20,
        14..=16 => 100 * (1 + make.bits() % 10),
        17..=18 => make.bits() % 3_500,
        _ => 10_000,
    }
}

/// One of `values`; none where there are none.
pub(crate) fn pick<'a, T>(make: &Make, values: &'a [T]) -> Option<&'a T> {
    values.get(make.below(values.len()))
}

/// One of the last `recent` of `values`.
pub(crate) fn pick_recent<'a, T>(make: &Make, values: &'a [T], recent: usize) -> Option<&'a T> {
    pick(make, &values[values.len().saturating_sub(recent)..])
}

/// Errors are compared by their kinds: their words are the adapter's own.
pub(crate) fn kinds<T>(result: Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

/// What was asked and answered, so that a difference can be understood.
#[derive(Default)]
pub(crate) struct Story(Vec<String>);

impl Story {
    /// Adds one step, in which both answered the same.
    pub(crate) fn same<A: PartialEq + Debug>(&mut self, asked: &impl Debug, memory: &A, redis: &A) {
        if memory != redis {
            let told = self.0[self.0.len().saturating_sub(60)..].join("\n");
            panic!(
                "step {}: the two differ\n{told}\nasked: {asked:?}\nmemory: {memory:#?}\nredis: {redis:#?}",
                self.0.len()
            );
        }
        self.0.push(format!("{asked:?} => {memory:?}"));
    }
}
