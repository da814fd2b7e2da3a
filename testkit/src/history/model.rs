//! The sessions of one player, one operation after another: the rules of `SessionStore` with nothing
//! beside them. Nothing expires here, and tombstones stay.

use std::collections::BTreeMap;

use super::operation::{Answer, Call, End, Ended, Hold, Number, Refusal, Rule, Seen};

/// What a store holds of one player.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Player {
    /// In the order in which they were made.
    sessions: Vec<Session>,
    /// How sessions and logins ended.
    ended: BTreeMap<Number, Ending>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Session {
    seen: Seen,
    /// The login that holds it, and what it ended.
    login: Option<(Number, Vec<Ended>)>,
    /// The last write of data, and its version.
    saved: Option<(Number, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ending {
    /// Removed by this operation.
    Removed(Number),
    Displaced,
}

impl Session {
    fn hold(&self) -> Ended {
        let Seen {
            session,
            owner,
            fence,
            ..
        } = self.seen;
        Ended {
            session,
            owner,
            fence,
        }
    }

    fn is_held_by(&self, login: Number) -> bool {
        self.login.as_ref().is_some_and(|(holder, _)| *holder == login)
    }

    /// Whether the fence is one that this owner made with this nonce.
    fn is_of(&self, owner: Number, nonce: Number) -> bool {
        self.seen.owner == owner && self.seen.fence.nonce == nonce
    }
}

impl Player {
    /// Does what is asked, and answers as a store has to.
    pub(super) fn apply(&mut self, call: &Call) -> Answer {
        let answer = match call {
            Call::Create { .. } => self.create(call),
            Call::Get { session } => Ok(Answer::Got(self.position(*session).map(|at| self.show(at)))),
            Call::Find => {
                let all = self.sessions.iter().map(|session| session.seen.clone());
                Ok(Answer::Found(all.collect()))
            }
            Call::Save { .. } => self.save(call),
            Call::Touch { session, fence } => Ok(self.touch(*session, *fence)),
            Call::Claim { .. } => self.claim(call),
            Call::Remove {
                session,
                fence,
                operation,
            } => self.remove(*session, *fence, *operation),
            Call::Restore {
                known,
                nonce,
                live_max,
            } => self.restore(known, *nonce, *live_max),
        };
        answer.unwrap_or_else(Answer::Refused)
    }

    fn position(&self, session: Number) -> Option<usize> {
        self.sessions
            .iter()
            .position(|known| known.seen.session == session)
    }

    fn show(&self, at: usize) -> Seen {
        self.sessions[at].seen.clone()
    }

    /// Where the session is that a write means.
    fn writable(&self, session: Number) -> Result<usize, Refusal> {
        match self.position(session) {
            Some(at) => Ok(at),
            None if self.ended.contains_key(&session) => Err(Refusal::Fenced),
            None => Err(Refusal::NotFound),
        }
    }

    fn create(&mut self, call: &Call) -> Result<Answer, Refusal> {
        let Call::Create {
            session,
            owner,
            nonce,
            data,
            rule,
        } = *call
        else {
            unreachable!("called with a login");
        };
        if let Some(answer) = self.repeated(session, owner, nonce)? {
            return Ok(answer);
        }
        let live = self.sessions.len();
        let ending = match rule {
            Rule::Existing => {
                let own = |known: &&Session| known.seen.owner == owner;
                let own = self.sessions.iter().rfind(own);
                match own.or(self.sessions.last()) {
                    Some(known) => return Ok(Answer::Existing(known.seen.clone())),
                    None => 0,
                }
            }
            Rule::TakeOverOwn | Rule::TakeOverAnyones => {
                let mine = |known: &Session| rule == Rule::TakeOverAnyones || known.seen.owner == owner;
                if let Some(at) = self.sessions.iter().rposition(mine) {
                    return Ok(self.take_over(at, session, owner, nonce));
                }
                match self.sessions.last() {
                    Some(newest) => return Ok(Answer::Elsewhere(newest.seen.clone())),
                    None => 0,
                }
            }
            Rule::Reject if live > 0 => return Err(Refusal::AlreadyExists),
            Rule::Reject => 0,
            Rule::Replace => live,
            Rule::Allow(max) => (live + 1).saturating_sub(usize::from(max)),
        };
        let old: Vec<Session> = self.sessions.drain(..ending.min(live)).collect();
        for old in &old {
            self.bury(old, Ending::Displaced);
        }
        let ended: Vec<Ended> = old.iter().map(Session::hold).collect();
        let seen = Seen {
            session,
            owner,
            fence: Hold { epoch: 1, nonce },
            version: 1,
            data,
        };
        self.sessions.push(Session {
            seen: seen.clone(),
            login: Some((session, ended.clone())),
            saved: None,
        });
        Ok(Answer::New { session: seen, ended })
    }

    /// The answer to a login that was made before.
    fn repeated(&self, login: Number, owner: Number, nonce: Number) -> Result<Option<Answer>, Refusal> {
        let at = match self.position(login) {
            Some(at) if !self.sessions[at].is_held_by(login) => return Err(Refusal::Fenced),
            Some(at) => at,
            None if self.ended.contains_key(&login) => return Err(Refusal::Fenced),
            None => match self.sessions.iter().position(|known| known.is_held_by(login)) {
                Some(at) => at,
                None => return Ok(None),
            },
        };
        let known = &self.sessions[at];
        if !known.is_of(owner, nonce) {
            return Err(Refusal::AlreadyExists);
        }
        let ended = known
            .login
            .as_ref()
            .map(|(_, ended)| ended.clone())
            .unwrap_or_default();
        let session = known.seen.clone();
        Ok(Some(if session.session == login {
            Answer::New { session, ended }
        } else {
            Answer::TakenOver { session, ended }
        }))
    }

    fn take_over(&mut self, at: usize, login: Number, owner: Number, nonce: Number) -> Answer {
        let ended = vec![self.sessions[at].hold()];
        self.hand_to(at, owner, nonce);
        self.sessions[at].login = Some((login, ended.clone()));
        Answer::TakenOver {
            session: self.show(at),
            ended,
        }
    }

    /// Gives the session to another owner; the login that held it is over.
    fn hand_to(&mut self, at: usize, owner: Number, nonce: Number) {
        let known = &mut self.sessions[at];
        let login = known.login.take();
        known.seen.owner = owner;
        known.seen.fence = Hold {
            epoch: known.seen.fence.epoch + 1,
            nonce,
        };
        let session = known.seen.session;
        if let Some((login, _)) = login.filter(|(login, _)| *login != session) {
            self.ended.insert(login, Ending::Displaced);
        }
    }

    fn bury(&mut self, old: &Session, ending: Ending) {
        self.ended.insert(old.seen.session, ending);
        if let Some((login, _)) = &old.login {
            self.ended.insert(*login, ending);
        }
    }

    fn save(&mut self, call: &Call) -> Result<Answer, Refusal> {
        let Call::Save {
            session,
            fence,
            version,
            data,
            operation,
        } = *call
        else {
            unreachable!("called with a save");
        };
        let at = self.writable(session)?;
        let known = &mut self.sessions[at];
        if let Some((_, version)) = known.saved.filter(|(saved, _)| *saved == operation) {
            return Ok(Answer::Saved(version));
        }
        if known.seen.fence != fence {
            return Err(Refusal::Fenced);
        }
        if known.seen.version != version {
            return Err(Refusal::VersionConflict);
        }
        known.seen.version += 1;
        known.seen.data = data;
        known.saved = Some((operation, known.seen.version));
        Ok(Answer::Saved(known.seen.version))
    }

    fn touch(&self, session: Number, fence: Hold) -> Answer {
        match self.position(session).map(|at| &self.sessions[at].seen) {
            Some(seen) if seen.fence == fence => Answer::Touched,
            Some(seen) => Answer::HeldBy(seen.owner),
            None => match self.ended.get(&session) {
                Some(Ending::Removed(_)) => Answer::HasEnded(End::Removed),
                Some(Ending::Displaced) => Answer::HasEnded(End::Displaced),
                None => Answer::Refused(Refusal::NotFound),
            },
        }
    }

    fn claim(&mut self, call: &Call) -> Result<Answer, Refusal> {
        let Call::Claim {
            session,
            seen,
            version,
            owner,
            nonce,
        } = *call
        else {
            unreachable!("called with a claim");
        };
        let at = self.writable(session)?;
        let known = &self.sessions[at];
        if known.is_of(owner, nonce) {
            return Ok(Answer::Claimed(self.show(at)));
        }
        if known.seen.fence != seen {
            return Err(Refusal::Fenced);
        }
        if version.is_some_and(|version| known.seen.version != version) {
            return Err(Refusal::VersionConflict);
        }
        self.hand_to(at, owner, nonce);
        Ok(Answer::Claimed(self.show(at)))
    }

    fn remove(&mut self, session: Number, fence: Hold, operation: Number) -> Result<Answer, Refusal> {
        let ending = Ending::Removed(operation);
        if self.position(session).is_none() && self.ended.get(&session) == Some(&ending) {
            return Ok(Answer::Removed);
        }
        let at = self.writable(session)?;
        if self.sessions[at].seen.fence != fence {
            return Err(Refusal::Fenced);
        }
        let old = self.sessions.remove(at);
        self.bury(&old, ending);
        Ok(Answer::Removed)
    }

    fn restore(&mut self, known: &Seen, nonce: Number, live_max: u16) -> Result<Answer, Refusal> {
        match self.writable(known.session) {
            Ok(at) => {
                let stands = &self.sessions[at];
                if stands.seen.fence == known.fence || stands.is_of(known.owner, nonce) {
                    return Ok(Answer::Restored(self.show(at)));
                }
                return Err(Refusal::Fenced);
            }
            Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal),
        }
        if self.sessions.len() >= usize::from(live_max) {
            return Err(Refusal::AlreadyExists);
        }
        let mut seen = known.clone();
        seen.fence = Hold {
            epoch: known.fence.epoch + 1,
            nonce,
        };
        self.sessions.push(Session {
            seen: seen.clone(),
            login: None,
            saved: None,
        });
        Ok(Answer::Restored(seen))
    }
}
