//! What asks the ring: routers, fleets and places, alone and while nodes come and go.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringhold::{Backend, Fleet, Observer, Timing};
use ringhold_core::discovery::{LeaveFleet, RegisterNode};
use ringhold_core::policy::ConsistentHash;
use ringhold_core::{Incarnation, NodeIncarnation, NodeRecord, Nonce, OperationId};
use tokio::runtime::{Builder, Runtime};

use crate::rounds::{Keys, Rounds, each, median, used};
use crate::table::Table;
use crate::{Effort, NODES, node};

/// How often a node joins or leaves, at 100 changes a second.
const CHANGE_EVERY: Duration = Duration::from_millis(10);

/// A fleet in memory, whose leases outlast the measurement.
struct Bed {
    runtime: Runtime,
    backend: Backend,
    observer: Observer,
}

impl Bed {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (backend, observer) = runtime.block_on(async {
            let backend = ringhold::open("memory:").await.expect("a backend");
            for number in 0..NODES {
                join(&backend, number).await;
            }
            let observer = Fleet::builder(backend.clone())
                .policy(ConsistentHash::new())
                .observe()
                .await
                .expect("an observer");
            (backend, observer)
        });
        Self {
            runtime,
            backend,
            observer,
        }
    }
}

async fn join(backend: &Backend, number: usize) -> NodeIncarnation {
    let nonce = Nonce::from_bytes((number as u128).to_le_bytes());
    let record = NodeRecord::new(node(number), Incarnation { number: 0, nonce });
    let timing = Timing::new(Timing::HEARTBEAT_MAX, Timing::LEASE_MAX).expect("periods");
    let registered = backend
        .discovery
        .register(RegisterNode::new(record, timing))
        .await;
    NodeIncarnation::new(node(number), registered.expect("it joins").incarnation)
}

async fn leave(backend: &Backend, node: NodeIncarnation) {
    let operation = OperationId::from_bytes([0; 16]);
    let departed = backend.discovery.leave(LeaveFleet::new(node, operation)).await;
    departed.expect("it leaves");
}

pub(crate) fn measure(effort: Effort, table: &mut Table) {
    let bed = Bed::new();
    questions(effort, table, &bed.observer);
    two_tasks(effort, table, &bed.observer);
    under_changes(effort, table, &bed);
}

fn questions(effort: Effort, table: &mut Table, observer: &Observer) {
    let view = observer.view();
    let ring = view.ring();
    let mut router = observer.router();
    // Keys of their own, or each would find warm what the one before it looked up.
    let [mut bare, mut seen, mut asked, mut placed] = [11, 12, 13, 14].map(Keys::new);
    // Short turns, so that most of them are over before another process is given the processor.
    let short = Effort {
        calls: effort.calls.min(5_000),
        ..effort
    };
    let rounds = Rounds::run(
        short,
        vec![
            each(|| used(ring.owner_index(black_box(&bare.next())))),
            each(|| used(router.owner(black_box(&seen.next())))),
            each(|| used(observer.owner(black_box(&asked.next())))),
            each(|| used(observer.place(black_box(&placed.next())))),
        ],
    );
    table.head("at 1,000 nodes, ns", "measured", "bare ring");
    let ring = rounds.median_ns(0);
    let mut row = |what: &str, runner: usize, promised: f64| {
        table.row(
            what,
            rounds.median_ns(runner),
            Some(ring),
            rounds.ratio(runner, 0),
            promised,
        );
    };
    row("router().owner: 1.5 × the ring + 3", 1, 1.5 * ring + 3.0);
    row("Fleet::owner: 3 × the ring + 10", 2, 3.0 * ring + 10.0);
    row("place, ConsistentHash", 3, 150.0);
}

/// Runs two threads for the window, each with a worker of its own, and tells the nanoseconds that one
/// call takes one of them: of the processor's time where the system tells that, since others use it too.
fn two_threads<W: FnMut(&[u8; 16])>(window: Duration, worker: impl Fn() -> W + Sync) -> f64 {
    let (stop, calls, start) = (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(3));
    let spent = AtomicU64::new(0);
    thread::scope(|scope| {
        for seed in [5, 6] {
            let (stop, calls, spent, start, worker) = (&stop, &calls, &spent, &start, &worker);
            scope.spawn(move || {
                let (mut worker, mut keys, mut done) = (worker(), Keys::new(seed), 0);
                start.wait();
                let began = (Instant::now(), processor_ns());
                while !stop.load(Ordering::Relaxed) {
                    (0..64).for_each(|_| worker(&keys.next()));
                    done += 64;
                }
                let passed = began.0.elapsed().as_nanos().try_into().unwrap_or(u64::MAX);
                let ns = began
                    .1
                    .zip(processor_ns())
                    .map_or(passed, |(began, now)| now - began);
                calls.fetch_add(done, Ordering::Relaxed);
                spent.fetch_add(ns, Ordering::Relaxed);
            });
        }
        start.wait();
        // The threads work for as long as this lasts.
        let end = Instant::now() + window;
        while Instant::now() < end {
            thread::park_timeout(end.saturating_duration_since(Instant::now()));
        }
        stop.store(true, Ordering::Relaxed);
    });
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 of both")]
    let (spent, calls) = (spent.into_inner() as f64, calls.into_inner() as f64);
    spent / calls
}

/// How long this thread has run, where Linux tells it.
fn processor_ns() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split(' ').next()?.parse().ok()
}

fn two_tasks(effort: Effort, table: &mut Table, observer: &Observer) {
    let windows = (0..effort.rounds.min(15))
        .map(|_| two_threads(effort.window, || |key| used(observer.place(black_box(key)))));
    let measured = median(windows.collect());
    table.row(
        "place, ConsistentHash, two threads at once",
        measured,
        None,
        1.0,
        300.0,
    );
}

/// Two readers with the membership at rest and with 100 changes a second, in turns.
fn under_changes(effort: Effort, table: &mut Table, bed: &Bed) {
    let (mut rest, mut changing) = (Vec::new(), Vec::new());
    let mut seen = 0;
    for _ in 0..effort.rounds.min(15) {
        rest.push(readers(effort.window, &bed.observer));
        let before = bed.observer.view().revision();
        let stop = AtomicBool::new(false);
        let changed = thread::scope(|scope| {
            scope.spawn(|| bed.runtime.block_on(change(&bed.backend, &stop)));
            let changed = readers(effort.window, &bed.observer);
            stop.store(true, Ordering::Relaxed);
            changed
        });
        changing.push(changed);
        seen += bed.observer.view().revision().number - before.number;
    }
    // In a window of a millisecond the writer may not run at all, so only a measurement requires a change.
    assert!(
        seen > 0 || !effort.measured,
        "no change reached the readers: the row below would compare rest with rest"
    );
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let per_s =
        seen as f64 / (effort.window.as_secs_f64() * f64::from(u32::try_from(changing.len()).unwrap_or(1)));
    let lost: Vec<f64> = rest
        .iter()
        .zip(&changing)
        .map(|(rest, changing)| changing / rest)
        .collect();
    let (ratio, rest, changing) = (median(lost), median(rest), median(changing));
    table.head("two readers of router().owner, ns", "changing", "at rest");
    table.row(
        &format!("{per_s:.0} changes a second were seen: 25 % of the speed"),
        changing,
        Some(rest),
        ratio,
        rest / 0.75,
    );
}

fn readers(window: Duration, observer: &Observer) -> f64 {
    two_threads(window, || {
        let mut router = observer.router();
        move |key| used(router.owner(black_box(key)))
    })
}

async fn change(backend: &Backend, stop: &AtomicBool) {
    let mut next = Instant::now();
    let mut number = NODES;
    let mut joined = None;
    while !stop.load(Ordering::Relaxed) {
        match joined.take() {
            Some(node) => leave(backend, node).await,
            None => joined = Some(join(backend, number).await),
        }
        number += usize::from(joined.is_none());
        next += CHANGE_EVERY;
        tokio::time::sleep_until(next.into()).await;
    }
    if let Some(node) = joined {
        leave(backend, node).await;
    }
}
