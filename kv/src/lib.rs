//! Sessions and membership over ordered keys: what the backends of Ringhold share that have transactions
//! and no scripts. etcd, redb and sled bring a [`Transaction`]; everything that a contract says of
//! sessions and leases stands here once.
//!
//! Nothing here but `embedded` does I/O, spawns, or reads a clock: time comes in as an argument. A rule is a function over
//! a transaction; it reads what it needs, decides, and writes. Where keys are fetched from afar, it stops
//! for what is missing and is run again.
//!
//! | module | holds |
//! |---|---|
//! | [`schema`] | which keys there are |
//! | [`clock`] | the store clock over a stored number |
//! | [`sessions`] | the rules of [`SessionStore`](ringhold_core::SessionStore) |
//! | [`discovery`] | the rules of [`Discovery`](ringhold_core::Discovery) |
//! | `embedded` | feature `embedded`: the engine that stores in one process share |

pub mod clock;
pub mod discovery;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod schema;
pub mod sessions;
mod transaction;

pub use transaction::Transaction;
