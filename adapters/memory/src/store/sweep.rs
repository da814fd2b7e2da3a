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
    /// left. Never of a take with limit 0, which only moves the clock on and tidies up.
    pub(crate) more: bool,
    /// Whether that is so although the limit was not reached.
    pub(crate) left: bool,
}

impl SessionPartition {
    /// Takes up to `limit` expired sessions, hides them from other takes for `visibility`, and
    /// forgets tombstones that are due. The numbers of all of them, and of those that are put in order, are
    /// bounded, so that no hold is long.
    pub(crate) fn take_expired(
        &mut self,
        time: Duration,
        limit: usize,
        visibility: Duration,
        token: Nonce,
    ) -> Swept {
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
            while swept.sessions.len() < limit.min(TAKEN_MAX)
                && let Some(place) = self.expiry.next(nanos(now))
            {
                let mut head = self.records.head(place);
                let take = Take { token, hidden_until };
                self.records.set_take(&mut head, Some(take));
                self.expiry.insert(place, &mut head, hidden_until, nanos(now));
                self.records.write(place, &head);
                let session = self.records.show(place, &head, now);
                swept
                    .sessions
                    .push((head.deadline, TakenSession::new(session, token)));
            }
            let is_due = self.expiry.has_next(nanos(now));
            swept.left |= is_due && swept.sessions.len() < limit;
            swept.more = is_due;
        }
        swept.more |= swept.left;
        swept.more &= limit > 0;
        swept.left &= limit > 0;
        swept
    }

    /// Ends a session that was taken, once its taker has done what an expiry asks for.
    pub(crate) fn ack_expired(&mut self, time: Duration, request: AckExpired) -> Result<()> {
        const ACK: &str = "ack_expired";
        let now = self.clock.advance(time);
        let AckExpired { id, token, .. } = request;
        let ending = Ending::Expired(token);
        let Some(place) = self.records.find(&id) else {
            return match self.tombstones.get(&id) {
                Some(known) if known == ending => Ok(()),
                Some(known) => Err(ended(ACK, &id, known.reason())),
                None => Err(not_found(ACK, &id)),
            };
        };
        let take = self.records.take(&self.records.head(place));
        if take.is_none_or(|take| take.token != token) {
            let context = format!("the token is void: session {id:?} was revived, or taken by another");
            return Err(Error::new(ErrorKind::Fenced, ACK, context));
        }
        self.end(place, ending, now);
        Ok(())
    }
}
