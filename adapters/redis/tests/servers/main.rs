//! What real servers see of the adapter: how many commands, which keys, how many replicas; and what
//! it does when they forget.

mod acl;
#[cfg(feature = "fred")]
mod clients;
mod collation;
mod connections;
mod demoted;
mod durability;
mod fleets;
mod keys;
mod lost_keys;
mod proxy;
mod repair;
mod rollback;
mod round_trips;
mod slow;
#[cfg(feature = "tls")]
mod tls;

#[path = "../each_client/mod.rs"]
mod each_client;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../real/mod.rs"]
mod real;
#[path = "../suite/mod.rs"]
mod suite;
