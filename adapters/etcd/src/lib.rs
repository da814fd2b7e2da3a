//! Ringhold on etcd: sessions and membership that several processes share, on the disks of a majority.
//!
//! etcd 3.4 or newer. The URL says everything; [`EtcdConfig`] lists its parameters.
//!
//! ```no_run
//! use ringhold_etcd::{EtcdBackend, EtcdConfig};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let url = url::Url::parse("etcd://h1:2379?node=h2:2379&node=h3:2379&fleet=arena")?;
//! let backend = EtcdBackend::open(EtcdConfig::from_url(&url)?).await?.backend();
//! let members = backend.discovery.members().await?;
//! # Ok(()) }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `config.rs`, `backend.rs` | the URL, and what is looked at before it is used |
//! | `store.rs` | [`EtcdSessions`] |
//! | `discovery.rs` | [`EtcdDiscovery`], the watch that looks, and the bell that makes it look at once |
//! | `transaction.rs` | fetch, decide, commit: what the rules of `ringhold-kv` run on |
//! | `supervisor.rs` | a connection per member, deadlines, retries, members that are left out |
//! | `clock.rs` | the fleet's clocks, read in the transaction that goes by them |
//! | `error.rs` | from etcd's words to a kind |
//!
//! A fleet's keys begin with `/ringhold/FLEET/`; `ringhold_kv::schema` has the rest. Nothing else may write
//! there. The backend's tasks run on the tokio runtime that opened it, and end with its last handle.

mod backend;
mod clock;
mod config;
mod discovery;
mod error;
mod random;
mod store;
mod supervisor;
mod transaction;

pub use backend::EtcdBackend;
pub use config::{EtcdConfig, SCHEMES};
pub use discovery::EtcdDiscovery;
pub use store::EtcdSessions;
