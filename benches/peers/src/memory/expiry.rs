//! Everything expires at once, while somebody reads what goes on living.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringhold_core::Clock as _;

use super::store::{Guest, Store, Time};
use super::{Draw, cpu, guests, make};

/// What happened to one store.
pub(super) struct Expiry {
    /// The sweeper's time on a CPU.
    pub(super) sweep: Duration,
    /// The longest hold of a lock, where that is measured.
    pub(super) hold: Option<Duration>,
    pub(super) alone: Reads,
    pub(super) during: Reads,
}

/// How long a reader waited.
#[derive(Clone, Copy, Default)]
pub(super) struct Reads {
    pub(super) p999: Duration,
    pub(super) worst: Duration,
}

/// Fills a store with `count` sessions that end and a tenth as many that stay, and lets them expire.
pub(super) fn measure(name: &str, count: usize, seed: u64) -> Expiry {
    let time = Time::stopped();
    let store = make(name, Arc::clone(&time));
    let mut ending = guests(count, seed);
    let mut draw = Draw::new(seed);
    for guest in &mut ending {
        guest.ttl = Duration::from_millis(1_000 + draw.next() % 1_500);
        store.create(guest);
    }
    drop(ending);
    let staying = guests(count / 10, seed + 1);
    for guest in &staying {
        store.create(guest);
    }
    let ((), alone) = beside(&*store, &staying, || {
        let end = Instant::now() + Duration::from_millis(500);
        // Somebody else is busy in the control, too, and with what the sweeper's caches are busy with.
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    });
    // A store clock takes in three seconds at most.
    time.set(time.now() + Duration::from_millis(2_900));
    store.longest_hold();
    let (sweep, during) = beside(&*store, &staying, || {
        let start = cpu();
        let expired = store.expire();
        let took = cpu().saturating_sub(start);
        assert_eq!(expired, count, "{name} ends all that has expired");
        took
    });
    Expiry {
        sweep,
        hold: store.longest_hold(),
        alone,
        during,
    }
}

/// Does `work` while another thread reads.
fn beside<T>(store: &dyn Store, staying: &[Guest], work: impl FnOnce() -> T) -> (T, Reads) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| read(store, staying, &ended));
        let answer = work();
        ended.store(true, Ordering::Relaxed);
        (answer, reader.join().expect("the reader ends"))
    })
}

fn read(store: &dyn Store, staying: &[Guest], ended: &AtomicBool) -> Reads {
    let mut draw = Draw::new(5);
    let mut times = Vec::with_capacity(4 << 20);
    while !ended.load(Ordering::Relaxed) && times.len() < times.capacity() {
        let guest = &staying[draw.below(staying.len())];
        let start = Instant::now();
        let found = store.get(&guest.id);
        times.push(start.elapsed());
        assert!(found.is_some(), "it lives");
    }
    times.sort_unstable();
    let at = |part: usize| times.get(part).copied().unwrap_or_default();
    Reads {
        p999: at(times.len() * 999 / 1_000),
        worst: at(times.len().saturating_sub(1)),
    }
}
