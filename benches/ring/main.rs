//! The ring, and what asks it: `cargo bench --bench ring`.
//!
//! First what is promised beside what this machine does. What is compared runs in turns, and a ratio is the
//! median of those of single rounds, since times alone say little on a machine that others use. Then
//! criterion's figures for the parts.

mod fleet;
mod guide;
mod parts;
mod rounds;
mod table;

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use ringhold_core::ring::{Ring, RingChange};
use ringhold_core::{NodeId, Weight};

use guide::Guide;
use rounds::{Keys, Rounds, each, used};
use table::Table;

/// The size at which what asks the ring is measured.
const NODES: usize = 1_000;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    calls: u32,
    window: Duration,
    /// Whether the figures count. Under `-- --test` a bench only proves that it runs.
    measured: bool,
}

impl Effort {
    /// The least work that runs every part under `-- --test`; the full measurement otherwise.
    fn of_arguments() -> Self {
        if std::env::args().any(|argument| argument == "--test") {
            Self {
                rounds: 1,
                calls: 10,
                window: Duration::from_millis(1),
                measured: false,
            }
        } else {
            Self {
                rounds: 61,
                calls: 20_000,
                window: Duration::from_millis(150),
                measured: true,
            }
        }
    }
}

fn node(number: usize) -> NodeId {
    NodeId::new(format!("node-{number}")).expect("a node id")
}

fn ring(nodes: usize) -> Ring {
    Ring::new((0..nodes).map(|number| (node(number), Weight::ONE)))
}

fn lookups(effort: Effort, table: &mut Table) {
    table.head("a key's owner, ns", "ring", "guide table");
    for nodes in [10, 100, 1_000, 10_000] {
        let ring = ring(nodes);
        let guide = Guide::new(&ring);
        let mut keys = Keys::new(9);
        for _ in 0..effort.calls {
            let key = keys.next();
            assert_eq!(
                ring.owner_index(&key),
                guide.owner(&key),
                "both are the classical ring"
            );
        }
        let promised = if nodes <= 1_000 { 1.5 } else { 1.0 };
        let (mut ours, mut theirs) = (Keys::new(1), Keys::new(1));
        let rounds = Rounds::run(
            effort,
            vec![
                each(|| used(ring.owner_index(black_box(&ours.next())))),
                each(|| used(guide.owner(black_box(&theirs.next())))),
            ],
        );
        table.ratio(&format!("{nodes} nodes"), &rounds, promised);
        let (mut ours, mut theirs) = (Keys::new(2), Keys::new(2));
        let rounds = Rounds::run(
            effort,
            vec![
                each(|| {
                    let key = ours.next();
                    ours.mix(ring.owner_index(&key));
                }),
                each(|| {
                    let key = theirs.next();
                    theirs.mix(guide.owner(&key));
                }),
            ],
        );
        table.ratio(
            &format!("{nodes} nodes, each key from the last answer"),
            &rounds,
            promised,
        );
    }
}

fn changes(effort: Effort, table: &mut Table) {
    table.head("one node more or less, µs", "ring", "guide table");
    for (nodes, promised_us) in [(100, 1_000.0), (1_000, 200.0), (10_000, 3_000.0)] {
        let ring = ring(nodes);
        let (mut joined, mut left) = (nodes, 0);
        let few = Effort {
            rounds: effort.rounds.min(21),
            calls: 2,
            ..effort
        };
        let rounds = Rounds::run(
            few,
            vec![
                each(|| {
                    joined += 1;
                    used(ring.apply([RingChange::Set(node(joined), Weight::ONE)]));
                }),
                each(|| {
                    left += 1;
                    used(ring.apply([RingChange::Remove(node(left % nodes))]));
                }),
            ],
        );
        let built = Rounds::run(
            Effort {
                rounds: few.rounds.min(3),
                calls: 1,
                ..few
            },
            vec![each(|| used(Guide::new(&ring)))],
        );
        for (what, runner) in [("one joins", 0), ("one leaves", 1)] {
            let measured = rounds.median_ns(runner) / 1e3;
            let built = built.median_ns(0) / 1e3;
            table.row(
                &format!("{what}, {nodes} nodes"),
                measured,
                Some(built),
                measured / built,
                promised_us,
            );
        }
    }
}

fn main() {
    let (effort, mut table) = (Effort::of_arguments(), Table::default());
    lookups(effort, &mut table);
    changes(effort, &mut table);
    fleet::measure(effort, &mut table);
    print!("{table}");
    parts::benches();
    Criterion::default().configure_from_args().final_summary();
}
