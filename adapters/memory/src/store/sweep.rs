//! Expiring: sweepers take what is due, and acknowledge it.

use std::time::Duration;

use ringhold_core::session::{AckExpired, TakenSession};
use ringhold_core::{Error, ErrorKind, Nonce, Result};

use super::entry::Take;
use super::partition::{SessionPartition, ended, not_found};
use super::tombstone::Ending;

/// How many entries of the expiry index one take may arm anew beside those that it takes. It keeps
/// the time under the lock short where very many sessions of one partition were touched.
const REARMED_MAX: usize = 1_024;

/// How many tombstones one take may forget, to the same end.
pub(super) const PURGED_MAX: usize = 4_096;

/// What one take got from one partition.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// The longest expired first.
    pub(crate) sessions: Vec<TakenSession>,
    /// Whether another take has something to do at once: more that is due, or work that this one
    /// left. Never of a take with limit 0, which only moves the clock on and tidies up.
    pub(crate) more: bool,
}

impl SessionPartition {
    /// Takes up to `limit` expired sessions, hides them from other takes for `visibility`, and
    /// forgets tombstones that are due. O(log n) for each session that it takes or arms anew, O(1)
    /// for each tombstone; the numbers of all three are bounded.
    pub(crate) fn take_expired(
        &mut self,
        time: Duration,
        limit: usize,
        visibility: Duration,
        token: Nonce,
    ) -> Swept {
        let now = self.clock.advance(time);
        let mut swept = Swept {
            more: self.tombstones.purge(now, PURGED_MAX),
            ..Swept::default()
        };
        let mut rearmed = 0;
        while let Some((armed, id)) = self.expiry.first_armed(now) {
            let Some(entry) = self.sessions.get_mut(&id) else {
                // Cannot be, as an ended session takes its entry with it; going on is safe.
                self.expiry.remove(id, armed);
                continue;
            };
            if armed < entry.due() {
                if rearmed == REARMED_MAX {
                    swept.more = true;
                    break;
                }
                rearmed += 1;
                entry.armed = self.expiry.rearm(id, armed, entry.due());
                continue;
            }
            if swept.sessions.len() >= limit {
                swept.more = true;
                break;
            }
            let hidden_until = now.saturating_add(visibility);
            entry.take = Some(Take { token, hidden_until });
            entry.armed = self.expiry.rearm(id, armed, hidden_until);
            swept.sessions.push(TakenSession::new(entry.show(now), token));
        }
        swept.more &= limit > 0;
        // Those that come again are due by their visibility, not by their age.
        swept.sessions.sort_by_cached_key(|taken| {
            let id = taken.session.id;
            (self.sessions.get(&id).map(|entry| entry.deadline), id)
        });
        swept
    }

    /// Ends a session that was taken, once its taker has done what an expiry asks for.
    pub(crate) fn ack_expired(&mut self, time: Duration, request: AckExpired) -> Result<()> {
        const ACK: &str = "ack_expired";
        let now = self.clock.advance(time);
        let AckExpired { id, token, .. } = request;
        let ending = Ending::Expired(token);
        let Some(entry) = self.sessions.get(&id) else {
            return match self.tombstones.get(&id) {
                Some(known) if known == ending => Ok(()),
                Some(known) => Err(ended(ACK, &id, known.reason())),
                None => Err(not_found(ACK, &id)),
            };
        };
        if entry.take.as_ref().is_none_or(|take| take.token != token) {
            let context = format!("the token is void: session {id:?} was revived, or taken by another");
            return Err(Error::new(ErrorKind::Fenced, ACK, context));
        }
        self.end(&id, ending, now);
        Ok(())
    }
}
