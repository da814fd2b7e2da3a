//! The writes to one session: save, touch, claim, remove, restore.

use std::time::Duration;

use ringhold_core::session::{
    ClaimSession, Claimed, EndReason, RemoveSession, Removed, RestoreSession, Restored, SaveSession, Saved,
    Touch, Touched,
};
use ringhold_core::{Error, ErrorKind, Fence, Result, Version};

use super::head::{Flags, Head};
use super::partition::SessionPartition;
use super::tombstone::Ending;

impl SessionPartition {
    /// Writes data and touches.
    ///
    /// The repetition of the last write is answered before its fence is looked at: that write has
    /// happened, also when the session went to another owner since.
    pub(crate) fn save(&mut self, time: Duration, request: &SaveSession) -> Result<Saved> {
        const SAVE: &str = "save";
        let now = self.clock.advance(time);
        let (place, mut head) = self.writable(SAVE, &request.id)?;
        let saved = self.records.extra(&head).and_then(|extra| extra.saved);
        if saved == Some(request.operation) {
            return Ok(Saved::new(head.version, 0));
        }
        if head.fence != request.fence {
            return Err(self.fenced(SAVE, &head));
        }
        check_version(SAVE, &head, request.version)?;
        head.version = request.version.next()?;
        self.records
            .change_extra(&mut head, |extra| extra.saved = Some(request.operation));
        self.extend(place, &mut head, request.ttl, now);
        let moved = self.records.set_data(place, &mut head, &request.data);
        if moved != place {
            self.expiry.replaced(place, moved, &head, head.deadline);
        }
        Ok(Saved::new(head.version, 0))
    }

    /// Extends, or shortens, the lives of sessions of this partition; answers in order.
    pub(crate) fn touch_many(&mut self, time: Duration, touches: &[Touch], answers: &mut Vec<Touched>) {
        let now = self.clock.advance(time);
        answers.extend(touches.iter().map(|touch| self.touch(touch, now)));
    }

    fn touch(&mut self, touch: &Touch, now: Duration) -> Touched {
        let Some(place) = self.records.find(&touch.id) else {
            return match self.tombstones.get(&touch.id) {
                Some(ending) => Touched::Ended(ending.reason()),
                None => Touched::NotFound,
            };
        };
        let mut head = self.records.head(place);
        if !head.flags.has(Flags::LINKED) {
            return Touched::Ended(EndReason::Displaced);
        }
        if head.fence != touch.fence {
            let owner = self.records.owner(&head).clone();
            return Touched::Fenced { owner };
        }
        self.extend(place, &mut head, touch.ttl, now);
        self.records.write(place, &head);
        Touched::Renewed
    }

    /// Changes the owner of what stands under the fence that the caller saw. A repetition revives
    /// what has expired since.
    pub(crate) fn claim(&mut self, time: Duration, request: &ClaimSession) -> Result<Claimed> {
        const CLAIM: &str = "claim";
        let now = self.clock.advance(time);
        let (place, mut head) = self.writable(CLAIM, &request.id)?;
        let repeated = head.fence.nonce == request.nonce && *self.records.owner(&head) == request.owner;
        if !repeated {
            if head.fence != request.seen {
                return Err(self.fenced(CLAIM, &head));
            }
            if let Some(version) = request.seen_version {
                check_version(CLAIM, &head, version)?;
            }
            self.end_login(&mut head, now);
            self.hand_to(&mut head, &request.owner, request.nonce);
        }
        if !repeated || !head.is_live(now) {
            self.extend(place, &mut head, request.ttl, now);
            self.records.write(place, &head);
        }
        Ok(Claimed::new(self.records.show(place, &head, now)))
    }

    /// Ends what stands under the caller's fence.
    pub(crate) fn remove(&mut self, time: Duration, request: &RemoveSession) -> Result<Removed> {
        const REMOVE: &str = "remove";
        let now = self.clock.advance(time);
        let ending = Ending::Removed(request.operation);
        if self.records.find(&request.id).is_none() && self.tombstones.get(&request.id) == Some(ending) {
            return Ok(Removed::default());
        }
        let (place, head) = self.writable(REMOVE, &request.id)?;
        if head.fence != request.fence {
            return Err(self.fenced(REMOVE, &head));
        }
        self.end(place, ending, now);
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
        match self.writable(RESTORE, &session.id) {
            Ok((place, mut head)) => {
                let own = head.fence == session.fence;
                let repeated = head.fence.nonce == nonce && *self.records.owner(&head) == session.owner;
                if !self.records.is_of(place, &session.player) || !(own || repeated) {
                    return Err(self.fenced(RESTORE, &head));
                }
                if !head.is_live(now) {
                    self.extend(place, &mut head, session.ttl, now);
                    self.records.write(place, &head);
                }
                return Ok(Restored::new(self.records.show(place, &head, now)));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.check_room(RESTORE)?;
        let linked = self.linked(&session.player, now);
        let live = linked.live.len();
        if live >= usize::from(live_max.max(1)) {
            let context = format!("player {:?} has {live} other live sessions", session.player);
            return Err(Error::new(ErrorKind::AlreadyExists, RESTORE, context));
        }
        self.unlink_expired(&linked.expired, now);
        let mut record = session;
        record.fence = Fence {
            epoch: record.fence.epoch.saturating_add(1),
            nonce,
        };
        let (place, head) = self.insert(&record, now);
        self.records.write(place, &head);
        Ok(Restored::new(self.records.show(place, &head, now)))
    }
}

fn check_version(operation: &'static str, head: &Head, seen: Version) -> Result<()> {
    let stands = head.version;
    if stands == seen {
        return Ok(());
    }
    let context = format!(
        "the data of session {:?} is at version {stands}, not {seen}",
        head.id
    );
    Err(Error::new(ErrorKind::VersionConflict, operation, context))
}
