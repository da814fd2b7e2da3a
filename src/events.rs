//! What happens in the fleet, told in order to whoever listens, without holding up the runtime.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ringhold_core::membership::LeftReason;
use ringhold_core::{NodeIncarnation, NodeRecord};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::inbox::PlayerMessage;

/// How many events a listener may be behind before it misses some.
const BACKLOG: usize = 1_024;

/// Why a node must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FencedReason {
    /// A newer process registered under the same node id.
    Superseded,
    /// The lease was lost, and others have taken over so many of the sessions that were attached here. Each
    /// session is counted once.
    SessionsClaimed(usize),
}

/// Something that happened in the fleet, as this node or observer saw it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FleetEvent {
    /// A node joined.
    Joined(Arc<NodeRecord>),
    /// A node changed its record.
    Changed(Arc<NodeRecord>),
    /// A node is no longer a member. Its players may be claimed.
    Left {
        /// Which run of which node.
        node: NodeIncarnation,
        /// Why, where the backend still knows.
        reason: Option<LeftReason>,
    },
    /// There is evidence against a node; it gets nothing new.
    Suspect(NodeIncarnation),
    /// This node could not renew its lease in time: it keeps its players and takes none.
    Detached,
    /// It can again.
    Reattached,
    /// This node registered, at first or anew after its lease was lost.
    Registered(NodeIncarnation),
    /// This node must stop, or has lost players to others.
    Fenced(FencedReason),
    /// The listener was too slow, and so many events are gone.
    Missed(u64),
}

/// What a player's server is told about a session. All but a message are its end: told at once, before
/// messages that wait, and again whenever it is asked again. Messages that were not taken by then are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A later login of the same player took the session over, here or elsewhere. End the connection.
    Displaced {
        /// The node that holds it now, where that is known.
        by: Option<NodeIncarnation>,
    },
    /// This node no longer holds the session: its lease was lost and another node has claimed the
    /// player, an operator removed the session, or this node has left or stopped. End the connection.
    Fenced,
    /// The session expired.
    Expired,
    /// [`kick`](crate::Observer::kick) ended the session. End the connection.
    Kicked {
        /// What the connection may be told.
        reason: String,
    },
    /// Somebody sent the player a message.
    Message(PlayerMessage),
}

/// Sends events. Never waits.
#[derive(Debug, Clone)]
pub(crate) struct EventSender(broadcast::Sender<FleetEvent>);

impl EventSender {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    pub(crate) fn send(&self, event: FleetEvent) {
        // Without a listener there is nobody to tell.
        let _ = self.0.send(event);
    }

    pub(crate) fn subscribe(&self, stop: CancellationToken) -> Events {
        Events {
            receiver: self.0.subscribe(),
            stop,
        }
    }
}

/// The events of a fleet from the moment of the call on, in order.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<FleetEvent>,
    stop: CancellationToken,
}

impl Events {
    /// The next event; `None` when the fleet has stopped and everything was told.
    ///
    /// A listener that falls 1,024 events behind is told [`FleetEvent::Missed`] and goes on with
    /// the oldest event that is still there.
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<FleetEvent> {
        tokio::select! {
            biased;
            event = self.receiver.recv() => Self::told(event),
            () = self.stop.cancelled() => match self.receiver.try_recv() {
                Ok(event) => Some(event),
                Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(FleetEvent::Missed(missed)),
                Err(_) => None,
            },
        }
    }

    fn told(event: Result<FleetEvent, broadcast::error::RecvError>) -> Option<FleetEvent> {
        match event {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(FleetEvent::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Calls `callback` with one event after the other, each on a thread that may block. A panic ends
/// that call alone.
pub(crate) async fn call_with_each(mut events: Events, callback: impl FnMut(FleetEvent) + Send + 'static) {
    let mut callback = Box::new(callback);
    while let Some(event) = events.next().await {
        let call = tokio::task::spawn_blocking(move || {
            if catch_unwind(AssertUnwindSafe(|| callback(event))).is_err() {
                tracing::error!(
                    "a callback for fleet events panicked; it is called again with the next event"
                );
            }
            callback
        });
        match call.await {
            Ok(returned) => callback = returned,
            // The tokio runtime is going down.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_panicking_callback_is_called_again_and_order_is_kept() {
        let (sender, stop) = (EventSender::new(), CancellationToken::new());
        let events = sender.subscribe(stop.clone());
        let (told, heard) = mpsc::channel();
        for missed in 0..5 {
            sender.send(FleetEvent::Missed(missed));
        }
        stop.cancel();
        let callback = move |event| {
            let FleetEvent::Missed(number) = event else { return };
            told.send(number).unwrap();
            assert_ne!(number, 2, "on purpose");
        };
        call_with_each(events, callback).await;
        assert_eq!(heard.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_what_it_missed() {
        let (sender, stop) = (EventSender::new(), CancellationToken::new());
        let mut events = sender.subscribe(stop);
        for _ in 0..BACKLOG + 10 {
            sender.send(FleetEvent::Detached);
        }
        assert!(matches!(events.next().await, Some(FleetEvent::Missed(10))));
        assert!(matches!(events.next().await, Some(FleetEvent::Detached)));
    }
}
