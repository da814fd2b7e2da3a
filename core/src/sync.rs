//! The one place that says whose locks and atomics the lock-free parts of this crate use: std's, or
//! loom's under the private `--cfg ringhold_loom`. (Plain `--cfg loom` would take `tokio::net` away
//! from every crate of the graph.)
//!
//! `Arc` is std's in both: published values are `Arc`s of the caller, who knows nothing of loom.

#[cfg(not(ringhold_loom))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, atomic},
    thread_local,
};
#[cfg(ringhold_loom)]
pub(crate) use {
    loom::sync::{Mutex, MutexGuard, atomic},
    loom_thread_local as thread_local,
};

/// loom's `thread_local`, which does not know `const` initialisers.
#[cfg(ringhold_loom)]
macro_rules! loom_thread_local {
    (static $name:ident: $type:ty = const $init:block;) => {
        loom::thread_local! { static $name: $type = $init; }
    };
}
#[cfg(ringhold_loom)]
pub(crate) use loom_thread_local;
