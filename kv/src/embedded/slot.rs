//! The open store of an engine: shared by the writer and the readers, and replaced where it has failed.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ringhold_core::{Error, ErrorKind, Result};

use super::Opening;
use super::overlay::Overlay;
use super::storage::{Storage, Writes};

/// How a file is opened, also again after it has failed.
pub(super) type Opener = Box<dyn Fn(Opening) -> Result<Box<dyn Storage>> + Send + Sync>;

/// A file, and the store in it.
pub(super) struct Slot {
    /// What it is called in errors.
    name: String,
    opener: Opener,
    state: RwLock<State>,
    /// Told when the store has been dropped, so it stands behind it.
    _closing: Closing,
}

enum State {
    Ready(Box<dyn Storage>),
    /// With the reason.
    Failed(Error),
}

impl Slot {
    /// Opens the file.
    ///
    /// # Errors
    /// Those of `opener`, and `Corrupt` where that panics.
    pub(super) fn open(name: String, opener: Opener, closed: Arc<Closed>) -> Result<Self> {
        let closing = Closing(closed);
        let storage = guarded(&name, "opening", || opener(Opening::OrMake))?;
        Ok(Self {
            name,
            opener,
            state: RwLock::new(State::Ready(storage)),
            _closing: closing,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a rule that only reads.
    ///
    /// # Errors
    /// Those of the rule; `Unavailable` and `Corrupt`.
    pub(super) fn read<R>(
        &self,
        prefix: &[u8],
        rule: impl FnOnce(&mut Overlay<'_>) -> Result<R>,
    ) -> Result<R> {
        self.with(|storage| {
            guarded(&self.name, "reading", || {
                let snapshot = storage.snapshot()?;
                rule(&mut Overlay::new(&*snapshot, prefix, &mut Writes::new()))
            })
        })
    }

    /// Hands the store out, unless it has failed.
    pub(super) fn with<R>(&self, act: impl FnOnce(&dyn Storage) -> Result<R>) -> Result<R> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Ready(storage) => act(&**storage),
            State::Failed(reason) => Err(again(reason)),
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Failed(_))
    }

    /// Gives the store up. Readers are told so from now on: `Unavailable` whatever the reason, since opening it
    /// again will tell what it is worth.
    pub(super) fn fail(&self, reason: &Error) -> Error {
        tracing::error!(file = %self.name, error = %reason, "the store has failed and is opened again");
        let context = format!("{} has failed and is opened again: {reason}", self.name);
        let told = Error::new(ErrorKind::Unavailable, "store", context);
        self.replace(State::Failed(again(&told)));
        told
    }

    /// Opens a store that has failed again.
    pub(super) fn reopen(&self) -> Result<()> {
        match guarded(&self.name, "opening", || (self.opener)(Opening::Again)) {
            Ok(storage) => {
                tracing::warn!(file = %self.name, "the store works again");
                self.replace(State::Ready(storage));
                Ok(())
            }
            Err(reason) => {
                let told = again(&reason);
                self.replace(State::Failed(reason));
                Err(told)
            }
        }
    }

    fn replace(&self, state: State) {
        let mut place = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, state);
        // What a store that is closed has to say was said before.
        drop(catch_unwind(AssertUnwindSafe(|| drop(old))));
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A library that closes a spoiled file may panic, and whoever drops the last handle is not to blame.
        self.replace(State::Failed(Error::new(
            ErrorKind::Unavailable,
            "store",
            "it was closed",
        )));
    }
}

/// Makes an error of a panic. The libraries below panic where a file holds what they would not have written;
/// the process goes on, as it would behind a server that answers nonsense.
pub(super) fn guarded<R>(name: &str, doing: &str, act: impl FnOnce() -> Result<R>) -> Result<R> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(answer) => answer,
        Err(panic) => Err(panicked(name, doing, panic)),
    }
}

#[cold]
fn panicked(name: &str, doing: &str, panic: Box<dyn Any + Send>) -> Error {
    // What it panicked with may hold anything; the panic hook has printed it. Its drop may panic, too.
    drop(catch_unwind(AssertUnwindSafe(|| drop(panic))));
    let context = format!("{doing} {name} ended in a panic: the file is damaged, or this is a bug");
    Error::new(ErrorKind::Corrupt, "store", context)
}

/// The same error for another caller; it has no copy of the source.
pub(super) fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.operation(), error.context().to_owned())
        .with_retryable(error.is_retryable())
}

/// Whether a file that was open in this process has been closed.
#[derive(Debug, Default)]
pub(super) struct Closed {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Closed {
    /// Waits for it; `false` where that takes longer than `patience`.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(closed, patience, |closed| !*closed);
        let (closed, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *closed
    }
}

struct Closing(Arc<Closed>);

impl Drop for Closing {
    fn drop(&mut self) {
        let Closed { closed, changed } = &*self.0;
        *closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }
}
