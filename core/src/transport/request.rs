//! What one node asks of another.

use std::time::Duration;

use bytes::Bytes;

use super::TraceContext;
use crate::{FleetName, NodeIncarnation, OperationId, PlayerId, Revision};

/// The most bytes of one request or reply body, and of one message on a stream: 1 MiB.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// The longest time that one call may take: 60 s.
pub const TIME_LEFT_MAX: Duration = Duration::from_secs(60);

/// A request to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerRequest {
    /// The caller's fleet; another fleet's calls are refused.
    pub fleet: FleetName,
    /// Who calls; `None` for one who is no node.
    pub from: Option<NodeIncarnation>,
    /// The run of the node that is meant; its successor refuses the call.
    pub target: NodeIncarnation,
    /// The membership revision that the caller acted upon.
    pub revision: Revision,
    /// The player that it is about, where there is one.
    pub player: Option<PlayerId>,
    /// Names the call over all its attempts. A call without one is never sent twice.
    pub key: Option<OperationId>,
    /// How much longer the caller waits, at most [`TIME_LEFT_MAX`]; 5 s unless given. For a stream,
    /// until it is taken.
    pub time_left: Duration,
    /// Which distributed trace it belongs to.
    pub trace: Option<TraceContext>,
    /// What is asked.
    pub body: Bytes,
}

impl PeerRequest {
    /// How long a caller waits unless told otherwise.
    pub const TIME_LEFT: Duration = Duration::from_secs(5);

    /// A request to `target`.
    pub fn new(
        fleet: FleetName,
        target: NodeIncarnation,
        revision: Revision,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            fleet,
            from: None,
            target,
            revision,
            player: None,
            key: None,
            time_left: Self::TIME_LEFT,
            trace: None,
            body: body.into(),
        }
    }

    /// The same request, signed with the caller's name.
    #[must_use]
    pub fn from(mut self, node: NodeIncarnation) -> Self {
        self.from = Some(node);
        self
    }

    /// The same request about a player.
    #[must_use]
    pub fn about(mut self, player: PlayerId) -> Self {
        self.player = Some(player);
        self
    }

    /// The same request with a name, by which a repetition is known. Draw 16 random bytes before the
    /// first attempt.
    #[must_use]
    pub fn with_key(mut self, key: OperationId) -> Self {
        self.key = Some(key);
        self
    }

    /// The same request, which is given up after `time_left`, [`TIME_LEFT_MAX`] at most.
    #[must_use]
    pub fn within(mut self, time_left: Duration) -> Self {
        self.time_left = time_left.min(TIME_LEFT_MAX);
        self
    }

    /// The same request as part of a trace.
    #[must_use]
    pub fn traced(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_it_was_told() {
        let nonce = crate::Nonce::from_bytes([1; 16]);
        let run = |id: &str| {
            let node = crate::NodeId::new(id).unwrap();
            NodeIncarnation::new(node, crate::Incarnation { number: 1, nonce })
        };
        let fleet = FleetName::new("arena").unwrap();
        let plain = || PeerRequest::new(fleet.clone(), run("b"), Revision::default(), "x");
        assert_eq!(plain().time_left, Duration::from_secs(5));
        assert_eq!(
            (plain().from, plain().player, plain().key, plain().trace),
            (None, None, None, None)
        );
        let (player, key) = (PlayerId::new("ada").unwrap(), OperationId::from_bytes([2; 16]));
        let trace = TraceContext::new([3; 16], [4; 8]);
        let full = plain()
            .from(run("a"))
            .about(player.clone())
            .with_key(key)
            .traced(trace.clone());
        assert_eq!((full.from, full.player), (Some(run("a")), Some(player)));
        assert_eq!((full.key, full.trace), (Some(key), Some(trace)));
        for (asked, got) in [(0, 0), (7, 7), (60, 60), (61, 60)] {
            let request = plain().within(Duration::from_secs(asked));
            assert_eq!(request.time_left, Duration::from_secs(got));
            assert_eq!((request.target, &request.body[..]), (run("b"), &b"x"[..]));
        }
    }
}
