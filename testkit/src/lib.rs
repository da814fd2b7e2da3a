//! What the tests of Ringhold and of its adapters stand on.
//!
//! | | |
//! |---|---|
//! | [`session_store`], [`discovery`], [`transport`] | the contract of each trait: one function per rule, named as in the trait's docs |
//! | [`session_store_contract!`], [`discovery_contract!`], [`transport_contract!`] | one test per rule |
//! | [`StoreHarness`], [`DiscoveryHarness`], [`TransportHarness`], [`TestTime`] | what an adapter brings |
//! | [`SimulatedClock`] | time that stands still until a test moves it |
//! | [`PausedTime`] | the same for tokio's time, beside real sockets |
//! | [`launch`], [`RedisTime`] | real Redis servers and clusters, and their time |
//! | [`wait_for`] | waiting for a condition, with a deadline that prints what was seen |
//! | [`Log`] | what is logged, for a test to read |
//! | [`history`] | concurrent clients, what they were told, and whether that can be |
//! | [`Make`] | ids, owners, players and records from a seed |
//!
//! # An adapter's `tests/contract.rs`
//!
//! A harness hands out backends that nothing was written to, and moves their time. The macros make
//! a module of tests from it, `session_store::create_makes_a_session` and so on. The expression is
//! evaluated anew in each test and may `.await`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ringhold_core::backend::Capabilities;
//! use ringhold_core::{FleetName, Limits, SessionStore};
//! use ringhold_memory::MemoryBackend;
//! use ringhold_testkit::{SimulatedClock, StoreHarness, TestTime, async_trait};
//!
//! #[derive(Default)]
//! struct Memory {
//!     clock: SimulatedClock,
//! }
//!
//! #[async_trait]
//! impl StoreHarness for Memory {
//!     async fn store(&self) -> Arc<dyn SessionStore> {
//!         let fleet = FleetName::new("contract").expect("a word");
//!         MemoryBackend::with_clock(fleet, Limits::default(), Arc::new(self.clock.clone())).sessions()
//!     }
//!
//!     fn time(&self) -> &dyn TestTime {
//!         &self.clock
//!     }
//!
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::embedded()
//!     }
//! }
//!
//! ringhold_testkit::session_store_contract!(Memory::default());
//!
//! // Or one rule by itself, which panics where it is broken.
//! fn main() {
//!     ringhold_testkit::run("a login", async {
//!         ringhold_testkit::session_store::create_makes_a_session(&Memory::default()).await;
//!     });
//! }
//! ```
//!
//! # Time
//!
//! The suites never sleep. They ask [`TestTime::pass`] for time, and because a store's clock moves
//! only while somebody writes, [`session_store::let_pass`] and [`discovery::let_pass`] tick it on
//! the way. What passes beside that on a real server is [`TestTime::slack`]; how exactly deadlines
//! are kept is [`Capabilities::ttl_resolution`](ringhold_core::backend::Capabilities).

#![allow(
    clippy::missing_panics_doc,
    reason = "a suite says by a panic that a rule is broken"
)]

mod clock;
mod contract;
pub mod discovery;
pub mod embedded;
mod expect;
mod harness;
pub mod history;
mod log;
mod make;
mod paused;
mod redis_time;
pub mod session_store;
pub mod transport;
mod url;
mod wait;

pub use async_trait::async_trait;
pub use ringhold_launch as launch;

pub use clock::SimulatedClock;
pub use contract::run;
pub use harness::{DiscoveryHarness, StoreHarness, TestTime, TransportHarness};
pub use log::Log;
pub use make::Make;
pub use paused::PausedTime;
pub use redis_time::RedisTime;
pub use url::{file_parameter, without_parameters};
pub use wait::{WAIT_MAX, poll_once, wait_for, within};
