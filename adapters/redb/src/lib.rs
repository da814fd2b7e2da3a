//! Ringhold in one redb file: sessions and membership of a fleet whose servers are one process, on the disk.
//!
//! Nothing to install, and the recommended store of this kind. Several fleets can be in one file.
//!
//! ```
//! use ringhold_core::FleetName;
//! use ringhold_redb::{EmbeddedConfig, RedbBackend};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("arena.redb");
//! let config = EmbeddedConfig::new(path, FleetName::new("arena")?);
//! let backend = RedbBackend::open(config).await?.backend();
//! assert!(backend.discovery.members().await?.members.is_empty());
//! # Ok(()) }
//! # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
//! ```
//!
//! As a URL: `redb:///var/lib/arena.redb?fleet=arena`, or `redb:arena.redb` from the working directory on;
//! [`EmbeddedConfig`] lists the parameters.
//!
//! | file | holds |
//! |---|---|
//! | `backend.rs` | [`RedbBackend`] |
//! | `storage.rs` | keys in a redb table: snapshots, and one commit per batch |
//! | `error.rs` | from redb's errors to a kind |
//!
//! The rest is `ringhold_kv::embedded`: the writer, the rules, the clocks, and what is lost when.
//!
//! # Damaged files
//!
//! Opening reads the whole file and compares its checksums, so a file that was cut off or changed is `Corrupt`
//! at opening and not later. Where redb panics over such a file all the same, the panic is caught and is
//! `Corrupt`, too; its message is still printed by the process's panic hook. Damage that happens while the
//! file is open is found when it is read from the disk, or at the next opening.
//!
//! # Files
//!
//! On Unix, only its user may read and write a new file (mode 0600): it holds what sessions hold. The mode of one
//! that is there stays.
//!
//! A new file is made beside its place, as `NAME.making-N`, and gets its name once it is whole. Of a process that
//! is killed while it makes one, that is what stays. Nothing removes it, since another process may be making it
//! just now; nothing reads it either, so whoever knows that there is none may delete it. Naming it takes links
//! or, on Linux and Apple's systems, a renaming that replaces nothing; a file system with neither is refused.
//!
//! # What readers see
//!
//! A commit that is waited for is on the disk before any reader sees it. What is not waited for (renewals of
//! leases, clocks, and everything with [`EmbeddedDurability::Fast`]) is seen before it is on the disk. Nobody
//! sees half of a commit.

mod backend;
mod error;
mod storage;

pub use backend::{RedbBackend, SCHEME};
pub use ringhold_kv::embedded::{EmbeddedConfig, EmbeddedDurability};
