//! The caller's side of a stream, with a fault.

use std::mem::{forget, take};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::transport::{BODY_BYTES_MAX, PeerReceiver, PeerSender, PeerStream, ReceiveHalf, SendHalf};
use ringhold_core::{ErrorKind, Result};
use ringhold_testkit::async_trait;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{self, JoinHandle, yield_now};
use tokio::time::timeout;

use super::transport::{failed, retold};
use super::transport_faults::Fault;

/// Which message of a stream something happens to; its neighbours are unlike it.
const CHOSEN: usize = 8;

/// The same stream with a fault. Of the `gate` all streams have the same one.
pub(super) fn broken(fault: Fault, stream: PeerStream, gate: &Arc<Mutex<()>>) -> PeerStream {
    let PeerStream { sender, receiver } = stream;
    let over = Arc::new(AtomicBool::new(false));
    let receive = Receive {
        fault,
        inner: receiver,
        over: Arc::clone(&over),
    };
    if matches!(fault, Fault::NobodyIsHeldBack | Fault::ADropTakesBackWhatWasSent) {
        return PeerStream::new(Queue::new(fault, sender), receive);
    }
    let send = Send {
        fault,
        inner: Some(sender),
        over,
        count: 0,
        held: Bytes::new(),
        gate: Arc::clone(gate),
    };
    PeerStream::new(send, receive)
}

/// A stream that nobody is at the other side of.
pub(super) fn dead() -> PeerStream {
    PeerStream::new(Dead, Dead)
}

struct Send {
    fault: Fault,
    /// There until it is dropped.
    inner: Option<PeerSender>,
    /// Set when the other side has ended.
    over: Arc<AtomicBool>,
    count: usize,
    held: Bytes,
    gate: Arc<Mutex<()>>,
}

impl Send {
    /// What is to be sent when `message` is.
    fn now(&mut self, mut message: Bytes) -> Vec<Bytes> {
        let number = self.count;
        self.count += 1;
        match self.fault {
            Fault::OneMessageIsLost if number == CHOSEN => vec![],
            Fault::OneMessageComesTwice if number == CHOSEN => vec![message.clone(), message],
            Fault::TwoMessagesAreSwapped | Fault::TwoMessagesAreJoined if number == CHOSEN => {
                self.held = message;
                vec![]
            }
            Fault::TwoMessagesAreSwapped if number == CHOSEN + 1 => vec![message, take(&mut self.held)],
            Fault::TwoMessagesAreJoined if number == CHOSEN + 1 => {
                vec![[take(&mut self.held), message].concat().into()]
            }
            Fault::MessagesWaitForTheNext | Fault::TheLastMessageIsLost => {
                let before = std::mem::replace(&mut self.held, message);
                if number == 0 { vec![] } else { vec![before] }
            }
            Fault::LargeMessagesAreCut => {
                message.truncate(BODY_BYTES_MAX - 1);
                vec![message]
            }
            _ => vec![message],
        }
    }
}

#[async_trait]
impl SendHalf for Send {
    async fn send(&mut self, message: Bytes) -> Result<()> {
        if self.fault == Fault::LargeMessagesAreRefused && message.len() == BODY_BYTES_MAX {
            return failed(ErrorKind::TooLarge);
        }
        if self.fault == Fault::OneEndIsBoth && self.over.load(Ordering::SeqCst) {
            return failed(ErrorKind::Unavailable);
        }
        let gate = Arc::clone(&self.gate);
        let _one = if matches!(
            self.fault,
            Fault::StreamsHoldUpCalls | Fault::StreamsHoldUpEachOther
        ) {
            Some(gate.lock().await)
        } else {
            None
        };
        let (fault, messages) = (self.fault, self.now(message));
        let inner = self.inner.as_mut().expect("there until the end");
        for message in messages {
            let sent = inner.send(message);
            match fault {
                Fault::OneThatDoesNotFitIsLost if self.held.is_empty() => {
                    match timeout(Duration::from_millis(10), sent).await {
                        Ok(sent) => sent?,
                        Err(_elapsed) => self.held = Bytes::from_static(b"it was this one"),
                    }
                }
                Fault::GoneReadersAreNotTold => drop(sent.await),
                _ => sent.await?,
            }
        }
        Ok(())
    }

    async fn end(&mut self, why: Result<()>) -> Result<()> {
        let mut inner = self.inner.take().expect("it ends once");
        let ended = match (self.fault, why) {
            (Fault::EndsAreNotTold, _) => Ok(()),
            // It goes without a word.
            (Fault::EndsAreDrops, _) => return Ok(()),
            (Fault::ErrorsAreCleanEnds, _) | (_, Ok(())) => inner.finish().await,
            (fault, Err(error)) => inner.fail(retold(fault, error)).await,
        };
        self.inner = Some(inner);
        ended
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        if self.fault == Fault::DropsAreNotTold {
            forget(self.inner.take());
        }
    }
}

struct Receive {
    fault: Fault,
    inner: PeerReceiver,
    over: Arc<AtomicBool>,
}

#[async_trait]
impl ReceiveHalf for Receive {
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        let received = self.inner.receive().await;
        if self.fault == Fault::ImpatientReadersLoseMessages {
            // Meanwhile the message is in nobody's hands.
            yield_now().await;
        }
        let Ok(Some(message)) = received else {
            self.over.store(true, Ordering::SeqCst);
            return match (self.fault, received) {
                (Fault::DropsAreCleanEnds, Err(error)) if error.kind() == ErrorKind::Unavailable => Ok(None),
                (fault, received) => received.map_err(|error| retold(fault, error)),
            };
        };
        Ok(Some(message))
    }
}

/// Takes everything at once, and sends it when it can.
struct Queue {
    fault: Fault,
    items: mpsc::UnboundedSender<Item>,
    sending: JoinHandle<()>,
}

enum Item {
    Message(Bytes),
    End(Result<()>),
}

impl Queue {
    fn new(fault: Fault, mut inner: PeerSender) -> Self {
        let (items, mut queue) = mpsc::unbounded_channel();
        let sending = task::spawn(async move {
            while let Some(item) = queue.recv().await {
                let sent = match item {
                    Item::Message(message) => inner.send(message).await,
                    Item::End(Ok(())) => inner.finish().await,
                    Item::End(Err(error)) => inner.fail(error).await,
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        Self {
            fault,
            items,
            sending,
        }
    }

    fn put(&self, item: Item) -> Result<()> {
        self.items.send(item).or_else(|_| failed(ErrorKind::Unavailable))
    }
}

#[async_trait]
impl SendHalf for Queue {
    async fn send(&mut self, message: Bytes) -> Result<()> {
        self.put(Item::Message(message))
    }

    async fn end(&mut self, why: Result<()>) -> Result<()> {
        self.put(Item::End(why))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.fault == Fault::ADropTakesBackWhatWasSent {
            self.sending.abort();
        }
    }
}

struct Dead;

#[async_trait]
impl SendHalf for Dead {
    async fn send(&mut self, _message: Bytes) -> Result<()> {
        failed(ErrorKind::Unavailable)
    }

    async fn end(&mut self, _why: Result<()>) -> Result<()> {
        failed(ErrorKind::Unavailable)
    }
}

#[async_trait]
impl ReceiveHalf for Dead {
    async fn receive(&mut self) -> Result<Option<Bytes>> {
        failed(ErrorKind::Unavailable)
    }
}
