//! The ring and the publication cell: `cargo bench --bench ring`.
//!
//! First a table of what is promised (`owner` below 1 µs, a node added or removed below 1 ms, at 100
//! nodes) beside what this machine does, median of several rounds; then criterion's figures.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group};
use ringhold_core::published::Published;
use ringhold_core::ring::{Ring, RingChange};
use ringhold_core::{NodeId, Weight};

const OWNER_NS_PROMISED: f64 = 1_000.0;
const CHANGE_NS_PROMISED: f64 = 1_000_000.0;

fn node(number: usize) -> NodeId {
    NodeId::new(format!("node-{number}")).expect("a node id")
}

fn ring(nodes: usize) -> Ring {
    Ring::new((0..nodes).map(|number| (node(number), Weight::ONE)))
}

/// A joining node, and the same node leaving again, in the middle of the others.
fn join() -> RingChange {
    RingChange::Set(NodeId::new("node-5-new").expect("a node id"), Weight::ONE)
}

fn leave() -> RingChange {
    RingChange::Remove(node(5))
}

/// Keys of 16 bytes that never repeat, so that no lookup finds its line warm: splitmix64, twice.
struct Keys(u64);

impl Keys {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn key(&mut self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.number().to_le_bytes());
        key[8..].copy_from_slice(&self.number().to_le_bytes());
        key
    }
}

/// Nanoseconds for one call, median of rounds.
fn median_ns(rounds: usize, calls: u32, mut call: impl FnMut()) -> f64 {
    let mut round = || {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    round();
    let mut rounds: Vec<f64> = (0..rounds).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn promises() {
    println!("{:<28}{:>14}{:>14}", "", "measured", "promised");
    let row = |what: &str, measured: f64, promised: Option<f64>| {
        let unit = |ns: f64| {
            if ns < 1_000.0 {
                format!("{ns:.1} ns")
            } else {
                format!("{:.1} µs", ns / 1_000.0)
            }
        };
        let verdict = promised.map_or_else(String::new, |promised| {
            let kept = if measured < promised { "kept" } else { "MISSED" };
            format!("{:>14}  {kept}", format!("< {}", unit(promised)))
        });
        println!("{what:<28}{:>14}{verdict}", unit(measured));
    };
    for nodes in [10, 100, 1_000] {
        let (ring, mut keys) = (ring(nodes), Keys(1));
        let hundred = |promised| (nodes == 100).then_some(promised);
        let owner = median_ns(21, 100_000, || {
            black_box(ring.owner_index(black_box(&keys.key())));
        });
        row(
            &format!("owner, {nodes} nodes"),
            owner,
            hundred(OWNER_NS_PROMISED),
        );
        let add = median_ns(51, 3, || drop(black_box(ring.apply([join()]))));
        row(
            &format!("add a node, {nodes} nodes"),
            add,
            hundred(CHANGE_NS_PROMISED),
        );
        let remove = median_ns(51, 3, || drop(black_box(ring.apply([leave()]))));
        row(
            &format!("remove a node, {nodes} nodes"),
            remove,
            hundred(CHANGE_NS_PROMISED),
        );
    }
    println!();
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring/owner");
    for nodes in [10, 100, 1_000] {
        let (ring, mut keys) = (ring(nodes), Keys(1));
        group.bench_function(nodes.to_string(), |b| {
            b.iter(|| ring.owner_index(black_box(&keys.key())));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("ring/owner, each key from the last answer");
    for nodes in [10, 100, 1_000] {
        let (ring, mut keys, mut last) = (ring(nodes), Keys(1), 0);
        group.bench_function(nodes.to_string(), |b| {
            b.iter(|| {
                keys.0 ^= last as u64;
                last = ring.owner_index(black_box(&keys.key())).unwrap_or_default();
                last
            });
        });
    }
    group.finish();
    let (ring, mut keys) = (ring(1_000), Keys(1));
    criterion.bench_function("ring/three successors/1000", |b| {
        b.iter(|| ring.successors(black_box(&keys.key())).take(3).sum::<usize>());
    });
}

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring/change");
    for nodes in [100, 1_000] {
        let ring = ring(nodes);
        group.bench_function(format!("add/{nodes}"), |b| {
            b.iter_batched(join, |change| ring.apply([change]), BatchSize::SmallInput);
        });
        group.bench_function(format!("remove/{nodes}"), |b| {
            b.iter_batched(leave, |change| ring.apply([change]), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn publication(criterion: &mut Criterion) {
    let cell = Published::new(Arc::new(ring(1_000)));
    let (mut reader, mut keys) = (cell.reader(), Keys(1));
    criterion.bench_function("published/Reader::get", |b| b.iter(|| reader.get().len()));
    criterion.bench_function("published/with", |b| b.iter(|| cell.with(Ring::len)));
    criterion.bench_function("published/load", |b| b.iter(|| cell.load().len()));
    criterion.bench_function("published/Reader::get, then owner/1000", |b| {
        b.iter(|| reader.get().owner_index(black_box(&keys.key())));
    });
    criterion.bench_function("published/with, then owner/1000", |b| {
        b.iter(|| cell.with(|ring| ring.owner_index(black_box(&keys.key()))));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = lookups, changes, publication
}

fn main() {
    promises();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
