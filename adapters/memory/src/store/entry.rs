//! One session as the store keeps it: the record, and what makes its writes idempotent.

use std::time::Duration;

use ringhold_core::session::{CreateOutcome, Created, Displaced};
use ringhold_core::{Fence, NodeIncarnation, Nonce, OperationId, SessionId, SessionRecord, Version};

/// The login that holds a session now, with its answer.
#[derive(Debug)]
pub(crate) struct Login {
    /// The id that the caller made for it. Where it is the session's own, the login made the
    /// session; otherwise it took the session over.
    pub(crate) id: SessionId,
    /// The holds that it ended.
    pub(crate) displaced: Vec<Displaced>,
}

/// A sweeper's hold on an expired session.
#[derive(Debug)]
pub(crate) struct Take {
    /// What an acknowledgement has to show.
    pub(crate) token: Nonce,
    /// When another sweeper may take it, on the partition's clock.
    pub(crate) hidden_until: Duration,
}

/// A session of a partition.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What readers see; `remaining` is filled in for each of them.
    pub(crate) record: SessionRecord,
    /// When it expires, on the partition's clock.
    pub(crate) deadline: Duration,
    /// Where its entry in the expiry index stands: never later than it is due.
    pub(crate) armed: Duration,
    /// Whether it is among its player's sessions. One that a later login has unlinked waits for
    /// its acknowledgement and cannot be revived.
    pub(crate) linked: bool,
    /// The login that holds it; none after a claim or a restoration.
    pub(crate) login: Option<Login>,
    /// The last write of data and its answer.
    pub(crate) saved: Option<(OperationId, Version)>,
    /// The sweeper that has it; void after a touch, a save or a claim.
    pub(crate) take: Option<Take>,
}

impl Entry {
    /// A new session that expires at `deadline`.
    pub(crate) fn new(record: SessionRecord, deadline: Duration, login: Option<Login>) -> Self {
        Self {
            record,
            deadline,
            armed: deadline,
            linked: true,
            login,
            saved: None,
            take: None,
        }
    }

    /// Whether readers see it.
    pub(crate) fn is_live(&self, now: Duration) -> bool {
        now < self.deadline
    }

    /// When a sweeper may take it.
    pub(crate) fn due(&self) -> Duration {
        self.take.as_ref().map_or(self.deadline, |take| take.hidden_until)
    }

    /// The record as a reader sees it at `now`.
    pub(crate) fn show(&self, now: Duration) -> SessionRecord {
        let mut record = self.record.clone();
        record.remaining = self.deadline.saturating_sub(now);
        record
    }

    /// Whether the login `id` is the one that holds the session.
    pub(crate) fn is_held_by(&self, id: &SessionId) -> bool {
        self.login.as_ref().is_some_and(|login| login.id == *id)
    }

    /// The answer to the login that holds the session once more; none where no login does.
    pub(crate) fn repeat(&self, now: Duration) -> Option<Created> {
        let login = self.login.as_ref()?;
        let outcome = if login.id == self.record.id {
            CreateOutcome::New
        } else {
            CreateOutcome::TakenOver
        };
        Some(Created::new(outcome, self.show(now), login.displaced.clone()))
    }

    /// Gives it to another owner, under the fence of the next epoch.
    pub(crate) fn hand_to(&mut self, owner: NodeIncarnation, nonce: Nonce) {
        let epoch = self.record.fence.epoch.saturating_add(1);
        self.record.owner = owner;
        self.record.fence = Fence { epoch, nonce };
    }
}
