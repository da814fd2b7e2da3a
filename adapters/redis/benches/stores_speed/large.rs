//! Small operations amid large values: what the others on the same store wait for those.

use std::time::Duration;

use futures_util::future::join_all;
use ringhold_core::Limits;

use crate::Effort;
use crate::load::{Seen, float, median, run as load};
use crate::scene::{Scene, store};
use crate::way::{DATA_BYTES, Operation, Shared, Task, Way};

/// Tasks with small sessions, one operation of each in so long.
const SMALL: usize = 20;
const SMALL_PACE: Duration = Duration::from_millis(5);
/// Tasks with sessions of the greatest length; all start at once, as often.
const LARGE: usize = 64;
const LARGE_PACE: Duration = Duration::from_millis(200);
/// A second of what is measured sees a few bursts of large values.
const PERIODS: u32 = 2;
/// What is promised: amid another client's large values the servers themselves are as busy.
const RATIO_MAX: f64 = 1.5;

/// What small operations saw without large ones, amid those of another client, and amid those of their own.
struct Round {
    alone: Seen,
    other: Seen,
    own: Seen,
}

pub(crate) async fn run(scene: &Scene, effort: Effort) {
    scene.empty();
    let shared = Shared::new();
    let bytes = Limits::default().data_bytes_max();
    let other = store(&scene.cluster, "redis").await;
    let tasks =
        |count: usize, bytes| join_all((0..count).map(|_| Task::new(scene.ours.clone(), &shared, bytes)));
    let mut small = tasks(SMALL, DATA_BYTES).await;
    let mut of_own = tasks(LARGE, bytes).await;
    let mut of_other = join_all((0..LARGE).map(|_| Task::new(other.clone(), &shared, bytes))).await;
    let period = effort.period * PERIODS;
    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        let (alone, amid_other, amid_own);
        (alone, small) = paced(small, period).await;
        ((amid_other, small), of_other) = tokio::join!(paced(small, period), flood(of_other, period));
        ((amid_own, small), of_own) = tokio::join!(paced(small, period), flood(of_own, period));
        rounds.push(Round {
            alone,
            other: amid_other,
            own: amid_own,
        });
    }
    let of = |seen: fn(&Round) -> &Seen, percent| {
        median(rounds.iter().map(|round| seen(round).quantile_us(percent)))
    };
    println!(
        "{SMALL} tasks with {DATA_BYTES} bytes, get, save and touch, beside bursts of {LARGE} saves and gets of {bytes} bytes, medians of {} rounds",
        rounds.len()
    );
    for percent in [50, 99] {
        println!(
            "p{percent}: {:6.0} µs alone, {:6.0} µs beside another client's, {:6.0} µs beside the same store's",
            of(|round| &round.alone, percent),
            of(|round| &round.other, percent),
            of(|round| &round.own, percent),
        );
    }
    let ratio = median(
        rounds
            .iter()
            .map(|round| round.own.quantile_us(99) / round.other.quantile_us(99)),
    );
    let verdict = if ratio <= RATIO_MAX { "held" } else { "NOT held" };
    println!(
        "promised: a store's own large values hold its small operations up at most {RATIO_MAX} times as long (p99): {ratio:.2}, {verdict}"
    );
    assert!(float(rounds.len()) > 0.0);
    scene.empty();
}

async fn paced<W: Way>(tasks: Vec<Task<W>>, period: Duration) -> (Seen, Vec<Task<W>>) {
    const OPERATIONS: &[Operation] = &[Operation::Get, Operation::Save, Operation::Touch];
    load(tasks, OPERATIONS, period, Some(SMALL_PACE)).await
}

async fn flood<W: Way>(tasks: Vec<Task<W>>, period: Duration) -> Vec<Task<W>> {
    const OPERATIONS: &[Operation] = &[Operation::Save, Operation::Get];
    load(tasks, OPERATIONS, period, Some(LARGE_PACE)).await.1
}
