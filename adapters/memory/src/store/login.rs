//! Logging in: the one write that looks at all sessions of a player.

use std::time::Duration;

use ringhold_core::session::{
    CreateOutcome, CreateSession, Created, Displaced, EndReason, OnExisting, TakeoverFrom,
};
use ringhold_core::{Error, ErrorKind, Result, SessionId, SessionRecord};

use super::entry::{Entry, Login};
use super::partition::{SessionPartition, end_login, ended, extend};

const CREATE: &str = "create";

impl SessionPartition {
    /// Logs a player in. O(sessions of the player).
    ///
    /// The request's id names the login. It is looked for first, in this order: as a session's id,
    /// among the tombstones, and as the login that holds one of the player's sessions.
    pub(crate) fn create(&mut self, time: Duration, request: CreateSession) -> Result<Created> {
        let now = self.clock.advance(time);
        if let Some(created) = self.repeated(&request, now)? {
            return Ok(created);
        }
        let live = self.linked_ids(&request.player, true, now);
        let ending = match request.on_existing {
            OnExisting::Takeover { from } => return self.take_over_or_insert(&live, from, request, now),
            OnExisting::Reject if live.is_empty() => 0,
            OnExisting::Reject => return Err(exists(&request, "has a live session")),
            OnExisting::Replace => live.len(),
            // The new one is among the `max` that may live.
            OnExisting::Allow { max } => (live.len() + 1).saturating_sub(usize::from(max.max(1))),
            _ => return Err(unknown_rule()),
        };
        let displaced = self.displace(&request.player, live.get(..ending).unwrap_or(&live), now);
        Ok(self.insert_new(request, displaced, now))
    }

    /// The answer to a login that was made before: once more while it holds, `Fenced` when it
    /// no longer does. Like any write of its owner it revives what has expired.
    ///
    /// The id alone proves nothing: the fence goes to nobody but the caller who made its nonce.
    fn repeated(&mut self, request: &CreateSession, now: Duration) -> Result<Option<Created>> {
        let CreateSession { id, player, .. } = request;
        // What stands counts before what has ended: the tombstone may be of another player's login, which
        // had the same id and took a session over.
        let standing = self.sessions.get(id);
        if let Some(ending) = self.tombstones.get(id).filter(|_| standing.is_none()) {
            return Err(ended(CREATE, id, ending.reason()));
        }
        let held = match standing {
            Some(entry) if entry.record.player != *player => {
                return Err(exists(
                    request,
                    "is refused: the session id belongs to another player",
                ));
            }
            Some(entry) if !entry.is_held_by(id) => return Err(ended(CREATE, id, EndReason::Displaced)),
            Some(_) => Some(*id),
            None => {
                let mut linked = self.linked(player);
                linked
                    .find(|entry| entry.is_held_by(id))
                    .map(|entry| entry.record.id)
            }
        };
        let Some(entry) = held.and_then(|known| self.sessions.get_mut(&known)) else {
            return Ok(None);
        };
        if entry.record.owner != request.owner || entry.record.fence.nonce != request.nonce {
            return Err(exists(
                request,
                "is refused: the session id is that of another login",
            ));
        }
        if !entry.is_live(now) {
            extend(&mut self.expiry, entry, request.ttl, now);
        }
        Ok(entry.repeat(now))
    }

    fn take_over_or_insert(
        &mut self,
        live: &[SessionId],
        from: TakeoverFrom,
        request: CreateSession,
        now: Duration,
    ) -> Result<Created> {
        let newest = || live.last().copied();
        let target = match from {
            TakeoverFrom::Anyone => newest(),
            TakeoverFrom::Own => {
                let mine = |id: &&SessionId| {
                    self.sessions
                        .get(*id)
                        .is_some_and(|entry| entry.record.owner == request.owner)
                };
                match live.iter().rev().find(mine) {
                    Some(id) => Some(*id),
                    // Nothing of the caller's: another's newest, if there is one, stays as it is.
                    None => match newest().and_then(|id| self.sessions.get(&id)) {
                        Some(entry) => {
                            let (outcome, session) = (CreateOutcome::Elsewhere, entry.show(now));
                            return Ok(Created::new(outcome, session, Vec::new()));
                        }
                        None => None,
                    },
                }
            }
            _ => return Err(unknown_rule()),
        };
        self.unlink_expired(&request.player, now);
        let Some(entry) = target.and_then(|id| self.sessions.get_mut(&id)) else {
            return Ok(self.insert_new(request, Vec::new(), now));
        };
        let displaced = vec![Displaced::from(&entry.record)];
        end_login(&mut self.tombstones, entry, now);
        entry.hand_to(request.owner, request.nonce);
        extend(&mut self.expiry, entry, request.ttl, now);
        entry.login = Some(Login {
            id: request.id,
            displaced: displaced.clone(),
        });
        Ok(Created::new(CreateOutcome::TakenOver, entry.show(now), displaced))
    }

    fn insert_new(&mut self, request: CreateSession, displaced: Vec<Displaced>, now: Duration) -> Created {
        self.unlink_expired(&request.player, now);
        let CreateSession {
            id,
            player,
            owner,
            nonce,
            ttl,
            data,
            ..
        } = request;
        let session = SessionRecord::new(id, player, owner, nonce, ttl, data);
        let login = Login {
            id,
            displaced: displaced.clone(),
        };
        self.insert(Entry::new(
            session.clone(),
            now.saturating_add(ttl.duration()),
            Some(login),
        ));
        Created::new(CreateOutcome::New, session, displaced)
    }
}

fn exists(request: &CreateSession, why: &str) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        CREATE,
        format!("player {:?} {why}", request.player),
    )
}

fn unknown_rule() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        CREATE,
        "this build does not know the rule for live sessions",
    )
}
