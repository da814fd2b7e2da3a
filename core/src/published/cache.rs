//! What each thread keeps of the cells that it reads through `&self`.
//!
//! A few entries, found by the cell's address. An entry holds a weak reference of its cell: that keeps
//! the address from being used again while the entry stands, and tells when the cell is gone.
//!
//! The cache is only ever borrowed for a look or for an exchange of entries, with one exception: the
//! closure of `Published::with` runs inside a shared borrow. What it reads through is read likewise;
//! when it needs a new entry, the cache is left as it is and the value is taken from the slot alone.
//! Values are dropped outside of the borrow, since a drop may read cells too.

use std::any::Any;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

use super::Cell;
use crate::sync::thread_local;

/// How many cells the cache of one thread has room for.
///
/// A process has one cell for each fleet that it is part of, so this is room enough; more cells work
/// too, but slower.
pub const THREAD_CELLS: usize = 8;

type Entries = [Option<Entry>; THREAD_CELLS];

struct Entry {
    cell: Weak<dyn Any + Send + Sync>,
    generation: u64,
    value: Arc<dyn Any + Send + Sync>,
}

struct Cache {
    entries: Entries,
    /// Whose turn it is to go.
    oldest: usize,
}

thread_local! {
    static CACHE: RefCell<Cache> = const { RefCell::new(Cache::new()) };
}

/// Calls `read` with this thread's value of a cell, if that is the newest. The value's type is erased,
/// and it is a `T`.
pub(super) fn fresh<T: Any + Send + Sync, R>(
    cell: &Arc<Cell<T>>,
    read: impl FnOnce(&Arc<dyn Any + Send + Sync>) -> Option<R>,
) -> Option<R> {
    let generation = cell.generation();
    let look = |cache: &RefCell<Cache>| {
        let cache = cache.try_borrow().ok()?;
        let entry = cache.entry(cell).filter(|entry| entry.generation == generation)?;
        read(&entry.value)
    };
    // There is no cache any more while the thread ends.
    CACHE.try_with(look).ok().flatten()
}

/// This thread's value of a cell, new or old.
pub(super) fn kept<T: Any + Send + Sync>(cell: &Arc<Cell<T>>) -> Option<Arc<T>> {
    let look = |cache: &RefCell<Cache>| {
        let cache = cache.try_borrow().ok()?;
        Arc::clone(&cache.entry(cell)?.value).downcast().ok()
    };
    CACHE.try_with(look).ok().flatten()
}

/// Puts the value of a cell into this thread's cache, unless it is being read right now.
pub(super) fn keep<T: Any + Send + Sync>(cell: &Arc<Cell<T>>, generation: u64, value: &Arc<T>) {
    let put = |cache: &RefCell<Cache>| {
        let mut cache = cache.try_borrow_mut().ok()?;
        let cell: Weak<dyn Any + Send + Sync> = Arc::<Cell<T>>::downgrade(cell);
        Some(cache.put(Entry {
            cell,
            generation,
            value: Arc::<T>::clone(value),
        }))
    };
    let garbage = CACHE.try_with(put);
    drop(garbage);
}

impl Cache {
    const fn new() -> Self {
        Self {
            entries: [const { None }; THREAD_CELLS],
            oldest: 0,
        }
    }

    #[inline]
    fn entry<T>(&self, cell: &Arc<Cell<T>>) -> Option<&Entry> {
        let address = Arc::as_ptr(cell);
        self.entries
            .iter()
            .flatten()
            .find(|entry| std::ptr::addr_eq(entry.cell.as_ptr(), address))
    }

    /// Stores an entry in the place of the cell's last one, or in a free place, or in the oldest's.
    /// Returns what went: the entry that was there, and those of dropped cells.
    fn put(&mut self, new: Entry) -> Entries {
        let mut garbage = [const { None }; THREAD_CELLS];
        let mut place = None;
        for (index, (entry, gone)) in self.entries.iter_mut().zip(&mut garbage).enumerate() {
            if entry.as_ref().is_some_and(|entry| entry.cell.strong_count() == 0) {
                *gone = entry.take();
            }
            if entry
                .as_ref()
                .is_some_and(|entry| std::ptr::addr_eq(entry.cell.as_ptr(), new.cell.as_ptr()))
            {
                place = Some(index);
            }
        }
        let place = place
            .or_else(|| self.entries.iter().position(Option::is_none))
            .unwrap_or_else(|| {
                let oldest = self.oldest;
                self.oldest = (oldest + 1) % THREAD_CELLS;
                oldest
            });
        if let Some(old) = self.entries[place].replace(new) {
            garbage[place] = Some(old);
        }
        garbage
    }
}
