//! Callers, and what they saw.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use ringhold_core::{ErrorKind, Result};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// What callers saw in one period.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Nanoseconds of those that were answered.
    answered: Vec<u64>,
    /// How many failed, and how.
    pub(crate) failed: BTreeMap<&'static str, usize>,
    /// The longest that any call took, answered or not.
    pub(crate) longest: Duration,
    period: Duration,
}

impl Seen {
    fn note(&mut self, took: Duration, outcome: Result<(), ErrorKind>) {
        self.longest = self.longest.max(took);
        match outcome {
            Ok(()) => self
                .answered
                .push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            Err(kind) => *self.failed.entry(kind.as_str()).or_default() += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        for (kind, count) in other.failed {
            *self.failed.entry(kind).or_default() += count;
        }
        self.longest = self.longest.max(other.longest);
    }

    /// Answers in a second.
    pub(crate) fn per_s(&self) -> f64 {
        float(self.answered.len()) / self.period.as_secs_f64()
    }

    pub(crate) fn answers(&self) -> usize {
        self.answered.len()
    }

    /// Microseconds that so many percent of the answers took at most.
    pub(crate) fn quantile_us(&mut self, percent: usize) -> f64 {
        if self.answered.is_empty() {
            return f64::INFINITY;
        }
        self.answered.sort_unstable();
        let nanos = self.answered[(self.answered.len() - 1) * percent / 100];
        Duration::from_nanos(nanos).as_secs_f64() * 1e6
    }
}

/// A count, for a ratio.
pub(crate) fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// So many callers, each with its next call as soon as the last is answered, or one each `pace`.
pub(crate) async fn callers<C, Call>(
    number: usize,
    period: Duration,
    pace: Option<Duration>,
    caller: impl Fn(usize) -> C,
) -> Seen
where
    C: FnMut() -> Call + Send + 'static,
    Call: Future<Output = Result<(), ErrorKind>> + Send,
{
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for index in 0..number {
        let mut call = caller(index);
        callers.spawn(async move {
            let mut seen = Seen::default();
            let mut ticks = pace.map(|pace| {
                let mut ticks = interval(pace);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                ticks
            });
            while start.elapsed() < period {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                let began = Instant::now();
                let outcome = call().await;
                seen.note(began.elapsed(), outcome);
            }
            seen
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = callers.join_next().await {
        all.add(seen.expect("callers do not panic"));
    }
    all.period = start.elapsed();
    all
}

/// The word for whether a bound was kept.
pub(crate) fn verdict(held: bool) -> &'static str {
    if held { "held" } else { "NOT held" }
}

/// The median of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
