//! Histories: what concurrent clients ask of a session store and are told, and whether that can be.
//!
//! | | |
//! |---|---|
//! | [`Load`], [`Running`] | clients that compete for players, and write down what they ask and are told |
//! | [`History`], [`Operation`], [`Call`], [`Answer`] | what is written down; a file of JSON lines |
//! | [`check`], [`Verdict`] | whether some order of the operations explains all answers |
//! | [`Options`], [`program()`], [`report`] | the programs behind `cargo xtask histories` |
//!
//! A history is *linearizable* when each operation can be given a moment between its call and its answer
//! so that the answers are those of one store that does one thing after another. The players are judged
//! one by one, all sessions of each together, against a model of the rules of
//! [`SessionStore`](ringhold_core::SessionStore) (`model.rs`). What was not answered in time may have
//! happened at any later moment, or never. What is not in the model is time: histories use sessions that
//! do not expire, and are shorter than a tombstone lives where it would matter.

mod check;
mod choice;
mod client;
mod file;
mod load;
mod model;
mod names;
mod operation;
mod picture;
mod program;
mod rules;
mod search;

#[cfg(test)]
mod tests;

pub use check::{Complaint, ComplaintKind, STEPS_MAX, Verdict, check, check_within};
pub use file::{History, Origin};
pub use load::{Load, Running};
pub use operation::{Answer, Call, End, Ended, Hold, Number, Operation, Refusal, Rule, Seen};
pub use program::{Faults, Options, program, report};
