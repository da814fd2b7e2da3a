//! The writes to one session: save, touch, claim, remove, restore.

use std::time::Duration;

use ringhold_core::session::{
    ClaimSession, Claimed, EndReason, RemoveSession, Removed, RestoreSession, Restored, SaveSession, Saved,
    Touch, Touched,
};
use ringhold_core::{Error, ErrorKind, Fence, Result, Version};

use super::entry::Entry;
use super::partition::{SessionPartition, end_login, extend, fenced, writable};
use super::tombstone::Ending;

impl SessionPartition {
    /// Writes data and touches.
    ///
    /// The repetition of the last write is answered before its fence is looked at: that write has
    /// happened, also when the session went to another owner since.
    pub(crate) fn save(&mut self, time: Duration, request: SaveSession) -> Result<Saved> {
        const SAVE: &str = "save";
        let now = self.clock.advance(time);
        let entry = writable(&mut self.sessions, &self.tombstones, SAVE, &request.id)?;
        if let Some((operation, version)) = entry.saved
            && operation == request.operation
        {
            return Ok(Saved::new(version, 0));
        }
        if entry.record.fence != request.fence {
            return Err(fenced(SAVE, entry));
        }
        check_version(SAVE, entry, request.version)?;
        let version = request.version.next()?;
        entry.record.version = version;
        entry.record.data = request.data;
        entry.saved = Some((request.operation, version));
        extend(&mut self.expiry, entry, request.ttl, now);
        Ok(Saved::new(version, 0))
    }

    /// Extends, or shortens, the lives of sessions of this partition; answers in order.
    pub(crate) fn touch_many(&mut self, time: Duration, touches: &[Touch], answers: &mut Vec<Touched>) {
        let now = self.clock.advance(time);
        answers.extend(touches.iter().map(|touch| self.touch(touch, now)));
    }

    fn touch(&mut self, touch: &Touch, now: Duration) -> Touched {
        match self.sessions.get_mut(&touch.id) {
            Some(entry) if !entry.linked => Touched::Ended(EndReason::Displaced),
            Some(entry) if entry.record.fence != touch.fence => Touched::Fenced {
                owner: entry.record.owner.clone(),
            },
            Some(entry) => {
                extend(&mut self.expiry, entry, touch.ttl, now);
                Touched::Renewed
            }
            None => match self.tombstones.get(&touch.id) {
                Some(ending) => Touched::Ended(ending.reason()),
                None => Touched::NotFound,
            },
        }
    }

    /// Changes the owner of what stands under the fence that the caller saw. A repetition revives
    /// what has expired since.
    pub(crate) fn claim(&mut self, time: Duration, request: ClaimSession) -> Result<Claimed> {
        const CLAIM: &str = "claim";
        let now = self.clock.advance(time);
        let entry = writable(&mut self.sessions, &self.tombstones, CLAIM, &request.id)?;
        if entry.record.fence.nonce == request.nonce && entry.record.owner == request.owner {
            if !entry.is_live(now) {
                extend(&mut self.expiry, entry, request.ttl, now);
            }
            return Ok(Claimed::new(entry.show(now)));
        }
        if entry.record.fence != request.seen {
            return Err(fenced(CLAIM, entry));
        }
        if let Some(version) = request.seen_version {
            check_version(CLAIM, entry, version)?;
        }
        end_login(&mut self.tombstones, entry, now);
        entry.hand_to(request.owner, request.nonce);
        extend(&mut self.expiry, entry, request.ttl, now);
        Ok(Claimed::new(entry.show(now)))
    }

    /// Ends what stands under the caller's fence.
    pub(crate) fn remove(&mut self, time: Duration, request: &RemoveSession) -> Result<Removed> {
        const REMOVE: &str = "remove";
        let now = self.clock.advance(time);
        let ending = Ending::Removed(request.operation);
        if !self.sessions.contains_key(&request.id) && self.tombstones.get(&request.id) == Some(ending) {
            return Ok(Removed::default());
        }
        let entry = writable(&mut self.sessions, &self.tombstones, REMOVE, &request.id)?;
        if entry.record.fence != request.fence {
            return Err(fenced(REMOVE, entry));
        }
        self.end(&request.id, ending, now);
        Ok(Removed::default())
    }

    /// Brings back what this partition knows nothing of, and revives what stands under the caller's
    /// own fence and has expired. The other expired sessions of the player are
    /// unlinked as by a login, so that none of them is revived beside this one.
    pub(crate) fn restore(&mut self, time: Duration, request: RestoreSession) -> Result<Restored> {
        const RESTORE: &str = "restore";
        let now = self.clock.advance(time);
        let RestoreSession {
            session,
            nonce,
            live_max,
            ..
        } = request;
        match writable(&mut self.sessions, &self.tombstones, RESTORE, &session.id) {
            Ok(entry) => {
                let own = entry.record.fence == session.fence;
                let repeated = entry.record.fence.nonce == nonce && entry.record.owner == session.owner;
                if entry.record.player == session.player && (own || repeated) {
                    if !entry.is_live(now) {
                        extend(&mut self.expiry, entry, session.ttl, now);
                    }
                    return Ok(Restored::new(entry.show(now)));
                }
                return Err(fenced(RESTORE, entry));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let live = self
            .linked(&session.player)
            .filter(|entry| entry.is_live(now))
            .count();
        if live >= usize::from(live_max.max(1)) {
            let context = format!("player {:?} has {live} other live sessions", session.player);
            return Err(Error::new(ErrorKind::AlreadyExists, RESTORE, context));
        }
        self.unlink_expired(&session.player, now);
        let deadline = now.saturating_add(session.ttl.duration());
        let mut record = session;
        record.fence = Fence {
            epoch: record.fence.epoch.saturating_add(1),
            nonce,
        };
        let entry = Entry::new(record, deadline, None);
        let restored = Restored::new(entry.show(now));
        self.insert(entry);
        Ok(restored)
    }
}

fn check_version(operation: &'static str, entry: &Entry, seen: Version) -> Result<()> {
    let stands = entry.record.version;
    if stands == seen {
        return Ok(());
    }
    let context = format!(
        "the data of session {:?} is at version {stands}, not {seen}",
        entry.record.id
    );
    Err(Error::new(ErrorKind::VersionConflict, operation, context))
}
