//! Taking what expired, and acknowledging it.

use std::time::Duration;

use super::{TakenSession, UnreadableSession};
use crate::{ErrorKind, Nonce, Partition, SessionId};

/// Takes expired sessions for a sweeper, and moves the clocks of the partitions on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakeExpired {
    /// Where to look.
    pub partitions: Vec<Partition>,
    /// The most sessions per partition; 0 only moves the clocks on.
    pub limit: u16,
    /// What an acknowledgement has to show. Drawn anew for each take: a token that is used again
    /// would make void ones valid.
    pub token: Nonce,
    visibility: Duration,
}

impl TakeExpired {
    /// The shortest visibility time: 1 s.
    pub const VISIBILITY_MIN: Duration = Duration::from_secs(1);
    /// The longest visibility time: 1 hour.
    pub const VISIBILITY_MAX: Duration = Duration::from_secs(3_600);

    /// Takes up to `limit` from each of `partitions`, hidden for 30 s.
    pub fn new(partitions: Vec<Partition>, limit: u16, token: Nonce) -> Self {
        Self {
            partitions,
            limit,
            visibility: Duration::from_secs(30),
            token,
        }
    }

    /// How long they are hidden from other takes.
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// The same take with another visibility time, 1 s to 1 h; what is out of range becomes the nearest.
    #[must_use]
    pub fn with_visibility(mut self, visibility: Duration) -> Self {
        self.visibility = visibility.clamp(Self::VISIBILITY_MIN, Self::VISIBILITY_MAX);
        self
    }
}

/// What a sweeper got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenSessions {
    /// Expired sessions, the longest expired of each partition first.
    pub sessions: Vec<TakenSession>,
    /// Expired records that cannot be read here; they are taken like others.
    pub unreadable: Vec<UnreadableSession>,
    /// Partitions that hold more than the limit let through, or where tidying up is left: take again.
    /// Never with a limit of 0.
    pub more: Vec<Partition>,
    /// Partitions that did not answer, while others did: try those again.
    pub failed: Vec<(Partition, ErrorKind)>,
}

/// Ends an expired session that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AckExpired {
    /// Which session.
    pub id: SessionId,
    /// The token of the take.
    pub token: Nonce,
}

impl AckExpired {
    /// Acknowledges the take of `id` with `token`.
    pub const fn new(id: SessionId, token: Nonce) -> Self {
        Self { id, token }
    }
}

/// The answer to an acknowledgement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acked {
    /// How many replicas acknowledged.
    pub replicated: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visibility_is_kept_within_its_limits() {
        let take = || TakeExpired::new(Vec::new(), 1, Nonce::from_bytes([1; 16]));
        let secs = Duration::from_secs;
        assert_eq!(take().visibility(), secs(30));
        for (asked, got) in [(secs(0), secs(1)), (secs(7), secs(7)), (secs(9_000), secs(3_600))] {
            assert_eq!(take().with_visibility(asked).visibility(), got);
        }
    }
}
