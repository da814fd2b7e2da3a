use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;

#[test]
fn readers_see_what_is_published() {
    let cell = Published::new(Arc::new("a"));
    let mut reader = cell.reader();
    assert_eq!((**reader.get(), reader.generation()), ("a", 1));
    assert_eq!(cell.publish(Arc::new("b")), 2);
    assert_eq!((reader.generation(), cell.generation()), (1, 2));
    let mut clone = reader.clone();
    assert_eq!((**reader.get(), reader.generation()), ("b", 2));
    assert_eq!(**clone.get(), "b");
    assert_eq!(
        (*cell.load(), *cell.latest(), cell.with(|value| *value)),
        ("b", "b", "b")
    );
    assert_eq!(
        format!("{cell:?} {reader:?}"),
        "Published { generation: 2, .. } Reader { generation: 2, .. }"
    );
}

#[test]
fn an_update_that_panics_changes_nothing_and_stops_nobody() {
    let cell = Published::new(Arc::new(1));
    let mut reader = cell.reader();
    assert!(catch_unwind(AssertUnwindSafe(|| cell.update(|_| panic!("an update fails")))).is_err());
    assert_eq!((**reader.get(), cell.generation()), (1, 1));
    assert_eq!(*cell.update(|value| value + 1), 2);
    assert_eq!((**reader.get(), *cell.load()), (2, 2));
}

#[test]
fn a_poisoned_slot_is_used_on() {
    let cell = Published::new(Arc::new(1));
    let mut reader = cell.reader();
    let poison = AssertUnwindSafe(|| {
        let _slot = lock(&cell.cell.slot);
        panic!("a thread dies in the slot");
    });
    assert!(catch_unwind(poison).is_err());
    assert!(cell.cell.slot.is_poisoned());
    cell.publish(Arc::new(2));
    assert_eq!((**reader.get(), *cell.load(), *cell.latest()), (2, 2, 2));
    assert_eq!(**cell.reader().get(), 2);
}

#[test]
fn many_cells_take_turns_in_the_cache() {
    let cells: Vec<_> = (0..3 * THREAD_CELLS)
        .map(|number| Published::new(Arc::new(number)))
        .collect();
    for round in 0..3 {
        for (number, cell) in cells.iter().enumerate() {
            assert_eq!(*cell.load(), number + round);
            assert_eq!(cell.with(|value| *value), number + round);
            cell.update(|value| value + 1);
        }
    }
}

#[test]
fn the_cache_holds_a_bounded_number_of_values() {
    let first = Arc::new(0);
    let cell = Published::new(Arc::clone(&first));
    cell.load();
    assert_eq!(Arc::strong_count(&first), 3);
    let others: Vec<_> = (0..THREAD_CELLS)
        .map(|number| Published::new(Arc::new(number)))
        .collect();
    for other in &others {
        other.load();
    }
    assert_eq!(
        Arc::strong_count(&first),
        2,
        "the thread has given its place away"
    );
}

#[test]
fn a_value_of_a_dropped_cell_goes_with_the_next_miss() {
    let value = Arc::new(0);
    let cell = Published::new(Arc::clone(&value));
    cell.load();
    drop(cell);
    assert_eq!(Arc::strong_count(&value), 2);
    Published::new(Arc::new(1)).load();
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_read_may_read_and_write_the_same_cell_and_others() {
    let (cell, other) = (Published::new(Arc::new(1)), Published::new(Arc::new(10)));
    cell.load();
    let seen = cell.with(|outer| {
        cell.publish(Arc::new(2));
        let inner = cell.with(|inner| *inner);
        (*outer, inner, *cell.load(), *other.load())
    });
    assert_eq!(seen, (1, 2, 2, 10));
    assert_eq!(*cell.load(), 2);
}

#[test]
fn a_value_may_read_cells_while_it_is_dropped() {
    struct Reads(Published<u32>);
    impl Drop for Reads {
        fn drop(&mut self) {
            assert_eq!(*self.0.load(), 7);
        }
    }
    let seven = Published::new(Arc::new(7));
    let cell = Published::new(Arc::new(Reads(seven.clone())));
    cell.load();
    cell.publish(Arc::new(Reads(seven)));
    cell.load();
    // And once more when the cache goes with its thread.
    thread::spawn(move || drop(cell.load())).join().unwrap();
}

#[test]
fn concurrent_updates_all_count_and_readers_only_go_forward() {
    // Interpreted, each takes a hundred times as long.
    const UPDATES: u64 = if cfg!(miri) { 40 } else { 2_000 };
    let cell = Published::new(Arc::new((0_u64, 0_u64)));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                let (mut reader, mut before) = (cell.reader(), 0);
                while !done.load(Ordering::Relaxed) {
                    let (left, right) = **reader.get();
                    assert_eq!(left, right);
                    assert!(left >= before && left + FIRST == reader.generation());
                    let loaded = cell.load().0;
                    before = left;
                    assert!(cell.with(|value| value.0) >= loaded);
                }
            })
        });
        let writers = [(); 2].map(|()| {
            scope
                .spawn(|| (0..UPDATES).for_each(|_| drop(cell.update(|(left, right)| (left + 1, right + 1)))))
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(*cell.latest(), (2 * UPDATES, 2 * UPDATES));
}

#[test]
fn the_oldest_entry_makes_room_each_time() {
    let values: Vec<Arc<usize>> = (0..THREAD_CELLS + 3).map(Arc::new).collect();
    let cells: Vec<_> = values
        .iter()
        .map(|value| Published::new(Arc::clone(value)))
        .collect();
    for cell in &cells {
        cell.with(|_| ());
    }
    // Held here and by its cell, and where it is kept, by the thread.
    let kept = |value: &Arc<usize>| Arc::strong_count(value) == 3;
    let kept: Vec<bool> = values.iter().map(kept).collect();
    assert_eq!(kept, [[false; 3].as_slice(), &[true; THREAD_CELLS]].concat());
}

#[test]
fn a_reader_counts_no_reference_while_it_has_the_newest() {
    let value = Arc::new(0);
    let cell = Published::new(Arc::clone(&value));
    cell.load();
    // Held here, by the cell, and by this thread's cache.
    assert_eq!(cell.with(|_| Arc::strong_count(&value)), 3);
}

#[test]
fn a_reader_that_finds_the_slot_busy_keeps_what_it_has() {
    let cell = Published::new(Arc::new(1));
    cell.load();
    cell.publish(Arc::new(2));
    let busy = lock(&cell.cell.slot);
    assert_eq!((*cell.load(), cell.with(|value| *value)), (1, 1));
    drop(busy);
    assert_eq!(*cell.load(), 2);
}
