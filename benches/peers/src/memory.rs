//! Session stores in memory: sessions of 200 B of data with an index of players and a time to live.
//!
//! Stores run in turns, a slice of the work each; times of one thread are its CPU time, so that whoever else
//! uses the machine counts less. Ids and names are drawn at random over all sessions, and what a
//! store answers is read to its end.

mod caches;
mod expiry;
pub(crate) mod fill;
mod maps;
mod ours;
mod store;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_core::{Nonce, PlayerId, SessionId};

use self::expiry::Expiry;
use self::store::{DATA, Guest, Store, Time};
use crate::rounds::median;

pub(crate) const NAMES: [&str; 6] = [
    "ringhold",
    "dashmap 6.2",
    "papaya 0.2",
    "scc 3.8",
    "moka 0.12",
    "tower-sessions 0.15",
];

/// No lock is to be held for longer while sessions expire.
const HOLD_MAX: Duration = Duration::from_millis(1);

/// Makes an empty store.
fn make(name: &str, time: Arc<Time>) -> Box<dyn Store> {
    match NAMES.iter().position(|known| *known == name) {
        Some(0) => Box::new(ours::Ours::new(time)),
        Some(1) => Box::new(maps::Dash::new(time)),
        Some(2) => Box::new(maps::Papaya::new(time)),
        Some(3) => Box::new(maps::Scc::new(time)),
        Some(4) => Box::new(caches::Moka::new()),
        _ => Box::new(caches::Tower::default()),
    }
}

/// Random numbers that are the same in each run: splitmix64.
struct Draw(u64);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    fn bytes(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_le_bytes()
    }
}

/// `count` players and what they log in with.
fn guests(count: usize, seed: u64) -> Vec<Guest> {
    let mut draw = Draw::new(seed << 32);
    let letters: Vec<u8> = (0..65_536).map(|_| b'a' + (draw.next() % 26) as u8).collect();
    let buffer = Bytes::from(letters);
    let mut guest = |number| {
        let player = PlayerId::new(format!("player-{seed}-{number}")).expect("a name");
        let start = draw.below(buffer.len() - DATA);
        Guest {
            id: SessionId::new(player.partition(), draw.bytes()),
            nonce: Nonce::from_bytes(draw.bytes()),
            player,
            ttl: Duration::from_secs(600 + draw.next() % 600),
            data: buffer.slice(start..start + DATA),
        }
    };
    (0..count).map(&mut guest).collect()
}

/// How long this thread has been on a CPU.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it is positive")
}

/// What one store took in one round.
#[derive(Default)]
struct Figures {
    create: Duration,
    get: Duration,
    find: Duration,
    touch: Duration,
    mixed: Duration,
}

/// How much is done.
#[derive(Clone, Copy)]
struct Work {
    names: &'static [&'static str],
    rounds: usize,
    sessions: usize,
    /// Calls of each kind to each store, in `slices` turns.
    calls: usize,
    slices: usize,
}

pub(crate) fn compare(brief: bool, rounds: Option<usize>, stores: Option<usize>) {
    let names = &NAMES[..stores.map_or(NAMES.len(), |stores| stores.clamp(1, NAMES.len()))];
    let work = if brief {
        Work {
            names,
            rounds: 1,
            sessions: 20_000,
            calls: 4_000,
            slices: 4,
        }
    } else {
        Work {
            names,
            rounds: rounds.unwrap_or(5).max(1),
            sessions: 1_000_000,
            calls: 500_000,
            slices: 10,
        }
    };
    println!(
        "\nsessions in memory: {} of {DATA} B, median of {} rounds",
        work.sessions, work.rounds
    );
    let rounds: Vec<Vec<Figures>> = (0..work.rounds).map(|round| run(work, round as u64)).collect();
    let column = |take: fn(&Figures) -> Duration, calls: usize| -> Vec<Vec<f64>> {
        let calls = f64::from(u32::try_from(calls).expect("a number of calls"));
        let of = |store: usize| {
            rounds
                .iter()
                .map(|round| take(&round[store]).as_secs_f64() * 1e9 / calls)
                .collect()
        };
        (0..work.names.len()).map(of).collect()
    };
    print("create, ns", &column(|figures| figures.create, work.sessions));
    print("get, ns", &column(|figures| figures.get, work.calls));
    print("by player, ns", &column(|figures| figures.find, work.calls));
    print("touch, ns", &column(|figures| figures.touch, work.calls));
    print(
        "two threads: 60 % get, 20 % by player, 20 % touch, ns of wall time for each call",
        &column(|figures| figures.mixed, 2 * work.calls),
    );
    let bytes = |store| vec![fill::bytes_per_session(store, work.sessions)];
    print(
        "bytes of each session",
        &(0..work.names.len()).map(bytes).collect::<Vec<_>>(),
    );
    expire(work);
}

/// One round: all stores are filled and asked, in turns.
fn run(work: Work, round: u64) -> Vec<Figures> {
    let guests = guests(work.sessions, round);
    let stores: Vec<_> = work
        .names
        .iter()
        .map(|name| make(name, Time::running()))
        .collect();
    let mut figures: Vec<Figures> = work.names.iter().map(|_| Figures::default()).collect();
    for slice in guests.chunks(work.sessions / work.slices) {
        for (store, figures) in stores.iter().zip(&mut figures) {
            figures.create += timed(|| slice.iter().for_each(|guest| store.create(guest)));
        }
    }
    let mut draw = Draw::new(round);
    for _ in 0..work.slices {
        let asked: Vec<Guest> = (0..work.calls / work.slices)
            .map(|_| again(&guests[draw.below(guests.len())]))
            .collect();
        for (store, figures) in stores.iter().zip(&mut figures) {
            let store = &**store;
            figures.get += ask(&asked, |guest| store.get(&guest.id).is_some());
        }
        for (store, figures) in stores.iter().zip(&mut figures) {
            let store = &**store;
            figures.find += ask(&asked, |guest| store.find(&guest.player).is_some());
        }
        for (store, figures) in stores.iter().zip(&mut figures) {
            let store = &**store;
            figures.touch += ask(&asked, |guest| store.touch(guest));
        }
        for (store, figures) in stores.iter().zip(&mut figures) {
            figures.mixed += together(&**store, &asked);
        }
    }
    figures
}

/// The same guest with a name in memory of its own, as of a later request.
fn again(guest: &Guest) -> Guest {
    let player = PlayerId::new(guest.player.as_str()).expect("a name");
    Guest {
        player,
        ..guest.clone()
    }
}

fn ask(asked: &[Guest], call: impl Fn(&Guest) -> bool) -> Duration {
    timed(|| {
        for guest in asked {
            assert!(call(guest), "it lives");
        }
    })
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = cpu();
    work();
    cpu().saturating_sub(start)
}

/// Two threads at one store; each asks for all, from another end.
fn together(store: &dyn Store, asked: &[Guest]) -> Duration {
    let one = |guests: &mut dyn Iterator<Item = &Guest>| {
        for (number, guest) in guests.enumerate() {
            let found = match number % 5 {
                0 => store.touch(guest),
                1 => store.find(&guest.player).is_some(),
                _ => store.get(&guest.id).is_some(),
            };
            assert!(found, "it lives");
        }
    };
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| one(&mut asked.iter()));
        one(&mut asked.iter().rev());
    });
    start.elapsed()
}

fn expire(work: Work) {
    let stores = &work.names[..work.names.len().min(4)];
    let mut all: Vec<Vec<Expiry>> = stores.iter().map(|_| Vec::new()).collect();
    for round in 0..work.rounds {
        for (name, taken) in stores.iter().zip(&mut all) {
            taken.push(expiry::measure(name, work.sessions, 100 + 2 * round as u64));
        }
    }
    let column = |take: fn(&Expiry) -> Duration, unit: f64| -> Vec<Vec<f64>> {
        let of = |taken: &Vec<Expiry>| {
            taken
                .iter()
                .map(|expiry| take(expiry).as_secs_f64() * unit)
                .collect()
        };
        all.iter().map(of).collect()
    };
    println!("\nall expire; moka does that inline, in whoever calls, and tower-sessions never");
    print("the sweeper's CPU time, ms", &column(|expiry| expiry.sweep, 1e3));
    if let Some(holds) = all[0]
        .iter()
        .map(|expiry| expiry.hold)
        .collect::<Option<Vec<_>>>()
    {
        // A virtual machine that is put aside shows that in a round or two, and what the code does in each.
        let middle = median(holds.iter().map(Duration::as_secs_f64).collect());
        println!(
            "\nringhold's longest hold of a lock meanwhile, in CPU time, by rounds: {holds:.1?}; promised: {HOLD_MAX:?} in \
             their median, {}",
            if middle <= HOLD_MAX.as_secs_f64() {
                "kept"
            } else {
                "MISSED"
            }
        );
    }
    print(
        "a reader's p99.9 without expiry, us",
        &column(|expiry| expiry.alone.p999, 1e6),
    );
    print(
        "a reader's p99.9 meanwhile, us",
        &column(|expiry| expiry.during.p999, 1e6),
    );
    print(
        "a reader's worst without expiry, us",
        &column(|expiry| expiry.alone.worst, 1e6),
    );
    print(
        "a reader's worst meanwhile, us",
        &column(|expiry| expiry.during.worst, 1e6),
    );
}

fn print(what: &str, columns: &[Vec<f64>]) {
    println!("\n{what}");
    for (store, (name, column)) in NAMES.iter().zip(columns).enumerate() {
        let ratios = column.iter().zip(&columns[0]).map(|(theirs, ours)| theirs / ours);
        let ratio = median(ratios.collect());
        let verdict = match store {
            0 => "",
            _ if ratio > 1.0 => "  we are ahead",
            _ => "  it is ahead",
        };
        println!(
            "  {name:<20}{:>12.1}{ratio:>10.2} ×{verdict}",
            median(column.clone())
        );
    }
}
