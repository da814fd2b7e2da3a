//! Between the operations and the servers: topology, deadlines, retries, redirects.

use bytes::Bytes;
use ringhold_core::{Partition, Result};

use crate::client::Reply;
use crate::script::Script;

/// One operation: a script on the keys of one slot.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The operation's name, for errors.
    pub(crate) operation: &'static str,
    /// Whose slot it is in.
    pub(crate) partition: Partition,
    pub(crate) script: &'static Script,
    pub(crate) keys: Vec<Bytes>,
    pub(crate) arguments: Vec<Bytes>,
    /// How many replicas are to acknowledge it; 0 for none.
    pub(crate) replicas: u8,
}

/// What a script answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    /// How many replicas have acknowledged it; 0 where none was asked for.
    pub(crate) replicated: u8,
}

/// The way to the servers. A clone of its `Arc` shares it.
#[derive(Debug)]
pub(crate) struct Supervisor {}

impl Supervisor {
    /// Runs a script until it was answered in time, has failed for good, or the overall deadline has
    /// passed. Errors that the server answered and that no retry helps are mapped by `error.rs`.
    pub(crate) async fn run(&self, call: Call) -> Result<Answer> {
        let _ = call;
        std::future::pending().await
    }
}
