//! Ringhold in one sled folder: sessions and membership of a fleet whose servers are one process, on the disk.
//!
//! redb (`ringhold-redb`) is the recommended store of this kind: sled 0.34 is from 2021, and damage to its
//! files is found later than redb finds it.
//!
//! ```
//! use ringhold_core::FleetName;
//! use ringhold_sled::{EmbeddedConfig, SledBackend};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("arena");
//! let config = EmbeddedConfig::new(path, FleetName::new("arena")?);
//! let backend = SledBackend::open(config).await?.backend();
//! assert!(backend.discovery.members().await?.members.is_empty());
//! # Ok(()) }
//! # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
//! ```
//!
//! As a URL: `sled:///var/lib/arena?fleet=arena`, or `sled:arena` from the working directory on;
//! [`EmbeddedConfig`] lists the parameters.
//!
//! | file | holds |
//! |---|---|
//! | `backend.rs` | [`SledBackend`] |
//! | `storage.rs` | keys in a sled tree: reads that see whole batches, and one batch per commit |
//! | `sum.rs` | what all keys and values add up to, since sled leaves out what it cannot read |
//! | `floor.rs` | how much a folder must hold at least, since sled takes damage for a crash |
//! | `error.rs` | from sled's errors to a kind |
//!
//! The rest is `ringhold_kv::embedded`: the writer, the rules, the clocks, and what is lost when.
//!
//! # What holds, and what sled 0.34.7 does not give
//!
//! - A batch is there after a crash as a whole or not at all: sled writes in front of it where it ends
//!   (`Tree::apply_batch_inner` in its `src/tree.rs`), and recovery stops at a batch whose end is not there
//!   (`LogIter::next` in its `src/pagecache/iterator.rs`).
//! - On Linux a flush of sled hands its log to the disk (`sync_file_range`, in its `src/pagecache/iobuf.rs`) and does
//!   not wait until the disk has it for good, so this adapter does (`fdatasync`).
//! - A reader may see a batch before it is on the disk: sled shows it when it is applied, and it is flushed after
//!   that. Who wrote it is answered after the flush. A crash in between takes back what a reader saw, a session's
//!   new version or owner; nobody sees half of a batch.
//! - sled has no snapshots. While somebody reads, writers wait, so that a read sees one moment: most reads are of
//!   a few keys or a page, but [`SledBackend::account`] reads everything, and writers wait until it is done.
//! - On Unix, only its user may enter a new folder (mode 0700), and read the files that are made in it (0600). The
//!   mode of a folder that is there stays; what sled itself makes in it (`conf`, and `snap.*`, which say where in the log
//!   what is, and blobs in their own folder of mode 0700) has the umask's mode.
//! - Damage in sled's log looks to it like the torn end that a crash leaves, and it would open with what stands
//!   before; or, farther from the end, it leaves out the rest of a segment and goes on behind it. So this adapter reads
//!   everything at opening, keeps a floor of commits beside the log, and stores with each commit what all keys
//!   and values add up to: what holds less, or adds up to something else, is `Corrupt`. What was written after the
//!   floor was last set, at most a second, can still go in silence where somebody damages the end of the log of a
//!   process that was killed.
//! - sled panics over some damage. The panic is caught and is `Corrupt`; its message is still printed by the
//!   process's panic hook. With `panic = "abort"` nothing can be caught.
//! - Its dependencies `fxhash` and `instant` have no maintainer any more (RUSTSEC-2025-0057, RUSTSEC-2024-0384).

mod backend;
mod error;
mod floor;
mod storage;
mod sum;

pub use backend::{SCHEME, SledBackend};
pub use ringhold_kv::embedded::{EmbeddedConfig, EmbeddedDurability};
