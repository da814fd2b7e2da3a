//! Ringhold beside its peers: `cargo run --release --manifest-path benches/peers/Cargo.toml`.
//!
//! All run in turns, in one process, on the same work. A ratio is the median of those of single rounds: what
//! the peer took for what we took, so above 1 we are ahead.

mod ring;
#[path = "../../ring/rounds.rs"]
mod rounds;

use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    calls: u32,
}

fn main() {
    for nodes in [10, 100, 1_000, 10_000] {
        // A turn begins with a cache that is full of what the others left, and half as many calls that
        // are not counted get it back: on large rings that takes some for each line of the cache.
        let (rounds, calls) = if nodes < 1_000 {
            (41, 10_000)
        } else {
            (21, 100_000)
        };
        let effort = Effort { rounds, calls };
        ring::compare(effort, nodes);
    }
}

/// A time with its unit.
fn shown(ns: f64) -> String {
    let time = Duration::from_secs_f64(ns / 1e9);
    if ns < 1_000.0 {
        format!("{ns:.1} ns")
    } else {
        format!("{time:.1?}")
    }
}
