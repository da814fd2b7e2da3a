//! The writes to one session: save, touch, claim, remove, restore.

use ringhold_core::codec::{StoredEnd, StoredSave, StoredSession};
use ringhold_core::session::{
    ClaimSession, Claimed, EndReason, RemoveSession, Removed, RestoreSession, Restored, SaveSession, Saved,
    Touch, Touched,
};
use ringhold_core::{Error, ErrorKind, Fence, Result, SessionId, Ttl, Version};

use super::entry::Entry;
use super::{
    arm, deadline, end, end_login, ended, entries, entry, extend, fenced, listed, put, put_entry, put_listed,
    tombstone, unlink, whole, whole_or_why, writable,
};
use crate::{Transaction, schema};

/// Writes data and touches.
///
/// The repetition of the last write is answered before its fence is looked at: that write has happened,
/// also when the session went to another owner since.
///
/// # Errors
/// As the contract says of `save`.
pub fn save<T: Transaction>(tx: &mut T, now_ms: u64, request: &SaveSession) -> Result<Saved, T::Stop> {
    const SAVE: &str = "save";
    expect(tx, &request.id)?;
    let mut entry = writable(tx, SAVE, &request.id)?;
    if let Some(saved) = entry.header.saved
        && saved.operation == request.operation
    {
        return Ok(Saved::new(saved.version, 0));
    }
    if entry.header.fence != request.fence {
        return Err(fenced(SAVE, &entry).into());
    }
    check_version(SAVE, &entry, request.version)?;
    let version = request.version.next()?;
    let mut session = whole(tx, &entry)?;
    extend(tx, &mut entry, request.ttl, now_ms);
    extended(&mut session, &entry);
    session.version = version;
    session.data = request.data.clone();
    session.saved = Some(StoredSave::new(request.operation, version));
    put(tx, &session, entry.armed_ms)?;
    Ok(Saved::new(version, 0))
}

/// Extends, or shortens, the life of a session. Writes its entry alone.
///
/// # Errors
/// None of its own: what it came to is the answer.
pub fn touch<T: Transaction>(tx: &mut T, now_ms: u64, touch: &Touch) -> Result<Touched, T::Stop> {
    let Some(bytes) = tx.get(&schema::session(&touch.id))? else {
        return Ok(match tombstone(tx, &touch.id)? {
            Some(end) => Touched::Ended(end.reason()),
            None => Touched::NotFound,
        });
    };
    let mut entry = match Entry::decode(touch.id, &bytes) {
        Ok(entry) => entry,
        Err(error) => return Ok(Touched::Unreadable(error.kind())),
    };
    if entry.header.unlinked {
        return Ok(Touched::Ended(EndReason::Displaced));
    }
    if entry.header.fence != touch.fence {
        return Ok(match whole_or_why(tx, &entry)? {
            Ok(session) => Touched::Fenced { owner: session.owner },
            Err(error) => Touched::Unreadable(error.kind()),
        });
    }
    extend(tx, &mut entry, touch.ttl, now_ms);
    put_entry(tx, &entry);
    Ok(Touched::Renewed)
}

/// Touches sessions in one transaction; answers in order.
///
/// # Errors
/// None of its own.
pub fn touch_many<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    touches: &[Touch],
) -> Result<Vec<Touched>, T::Stop> {
    let keys: Vec<Vec<u8>> = touches.iter().map(|touch| schema::session(&touch.id)).collect();
    tx.expect(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    // What refusals tell of is fetched together, too.
    let mut told = Vec::new();
    for Touch { id, fence, .. } in touches {
        match tx
            .peek(&schema::session(id))?
            .map(|bytes| Entry::decode(*id, &bytes))
        {
            None => told.push(schema::tombstone(id)),
            Some(Ok(entry)) if entry.header.fence != *fence => told.push(schema::body(id)),
            Some(_) => {}
        }
    }
    tx.expect(&told.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    touches.iter().map(|one| touch(tx, now_ms, one)).collect()
}

/// Changes the owner of what stands under the fence that the caller saw. A repetition revives what has
/// expired since.
///
/// # Errors
/// As the contract says of `claim`.
pub fn claim<T: Transaction>(tx: &mut T, now_ms: u64, request: &ClaimSession) -> Result<Claimed, T::Stop> {
    const CLAIM: &str = "claim";
    expect(tx, &request.id)?;
    let mut entry = writable(tx, CLAIM, &request.id)?;
    if entry.header.fence.nonce == request.nonce && entry.header.owner == request.owner.incarnation {
        let mut session = whole(tx, &entry)?;
        if session.owner == request.owner {
            revive(tx, &mut entry, &mut session, request.ttl, now_ms);
            return Ok(Claimed::new(session.record(now_ms)));
        }
    }
    if entry.header.fence != request.seen {
        return Err(fenced(CLAIM, &entry).into());
    }
    if let Some(version) = request.seen_version {
        check_version(CLAIM, &entry, version)?;
    }
    let mut session = whole(tx, &entry)?;
    end_login(tx, &mut session, now_ms);
    extend(tx, &mut entry, request.ttl, now_ms);
    extended(&mut session, &entry);
    session.owner = request.owner.clone();
    session.fence = Fence {
        epoch: session.fence.epoch.saturating_add(1),
        nonce: request.nonce,
    };
    put(tx, &session, entry.armed_ms)?;
    Ok(Claimed::new(session.record(now_ms)))
}

/// Ends what stands under the caller's fence.
///
/// # Errors
/// As the contract says of `remove`.
pub fn remove<T: Transaction>(tx: &mut T, now_ms: u64, request: &RemoveSession) -> Result<Removed, T::Stop> {
    const REMOVE: &str = "remove";
    let ending = StoredEnd::Removed(request.operation);
    let keys = [schema::session(&request.id), schema::tombstone(&request.id)];
    tx.expect(&keys.each_ref().map(Vec::as_slice))?;
    if entry(tx, &request.id)?.is_none() && tombstone(tx, &request.id)? == Some(ending) {
        return Ok(Removed::default());
    }
    let entry = writable(tx, REMOVE, &request.id)?;
    if entry.header.fence != request.fence {
        return Err(fenced(REMOVE, &entry).into());
    }
    end(tx, &entry, ending, now_ms)?;
    Ok(Removed::default())
}

/// Brings back what nothing is known of, and revives what stands under the caller's own fence and has
/// expired. The other expired sessions of the player are unlinked as by a login, so that none of them is
/// revived beside this one.
///
/// # Errors
/// As the contract says of `restore`.
pub fn restore<T: Transaction>(
    tx: &mut T,
    now_ms: u64,
    request: &RestoreSession,
) -> Result<Restored, T::Stop> {
    const RESTORE: &str = "restore";
    let RestoreSession {
        session: lost, nonce, ..
    } = request;
    let keys = [
        schema::session(&lost.id),
        schema::body(&lost.id),
        schema::tombstone(&lost.id),
        schema::player(&lost.player),
    ];
    tx.expect(&keys.each_ref().map(Vec::as_slice))?;
    if let Some(mut entry) = entry(tx, &lost.id)? {
        if entry.header.unlinked {
            return Err(ended(RESTORE, &lost.id, EndReason::Displaced).into());
        }
        let own = entry.header.fence == lost.fence;
        let repeats = entry.header.fence.nonce == *nonce;
        if entry.player == lost.player && (own || repeats) {
            let mut session = whole(tx, &entry)?;
            if own || session.owner == lost.owner {
                revive(tx, &mut entry, &mut session, lost.ttl, now_ms);
                return Ok(Restored::new(session.record(now_ms)));
            }
        }
        return Err(fenced(RESTORE, &entry).into());
    }
    if let Some(end) = tombstone(tx, &lost.id)? {
        return Err(ended(RESTORE, &lost.id, end.reason()).into());
    }
    let ids = listed(tx, &lost.player)?;
    let (live, expired): (Vec<Entry>, Vec<Entry>) = entries(tx, &ids)?
        .into_iter()
        .partition(|entry| entry.is_live(now_ms));
    if live.len() >= usize::from(request.live_max.max(1)) {
        let context = format!("player {:?} has {} other live sessions", lost.player, live.len());
        return Err(Error::new(ErrorKind::AlreadyExists, RESTORE, context).into());
    }
    let is_expired = |id: &SessionId| expired.iter().any(|entry| entry.id == *id);
    let mut ids: Vec<SessionId> = ids.iter().copied().filter(|id| !is_expired(id)).collect();
    unlink(tx, expired, now_ms);
    let mut record = lost.clone();
    record.fence = Fence {
        epoch: lost.fence.epoch.saturating_add(1),
        nonce: *nonce,
    };
    let session = StoredSession::new(record, deadline(lost.ttl, now_ms));
    ids.push(lost.id);
    put_listed(tx, &lost.player, &ids);
    let armed_ms = arm(tx, &lost.id, None, session.deadline_ms);
    put(tx, &session, armed_ms)?;
    Ok(Restored::new(session.record(now_ms)))
}

/// Has all fetched that a write with a body looks at.
fn expect<T: Transaction>(tx: &mut T, id: &SessionId) -> Result<(), T::Stop> {
    let keys = [schema::session(id), schema::body(id), schema::tombstone(id)];
    tx.expect(&keys.each_ref().map(Vec::as_slice))
}

/// Lets a session live on that has expired; one that lives stays as it is.
fn revive<T: Transaction>(tx: &mut T, entry: &mut Entry, session: &mut StoredSession, ttl: Ttl, now_ms: u64) {
    if !entry.is_live(now_ms) {
        extend(tx, entry, ttl, now_ms);
        put_entry(tx, entry);
        extended(session, entry);
    }
}

/// What [`extend`] did to the entry, in the session.
fn extended(session: &mut StoredSession, entry: &Entry) {
    session.ttl = entry.header.ttl;
    session.deadline_ms = entry.header.deadline_ms;
    session.take = entry.header.take;
}

fn check_version(operation: &'static str, entry: &Entry, seen: Version) -> Result<()> {
    let stands = entry.header.version;
    if stands == seen {
        return Ok(());
    }
    let context = format!(
        "the data of session {:?} is at version {stands}, not {seen}",
        entry.id
    );
    Err(Error::new(ErrorKind::VersionConflict, operation, context))
}
