//! The rules of sessions, one function per method of
//! [`SessionStore`](ringhold_core::SessionStore). `now_ms` is what the sessions' clock reads; requests have
//! been checked (`request.check(&limits)`).
//!
//! What always holds between two transactions:
//! - a session is in the list of its player exactly while it is linked, and lists are never empty;
//! - a session has exactly one `due` key, at its armed time, which is never later than the time at which
//!   it is due;
//! - a session has a body, and a tombstone has a `grave` key.

mod account;
mod entry;
mod login;
mod read;
mod repair;
mod sweep;
mod write;

use ringhold_core::codec::{self, SessionHeader, StoredEnd, StoredSession, StoredTombstone};
use ringhold_core::session::{EndReason, TOMBSTONE_TTL};
use ringhold_core::{Error, ErrorKind, PlayerId, Result, SessionId, Ttl};

use self::entry::Entry;
use crate::schema;
use crate::transaction::{Transaction, corrupt};

pub use self::account::{Account, account};
pub use self::login::create;
pub use self::read::{Count, ListPart, Listed, Listing, find, get};
pub use self::repair::repair;
pub use self::sweep::{SharedCursor, Sweep, SweepBytes, SweepCursor, SweepStep, Swept, ack_expired};
pub use self::write::{claim, remove, restore, save, touch, touch_many};

/// How long a session id is in a player's list.
const ID_LEN: usize = 18;

/// The entry of a session; whoever writes it meanwhile wins against this transaction.
fn entry<T: Transaction>(tx: &mut T, id: &SessionId) -> Result<Option<Entry>, T::Stop> {
    match tx.get(&schema::session(id))? {
        Some(bytes) => Ok(Some(Entry::decode(*id, &bytes)?)),
        None => Ok(None),
    }
}

/// All of a session whose entry was read. Its body changes with its entry and never alone.
fn whole<T: Transaction>(tx: &mut T, entry: &Entry) -> Result<StoredSession, T::Stop> {
    Ok(whole_or_why(tx, entry)??)
}

/// The same, with the error that it cannot be read apart from what stops the transaction.
fn whole_or_why<T: Transaction>(tx: &mut T, entry: &Entry) -> Result<Result<StoredSession>, T::Stop> {
    let body = tx.peek(&schema::body(&entry.id))?;
    Ok(body
        .ok_or_else(|| corrupt("session record", "the body of a session"))
        .and_then(|body| codec::decode_session_parts(&entry.header.encode(), &body))
        .and_then(|session| {
            // Both keys name the session; a body of another one was not written by these rules.
            if session.id == entry.id && session.player == entry.player {
                Ok(session)
            } else {
                Err(corrupt("session record", "the body of a session"))
            }
        }))
}

fn tombstone<T: Transaction>(tx: &mut T, id: &SessionId) -> Result<Option<StoredEnd>, T::Stop> {
    match tx.get(&schema::tombstone(id))? {
        Some(bytes) => Ok(Some(codec::decode_tombstone(&bytes)?.end)),
        None => Ok(None),
    }
}

/// The ids of a player's linked sessions, oldest first.
fn listed<T: Transaction>(tx: &mut T, player: &PlayerId) -> Result<Vec<SessionId>, T::Stop> {
    let bytes = tx.get(&schema::player(player))?;
    Ok(read_list(player, bytes.as_deref().unwrap_or_default())?)
}

/// The ids in the value of a player's key, oldest first.
fn read_list(player: &PlayerId, bytes: &[u8]) -> Result<Vec<SessionId>> {
    let (ids, rest) = bytes.as_chunks::<ID_LEN>();
    let ids: Result<Vec<SessionId>> = ids.iter().map(|id| SessionId::from_bytes(*id)).collect();
    match ids {
        Ok(ids) if rest.is_empty() && ids.iter().all(|id| id.partition() == player.partition()) => Ok(ids),
        _ => Err(corrupt("player", "a player's list of sessions")),
    }
}

fn put_listed<T: Transaction>(tx: &mut T, player: &PlayerId, ids: &[SessionId]) {
    let key = schema::player(player);
    if ids.is_empty() {
        tx.delete(key);
    } else {
        let mut bytes = Vec::with_capacity(ids.len() * ID_LEN);
        for id in ids {
            bytes.extend_from_slice(&id.to_bytes());
        }
        tx.put(key, bytes);
    }
}

/// The entries of sessions, and their bodies on the way.
fn entries<T: Transaction>(tx: &mut T, ids: &[SessionId]) -> Result<Vec<Entry>, T::Stop> {
    let keys: Vec<Vec<u8>> = ids
        .iter()
        .flat_map(|id| [schema::session(id), schema::body(id)])
        .collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    tx.expect(&keys)?;
    let mut entries = Vec::with_capacity(ids.len());
    for id in ids {
        entries.extend(entry(tx, id)?);
    }
    Ok(entries)
}

/// The entry of the session that a write means.
///
/// `Fenced` where it has ended or can no longer be revived, `NotFound` where nothing is known of it.
fn writable<T: Transaction>(tx: &mut T, operation: &'static str, id: &SessionId) -> Result<Entry, T::Stop> {
    let keys = [schema::session(id), schema::tombstone(id)];
    tx.expect(&keys.each_ref().map(Vec::as_slice))?;
    match entry(tx, id)? {
        Some(entry) if !entry.header.unlinked => Ok(entry),
        Some(_) => Err(ended(operation, id, EndReason::Displaced).into()),
        None => Err(match tombstone(tx, id)? {
            Some(end) => ended(operation, id, end.reason()),
            None => not_found(operation, id),
        }
        .into()),
    }
}

/// Writes a session that stands at `armed_ms`.
fn put<T: Transaction>(tx: &mut T, session: &StoredSession, armed_ms: u64) -> Result<(), T::Stop> {
    tx.put(schema::body(&session.id), codec::encode_session_body(session)?);
    put_entry(tx, &Entry::new(session, armed_ms));
    Ok(())
}

/// Writes the entry of a session, and leaves its body as it is.
fn put_entry<T: Transaction>(tx: &mut T, entry: &Entry) {
    tx.put(schema::session(&entry.id), entry.encode());
}

/// Arms a session anew: the time at which it stands among those that are due.
fn arm<T: Transaction>(tx: &mut T, id: &SessionId, from_ms: Option<u64>, to_ms: u64) -> u64 {
    if from_ms != Some(to_ms) {
        if let Some(from_ms) = from_ms {
            tx.delete(schema::due(from_ms, Some(id)));
        }
        tx.put(schema::due(to_ms, Some(id)), Vec::new());
    }
    to_ms
}

/// Lets a session live for `ttl` from now on, which voids a sweeper's token. Later is free: its `due` key
/// is moved when it comes up.
fn extend<T: Transaction>(tx: &mut T, entry: &mut Entry, ttl: Ttl, now_ms: u64) {
    let SessionHeader {
        deadline_ms,
        ttl: last,
        take,
        ..
    } = &mut entry.header;
    *last = ttl;
    *deadline_ms = deadline(ttl, now_ms);
    *take = None;
    if *deadline_ms < entry.armed_ms {
        entry.armed_ms = arm(tx, &entry.id, Some(entry.armed_ms), *deadline_ms);
    }
}

const fn deadline(ttl: Ttl, now_ms: u64) -> u64 {
    now_ms.saturating_add(ttl.as_millis())
}

/// Remembers how a session or a login ended.
fn bury_id<T: Transaction>(tx: &mut T, id: &SessionId, end: StoredEnd, now_ms: u64) {
    let kept_ms = u64::try_from(TOMBSTONE_TTL.as_millis()).unwrap_or(u64::MAX);
    let deadline_ms = now_ms.saturating_add(kept_ms);
    let stored = codec::encode_tombstone(&StoredTombstone::new(end, deadline_ms));
    tx.put(schema::tombstone(id), stored);
    tx.put(schema::grave(deadline_ms, Some(id)), Vec::new());
}

/// Takes a session out for good that its player's list no longer has, and leaves tombstones of it and of
/// the login that holds it.
fn bury<T: Transaction>(tx: &mut T, entry: &Entry, end: StoredEnd, now_ms: u64) {
    tx.delete(schema::session(&entry.id));
    tx.delete(schema::body(&entry.id));
    tx.delete(schema::due(entry.armed_ms, Some(&entry.id)));
    bury_id(tx, &entry.id, end, now_ms);
    if let Some(login) = entry.login_elsewhere() {
        bury_id(tx, &login, end, now_ms);
    }
}

/// Takes a session out for good.
fn end<T: Transaction>(tx: &mut T, entry: &Entry, end: StoredEnd, now_ms: u64) -> Result<(), T::Stop> {
    if !entry.header.unlinked {
        let mut ids = listed(tx, &entry.player)?;
        ids.retain(|id| *id != entry.id);
        put_listed(tx, &entry.player, &ids);
    }
    bury(tx, entry, end, now_ms);
    Ok(())
}

/// Takes expired sessions out of a login's way: they wait for their acknowledgement and can no longer be
/// revived. Their login stays in the header, where it no longer holds anything.
fn unlink<T: Transaction>(tx: &mut T, expired: Vec<Entry>, now_ms: u64) {
    for mut entry in expired {
        if let Some(login) = entry.login_elsewhere() {
            bury_id(tx, &login, StoredEnd::Displaced, now_ms);
        }
        entry.header.unlinked = true;
        put_entry(tx, &entry);
    }
}

/// Ends the login that holds a session which itself goes on: a repetition of it is refused from now on.
/// Where the login made the session, the session's own id remembers that; otherwise a tombstone does.
fn end_login<T: Transaction>(tx: &mut T, session: &mut StoredSession, now_ms: u64) {
    if let Some(login) = session.login.take()
        && login.id != session.id
    {
        bury_id(tx, &login.id, StoredEnd::Displaced, now_ms);
    }
}

/// The refusal of a write to what has ended.
fn ended(operation: &'static str, id: &SessionId, reason: EndReason) -> Error {
    let how = match reason {
        EndReason::Removed => "was removed",
        EndReason::Displaced => "was ended by a later login",
        EndReason::Expired => "has expired and was acknowledged",
        _ => "has ended",
    };
    let context = format!("session {id:?} {how}; log in again");
    Error::new(ErrorKind::Fenced, operation, context)
}

/// The refusal of a write under another fence than the one that stands.
fn fenced(operation: &'static str, entry: &Entry) -> Error {
    let SessionHeader { owner, fence, .. } = &entry.header;
    let context = format!(
        "session {:?} is held by another, incarnation {} in epoch {}",
        entry.id, owner.number, fence.epoch
    );
    Error::new(ErrorKind::Fenced, operation, context)
}

/// The refusal of a write to what nothing is known of.
fn not_found(operation: &'static str, id: &SessionId) -> Error {
    let context = format!("nothing is known of session {id:?}");
    Error::new(ErrorKind::NotFound, operation, context)
}
