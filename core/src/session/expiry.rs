//! Requests to take expired sessions and to acknowledge them.

use std::time::Duration;

use super::{TakenSession, UnreadableSession};
use crate::{ErrorKind, Nonce, Partition, SessionId};

/// Takes expired sessions for a sweeper, and advances the clocks of the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakeExpired {
    /// The partitions to take from.
    pub partitions: Vec<Partition>,
    /// The most sessions per partition; 0 takes nothing and only advances the clocks.
    pub limit: u16,
    /// The token that an acknowledgement has to show. Each take needs a fresh one: a reused token would
    /// make void ones valid.
    pub token: Nonce,
    visibility: Duration,
    bytes_max: usize,
    deadline: Duration,
}

impl TakeExpired {
    /// The shortest visibility timeout: 1 s.
    pub const VISIBILITY_MIN: Duration = Duration::from_secs(1);
    /// The longest visibility timeout: 1 hour.
    pub const VISIBILITY_MAX: Duration = Duration::from_secs(3_600);

    /// Takes up to `limit` from each of `partitions`, hidden for 30 s, 8 MiB in all, and waits 5 s for each
    /// partition.
    pub const fn new(partitions: Vec<Partition>, limit: u16, token: Nonce) -> Self {
        Self {
            partitions,
            limit,
            token,
            visibility: Duration::from_secs(30),
            bytes_max: 8 << 20,
            deadline: Duration::from_secs(5),
        }
    }

    /// The visibility timeout: how long other takes do not see the sessions.
    pub const fn visibility(&self) -> Duration {
        self.visibility
    }

    /// The same take with another visibility timeout, 1 s to 1 h; a value out of range becomes the nearest
    /// in range.
    #[must_use]
    pub fn with_visibility(mut self, visibility: Duration) -> Self {
        self.visibility = in_range(visibility);
        self
    }

    /// The most bytes of session records in the answer, over all partitions. A record is at least as long
    /// as its data.
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The same take with another limit of bytes. A session that alone exceeds the limit is taken alone.
    #[must_use]
    pub const fn with_bytes_max(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// How long a partition may take to answer, where partitions are reached one by one
    /// ([`ClockScope::Partition`](crate::backend::ClockScope::Partition)).
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The same take with another deadline per partition.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

fn in_range(visibility: Duration) -> Duration {
    visibility.clamp(TakeExpired::VISIBILITY_MIN, TakeExpired::VISIBILITY_MAX)
}

/// The answer to a take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenSessions {
    /// Expired sessions, the longest expired of each partition first.
    pub sessions: Vec<TakenSession>,
    /// Expired records that cannot be read here; they are taken like others.
    pub unreadable: Vec<UnreadableSession>,
    /// Partitions from which another take may get sessions at once: this one reached a limit, or left
    /// index entries to tidy up.
    pub more: Vec<Partition>,
    /// Partitions that did not answer within the deadline, while others did.
    pub failed: Vec<(Partition, ErrorKind)>,
}

/// Acknowledges a taken session: ends it, or keeps it hidden for longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AckExpired {
    /// The session's id.
    pub id: SessionId,
    /// The token of the take.
    pub token: Nonce,
    hidden_for: Option<Duration>,
}

impl AckExpired {
    /// Ends the session `id`, which was taken with `token`.
    pub const fn new(id: SessionId, token: Nonce) -> Self {
        Self {
            id,
            token,
            hidden_for: None,
        }
    }

    /// Keeps the session `id`, which was taken with `token`, hidden from other takes for `duration` from
    /// now on, 1 s to 1 h; a value out of range becomes the nearest in range. A sweeper extends a take in
    /// this way while it works on the session, and postpones the next one after a failure.
    pub fn hide(id: SessionId, token: Nonce, duration: Duration) -> Self {
        Self {
            id,
            token,
            hidden_for: Some(in_range(duration)),
        }
    }

    /// How long the session stays hidden from now on; `None` ends it.
    pub const fn hidden_for(&self) -> Option<Duration> {
        self.hidden_for
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
    fn visibility_out_of_range_becomes_the_nearest_in_range() {
        let nonce = Nonce::from_bytes([1; 16]);
        let take = || TakeExpired::new(Vec::new(), 1, nonce);
        let id = SessionId::new(Partition::new(7).unwrap(), [2; 16]);
        let secs = Duration::from_secs;
        assert_eq!(take().visibility(), secs(30));
        assert_eq!(AckExpired::new(id, nonce).hidden_for(), None);
        for (asked, got) in [(secs(0), secs(1)), (secs(7), secs(7)), (secs(9_000), secs(3_600))] {
            assert_eq!(take().with_visibility(asked).visibility(), got);
            assert_eq!(AckExpired::hide(id, nonce, asked).hidden_for(), Some(got));
        }
    }

    #[test]
    fn a_take_has_8_mib_and_5_seconds_unless_set() {
        let take = TakeExpired::new(Vec::new(), 1, Nonce::from_bytes([1; 16]));
        assert_eq!(
            (take.bytes_max(), take.deadline()),
            (8 * 1_024 * 1_024, Duration::from_secs(5))
        );
        let take = take.with_bytes_max(9).with_deadline(Duration::from_millis(8));
        assert_eq!((take.bytes_max(), take.deadline()), (9, Duration::from_millis(8)));
    }
}
