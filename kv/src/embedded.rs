//! The engine that embedded stores share: an adapter brings a [`Storage`] and a [`Driver`], and gets both
//! traits.
//!
//! One thread per open file writes. It takes all that is queued, runs each request over what the earlier ones
//! of the same batch have written, commits once, and then answers: the more wait, the less each pays for the
//! disk. A request that ends in an error takes nothing but its own writes back. Readers read a snapshot
//! beside the writer, on the blocking threads of the caller's tokio runtime.
//!
//! # What is on the disk when
//!
//! By default a write is on the disk before it is acknowledged. Renewals of leases and moves of the clocks
//! are not waited for: a crash puts all members out anyway, and the clocks are on the disk within a second.
//! With [`EmbeddedDurability::Fast`] nothing is waited for, and
//! [`EmbeddedDurability::FAST_WINDOW`] says how much a kill costs. Dropping the last handle of a file brings
//! everything to the disk, and blocks for as long as that takes.
//!
//! # Time
//!
//! A fleet's clocks go on from what is stored, and while the file is open they run on this process's monotonic
//! clock, by the rules of [`StoreClock`](ringhold_core::clock::StoreClock). While nobody has it open they stand
//! still: opening moves them on by the time of day that has passed, one cap at most.
//!
//! # One process, and in it as many handles as wanted
//!
//! A file is open in one process; a second one is told so. Within a process, all handles of a path share one
//! engine, also those of several fleets: a table of the process knows which paths are open, by their canonical
//! form. The first handle of a fleet puts out the members that the last process left.
//!
//! # When the store fails
//!
//! Where the disk fails or is full, or the library below panics over a file that is damaged, requests end in a
//! typed error; whether the batch was written is then not known. That is `Unavailable`, whatever the reason: a
//! repetition may find the store well. The file is then opened again, at the next write and at most once a
//! second, and what is read from then on is what the disk has. Where it is found damaged by that, it is
//! `Corrupt` from then on. Where it is gone, moved or unmounted, it stays `Unavailable` until it is back: nothing
//! is made in its place. A build with `panic = "abort"` cannot make an error of a panic.

mod backend;
mod config;
mod discovery;
mod engine;
mod fleet;
mod handle;
mod open;
mod overlay;
mod sessions;
mod slot;
mod storage;
#[cfg(test)]
mod tests;
mod time;
mod writer;

pub use self::backend::{Driver, EmbeddedBackend, Opening};
pub use self::config::{EmbeddedConfig, EmbeddedDurability};
pub use self::discovery::EmbeddedDiscovery;
pub use self::sessions::EmbeddedSessions;
pub use self::storage::{Snapshot, Storage, Writes};
pub use self::time::SteadyClock;
