//! One value, published by writers to readers that never wait.
//!
//! A node's threads read its view millions of times a second, and it changes a few times a second at
//! most. So a reader keeps the value that it saw last, and asks one counter whether there is a newer.
//!
//! # Algorithm
//!
//! A cell has a *slot*, a mutex around the pair (generation, `Arc` of the value); a *counter*, which
//! repeats the slot's generation outside of the mutex; and a mutex for *writers*.
//!
//! **Reader.** Load the counter. While it is the generation of the kept value, that value is the
//! answer: no store, no lock, no reference count. Otherwise *try* the slot: if it is free, take its
//! pair; if it is busy, answer with the kept value and look again next time.
//!
//! **Writer.** Lock the writers' mutex. For an update read the slot and make the new value out of
//! the old, with the slot free. Then lock the slot, put the pair with the next generation there, store
//! the counter, unlock the slot. Drop the old value when both locks are free again, since that may
//! take long.
//!
//! # What can collide
//!
//! - *Reader and writer at the slot.* The slot is locked for as long as a few words take to change
//!   hands. A reader that comes then keeps what it has. Its generation stays behind the counter, so
//!   the next look tries again: a publication is seen late, never missed.
//! - *Reader between the slot and the counter.* The reader takes the generation out of the slot,
//!   together with the value, and never writes down what it read in the counter. So value and
//!   generation agree whatever the counter says meanwhile.
//! - *Two readers at the slot.* One of them may find it busy, and keeps what it has as above.
//! - *Two writers.* The writers' mutex is held from reading the old value to placing the new one, so
//!   the second update starts from the first one's result: none is lost.
//! - *A panic in an update* happens before the slot is touched: nothing was published, and the
//!   poisoned mutexes are used on, as no lock is ever released over half a change.
//!
//! A reader sees generations that only grow, since the slot's do. It may not see its own thread's
//! publication at once, when another reader or writer is in the slot: [`Published::latest`] does.
//!
//! # Orderings
//!
//! The value itself is ordered by the slot's mutex. The counter is stored with `Release` and loaded
//! with `Acquire` for one more promise: who sees a generation, through [`Published::generation`] or a
//! reader, sees everything that its writer did before, even while the busy slot still keeps the value
//! from him. `Relaxed` would break that. The counter is stored inside of the slot's lock, so it never
//! goes back.
//!
//! The models for loom are in `published/loom_models.rs`; how to run them stands there.

mod cache;
#[cfg(all(test, ringhold_loom))]
mod loom_models;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, PoisonError, TryLockError};

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard};

pub use cache::THREAD_CELLS;

/// The generation of the value that a cell is made with.
const FIRST: u64 = 1;

/// A value that writers replace as a whole, and that any number of threads read without waiting.
///
/// A clone is another handle of the same cell. The [module](self) has the algorithm.
///
/// | to read | from | costs |
/// |---|---|---|
/// | [`Reader::get`] | `&mut Reader`, one for each thread or task | an atomic load |
/// | [`with`](Self::with) | `&self`, anywhere | that and a look into a thread-local |
/// | [`load`](Self::load) | `&self`, anywhere | that and a reference count, shared by all threads |
/// | [`latest`](Self::latest) | `&self`, anywhere | a lock |
///
/// ```
/// use std::sync::Arc;
/// use ringhold_core::published::Published;
///
/// let cell = Published::new(Arc::new(1));
/// let mut reader = cell.reader();
/// assert_eq!(**reader.get(), 1);
///
/// cell.publish(Arc::new(2));
/// cell.update(|value| value * 10);
/// assert_eq!(**reader.get(), 20);
/// assert_eq!(*cell.load(), 20);
/// ```
pub struct Published<T> {
    cell: Arc<Cell<T>>,
}

struct Cell<T> {
    /// The generation in the slot; stored under the slot's lock.
    generation: AtomicU64,
    slot: Mutex<(u64, Arc<T>)>,
    /// Held by a writer from reading the old value to placing the new one.
    writers: Mutex<()>,
}

impl<T> Published<T> {
    /// A cell that holds `value` at generation 1.
    pub fn new(value: Arc<T>) -> Self {
        let cell = Cell {
            generation: AtomicU64::new(FIRST),
            slot: Mutex::new((FIRST, value)),
            writers: Mutex::new(()),
        };
        Self { cell: Arc::new(cell) }
    }

    /// Replaces the value, whatever it is now. Returns the new value's generation.
    ///
    /// Waits for other writers; readers go on.
    pub fn publish(&self, value: Arc<T>) -> u64 {
        let writing = lock(&self.cell.writers);
        let (generation, old) = self.cell.replace(&writing, value);
        drop(writing);
        drop(old);
        generation
    }

    /// Replaces the value by what `change` makes out of it, and returns that. No other write comes
    /// between, so concurrent updates all count.
    ///
    /// Waits for other writers; readers go on, also while `change` runs. When `change` panics,
    /// nothing is published. `change` must not write to the same cell: it would wait for itself.
    pub fn update(&self, change: impl FnOnce(&T) -> T) -> Arc<T> {
        let writing = lock(&self.cell.writers);
        let (_, old) = self.cell.read();
        let new = Arc::new(change(&old));
        let replaced = self.cell.replace(&writing, Arc::clone(&new));
        drop(writing);
        drop((old, replaced));
        new
    }

    /// A reader of its own, which starts with the latest value. May wait for as long as a writer
    /// swaps two pointers.
    pub fn reader(&self) -> Reader<T> {
        let (generation, value) = self.cell.read();
        Reader {
            cell: Arc::clone(&self.cell),
            generation,
            value,
        }
    }

    /// The latest value, behind the slot's lock: for a writer who wants to read what it published.
    pub fn latest(&self) -> Arc<T> {
        self.cell.read().1
    }

    /// The generation of the latest value: 1 at first, and one more with each publication. Who sees a
    /// generation sees what its writer did before it was published.
    pub fn generation(&self) -> u64 {
        self.cell.generation()
    }
}

impl<T: Any + Send + Sync> Published<T> {
    /// The value, newest or, when the slot is busy, the one that this thread saw last.
    ///
    /// The value is kept in a cache of the thread, which has room for [`THREAD_CELLS`] cells and
    /// turns the oldest out. So a thread that rests may hold on to up to that many old values until
    /// it reads again or ends; those of dropped cells go when the thread next takes a new value of any
    /// cell. The first read of a cell in a thread may wait for as long as a writer swaps two pointers.
    ///
    /// The returned `Arc` counts on a line that all threads share; on a hot path
    /// [`with`](Self::with) or a [`Reader`] is faster.
    pub fn load(&self) -> Arc<T> {
        cache::fresh(&self.cell, |value| Arc::clone(value).downcast().ok()).unwrap_or_else(|| self.refresh())
    }

    /// Reads the value in place, as [`load`](Self::load) does but without counting a reference.
    ///
    /// `read` may use this and other cells, also write to them; the value that it was given stays.
    /// Inside of `read` the thread's cache takes nothing new, so a read of the same cell in there that
    /// finds the slot busy gives the outer value again.
    ///
    /// # Panics
    /// Only when `read` does.
    pub fn with<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        let mut read = Some(read);
        let mut call = |value: &T| read.take().map(|read| read(value));
        let answer = cache::fresh(&self.cell, |value| value.downcast_ref().and_then(&mut call));
        answer
            .or_else(|| call(&self.refresh()))
            .expect("`read` is called once")
    }

    /// Takes the value of the slot into this thread's cache.
    #[cold]
    fn refresh(&self) -> Arc<T> {
        if let Some((generation, value)) = self.cell.try_read() {
            cache::keep(&self.cell, generation, &value);
            return value;
        }
        if let Some(kept) = cache::kept(&self.cell) {
            return kept;
        }
        let (generation, value) = self.cell.read();
        cache::keep(&self.cell, generation, &value);
        value
    }
}

impl<T> Cell<T> {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn read(&self) -> (u64, Arc<T>) {
        lock(&self.slot).clone()
    }

    /// What is in the slot, unless somebody else is there.
    fn try_read(&self) -> Option<(u64, Arc<T>)> {
        match self.slot.try_lock() {
            Ok(slot) => Some(slot.clone()),
            Err(TryLockError::Poisoned(slot)) => Some(slot.into_inner().clone()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Puts a value into the slot; returns its generation and the value that was there, to be dropped
    /// when no lock is held.
    fn replace(&self, _writing: &MutexGuard<'_, ()>, value: Arc<T>) -> (u64, Arc<T>) {
        let mut slot = lock(&self.slot);
        let generation = slot.0 + 1;
        let (_, old) = std::mem::replace(&mut *slot, (generation, value));
        self.generation.store(generation, Ordering::Release);
        (generation, old)
    }
}

/// A poisoned lock is as good as any: see the module's documentation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Clone for Published<T> {
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
        }
    }
}

impl<T> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

/// Reads one [`Published`] value; one for each thread or task, made by [`Published::reader`].
///
/// It keeps the value that it saw last, so an idle reader keeps an old value alive. A clone starts
/// with the same value.
pub struct Reader<T> {
    cell: Arc<Cell<T>>,
    generation: u64,
    value: Arc<T>,
}

impl<T> Reader<T> {
    /// The newest value or, when the slot is busy at the moment, the one it gave last. Never waits;
    /// while nothing new was published it costs one atomic load.
    #[inline]
    pub fn get(&mut self) -> &Arc<T> {
        if self.cell.generation() != self.generation {
            self.refresh();
        }
        &self.value
    }

    /// The generation of the value that [`get`](Self::get) gave last.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    #[cold]
    fn refresh(&mut self) {
        if let Some((generation, value)) = self.cell.try_read() {
            self.generation = generation;
            self.value = value;
        }
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
            generation: self.generation,
            value: Arc::clone(&self.value),
        }
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(ringhold_loom)))]
mod tests;
