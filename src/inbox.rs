//! Messages for one player that were not taken yet.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use bytes::Bytes;
use ringhold_core::NodeIncarnation;
use tokio::sync::Notify;

use crate::shared::lock;

/// How many messages wait at most.
const MESSAGES_MAX: usize = 64;
/// How many bytes of them.
const BYTES_MAX: usize = 256 * 1024;

/// A message that another server, or this one, sent to a player.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlayerMessage {
    /// The node that sent it; `None` where that is none.
    pub from: Option<NodeIncarnation>,
    /// What it says.
    pub body: Bytes,
}

impl fmt::Debug for PlayerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlayerMessage")
            .field("from", &self.from)
            // The application's bytes may be secret.
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// What came of putting a message in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is in there.
    Taken,
    /// There is no room; the sender may try again.
    Full,
    /// The stay has ended.
    Closed,
}

/// The messages, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<PlayerMessage>,
    bytes: usize,
    is_closed: bool,
}

impl Inbox {
    /// Puts a message in, if there is room.
    pub(crate) fn put(&self, message: PlayerMessage) -> Put {
        let mut waiting = lock(&self.waiting);
        if waiting.is_closed {
            return Put::Closed;
        }
        let bytes = waiting.bytes + message.body.len();
        if waiting.messages.len() == MESSAGES_MAX || bytes > BYTES_MAX {
            return Put::Full;
        }
        waiting.bytes = bytes;
        waiting.messages.push_back(message);
        drop(waiting);
        self.arrived.notify_one();
        Put::Taken
    }

    /// Takes the oldest message out.
    pub(crate) fn take(&self) -> Option<PlayerMessage> {
        let mut waiting = lock(&self.waiting);
        let message = waiting.messages.pop_front()?;
        waiting.bytes -= message.body.len();
        Some(message)
    }

    /// Waits until a message may have come. Cancel safe.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Lets go of all messages and takes no more.
    pub(crate) fn close(&self) {
        let messages = {
            let mut waiting = lock(&self.waiting);
            (waiting.bytes, waiting.is_closed) = (0, true);
            std::mem::take(&mut waiting.messages)
        };
        // Their bytes may be anybody's: they go when the lock is free.
        drop(messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> PlayerMessage {
        PlayerMessage {
            from: None,
            body: Bytes::from(vec![1; bytes]),
        }
    }

    #[test]
    fn room_comes_back_with_what_is_taken() {
        let inbox = Inbox::default();
        assert_eq!(inbox.put(message(BYTES_MAX)), Put::Taken);
        assert_eq!(inbox.put(message(1)), Put::Full);
        assert_eq!(inbox.take().unwrap().body.len(), BYTES_MAX);
        for _ in 0..MESSAGES_MAX {
            assert_eq!(inbox.put(message(1)), Put::Taken);
        }
        assert_eq!(inbox.put(message(0)), Put::Full);
    }

    #[test]
    fn what_is_closed_is_empty_and_stays_so() {
        let inbox = Inbox::default();
        assert_eq!(inbox.put(message(1)), Put::Taken);
        inbox.close();
        assert_eq!(inbox.put(message(1)), Put::Closed);
        assert_eq!(inbox.take(), None);
    }
}
