//! Ringhold on Redis Cluster and on one Redis: sessions and membership that several processes share.
//!
//! Redis 7.0 or newer. The URL says everything; [`RedisConfig`] lists its parameters.
//!
//! ```no_run
//! use ringhold_redis::{RedisBackend, RedisConfig};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let url = url::Url::parse("redis-cluster://h1:7000?node=h2:7001&fleet=arena&durability=replicated:1")?;
//! let backend = RedisBackend::open(RedisConfig::from_url(&url)?).await?.backend();
//! let members = backend.discovery.members().await?;
//! # Ok(()) }
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `config.rs`, `backend.rs` | the URL, and what is looked at before it is used |
//! | `schema.rs` | which keys there are, and in which slots: nothing else may use them |
//! | `scripts/`, `script.rs` | one script per operation, atomic on one slot |
//! | `store.rs` | [`RedisSessions`] |
//! | `discovery.rs` | [`RedisDiscovery`], and the watch that polls |
//! | `supervisor.rs` | topology, deadlines, retries, redirects, watchdogs |
//! | `client.rs` | the seam: one connection to one server, through the library `redis` or `fred` |
//! | `resolver.rs` | [`Resolver`]: from a name to addresses |
//! | `acl.rs` | the rights that its user needs |
//! | `error.rs` | from a server's words to a kind |
//!
//! # Rights
//!
//! A user other than `default` needs the rights of [`LEAST_ACL`], which says them in the words of `ACL SETUSER` and
//! names what is optional.
//!
//! # What is lost when
//!
//! With `durability=fast`, a master that is killed, hangs, or is replaced on purpose loses nothing that
//! was acknowledged here, as long as its replica had it; a master that is cut off from the others goes on
//! acknowledging to the clients on its side, and those writes are lost: at most 1.5 times
//! cluster-node-timeout and a second of them. With `replicated:k`, what was answered with k or more is
//! kept then too. Nothing survives the loss of all copies.
//!
//! The backend's tasks run on the tokio runtime that opened it, and end with its last handle.
//! A node renews its lease over connections of its own, on a thread that ends with the last node of this backend.

mod acl;
mod backend;
mod client;
mod config;
mod discovery;
mod error;
mod random;
mod resolver;
mod schema;
mod script;
mod store;
mod supervisor;

pub use acl::LEAST_ACL;
pub use backend::RedisBackend;
pub use config::{RedisConfig, SCHEMES};
pub use discovery::RedisDiscovery;
pub use resolver::Resolver;
pub use store::RedisSessions;
