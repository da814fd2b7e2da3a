//! Ringhold on Redis Cluster and on one Redis.

mod backend;
mod client;
mod config;
mod discovery;
mod error;
mod random;
mod schema;
mod script;
mod store;
mod supervisor;

pub use backend::RedisBackend;
pub use config::{RedisConfig, SCHEMES};
pub use discovery::RedisDiscovery;
pub use store::RedisSessions;
