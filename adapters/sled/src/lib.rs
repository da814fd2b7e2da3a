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
//! | `floor.rs` | how much a folder must hold at least, since sled takes damage for a crash |
//! | `error.rs` | from sled's errors to a kind |
//!
//! The rest is `ringhold_kv::embedded`: the writer, the rules, the clocks, and what is lost when.

mod backend;
mod error;
mod floor;
mod storage;

pub use backend::{SCHEME, SledBackend};
pub use ringhold_kv::embedded::{EmbeddedConfig, EmbeddedDurability};
