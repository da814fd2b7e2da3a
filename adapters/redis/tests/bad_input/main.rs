//! Servers that are absent, wrong, full or lying, and stored data that is not what it should be.
//! What is hard to have of a real server comes from a [`fake`].

mod fake;
mod full;
mod records;
mod refused;
mod scripts;
mod types;
mod wrong_server;

#[path = "../each_client/mod.rs"]
mod each_client;
#[path = "../real/mod.rs"]
mod real;
#[path = "../suite/mod.rs"]
mod suite;
