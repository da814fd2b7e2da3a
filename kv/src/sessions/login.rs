//! Logging in: the one write that looks at all sessions of a player.

use ringhold_core::codec::{StoredEnd, StoredLogin, StoredSession};
use ringhold_core::session::{
    CreateOutcome, CreateSession, Created, Displaced, EndReason, OnExisting, TakeoverFrom,
};
use ringhold_core::{Error, ErrorKind, Fence, PlayerId, Result, SessionId, SessionRecord};

use super::entry::Entry;
use super::{
    arm, bury, deadline, end_login, ended, entries, entry, extend, listed, put, put_entry, put_listed,
    tombstone, unlink, whole,
};
use crate::{Transaction, schema};

const CREATE: &str = "create";

/// The sessions of the player who logs in.
struct Sessions {
    /// Those in the player's list, oldest first.
    ids: Vec<SessionId>,
    linked: Vec<Entry>,
}

/// Logs a player in.
///
/// The request's id names the login. It is looked for first, in this order: as a session's id, among the
/// tombstones, and as the login that holds one of the player's sessions.
///
/// # Errors
/// As the contract says of `create`.
pub fn create<T: Transaction>(tx: &mut T, now_ms: u64, request: &CreateSession) -> Result<Created, T::Stop> {
    let CreateSession { id, player, .. } = request;
    let keys = [
        schema::session(id),
        schema::body(id),
        schema::tombstone(id),
        schema::player(player),
    ];
    tx.expect(&keys.each_ref().map(Vec::as_slice))?;
    let standing = entry(tx, id)?;
    let end = tombstone(tx, id)?;
    let ids = listed(tx, player)?;
    let linked = entries(tx, &ids)?;
    let sessions = Sessions { ids, linked };
    if let Some(created) = repeated(tx, now_ms, request, standing, end, &sessions)? {
        return Ok(created);
    }
    let (live, expired): (Vec<Entry>, Vec<Entry>) = sessions
        .linked
        .into_iter()
        .partition(|entry| entry.is_live(now_ms));
    let ids = without(&sessions.ids, &expired);
    let ending = match request.on_existing {
        OnExisting::Existing => {
            if let Some((_, entry)) = own_or_newest(tx, request, &live)? {
                return untouched(tx, now_ms, CreateOutcome::Existing, entry);
            }
            0
        }
        OnExisting::Takeover { from } => {
            return match target(tx, now_ms, request, from, &live)? {
                Target::Elsewhere(created) => Ok(created),
                Target::Own(entry) => {
                    unlink_listed(tx, player, &sessions.ids, &ids, expired, now_ms);
                    take_over(tx, now_ms, request, entry)
                }
                Target::New => {
                    unlink(tx, expired, now_ms);
                    insert(tx, now_ms, request, ids, Vec::new())
                }
            };
        }
        OnExisting::Reject if live.is_empty() => 0,
        OnExisting::Reject => return Err(exists(request, "has a live session").into()),
        OnExisting::Replace => live.len(),
        // The new one is among the `max` that may live.
        OnExisting::Allow { max } => (live.len() + 1).saturating_sub(usize::from(max.max(1))),
        _ => return Err(unknown_rule().into()),
    };
    let ending = live.get(..ending).unwrap_or(&live);
    let mut displaced = Vec::with_capacity(ending.len());
    for entry in ending {
        let session = whole(tx, entry)?;
        displaced.push(Displaced::new(session.id, session.owner, session.fence));
        bury(tx, entry, StoredEnd::Displaced, now_ms);
    }
    unlink(tx, expired, now_ms);
    let ids = without(&ids, ending);
    insert(tx, now_ms, request, ids, displaced)
}

/// The answer to a login that was made before: once more while it holds, `Fenced` when it no longer does.
/// Like any write of its owner it revives what has expired.
///
/// The id alone proves nothing: the fence goes to nobody but the caller who made its nonce.
fn repeated<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    request: &CreateSession,
    standing: Option<Entry>,
    end: Option<StoredEnd>,
    sessions: &Sessions,
) -> Result<Option<Created>, T::Stop> {
    let CreateSession { id, player, .. } = request;
    // What stands counts before what has ended: the tombstone may be of another player's login, which had
    // the same id and took a session over.
    let held = match (standing, end) {
        (None, Some(end)) => return Err(ended(CREATE, id, end.reason()).into()),
        (Some(entry), _) if entry.player != *player => {
            let why = "is refused: the session id belongs to another player";
            return Err(exists(request, why).into());
        }
        (Some(entry), _) if !entry.is_held_by(id) => {
            return Err(ended(CREATE, id, EndReason::Displaced).into());
        }
        (Some(entry), _) => Some(entry),
        (None, None) => sessions.linked.iter().find(|entry| entry.is_held_by(id)).cloned(),
    };
    let Some(mut entry) = held else { return Ok(None) };
    let mut session = whole(tx, &entry)?;
    if session.owner != request.owner || session.fence.nonce != request.nonce {
        return Err(exists(request, "is refused: the session id is that of another login").into());
    }
    if !entry.is_live(now_ms) {
        extend(tx, &mut entry, request.ttl, now_ms);
        put_entry(tx, &entry);
        session.ttl = request.ttl;
        session.deadline_ms = entry.header.deadline_ms;
    }
    let outcome = session.login_outcome().unwrap_or(CreateOutcome::New);
    let record = session.record(now_ms);
    let displaced = session.login.map(|login| login.displaced).unwrap_or_default();
    Ok(Some(Created::new(outcome, record, displaced)))
}

/// What a login that takes over goes to.
enum Target {
    /// This session.
    Own(Entry),
    /// Another's, which stays as it is.
    Elsewhere(Created),
    /// There is none.
    New,
}

fn target<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    request: &CreateSession,
    from: TakeoverFrom,
    live: &[Entry],
) -> Result<Target, T::Stop> {
    let found = match from {
        TakeoverFrom::Anyone => live.last().map(|entry| (true, entry)),
        TakeoverFrom::Own => own_or_newest(tx, request, live)?,
        _ => return Err(unknown_rule().into()),
    };
    Ok(match found {
        Some((true, entry)) => Target::Own(entry.clone()),
        Some((false, entry)) => Target::Elsewhere(untouched(tx, now_ms, CreateOutcome::Elsewhere, entry)?),
        None => Target::New,
    })
}

/// The newest session of the request's owner, otherwise the newest of all, and whether it is the owner's.
fn own_or_newest<'e, T: Transaction>(
    tx: &mut T,
    request: &CreateSession,
    live: &'e [Entry],
) -> Result<Option<(bool, &'e Entry)>, T::Stop> {
    for entry in live.iter().rev() {
        // The entry has the incarnation of its owner, the body also the node's id.
        if entry.header.owner == request.owner.incarnation && whole(tx, entry)?.owner == request.owner {
            return Ok(Some((true, entry)));
        }
    }
    Ok(live.last().map(|newest| (false, newest)))
}

/// The answer to a login that changes nothing.
fn untouched<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    outcome: CreateOutcome,
    entry: &Entry,
) -> Result<Created, T::Stop> {
    let record = whole(tx, entry)?.record(now_ms);
    Ok(Created::new(outcome, record, Vec::new()))
}

fn take_over<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    request: &CreateSession,
    mut entry: Entry,
) -> Result<Created, T::Stop> {
    let mut session = whole(tx, &entry)?;
    let displaced = vec![Displaced::new(session.id, session.owner.clone(), session.fence)];
    end_login(tx, &mut session, now_ms);
    extend(tx, &mut entry, request.ttl, now_ms);
    session.owner = request.owner.clone();
    session.fence = Fence {
        epoch: session.fence.epoch.saturating_add(1),
        nonce: request.nonce,
    };
    session.ttl = request.ttl;
    session.deadline_ms = entry.header.deadline_ms;
    session.take = None;
    session.login = Some(StoredLogin::new(request.id, displaced.clone()));
    put(tx, &session, entry.armed_ms)?;
    let record = session.record(now_ms);
    Ok(Created::new(CreateOutcome::TakenOver, record, displaced))
}

/// Makes the session of a login beside those in `ids`.
fn insert<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    request: &CreateSession,
    mut ids: Vec<SessionId>,
    displaced: Vec<Displaced>,
) -> Result<Created, T::Stop> {
    let CreateSession {
        id,
        player,
        owner,
        nonce,
        ttl,
        data,
        ..
    } = request;
    let record = SessionRecord::new(*id, player.clone(), owner.clone(), *nonce, *ttl, data.clone());
    let mut session = StoredSession::new(record.clone(), deadline(*ttl, now_ms));
    session.login = Some(StoredLogin::new(*id, displaced.clone()));
    ids.push(*id);
    put_listed(tx, player, &ids);
    let armed_ms = arm(tx, id, None, session.deadline_ms);
    put(tx, &session, armed_ms)?;
    Ok(Created::new(CreateOutcome::New, record, displaced))
}

/// Unlinks what has expired, and takes it out of the player's list.
fn unlink_listed<T: Transaction>(
    tx: &mut T,
    player: &PlayerId,
    before: &[SessionId],
    after: &[SessionId],
    expired: Vec<Entry>,
    now_ms: u64,
) {
    if before.len() != after.len() {
        put_listed(tx, player, after);
    }
    unlink(tx, expired, now_ms);
}

/// The ids without those of `gone`.
fn without(ids: &[SessionId], gone: &[Entry]) -> Vec<SessionId> {
    let is_gone = |id: &SessionId| gone.iter().any(|entry| entry.id == *id);
    ids.iter().copied().filter(|id| !is_gone(id)).collect()
}

fn exists(request: &CreateSession, why: &str) -> Error {
    let context = format!("player {:?} {why}", request.player);
    Error::new(ErrorKind::AlreadyExists, CREATE, context)
}

fn unknown_rule() -> Error {
    let context = "this build does not know the rule for live sessions";
    Error::new(ErrorKind::Unsupported, CREATE, context)
}
