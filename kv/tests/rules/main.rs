//! The rules on a store in memory, whose keys are at hand or fetched from afar.

mod clock;
mod common;
mod contract;
mod discovery;
mod sessions;
mod store;
