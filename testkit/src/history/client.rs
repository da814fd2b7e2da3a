//! One client: asks a store about one player's sessions, and writes down what it asked and was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringhold_core::session::{
    ClaimSession, CreateOutcome, CreateSession, EndReason, RemoveSession, RestoreSession, SaveSession, Touch,
    Touched,
};
use ringhold_core::{Error, ErrorKind, PlayerId, SessionStore, Ttl, Version};
use tokio::time::{Instant, timeout};

use super::names::{Names, on_existing};
use super::operation::{Answer, Call, End, Number, Operation, Refusal, Seen};

/// What all clients of a run share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) names: Names,
    pub(super) start: Instant,
    pub(super) drawn: AtomicU64,
}

impl Run {
    /// A number that nobody has.
    pub(super) fn draw(&self) -> Number {
        self.drawn.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A client's way to the store.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) run: Arc<Run>,
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) number: Number,
    pub(super) player: (Number, PlayerId),
    pub(super) operations: Vec<Operation>,
}

impl Client {
    /// Asks, waits for at most `patience`, and drops what has not been answered then.
    pub(super) async fn ask(&mut self, call: Call, patience: Duration) -> Answer {
        let asked = self.run.now();
        let answer = match timeout(patience, self.answer(&call)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => without(&error),
            Err(_) => Answer::given_up(patience),
        };
        let operation = Operation {
            player: self.player.0,
            client: self.number,
            asked,
            answered: self.run.now(),
            call,
            answer: answer.clone(),
        };
        self.operations.push(operation);
        answer
    }

    async fn answer(&self, call: &Call) -> Result<Answer, Error> {
        let (names, (_, player)) = (self.run.names, &self.player);
        let seen = |record: &_| names.seen(record, player);
        Ok(match call {
            Call::Create {
                session,
                owner,
                nonce,
                data,
                rule,
            } => {
                let id = names.session(*session, player);
                let (owner, nonce) = (names.owner(*owner), names.nonce(*nonce));
                let login = CreateSession::new(id, player.clone(), owner, nonce, Ttl::MAX)
                    .with_data(names.data(*data))
                    .with_on_existing(on_existing(*rule));
                let created = self.store.create(login).await?;
                let session = seen(&created.session);
                let ended = created.displaced.iter().map(|one| names.ended(one, player));
                match created.outcome {
                    CreateOutcome::New => Answer::New {
                        session,
                        ended: ended.collect(),
                    },
                    CreateOutcome::TakenOver => Answer::TakenOver {
                        session,
                        ended: ended.collect(),
                    },
                    CreateOutcome::Elsewhere => Answer::Elsewhere(session),
                    CreateOutcome::Existing => Answer::Existing(session),
                    other => unexpected(format!("{other:?}")),
                }
            }
            Call::Get { session } => {
                let record = self.store.get(&names.session(*session, player)).await?;
                Answer::Got(record.as_ref().map(seen))
            }
            Call::Find => Answer::Found(self.store.find(player).await?.iter().map(seen).collect()),
            Call::Save {
                session,
                fence,
                version,
                data,
                operation,
            } => {
                let id = names.session(*session, player);
                let (fence, version) = (names.fence(*fence), Version::new(*version));
                let (data, operation) = (names.data(*data), names.operation(*operation));
                let save = SaveSession::new(id, fence, version, Ttl::MAX, data, operation);
                Answer::Saved(self.store.save(save).await?.version.get())
            }
            Call::Touch { session, fence } => {
                let touch = Touch::new(names.session(*session, player), names.fence(*fence), Ttl::MAX);
                let answers = self.store.touch_many(&[touch]).await?.answers;
                touched(names, &answers)
            }
            Call::Claim {
                session,
                seen: fence,
                version,
                owner,
                nonce,
            } => {
                let id = names.session(*session, player);
                let (owner, nonce) = (names.owner(*owner), names.nonce(*nonce));
                let mut claim = ClaimSession::new(id, names.fence(*fence), owner, nonce, Ttl::MAX);
                claim.seen_version = version.map(Version::new);
                Answer::Claimed(seen(&self.store.claim(claim).await?.session))
            }
            Call::Remove {
                session,
                fence,
                operation,
            } => {
                let id = names.session(*session, player);
                let remove = RemoveSession::new(id, names.fence(*fence), names.operation(*operation));
                self.store.remove(remove).await?;
                Answer::Removed
            }
            Call::Restore {
                known,
                nonce,
                live_max,
            } => {
                let record = names.record(known, player, Ttl::MAX);
                let mut restore = RestoreSession::new(record, names.nonce(*nonce));
                restore.live_max = *live_max;
                Answer::Restored(seen(&self.store.restore(restore).await?.session))
            }
        })
    }
}

fn touched(names: Names, answers: &[Touched]) -> Answer {
    match answers {
        [Touched::Renewed] => Answer::Touched,
        [Touched::Fenced { owner }] => Answer::HeldBy(names.owner_number(owner)),
        [Touched::Ended(EndReason::Removed)] => Answer::HasEnded(End::Removed),
        [Touched::Ended(EndReason::Displaced)] => Answer::HasEnded(End::Displaced),
        [Touched::Ended(EndReason::Expired)] => Answer::HasEnded(End::Expired),
        [Touched::NotFound] => Answer::Refused(Refusal::NotFound),
        [Touched::Unanswered(kind)] => Answer::None(kind.to_string()),
        other => unexpected(format!("{other:?}")),
    }
}

/// What an error says: that it was not done, or nothing.
fn without(error: &Error) -> Answer {
    Answer::Refused(match error.kind() {
        ErrorKind::NotFound => Refusal::NotFound,
        ErrorKind::AlreadyExists => Refusal::AlreadyExists,
        ErrorKind::VersionConflict => Refusal::VersionConflict,
        ErrorKind::Fenced => Refusal::Fenced,
        // The first two may follow an attempt that was made; of the third, nobody promises that it does not.
        ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Overloaded => {
            return Answer::None(error.to_string());
        }
        _ => return unexpected(error.to_string()),
    })
}

fn unexpected(what: String) -> Answer {
    Answer::Refused(Refusal::Unexpected(what))
}

/// The sessions that an answer shows, the oldest first.
pub(super) fn shown(answer: &Answer) -> Vec<Seen> {
    match answer {
        Answer::New { session, .. }
        | Answer::TakenOver { session, .. }
        | Answer::Elsewhere(session)
        | Answer::Existing(session)
        | Answer::Got(Some(session))
        | Answer::Claimed(session)
        | Answer::Restored(session) => vec![session.clone()],
        Answer::Found(sessions) => sessions.clone(),
        _ => Vec::new(),
    }
}
