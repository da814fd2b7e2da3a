//! `ringhold copy`: from memory to memory, where every moment of it can be stopped and meddled with, and
//! the program between real servers.

mod meddling;
#[cfg(all(feature = "redis", feature = "redis-cluster"))]
mod real;
mod resumed;
mod support;
mod whole;
