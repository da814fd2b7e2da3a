//! Calls to every node, and messages to every player.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ringhold_core::{Error, ErrorKind, NodeIncarnation, NodeRecord, Result, codec};
use tokio::task::JoinSet;

use super::frame::Ask;
use super::scope::Terms;
use super::{CALL, CallOptions};
use crate::observer::Observer;

/// How many nodes are asked at the same time.
const AT_ONCE: usize = 32;

/// What came of a call to every node.
#[derive(Debug)]
#[non_exhaustive]
pub struct Broadcast {
    /// What each node answered, in the order of their ids.
    pub answers: Vec<(NodeIncarnation, Result<Bytes>)>,
}

impl Broadcast {
    /// The nodes that did not answer as they should, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&NodeIncarnation, &Error)> {
        failures(&self.answers)
    }
}

/// To how many players of one node a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Delivered {
    /// It is in so many inboxes.
    pub delivered: u32,
    /// So many inboxes were full.
    pub overloaded: u32,
}

impl Delivered {
    pub(super) const fn new(delivered: u32, overloaded: u32) -> Self {
        Self {
            delivered,
            overloaded,
        }
    }

    pub(super) fn encode(self) -> Result<Bytes> {
        codec::encode_frame(&(self.delivered, self.overloaded)).map(Bytes::from)
    }

    fn decode(reply: &[u8]) -> Result<Self> {
        let (delivered, overloaded): (u32, u32) = codec::decode_frame(reply)?;
        Ok(Self {
            delivered,
            overloaded,
        })
    }
}

/// What came of a message to every player.
#[derive(Debug)]
#[non_exhaustive]
pub struct Announced {
    /// What each node did, in the order of their ids.
    pub nodes: Vec<(NodeIncarnation, Result<Delivered>)>,
}

impl Announced {
    /// The nodes that could not be told, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&NodeIncarnation, &Error)> {
        failures(&self.nodes)
    }

    /// All nodes that could be told, together.
    pub fn total(&self) -> Delivered {
        let told = self.nodes.iter().filter_map(|(_, told)| told.as_ref().ok());
        told.fold(Delivered::default(), |sum, told| {
            Delivered::new(
                sum.delivered.saturating_add(told.delivered),
                sum.overloaded.saturating_add(told.overloaded),
            )
        })
    }
}

fn failures<T>(answers: &[(NodeIncarnation, Result<T>)]) -> impl Iterator<Item = (&NodeIncarnation, &Error)> {
    answers
        .iter()
        .filter_map(|(node, answer)| Some((node, answer.as_ref().err()?)))
}

impl Observer {
    /// Calls the handler of every node that is seen here, this one too, 32 at a time. Each has the time of
    /// the options for itself, from the moment when its turn comes.
    ///
    /// # Cancel safety
    /// Dropping the future is ambiguous: some handlers may run, or have run.
    ///
    /// # Errors
    /// `TooLarge` for the body. A node's failure stands in its answer: as [`call`](Self::call).
    pub async fn broadcast(&self, body: impl Into<Bytes>, options: CallOptions) -> Result<Broadcast> {
        let (ask, terms) = (Ask::Call(body.into()), Terms::new(&options)?);
        let answers = self.ask_all(ask, terms).await?;
        Ok(Broadcast { answers })
    }

    /// Sends a message of at most 64 KiB to every player who is attached to a node that is seen here, as
    /// [`send_to_player`](Self::send_to_player) does to one. Each node has 5 s.
    ///
    /// # Cancel safety
    /// Dropping the future is ambiguous: the message may have arrived at some players.
    ///
    /// # Errors
    /// `TooLarge` above 64 KiB. A node's failure stands in its answer: as [`call`](Self::call).
    pub async fn announce(&self, body: impl Into<Bytes>) -> Result<Announced> {
        let (ask, terms) = (Ask::Announce(body.into()), Terms::keyed()?);
        let answers = self.ask_all(ask, terms).await?;
        let nodes = answers
            .into_iter()
            .map(|(node, reply)| (node, reply.and_then(|reply| Delivered::decode(&reply))))
            .collect();
        Ok(Announced { nodes })
    }

    async fn ask_all(&self, ask: Ask, terms: Terms) -> Result<Vec<(NodeIncarnation, Result<Bytes>)>> {
        ask.check()?;
        let (caller, view) = (self.caller(), self.view());
        let records = view.nodes().iter().map(|node| Arc::clone(&node.record));
        let mut waiting: VecDeque<(usize, Arc<NodeRecord>)> = records.enumerate().collect();
        let mut answers: Vec<_> = waiting
            .iter()
            .map(|(_, record)| (record.node(), Err(unanswered())))
            .collect();
        let mut asking = JoinSet::new();
        loop {
            while asking.len() < AT_ONCE
                && let Some((index, record)) = waiting.pop_front()
            {
                let (caller, ask, terms) = (caller.clone(), ask.clone(), terms.anew());
                asking.spawn(async move { (index, caller.call(&record, None, &ask, &terms).await) });
            }
            match asking.join_next().await {
                Some(Ok((index, answer))) => answers[index].1 = answer,
                // A fault of ours: that node keeps what stands there.
                Some(Err(error)) => tracing::error!(%error, "a call of a broadcast ended without an answer"),
                None => return Ok(answers),
            }
        }
    }
}

fn unanswered() -> Error {
    let context = "the call ended without an answer";
    Error::new(ErrorKind::Unavailable, CALL, context)
}
