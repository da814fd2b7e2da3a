//! Each operation through the store and through the bare client, in turns.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::Effort;
use crate::load::{Seen, median, run as load};
use crate::scene::Scene;
use crate::way::{DATA_BYTES, Operation, Shared, Task, Way};

/// A round is so many turns of each: which of its threads a runtime gives to a task may stay for a turn, and
/// with one task in flight it is what decides.
const SLICES: u32 = 5;
/// What is promised of the bare client's throughput.
const RATIO_MIN: f64 = 0.9;

pub(crate) async fn run(scene: &Scene, tasks: usize, effort: Effort) {
    let rounds = effort.rounds;
    println!(
        "{tasks} in flight, {DATA_BYTES} bytes, 3 masters with a replica each, medians of {rounds} rounds"
    );
    println!(
        "{:8} {:>10} {:>10} {:>7}   {:>9} {:>9}   {:>9} {:>9}",
        "", "bare /s", "ours /s", "ratio", "bare p99", "ours p99", "bare CPU", "ours CPU"
    );
    let mut least = f64::INFINITY;
    for operation in Operation::ALL {
        scene.empty();
        let shared = Shared::new();
        let mut bare = tasks_of(&scene.bare, &shared, tasks).await;
        let mut ours = tasks_of(&scene.ours, &shared, tasks).await;
        let mut seen = Vec::new();
        for round in 0..=rounds {
            let (mut of_bare, mut of_ours): (Option<Seen>, Option<Seen>) = (None, None);
            for slice in 0..SLICES as usize {
                // Who comes first changes, so that what the machine does meanwhile favours nobody.
                for first in [true, false] {
                    let (sum, one);
                    if ((round + slice) % 2 == 0) == first {
                        (one, bare) = slice_of(scene, bare, operation, effort).await;
                        sum = &mut of_bare;
                    } else {
                        (one, ours) = slice_of(scene, ours, operation, effort).await;
                        sum = &mut of_ours;
                    }
                    *sum = Some(match sum.take() {
                        Some(seen) => seen.and(one),
                        None => one,
                    });
                }
            }
            // The first round only warms both up.
            if let (Some(of_bare), Some(of_ours)) = (of_bare, of_ours)
                && round > 0
            {
                seen.push((of_bare, of_ours));
            }
        }
        least = least.min(report(operation, &seen));
    }
    let verdict = if least >= RATIO_MIN { "held" } else { "NOT held" };
    println!("promised: at least {RATIO_MIN} of the bare client's throughput: {verdict}\n");
    scene.empty();
}

async fn tasks_of<W: Way>(way: &W, shared: &Arc<Shared>, tasks: usize) -> Vec<Task<W>> {
    join_all((0..tasks).map(|_| Task::new(way.clone(), shared, DATA_BYTES))).await
}

async fn slice_of<W: Way>(
    scene: &Scene,
    tasks: Vec<Task<W>>,
    operation: Operation,
    effort: Effort,
) -> (Seen, Vec<Task<W>>) {
    let operations: &'static [Operation] = match operation {
        Operation::Create => &[Operation::Create],
        Operation::Get => &[Operation::Get],
        Operation::Save => &[Operation::Save],
        Operation::Touch => &[Operation::Touch],
    };
    let seen = load(tasks, operations, effort.period / SLICES, None).await;
    if operation == Operation::Create {
        scene.empty();
    }
    seen
}

/// A line of the table. Answers the ratio of throughput.
fn report(operation: Operation, rounds: &[(Seen, Seen)]) -> f64 {
    let of = |figure: fn(&Seen) -> f64| {
        (
            median(rounds.iter().map(|(bare, _)| figure(bare))),
            median(rounds.iter().map(|(_, ours)| figure(ours))),
        )
    };
    let per_s = of(Seen::per_s);
    let p99 = of(|seen| seen.quantile_us(99));
    let computed = of(Seen::computed_us);
    let ratio = median(rounds.iter().map(|(bare, ours)| ours.per_s() / bare.per_s()));
    println!(
        "{:8} {:10.0} {:10.0} {:7.3}   {:6.0} µs {:6.0} µs   {:6.1} µs {:6.1} µs",
        operation.name(),
        per_s.0,
        per_s.1,
        ratio,
        p99.0,
        p99.1,
        computed.0,
        computed.1,
    );
    ratio
}
