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
//! # How much
//!
//! It is meant for up to about 10,000 sessions, 200 logins and saves a second, and 100 nodes: a third of what
//! an etcd of three members took on two busy cores (`cargo xtask faults --backend etcd --only capacity`).
//! Everything is written by one leader to the disks of a majority, and each renewal reads the leases of all
//! nodes. With that load the history grows by some 1.5 GB an hour, so auto-compaction has to be on:
//! `--auto-compaction-mode=periodic --auto-compaction-retention=5m`. An etcd that is full is `Overloaded` for
//! every write until there is room.
//!
//! # What is lost when
//!
//! Nothing that was acknowledged, unless a majority of the members lose their disks. While there is no leader,
//! which lasts some seconds after one dies or hangs, operations wait.
//!
//! A fleet's keys begin with `/ringhold/FLEET/`; `ringhold_kv::schema` has the rest. Nothing else may write
//! there. The backend's tasks run on the tokio runtime that opened it, and end with its last handle. A node
//! renews its lease over connections of its own, on a thread that ends with the last node of this backend.

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
