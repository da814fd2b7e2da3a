//! Logging in: the one write that looks at all sessions of a player.

use std::time::Duration;

use ringhold_core::session::{
    CreateOutcome, CreateSession, Created, Displaced, EndReason, OnExisting, TakeoverFrom,
};
use ringhold_core::{Error, ErrorKind, Fence, NodeIncarnation, Nonce, Result, SessionRecord};

use super::entry::Login;
use super::head::{Flags, Head};
use super::pages::Place;
use super::partition::{Linked, SessionPartition, ended};

const CREATE: &str = "create";

impl SessionPartition {
    /// Logs a player in. O(sessions of the player).
    ///
    /// The request's id names the login. It is looked for first, in this order: as a session's id,
    /// among the tombstones, and as the login that holds one of the player's sessions.
    pub(crate) fn create(&mut self, time: Duration, request: CreateSession) -> Result<Created> {
        let now = self.clock.advance(time);
        let linked = self.linked(&request.player, now);
        if let Some(created) = self.repeated(&request, &linked, now)? {
            return Ok(created);
        }
        let live = &linked.live;
        let ending = match request.on_existing {
            OnExisting::Existing => match self.own_or_newest(live, &request.owner) {
                Some(place) => return Ok(self.untouched(CreateOutcome::Existing, place, now)),
                None => 0,
            },
            OnExisting::Takeover { from } => return self.take_over_or_insert(&linked, from, request, now),
            OnExisting::Reject if live.is_empty() => 0,
            OnExisting::Reject => return Err(exists(&request, "has a live session")),
            OnExisting::Replace => live.len(),
            // The new one is among the `max` that may live.
            OnExisting::Allow { max } => (live.len() + 1).saturating_sub(usize::from(max.max(1))),
            _ => return Err(unknown_rule()),
        };
        // What ends makes room.
        if ending == 0 {
            self.check_room(CREATE)?;
        }
        let displaced = self.displace(live.get(..ending).unwrap_or(live), now);
        self.unlink_expired(&linked.expired, now);
        Ok(self.insert_new(request, displaced, now))
    }

    /// The answer to a login that was made before: once more while it holds, `Fenced` when it
    /// no longer does. Like any write of its owner it revives what has expired.
    ///
    /// The id alone proves nothing: the fence goes to nobody but the caller who made its nonce.
    fn repeated(
        &mut self,
        request: &CreateSession,
        linked: &Linked,
        now: Duration,
    ) -> Result<Option<Created>> {
        let CreateSession { id, player, .. } = request;
        // What stands counts before what has ended: the tombstone may be of another player's login, which
        // had the same id and took a session over.
        let standing = self
            .records
            .find(id)
            .map(|place| (place, self.records.head(place)));
        let known = match standing {
            Some((place, _)) if !self.records.is_of(place, player) => {
                return Err(exists(
                    request,
                    "is refused: the session id belongs to another player",
                ));
            }
            Some((_, head)) if !self.records.is_held_by(&head, id) => {
                return Err(ended(CREATE, id, EndReason::Displaced));
            }
            Some(standing) => Some(standing),
            None => {
                if let Some(ending) = self.tombstones.get(id) {
                    return Err(ended(CREATE, id, ending.reason()));
                }
                let places = linked.expired.iter().chain(&linked.live);
                let mut linked = places.map(|place| (*place, self.records.head(*place)));
                linked.find(|(_, head)| self.records.is_held_by(head, id))
            }
        };
        let Some((place, mut head)) = known else {
            return Ok(None);
        };
        if *self.records.owner(&head) != request.owner || head.fence.nonce != request.nonce {
            return Err(exists(
                request,
                "is refused: the session id is that of another login",
            ));
        }
        if !head.is_live(now) {
            self.extend(place, &mut head, request.ttl, now);
            self.records.write(place, &head);
        }
        Ok(Some(self.repeat(place, &head, now)))
    }

    /// The answer to the login that holds the session once more.
    fn repeat(&self, place: Place, head: &Head, now: Duration) -> Created {
        let login = self.records.login(head);
        let outcome = match login {
            Some(login) if login.id != head.id => CreateOutcome::TakenOver,
            _ => CreateOutcome::New,
        };
        let displaced = login.map(|login| login.displaced.clone());
        Created::new(
            outcome,
            self.records.show(place, head, now),
            displaced.unwrap_or_default(),
        )
    }

    fn take_over_or_insert(
        &mut self,
        linked: &Linked,
        from: TakeoverFrom,
        request: CreateSession,
        now: Duration,
    ) -> Result<Created> {
        let target = match from {
            TakeoverFrom::Anyone => linked.live.last().copied(),
            TakeoverFrom::Own => match self.own_or_newest(&linked.live, &request.owner) {
                Some(place) if !self.is_of_owner(place, &request.owner) => {
                    return Ok(self.untouched(CreateOutcome::Elsewhere, place, now));
                }
                own => own,
            },
            _ => return Err(unknown_rule()),
        };
        if target.is_none() {
            self.check_room(CREATE)?;
        }
        self.unlink_expired(&linked.expired, now);
        let Some(place) = target else {
            return Ok(self.insert_new(request, Vec::new(), now));
        };
        let mut head = self.records.head(place);
        let displaced = vec![self.hold(&head)];
        self.end_login(&mut head, now);
        self.hand_to(&mut head, &request.owner, request.nonce);
        self.extend(place, &mut head, request.ttl, now);
        let login = Login {
            id: request.id,
            displaced: displaced.clone(),
        };
        self.records.set_login(&mut head, login);
        self.records.write(place, &head);
        let session = self.records.show(place, &head, now);
        Ok(Created::new(CreateOutcome::TakenOver, session, displaced))
    }

    /// The owner's newest among these sessions, otherwise the newest of all.
    fn own_or_newest(&self, live: &[Place], owner: &NodeIncarnation) -> Option<Place> {
        let own = live.iter().rev().find(|place| self.is_of_owner(**place, owner));
        own.or(live.last()).copied()
    }

    fn is_of_owner(&self, place: Place, owner: &NodeIncarnation) -> bool {
        self.records.owner(&self.records.head(place)) == owner
    }

    /// The answer to a login that changes nothing.
    fn untouched(&self, outcome: CreateOutcome, place: Place, now: Duration) -> Created {
        let session = self.records.show(place, &self.records.head(place), now);
        Created::new(outcome, session, Vec::new())
    }

    /// Gives a session to another owner, under the fence of the next epoch. The caller writes `head`.
    pub(super) fn hand_to(&mut self, head: &mut Head, owner: &NodeIncarnation, nonce: Nonce) {
        self.records.set_owner(head, owner);
        let epoch = head.fence.epoch.saturating_add(1);
        head.fence = Fence { epoch, nonce };
    }

    fn insert_new(&mut self, request: CreateSession, displaced: Vec<Displaced>, now: Duration) -> Created {
        let CreateSession {
            id,
            player,
            owner,
            nonce,
            ttl,
            data,
            ..
        } = request;
        let mut session = SessionRecord::new(id, player, owner, nonce, ttl, data);
        let (place, mut head) = self.insert(&session, now);
        if displaced.is_empty() {
            head.flags.set(Flags::MADE, true);
        } else {
            let displaced = displaced.clone();
            self.records.set_login(&mut head, Login { id, displaced });
        }
        self.records.write(place, &head);
        // The caller's bytes may be a part of a large buffer, which an answer would keep.
        session.data = self.records.data(place, &head);
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
