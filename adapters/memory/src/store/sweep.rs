//! Expiring: sweepers take what is due, and acknowledge it.

use std::time::Duration;

use ringhold_core::session::{AckExpired, TakenSession};
use ringhold_core::{Error, ErrorKind, Nonce, Result};

use super::entry::Take;
use super::head::nanos;
use super::partition::{SessionPartition, ended, not_found};
use super::tombstone::Ending;

/// How many sessions one hold of the lock takes, at most. So holds last some microseconds, and whoever reads the very
/// partition that is swept waits no longer.
pub(super) const TAKEN_MAX: usize = 16;

/// How many whose tick has come it puts in order or arms anew.
pub(super) const SORTED_MAX: usize = 64;

/// How many tombstones it forgets.
pub(super) const PURGED_MAX: usize = 128;

/// What one hold of a partition's lock got from it.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// What was taken, each with the time at which it expired; the first that are due, first.
    pub(crate) sessions: Vec<(u64, TakenSession)>,
    /// Whether another take has something to do at once: more that is due, or work that this one
    /// left.
    pub(crate) more: bool,
    /// Whether that is so although no limit was reached. Never of a take with limit 0.
    pub(crate) left: bool,
}

/// The capacity of an answer that is not used yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    /// How many more sessions of this partition.
    pub(crate) sessions: usize,
    /// How many more bytes.
    pub(crate) bytes: usize,
    /// Whether the answer is empty: its first session may be longer than all bytes.
    pub(crate) is_empty: bool,
}

impl Capacity {
    fn admits(&self, bytes: usize) -> bool {
        self.sessions > 0 && (self.is_empty || bytes <= self.bytes)
    }

    fn admit(&mut self, bytes: usize) {
        self.sessions -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_empty = false;
    }
}

impl SessionPartition {
    /// Takes as many expired sessions as there is capacity for, hides them from other takes for
    /// `visibility`, and forgets tombstones that are due. The numbers of all of them, and of those that are put in order, are
    /// bounded, so that no hold is long.
    pub(crate) fn take_expired(
        &mut self,
        time: Duration,
        capacity: &mut Capacity,
        visibility: Duration,
        token: Nonce,
    ) -> Swept {
        let takes = capacity.sessions > 0;
        let now = self.clock.advance(time);
        let hidden_until = nanos(now.saturating_add(visibility));
        let mut swept = Swept {
            left: self.tombstones.purge(now, PURGED_MAX),
            ..Swept::default()
        };
        // None is taken before all that are due are in order.
        if self.expiry.sort(&mut self.records, nanos(now), SORTED_MAX) {
            swept.left = true;
        } else {
            let mut is_full = capacity.sessions == 0;
            while swept.sessions.len() < TAKEN_MAX
                && let Some(place) = self.expiry.first(nanos(now))
            {
                let mut head = self.records.head(place);
                let bytes = self.records.len_of(&head);
                is_full = !capacity.admits(bytes);
                if is_full {
                    break;
                }
                capacity.admit(bytes);
                let due = self.records.due(&head);
                self.expiry.remove(&mut self.records, place, &head, due);
                let take = Take { token, hidden_until };
                self.records.set_take(&mut head, Some(take));
                self.expiry.insert(place, &mut head, hidden_until, nanos(now));
                self.records.write(place, &head);
                let session = self.records.show(place, &head, now);
                swept
                    .sessions
                    .push((head.deadline, TakenSession::new(session, token)));
            }
            let is_due = self.expiry.first(nanos(now)).is_some();
            swept.left |= is_due && !is_full;
            swept.more = is_due;
        }
        swept.more |= swept.left;
        swept.left &= takes;
        swept
    }

    /// Ends a session that was taken, or keeps it hidden for longer.
    pub(crate) fn ack_expired(&mut self, time: Duration, request: AckExpired) -> Result<()> {
        const ACK: &str = "ack_expired";
        let now = self.clock.advance(time);
        let AckExpired { id, token, .. } = request;
        let ending = Ending::Expired(token);
        let Some(place) = self.records.find(&id) else {
            return match self.tombstones.get(&id) {
                Some(known) if known == ending && request.hidden_for().is_none() => Ok(()),
                Some(known) => Err(ended(ACK, &id, known.reason())),
                None => Err(not_found(ACK, &id)),
            };
        };
        let mut head = self.records.head(place);
        let take = self.records.take(&head);
        if take.is_none_or(|take| take.token != token) {
            let context = format!("the token is void: session {id:?} was revived, or taken by another");
            return Err(Error::new(ErrorKind::Fenced, ACK, context));
        }
        let Some(hidden_for) = request.hidden_for() else {
            self.end(place, ending, now);
            return Ok(());
        };
        let hidden_until = nanos(now.saturating_add(hidden_for));
        let due = (self.records.due(&head), hidden_until);
        self.records
            .set_take(&mut head, Some(Take { token, hidden_until }));
        self.expiry
            .moved(&mut self.records, (place, &mut head), due, nanos(now));
        self.records.write(place, &head);
        Ok(())
    }
}
