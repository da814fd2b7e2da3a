//! Streams between the nodes of this process: a bounded channel for each direction.

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::transport::{PeerStream, ReceiveHalf, SendHalf};
use ringhold_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, watch};

/// How many messages may be on their way in one direction.
pub(super) const AHEAD_MAX: usize = 16;

enum Item {
    Message(Bytes),
    End(Result<()>),
}

struct Sender {
    items: mpsc::Sender<Item>,
    /// Closed when the server stops.
    stopped: watch::Receiver<()>,
}

struct Receiver {
    items: mpsc::Receiver<Item>,
    stopped: watch::Receiver<()>,
}

/// The two ends of a stream to a server that closes `stopped` when it stops.
pub(super) fn pair(stopped: &watch::Receiver<()>) -> (PeerStream, PeerStream) {
    let direction = || {
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let sender = Sender {
            items: sender,
            stopped: stopped.clone(),
        };
        let receiver = Receiver {
            items: receiver,
            stopped: stopped.clone(),
        };
        (sender, receiver)
    };
    let ((out, arrival), (answer, back)) = (direction(), direction());
    (PeerStream::new(out, back), PeerStream::new(answer, arrival))
}

fn gone() -> Error {
    let context = "the other side of the stream is gone";
    Error::new(ErrorKind::Unavailable, "stream", context)
}

impl Sender {
    async fn put(&mut self, item: Item) -> Result<()> {
        tokio::select! {
            biased;
            // Nobody ever sends: it changes by being closed.
            _ = self.stopped.changed() => Err(gone()),
            sent = self.items.send(item) => sent.map_err(|_| gone()),
        }
    }
}

#[async_trait]
impl SendHalf for Sender {
    async fn send(&mut self, message: Bytes) -> Result<()> {
        self.put(Item::Message(message)).await
    }

    async fn end(&mut self, why: Result<()>) -> Result<()> {
        self.put(Item::End(why)).await
    }
}

#[async_trait]
impl ReceiveHalf for Receiver {
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let item = tokio::select! {
            biased;
            _ = self.stopped.changed() => None,
            item = self.items.recv() => item,
        };
        match item {
            Some(Item::Message(message)) => Ok(Some(message)),
            Some(Item::End(why)) => why.map(|()| None),
            None => Err(gone()),
        }
    }
}
