//! A store as its contract reads: a list of stays, searched from end to end.

use std::collections::BTreeMap;
use std::time::Duration;

use ringhold_core::ErrorKind::{AlreadyExists, Fenced, NotFound, VersionConflict};
use ringhold_core::session::{
    AckExpired, ClaimSession, CreateOutcome, CreateSession, Created, Displaced, EndReason, OnExisting,
    RemoveSession, RestoreSession, SaveSession, TOMBSTONE_TTL, TakeExpired, TakeoverFrom, Touch, Touched,
};
use ringhold_core::{
    ErrorKind, Fence, Limits, NodeIncarnation, Nonce, OperationId, PlayerId, SessionId, SessionRecord, Ttl,
    Version,
};

/// An answer, or the kind of the refusal.
pub(super) type Answer<T> = Result<T, ErrorKind>;

/// The most that one write moves a partition's clock.
const CAP: Duration = Duration::from_secs(3);

/// One partition.
pub(super) struct Model {
    limits: Limits,
    now: Duration,
    last: Duration,
    /// In the order in which they were made.
    stays: Vec<Stay>,
    graves: BTreeMap<SessionId, (Ending, Duration)>,
}

struct Stay {
    record: SessionRecord,
    deadline: Duration,
    /// No later login has put it aside.
    linked: bool,
    login: Option<(SessionId, Vec<Displaced>)>,
    saved: Option<(OperationId, Version)>,
    /// The token, and when it comes again.
    take: Option<(Nonce, Duration)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Removed(OperationId),
    Displaced,
    Expired(Nonce),
}

impl Ending {
    fn reason(self) -> EndReason {
        match self {
            Self::Removed(_) => EndReason::Removed,
            Self::Displaced => EndReason::Displaced,
            Self::Expired(_) => EndReason::Expired,
        }
    }
}

impl Stay {
    fn is_live(&self, now: Duration) -> bool {
        now < self.deadline
    }

    fn due(&self) -> Duration {
        self.take.map_or(self.deadline, |(_, hidden_until)| hidden_until)
    }

    fn show(&self, now: Duration) -> SessionRecord {
        let mut record = self.record.clone();
        record.remaining = self.deadline.saturating_sub(now);
        record
    }

    fn extend(&mut self, ttl: Ttl, now: Duration) {
        self.record.ttl = ttl;
        self.deadline = now + ttl.duration();
        self.take = None;
    }

    /// What a repetition does: it lets an expired one live again.
    fn revive(&mut self, ttl: Ttl, now: Duration) {
        if !self.is_live(now) {
            self.extend(ttl, now);
        }
    }

    fn hand_to(&mut self, owner: &NodeIncarnation, nonce: Nonce) {
        let epoch = self.record.fence.epoch + 1;
        self.record.owner = owner.clone();
        self.record.fence = Fence { epoch, nonce };
    }

    /// The login that holds it counts no more. What is to be buried of it.
    fn end_login(&mut self) -> Option<SessionId> {
        let (login, _) = self.login.take()?;
        (login != self.record.id).then_some(login)
    }
}

impl Model {
    pub(super) fn new(limits: Limits, time: Duration) -> Self {
        Self {
            limits,
            now: Duration::ZERO,
            last: time,
            stays: Vec::new(),
            graves: BTreeMap::new(),
        }
    }

    fn read(&self, time: Duration) -> Duration {
        self.now + time.saturating_sub(self.last).min(CAP)
    }

    fn advance(&mut self, time: Duration) -> Duration {
        self.now = self.read(time);
        self.last = time;
        self.now
    }

    /// The fence under which a session stands.
    pub(super) fn fence(&self, id: &SessionId) -> Option<Fence> {
        self.stay(id).map(|stay| stay.record.fence)
    }

    /// The version of a session's data.
    pub(super) fn version(&self, id: &SessionId) -> Option<Version> {
        self.stay(id).map(|stay| stay.record.version)
    }

    /// The token of the last take of a session.
    pub(super) fn token(&self, id: &SessionId) -> Option<Nonce> {
        self.stay(id).and_then(|stay| stay.take).map(|(token, _)| token)
    }

    pub(super) fn get(&self, time: Duration, id: &SessionId) -> Option<SessionRecord> {
        let now = self.read(time);
        let stay = self.stay(id).filter(|stay| stay.is_live(now))?;
        Some(stay.show(now))
    }

    pub(super) fn find(&self, time: Duration, player: &PlayerId) -> Vec<SessionRecord> {
        let now = self.read(time);
        let mine = self.stays.iter().filter(|stay| stay.record.player == *player);
        mine.filter(|stay| stay.linked && stay.is_live(now))
            .map(|stay| stay.show(now))
            .collect()
    }

    pub(super) fn live(&self, time: Duration) -> Vec<SessionRecord> {
        let now = self.read(time);
        let live = self.stays.iter().filter(|stay| stay.is_live(now));
        live.map(|stay| stay.show(now)).collect()
    }

    pub(super) fn create(&mut self, time: Duration, request: &CreateSession) -> Answer<Created> {
        request.check(&self.limits).map_err(|error| error.kind())?;
        let now = self.advance(time);
        if let Some(held) = self.held_by_login(request)? {
            let stay = &mut self.stays[held];
            if stay.record.owner != request.owner || stay.record.fence.nonce != request.nonce {
                return Err(AlreadyExists);
            }
            stay.revive(request.ttl, now);
            let (login, displaced) = stay.login.clone().expect("a login holds it");
            let outcome = if login == stay.record.id {
                CreateOutcome::New
            } else {
                CreateOutcome::TakenOver
            };
            return Ok(Created::new(outcome, stay.show(now), displaced));
        }
        let live: Vec<usize> = (0..self.stays.len())
            .filter(|index| {
                let stay = &self.stays[*index];
                stay.linked && stay.is_live(now) && stay.record.player == request.player
            })
            .collect();
        let own = |index: &&usize| self.stays[**index].record.owner == request.owner;
        let ending = match request.on_existing {
            OnExisting::Existing => match live.iter().rev().find(own).or(live.last()) {
                Some(index) => {
                    let session = self.stays[*index].show(now);
                    return Ok(Created::new(CreateOutcome::Existing, session, Vec::new()));
                }
                None => 0,
            },
            OnExisting::Takeover { from } => {
                let target = match from {
                    TakeoverFrom::Own => live.iter().rev().find(own),
                    _ => live.last(),
                };
                match (target, live.last()) {
                    (Some(target), _) => return Ok(self.take_over(*target, request, now)),
                    (None, Some(newest)) => {
                        let session = self.stays[*newest].show(now);
                        return Ok(Created::new(CreateOutcome::Elsewhere, session, Vec::new()));
                    }
                    (None, None) => 0,
                }
            }
            OnExisting::Reject if !live.is_empty() => return Err(AlreadyExists),
            OnExisting::Replace => live.len(),
            OnExisting::Allow { max } => (live.len() + 1).saturating_sub(max.into()),
            _ => 0,
        };
        let ids: Vec<SessionId> = live[..ending]
            .iter()
            .map(|index| self.stays[*index].record.id)
            .collect();
        let ended = ids.iter().map(|id| self.end(id, Ending::Displaced, now));
        let displaced: Vec<Displaced> = ended.collect();
        self.put_aside_expired(&request.player, now);
        let CreateSession {
            id,
            player,
            owner,
            nonce,
            ttl,
            data,
            ..
        } = request.clone();
        let record = SessionRecord::new(id, player, owner, nonce, ttl, data);
        self.insert(record.clone(), Some((id, displaced.clone())), now);
        Ok(Created::new(CreateOutcome::New, record, displaced))
    }

    /// The session that this very login holds already.
    fn held_by_login(&self, request: &CreateSession) -> Answer<Option<usize>> {
        let holds = |stay: &Stay| stay.login.as_ref().is_some_and(|(login, _)| *login == request.id);
        let standing = self.stays.iter().position(|stay| stay.record.id == request.id);
        if let Some(index) = standing {
            let stay = &self.stays[index];
            return match stay.record.player == request.player {
                false => Err(AlreadyExists),
                true if holds(stay) => Ok(Some(index)),
                true => Err(Fenced),
            };
        }
        if self.graves.contains_key(&request.id) {
            return Err(Fenced);
        }
        let mine = |stay: &Stay| stay.linked && stay.record.player == request.player;
        Ok(self.stays.iter().position(|stay| mine(stay) && holds(stay)))
    }

    fn take_over(&mut self, index: usize, request: &CreateSession, now: Duration) -> Created {
        self.put_aside_expired(&request.player, now);
        let displaced = vec![Displaced::from(&self.stays[index].record)];
        let login = self.stays[index].end_login();
        self.bury(login, Ending::Displaced, now);
        let stay = &mut self.stays[index];
        stay.hand_to(&request.owner, request.nonce);
        stay.extend(request.ttl, now);
        stay.login = Some((request.id, displaced.clone()));
        Created::new(CreateOutcome::TakenOver, stay.show(now), displaced)
    }

    pub(super) fn save(&mut self, time: Duration, request: &SaveSession) -> Answer<Version> {
        request.check(&self.limits).map_err(|error| error.kind())?;
        let now = self.advance(time);
        let stay = self.writable(&request.id)?;
        if let Some((operation, version)) = stay.saved
            && operation == request.operation
        {
            return Ok(version);
        }
        if stay.record.fence != request.fence {
            return Err(Fenced);
        }
        if stay.record.version != request.version {
            return Err(VersionConflict);
        }
        let version = Version::new(request.version.get() + 1);
        stay.record.version = version;
        stay.record.data = request.data.clone();
        stay.saved = Some((request.operation, version));
        stay.extend(request.ttl, now);
        Ok(version)
    }

    pub(super) fn touch(&mut self, time: Duration, touch: &Touch) -> Touched {
        let now = self.advance(time);
        let grave = self.graves.get(&touch.id).map(|(ending, _)| ending.reason());
        match self.stay_mut(&touch.id) {
            Some(stay) if !stay.linked => Touched::Ended(EndReason::Displaced),
            Some(stay) if stay.record.fence != touch.fence => Touched::Fenced {
                owner: stay.record.owner.clone(),
            },
            Some(stay) => {
                stay.extend(touch.ttl, now);
                Touched::Renewed
            }
            None => grave.map_or(Touched::NotFound, Touched::Ended),
        }
    }

    pub(super) fn claim(&mut self, time: Duration, request: &ClaimSession) -> Answer<SessionRecord> {
        let now = self.advance(time);
        let stay = self.writable(&request.id)?;
        if stay.record.fence.nonce == request.nonce && stay.record.owner == request.owner {
            stay.revive(request.ttl, now);
            return Ok(stay.show(now));
        }
        if stay.record.fence != request.seen {
            return Err(Fenced);
        }
        if request
            .seen_version
            .is_some_and(|seen| seen != stay.record.version)
        {
            return Err(VersionConflict);
        }
        stay.hand_to(&request.owner, request.nonce);
        stay.extend(request.ttl, now);
        let (login, session) = (stay.end_login(), stay.show(now));
        self.bury(login, Ending::Displaced, now);
        Ok(session)
    }

    pub(super) fn remove(&mut self, time: Duration, request: &RemoveSession) -> Answer<()> {
        let now = self.advance(time);
        let ending = Ending::Removed(request.operation);
        let grave = self.graves.get(&request.id).map(|(known, _)| *known);
        if self.stay(&request.id).is_none() && grave == Some(ending) {
            return Ok(());
        }
        if self.writable(&request.id)?.record.fence != request.fence {
            return Err(Fenced);
        }
        self.end(&request.id, ending, now);
        Ok(())
    }

    pub(super) fn restore(&mut self, time: Duration, request: &RestoreSession) -> Answer<SessionRecord> {
        request.check(&self.limits).map_err(|error| error.kind())?;
        let now = self.advance(time);
        let asked = &request.session;
        match self.writable(&asked.id) {
            Ok(stay) => {
                let known = &stay.record;
                let own = known.fence == asked.fence;
                let repeated = known.fence.nonce == request.nonce && known.owner == asked.owner;
                if known.player != asked.player || !(own || repeated) {
                    return Err(Fenced);
                }
                stay.revive(asked.ttl, now);
                return Ok(stay.show(now));
            }
            Err(NotFound) => {}
            Err(kind) => return Err(kind),
        }
        if self.find(time, &asked.player).len() >= usize::from(request.live_max) {
            return Err(AlreadyExists);
        }
        self.put_aside_expired(&asked.player, now);
        let mut record = asked.clone();
        record.fence = Fence {
            epoch: asked.fence.epoch + 1,
            nonce: request.nonce,
        };
        record.remaining = record.ttl.duration();
        self.insert(record.clone(), None, now);
        Ok(record)
    }

    /// What is taken, and whether there is more.
    pub(super) fn take(&mut self, time: Duration, request: &TakeExpired) -> (Vec<SessionRecord>, bool) {
        let now = self.advance(time);
        self.graves.retain(|_, (_, until)| now < *until);
        let mut due: Vec<_> = self.stays.iter_mut().filter(|stay| stay.due() <= now).collect();
        due.sort_by_key(|stay| (stay.due(), stay.record.id));
        let more = due.len() > request.limit.into();
        due.truncate(request.limit.into());
        for stay in &mut due {
            stay.take = Some((request.token, now + request.visibility()));
        }
        due.sort_by_key(|stay| (stay.deadline, stay.record.id));
        (due.into_iter().map(|stay| stay.show(now)).collect(), more)
    }

    pub(super) fn ack(&mut self, time: Duration, request: &AckExpired) -> Answer<()> {
        let now = self.advance(time);
        let ending = Ending::Expired(request.token);
        match self.stay_mut(&request.id) {
            Some(stay) if stay.take.is_some_and(|(token, _)| token == request.token) => {
                match request.hidden_for() {
                    Some(duration) => stay.take = Some((request.token, now + duration)),
                    None => {
                        self.end(&request.id, ending, now);
                    }
                }
                Ok(())
            }
            Some(_) => Err(Fenced),
            None => match self.graves.get(&request.id) {
                Some((known, _)) if *known == ending && request.hidden_for().is_none() => Ok(()),
                Some(_) => Err(Fenced),
                None => Err(NotFound),
            },
        }
    }

    fn stay(&self, id: &SessionId) -> Option<&Stay> {
        self.stays.iter().find(|stay| stay.record.id == *id)
    }

    fn stay_mut(&mut self, id: &SessionId) -> Option<&mut Stay> {
        self.stays.iter_mut().find(|stay| stay.record.id == *id)
    }

    fn writable(&mut self, id: &SessionId) -> Answer<&mut Stay> {
        let unknown = if self.graves.contains_key(id) {
            Fenced
        } else {
            NotFound
        };
        match self.stay_mut(id) {
            Some(stay) if stay.linked => Ok(stay),
            Some(_) => Err(Fenced),
            None => Err(unknown),
        }
    }

    fn insert(&mut self, record: SessionRecord, login: Option<(SessionId, Vec<Displaced>)>, now: Duration) {
        let deadline = now + record.ttl.duration();
        self.stays.push(Stay {
            record,
            deadline,
            linked: true,
            login,
            saved: None,
            take: None,
        });
    }

    /// Takes a session out; its own tombstone and its login's stay.
    fn end(&mut self, id: &SessionId, ending: Ending, now: Duration) -> Displaced {
        let index = self.stays.iter().position(|stay| stay.record.id == *id);
        let mut stay = self.stays.remove(index.expect("only what stands is ended"));
        self.bury([*id], ending, now);
        self.bury(stay.end_login(), ending, now);
        Displaced::from(&stay.record)
    }

    fn bury(&mut self, ids: impl IntoIterator<Item = SessionId>, ending: Ending, now: Duration) {
        let graves = ids.into_iter().map(|id| (id, (ending, now + TOMBSTONE_TTL)));
        self.graves.extend(graves);
    }

    /// A login or a restoration leaves no expired session that could come back beside it.
    fn put_aside_expired(&mut self, player: &PlayerId, now: Duration) {
        let mut logins = Vec::new();
        for stay in &mut self.stays {
            if stay.linked && !stay.is_live(now) && stay.record.player == *player {
                stay.linked = false;
                logins.extend(stay.end_login());
            }
        }
        self.bury(logins, Ending::Displaced, now);
    }
}
