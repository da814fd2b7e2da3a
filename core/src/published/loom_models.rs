//! Models of the publication cell: loom runs each through every order of its steps that up to three
//! preemptions can make, and through every value that the memory orderings allow a load to see.
//!
//! ```text
//! RUSTFLAGS="--cfg ringhold_loom" CARGO_TARGET_DIR=target/loom LOOM_MAX_PREEMPTIONS=3 \
//!     cargo test -p ringhold-core --release --lib loom
//! ```
//!
//! Once built, all of them take less than 0.1 s; without the bound 1 s.

use std::sync::Arc;

use loom::model;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use super::{FIRST, Published, lock};

/// A value in two parts that are written one after the other. Its loads are relaxed, so loom lets
/// them see the zeros of the beginning wherever nothing else orders them.
struct Pair {
    left: AtomicU64,
    right: AtomicU64,
}

impl Pair {
    fn new(number: u64) -> Arc<Self> {
        let pair = Self {
            left: AtomicU64::new(0),
            right: AtomicU64::new(0),
        };
        pair.left.store(number, Ordering::Relaxed);
        pair.right.store(number, Ordering::Relaxed);
        Arc::new(pair)
    }

    fn number(&self) -> u64 {
        let (left, right) = (
            self.left.load(Ordering::Relaxed),
            self.right.load(Ordering::Relaxed),
        );
        assert_eq!(left, right, "a torn value");
        left
    }
}

#[test]
fn no_value_is_torn_and_generations_agree_with_values() {
    model(|| {
        let cell = Published::new(Pair::new(FIRST));
        let mut reader = cell.reader();
        let writer = thread::spawn({
            let cell = cell.clone();
            move || {
                for number in [2, 3] {
                    assert_eq!(cell.publish(Pair::new(number)), number);
                }
            }
        });
        let mut before = FIRST;
        for _ in 0..2 {
            let number = reader.get().number();
            assert_eq!(number, reader.generation());
            assert!(
                reader.generation() <= cell.generation(),
                "the counter is behind the slot"
            );
            assert!(number >= before, "a reader went back");
            before = number;
        }
        writer.join().unwrap();
        assert_eq!(
            reader.get().number(),
            3,
            "nobody is in the slot, so a reader gets the newest"
        );
        assert_eq!(cell.generation(), 3);
    });
}

#[test]
fn two_writers_and_a_reader_agree() {
    model(|| {
        let cell = Published::new(Pair::new(FIRST));
        let writers = [(); 2].map(|()| {
            let cell = cell.clone();
            thread::spawn(move || {
                cell.update(|pair| Arc::into_inner(Pair::new(pair.number() + 1)).unwrap());
            })
        });
        let mut reader = cell.reader();
        assert_eq!(reader.get().number(), reader.generation());
        assert_eq!(reader.get().number(), reader.generation());
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!((reader.get().number(), reader.generation()), (3, 3));
    });
}

#[test]
fn two_readers_disturb_each_other_for_a_moment_only() {
    model(|| {
        let cell = Published::new(Pair::new(FIRST));
        let other = thread::spawn({
            let mut reader = cell.reader();
            move || {
                let number = reader.get().number();
                assert_eq!(number, reader.generation());
                reader
            }
        });
        let mut reader = cell.reader();
        cell.publish(Pair::new(2));
        assert_eq!(reader.get().number(), reader.generation());
        let mut other = other.join().unwrap();
        assert_eq!((reader.get().number(), other.get().number()), (2, 2));
    });
}

#[test]
fn no_update_of_two_writers_is_lost() {
    model(|| {
        let cell = Published::new(Arc::new(0_u64));
        let writer = thread::spawn({
            let cell = cell.clone();
            move || *cell.update(|value| value + 1)
        });
        let mine = *cell.update(|value| value + 1);
        let theirs = writer.join().unwrap();
        assert_eq!(mine + theirs, 3, "one of them came first");
        assert_eq!((*cell.latest(), cell.generation()), (2, FIRST + 2));
    });
}

#[test]
fn a_publication_between_is_not_overwritten_by_an_update() {
    model(|| {
        let cell = Published::new(Arc::new(0_u64));
        let writer = thread::spawn({
            let cell = cell.clone();
            move || cell.publish(Arc::new(10))
        });
        cell.update(|value| value + 1);
        writer.join().unwrap();
        assert!([10, 11].contains(&*cell.latest()));
    });
}

#[test]
fn a_reader_that_finds_the_slot_busy_keeps_its_value() {
    model(|| {
        let cell = Published::new(Pair::new(FIRST));
        let mut reader = cell.reader();
        cell.publish(Pair::new(2));
        let slot = lock(&cell.cell.slot);
        // If it waited for the slot, this would be a deadlock, which loom reports.
        let waiting = thread::spawn(move || {
            assert_eq!(reader.get().number(), FIRST);
            reader
        });
        let mut reader = waiting.join().unwrap();
        drop(slot);
        assert_eq!(reader.get().number(), 2);
    });
}

#[test]
fn a_thread_that_finds_the_slot_busy_keeps_its_value() {
    model(|| {
        let cell = Published::new(Pair::new(FIRST));
        assert_eq!(cell.load().number(), FIRST);
        cell.publish(Pair::new(2));
        let slot = lock(&cell.cell.slot);
        assert_eq!(cell.load().number(), FIRST);
        assert_eq!(cell.with(Pair::number), FIRST);
        drop(slot);
        assert_eq!(cell.with(Pair::number), 2);
    });
}

#[test]
fn who_sees_a_generation_sees_what_came_before_it() {
    model(|| {
        let cell = Published::new(Pair::new(FIRST));
        let before = Arc::new(AtomicU64::new(0));
        let writer = thread::spawn({
            let (cell, before) = (cell.clone(), Arc::clone(&before));
            move || {
                before.store(1, Ordering::Relaxed);
                cell.publish(Pair::new(2));
            }
        });
        if cell.generation() == 2 {
            assert_eq!(before.load(Ordering::Relaxed), 1);
            assert_eq!(cell.latest().number(), 2, "the counter is ahead of the slot");
        }
        writer.join().unwrap();
    });
}

/// The look into the slot depends on nothing, so that loom tries it at every moment.
#[test]
fn the_counter_is_never_ahead_of_the_slot() {
    model(|| {
        let cell = Published::new(Pair::new(FIRST));
        let reader = thread::spawn({
            let cell = cell.clone();
            move || {
                let seen = cell.generation();
                assert!(cell.latest().number() >= seen, "the counter is ahead of the slot");
            }
        });
        cell.publish(Pair::new(2));
        reader.join().unwrap();
    });
}

#[test]
fn threads_load_through_their_caches() {
    model(|| {
        let cell = Published::new(Pair::new(FIRST));
        let other = thread::spawn({
            let cell = cell.clone();
            move || {
                let first = cell.load().number();
                let second = cell.with(Pair::number);
                assert!(first <= second, "a thread went back");
            }
        });
        assert_eq!(cell.load().number(), FIRST);
        cell.publish(Pair::new(2));
        cell.load().number();
        other.join().unwrap();
        assert_eq!(cell.load().number(), 2);
    });
}

#[test]
fn readers_and_values_outlive_the_cell_and_go_with_their_threads() {
    model(|| {
        let value = Pair::new(FIRST);
        let cell = Published::new(Arc::clone(&value));
        let other = thread::spawn({
            let (cell, mut reader) = (cell.clone(), cell.reader());
            move || {
                cell.load();
                drop(cell);
                assert!(reader.get().number() <= 2);
            }
        });
        cell.publish(Pair::new(2));
        drop(cell);
        other.join().unwrap();
        assert_eq!(
            Arc::strong_count(&value),
            1,
            "nobody holds the old value any more"
        );
    });
}
