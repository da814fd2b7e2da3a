//! How long `owner(key)` takes, measured while the fleet is at work.

use std::hint::black_box;
use std::time::Instant;

use ringhold::Observer;

/// Keys that are asked for between two looks at the clock, which costs more than one lookup.
const BATCH: usize = 256;
const BATCHES: usize = 400;

/// The median over batches of what one lookup took, in nanoseconds. Every lookup has a key of its
/// own, so that no cache of the processor knows it.
#[expect(clippy::cast_precision_loss, reason = "a batch takes far less than 2^52 ns")]
pub(crate) fn median_ns(observer: &Observer) -> f64 {
    let mut router = observer.router();
    let mut times = Vec::with_capacity(BATCHES);
    for batch in 0..BATCHES {
        let keys: Vec<String> = (0..BATCH).map(|key| format!("player-{batch}-{key}")).collect();
        let started = Instant::now();
        for key in &keys {
            black_box(router.owner(black_box(key.as_bytes())));
        }
        times.push(started.elapsed().as_nanos() as f64 / BATCH as f64);
    }
    times.sort_unstable_by(f64::total_cmp);
    times[BATCHES / 2]
}
