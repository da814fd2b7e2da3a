//! Ringhold on Redis Cluster and on one Redis.

mod client;
mod schema;
mod script;
mod store;
mod supervisor;
