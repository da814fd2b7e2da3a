//! Whom a call is for, and how it is made.

use std::time::Duration;

use ringhold_core::transport::{TIME_LEFT_MAX, TraceContext};
use ringhold_core::{Incarnation, NodeId, NodeIncarnation, NodeRecord, OperationId};

/// How a call is made: within 5 s, in the trace that it is made in, and sent once, unless told otherwise.
///
/// Inside a [`PeerHandler`](crate::PeerHandler) a call inherits the time that is left of the request, which
/// is its upper bound, and its trace. A task that the handler starts inherits neither.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long the call may take; 5 s unless given, at most [`TIME_LEFT_MAX`].
    pub within: Option<Duration>,
    /// Names the call over all its attempts.
    pub key: Option<OperationId>,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
    /// Whether a key is drawn where none is given.
    pub once: bool,
}

impl CallOptions {
    /// An ordinary call.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives up after `time`, 60 s at most. Everything counts: looking the player up, a redirect, the answer.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time.min(TIME_LEFT_MAX));
        self
    }

    /// Names the call. A repetition by the same caller with the same key is answered as the first was, for
    /// 60 s and as long as the node's memory of answers has room for it (4,096 answers, 8 MiB). An answer
    /// that says that repeating may help (such as `Unavailable`) is not kept: the handler runs again.
    /// Draw 16 random bytes for it.
    #[must_use]
    pub fn key(mut self, key: OperationId) -> Self {
        self.key = Some(key);
        self
    }

    /// Draws a key for this call, so that the transport may send it again where the answer was lost, and
    /// the handler still runs once. Without a key a call is never sent twice.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Makes the call part of this trace.
    #[must_use]
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }
}

/// Whom a call is for: the node that has this id now, or exactly this run of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTarget {
    pub(super) node: NodeId,
    pub(super) incarnation: Option<Incarnation>,
}

impl From<&NodeId> for PeerTarget {
    fn from(node: &NodeId) -> Self {
        Self {
            node: node.clone(),
            incarnation: None,
        }
    }
}

impl From<&NodeIncarnation> for PeerTarget {
    fn from(node: &NodeIncarnation) -> Self {
        Self {
            node: node.node.clone(),
            incarnation: Some(node.incarnation),
        }
    }
}

impl From<&NodeRecord> for PeerTarget {
    fn from(record: &NodeRecord) -> Self {
        Self::from(&record.node())
    }
}

impl From<NodeId> for PeerTarget {
    fn from(node: NodeId) -> Self {
        Self {
            node,
            incarnation: None,
        }
    }
}

impl From<NodeIncarnation> for PeerTarget {
    fn from(node: NodeIncarnation) -> Self {
        Self {
            node: node.node,
            incarnation: Some(node.incarnation),
        }
    }
}
