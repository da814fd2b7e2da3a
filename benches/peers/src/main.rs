//! Ringhold beside its peers: `cargo run --release --manifest-path benches/peers/Cargo.toml`.
//!
//! All run in turns, in one process, on the same work. A ratio is the median of those of single rounds: what
//! the peer took for what we took, so above 1 we are ahead. `-- ring` or `-- memory` runs one table, `--rounds=1`
//! the stores in memory in fewer rounds, `--stores=4` the first of them alone, and `--test` a little of all, to see that it
//! works.

mod memory;
mod ring;
#[path = "../../ring/rounds.rs"]
mod rounds;

use std::env;
use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    calls: u32,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some(name) = memory::fill::asked(&arguments) {
        return memory::fill::tell(name, &arguments);
    }
    let brief = arguments.iter().any(|argument| argument == "--test");
    let named: Vec<_> = arguments.iter().filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|word| *word == name);
    if wanted("ring") {
        rings(brief);
    }
    if wanted("memory") {
        let number = |name: &str| {
            arguments
                .iter()
                .find_map(|word| word.strip_prefix(name)?.parse().ok())
        };
        memory::compare(brief, number("--rounds="), number("--stores="));
    }
}

fn rings(brief: bool) {
    if brief {
        let effort = Effort {
            rounds: 1,
            calls: 100,
        };
        return ring::compare(effort, 10);
    }
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
