//! Tasks in flight, and what they saw.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::way::{Operation, Task, Way};

/// What tasks saw in one period.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Nanoseconds that each operation took, sorted.
    took: Vec<u64>,
    period: Duration,
    /// Hundredths of a second that this process computed.
    computed: u64,
}

impl Seen {
    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.took.extend(other.took);
        self.took.sort_unstable();
        self.period += other.period;
        self.computed += other.computed;
        self
    }

    /// Operations in a second.
    pub(crate) fn per_s(&self) -> f64 {
        float(self.took.len()) / self.period.as_secs_f64()
    }

    /// Microseconds that so many percent of the operations took at most.
    pub(crate) fn quantile_us(&self, percent: usize) -> f64 {
        let nanos = self.took[(self.took.len() - 1) * percent / 100];
        Duration::from_nanos(nanos).as_secs_f64() * 1e6
    }

    /// Microseconds that this process computed for one operation.
    pub(crate) fn computed_us(&self) -> f64 {
        let hundredths = u32::try_from(self.computed).map_or(f64::INFINITY, f64::from);
        hundredths * 10_000.0 / float(self.took.len())
    }
}

/// A count, for a ratio.
pub(crate) fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Runs all tasks side by side for a period, each with its next operation as soon as the last is answered,
/// or one each `pace`. Hands the tasks back.
pub(crate) async fn run<W: Way>(
    tasks: Vec<Task<W>>,
    operations: &'static [Operation],
    period: Duration,
    pace: Option<Duration>,
) -> (Seen, Vec<Task<W>>) {
    let before = computed();
    let start = Instant::now();
    let mut running = JoinSet::new();
    for mut task in tasks {
        running.spawn(async move {
            let mut took = Vec::new();
            let mut ticks = pace.map(|pace| {
                let mut ticks = interval(pace);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                ticks
            });
            for operation in operations.iter().cycle() {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                let began = Instant::now();
                task.run(*operation).await;
                took.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
                // Each does one at least, however late it came to run.
                if start.elapsed() >= period {
                    break;
                }
            }
            (took, task)
        });
    }
    let (mut took, mut tasks) = (Vec::new(), Vec::new());
    while let Some(ended) = running.join_next().await {
        let (of_task, task) = ended.expect("tasks do not panic");
        took.extend(of_task);
        tasks.push(task);
    }
    let period = start.elapsed();
    let computed = computed() - before;
    assert!(!took.is_empty(), "something was done");
    took.sort_unstable();
    (
        Seen {
            took,
            period,
            computed,
        },
        tasks,
    )
}

/// Hundredths of a second that this process has computed so far.
fn computed() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    // Behind the name, which may hold anything: user and system time are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut number = || -> u64 {
        fields
            .next()
            .and_then(|field| field.parse().ok())
            .expect("a number")
    };
    number() + number()
}

/// The middle of some figures.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
