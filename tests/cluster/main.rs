//! The runtime end to end on a real Redis Cluster of three masters and three replicas, in real time. The
//! nodes of a fleet are on different client libraries.
//!
//! A node-timeout of 2 s, leases of 5 s: a master that is lost is replaced well after a node would
//! have been, were the lease clock not to stand still meanwhile.

mod claims;
mod failover;
mod life;
mod lost_keys;
mod rollback;
mod stall;
mod stuck;
mod support;
