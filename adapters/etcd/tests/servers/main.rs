//! What the contract suites do not look at: real etcds that are full of foreign bytes, ask for passwords,
//! compact, hang or lie; what an operation costs; and what a client that is killed leaves behind.

mod account;
mod atomic;
mod auth;
mod costs;
mod fleets;
mod foreign;
mod full;
mod hostile;
mod members;
mod races;
mod refused;
mod repair;
mod rush;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod watching;
