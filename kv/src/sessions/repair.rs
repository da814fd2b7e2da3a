//! Checks of stored entries against those that they belong with, and repairs.
//!
//! Sessions come first, then what refers to them: what a removed session leaves is dangling when its turn comes.

use bytes::Bytes;
use ringhold_core::session::{RepairCursor, RepairSessions, RepairedSessions, SessionFault, SessionProblem};
use ringhold_core::{Error, ErrorKind, PlayerId, Result, SessionId, codec};

use super::entry::Entry;
use super::{ID_LEN, arm, put_entry, put_listed, whole_or_why};
use crate::{Transaction, schema};

/// In the order in which they are checked.
const KINDS: [&[u8]; 6] = [
    schema::SESSIONS,
    schema::BODIES,
    schema::PLAYERS,
    schema::DUE,
    schema::TOMBSTONES,
    schema::GRAVES,
];

/// How many repairs one transaction makes: stores bound the keys of one.
const REPAIRS_MAX: usize = 8;

/// A stored key with its value, and the kind that it is of.
struct Stored<'a> {
    kind: &'a [u8],
    key: &'a [u8],
    value: &'a Bytes,
}

/// Checks at most `entries_max` entries after the cursor of the request, and repairs at most a few of them.
///
/// # Errors
/// `InvalidArgument` for a cursor that this function did not return.
pub fn repair<T: Transaction>(
    tx: &mut T,
    request: &RepairSessions,
    entries_max: usize,
) -> Result<RepairedSessions, T::Stop> {
    let from = request.after.as_ref().map_or(KINDS[0], RepairCursor::as_bytes);
    let Some(at) = KINDS.iter().position(|kind| from.starts_with(kind)) else {
        let context = "the cursor is not one of this store's repairs";
        return Err(Error::new(ErrorKind::InvalidArgument, "repair", context).into());
    };
    let kind = KINDS[at];
    let found = tx.range(from, &schema::end_of(kind), entries_max)?;
    let needed: Vec<Vec<u8>> = found
        .iter()
        .flat_map(|(key, value)| related(kind, key, value))
        .collect();
    tx.expect(&needed.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    let mut part = RepairedSessions::default();
    let next = |key: &[u8]| Some(RepairCursor::from_bytes([key, &[0]].concat()));
    part.next = match found.last() {
        Some((last, _)) if found.len() == entries_max => next(last),
        _ => KINDS
            .get(at + 1)
            .map(|kind| RepairCursor::from_bytes(kind.to_vec())),
    };
    for (key, value) in &found {
        part.entries += u64::from(kind == schema::SESSIONS || kind == schema::TOMBSTONES);
        let stored = Stored { kind, key, value };
        let Some((problem, repair)) = fault(tx, &stored)? else {
            continue;
        };
        let mut fault = SessionFault::new(String::from_utf8_lossy(key), problem);
        if request.repair && problem != SessionProblem::Newer {
            repair.make(tx, &stored)?;
            fault.repaired = true;
        }
        part.faults.push(fault);
        if request.repair && part.faults.len() == REPAIRS_MAX {
            part.next = next(key);
            break;
        }
    }
    Ok(part)
}

/// The change that repairs a fault.
enum Repair {
    /// Removes the entry.
    Remove,
    /// Removes a session with all that belongs to it, as far as its entry can be read.
    RemoveSession(SessionId, Option<Entry>),
    /// Puts a session into its player's list and among those that are due.
    Index(Entry),
    /// Sets a player's list.
    SetList(PlayerId, Vec<SessionId>),
    /// Puts a tombstone among those that are forgotten.
    Bury(SessionId, u64),
}

impl Repair {
    /// Keys that are read to decide are held, so that a concurrent write of one stops the repair.
    fn make<T: Transaction>(self, tx: &mut T, stored: &Stored<'_>) -> Result<(), T::Stop> {
        for key in related(stored.kind, stored.key, stored.value) {
            tx.get(&key)?;
        }
        tx.get(stored.key)?;
        match self {
            Self::Remove => tx.delete(stored.key.to_vec()),
            Self::RemoveSession(id, entry) => {
                tx.delete(stored.key.to_vec());
                tx.delete(schema::body(&id));
                if let Some(entry) = entry {
                    tx.delete(schema::due(entry.armed_ms, Some(&id)));
                    let mut ids = list_of(tx, &entry.player)?.unwrap_or_default();
                    ids.retain(|listed| *listed != id);
                    put_listed(tx, &entry.player, &ids);
                }
            }
            Self::Index(mut entry) => {
                let mut ids = list_of(tx, &entry.player)?.unwrap_or_default();
                if !entry.header.unlinked && !ids.contains(&entry.id) {
                    let at = position(tx, &ids, &entry)?;
                    ids.insert(at, entry.id);
                    put_listed(tx, &entry.player, &ids);
                }
                let due_ms = entry.header.due_ms().min(entry.armed_ms);
                tx.delete(schema::due(entry.armed_ms, Some(&entry.id)));
                entry.armed_ms = arm(tx, &entry.id, None, due_ms);
                put_entry(tx, &entry);
            }
            Self::SetList(player, ids) => put_listed(tx, &player, &ids),
            Self::Bury(id, deadline_ms) => tx.put(schema::grave(deadline_ms, Some(&id)), Vec::new()),
        }
        Ok(())
    }
}

/// The position of a session in its player's list: before the first one that was touched later, since the last one is
/// what logins return.
fn position<T: Transaction>(tx: &mut T, ids: &[SessionId], entry: &Entry) -> Result<usize, T::Stop> {
    let keys: Vec<Vec<u8>> = ids.iter().map(schema::session).collect();
    tx.expect(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    for (at, (id, key)) in ids.iter().zip(&keys).enumerate() {
        let listed = tx.get(key)?.and_then(|value| Entry::decode(*id, &value).ok());
        if listed.is_some_and(|listed| last_touch(entry) < last_touch(&listed)) {
            return Ok(at);
        }
    }
    Ok(ids.len())
}

/// The time of a session's last touch; the id decides between equal ones.
fn last_touch(entry: &Entry) -> (u64, [u8; ID_LEN]) {
    let touched_ms = entry
        .header
        .deadline_ms
        .saturating_sub(entry.header.ttl.as_millis());
    (touched_ms, entry.id.to_bytes())
}

/// The keys that an entry is checked against.
fn related(kind: &[u8], key: &[u8], value: &[u8]) -> Vec<Vec<u8>> {
    let id = id_in(kind, key);
    if kind == schema::PLAYERS {
        let (ids, _) = value.as_chunks();
        let ids = ids.iter().filter_map(|id| SessionId::from_bytes(*id).ok());
        return ids.map(|id| schema::session(&id)).collect();
    }
    let Some(id) = id else { return Vec::new() };
    if kind == schema::SESSIONS {
        let mut keys = vec![schema::body(&id)];
        if let Ok(entry) = Entry::decode(id, value) {
            keys.extend([
                schema::player(&entry.player),
                schema::due(entry.armed_ms, Some(&id)),
            ]);
        }
        keys
    } else if kind == schema::TOMBSTONES {
        let tombstone = codec::decode_tombstone(value).ok();
        tombstone
            .map(|tombstone| schema::grave(tombstone.deadline_ms, Some(&id)))
            .into_iter()
            .collect()
    } else if kind == schema::GRAVES {
        vec![schema::tombstone(&id)]
    } else {
        vec![schema::session(&id)]
    }
}

/// The session in a key of this kind; `None` for a player's key, and where it names none.
fn id_in(kind: &[u8], key: &[u8]) -> Option<SessionId> {
    if kind == schema::DUE || kind == schema::GRAVES {
        return schema::read_timed(kind, key).map(|(_, id)| id);
    }
    std::str::from_utf8(key.strip_prefix(kind)?).ok()?.parse().ok()
}

/// A player's list; `None` where it cannot be read.
fn list_of<T: Transaction>(tx: &mut T, player: &PlayerId) -> Result<Option<Vec<SessionId>>, T::Stop> {
    let bytes = tx.get(&schema::player(player))?;
    Ok(super::read_list(player, bytes.as_deref().unwrap_or_default()).ok())
}

type Fault = Option<(SessionProblem, Repair)>;

/// The fault of an entry, and its repair.
fn fault<T: Transaction>(tx: &mut T, stored: &Stored<'_>) -> Result<Fault, T::Stop> {
    let Stored { kind, key, value } = *stored;
    if kind == schema::PLAYERS {
        return list_fault(tx, key, value);
    }
    let Some(id) = id_in(kind, key) else {
        return Ok(Some((SessionProblem::Unreadable, Repair::Remove)));
    };
    if kind == schema::SESSIONS {
        return session_fault(tx, id, value);
    }
    if kind == schema::TOMBSTONES {
        return match codec::decode_tombstone(value) {
            Ok(tombstone) => {
                let deadline_ms = tombstone.deadline_ms;
                let grave = tx.peek(&schema::grave(deadline_ms, Some(&id)))?;
                let repair = (SessionProblem::NotIndexed, Repair::Bury(id, deadline_ms));
                Ok(grave.is_none().then_some(repair))
            }
            Err(error) => Ok(Some((problem_of(&error), Repair::Remove))),
        };
    }
    let is_dangling = if kind == schema::GRAVES {
        tx.peek(&schema::tombstone(&id))?.is_none()
    } else {
        match tx.peek(&schema::session(&id))? {
            None => true,
            Some(value) if kind == schema::DUE => {
                let at_ms = schema::read_timed(kind, key).map(|(at_ms, _)| at_ms);
                Entry::decode(id, &value).is_ok_and(|entry| Some(entry.armed_ms) != at_ms)
            }
            Some(_) => false,
        }
    };
    Ok(is_dangling.then_some((SessionProblem::Dangling, Repair::Remove)))
}

fn problem_of(error: &Error) -> SessionProblem {
    match error.kind() {
        ErrorKind::Unsupported => SessionProblem::Newer,
        _ => SessionProblem::Unreadable,
    }
}

fn session_fault<T: Transaction>(tx: &mut T, id: SessionId, value: &[u8]) -> Result<Fault, T::Stop> {
    let entry = match Entry::decode(id, value) {
        Ok(entry) => entry,
        Err(error) => return Ok(Some((problem_of(&error), Repair::RemoveSession(id, None)))),
    };
    if let Err(error) = whole_or_why(tx, &entry)? {
        let repair = Repair::RemoveSession(id, Some(entry));
        return Ok(Some((problem_of(&error), repair)));
    }
    let list = tx.peek(&schema::player(&entry.player))?;
    let list = super::read_list(&entry.player, list.as_deref().unwrap_or_default());
    let is_listed = list.is_ok_and(|ids| ids.contains(&id));
    let due = tx.peek(&schema::due(entry.armed_ms, Some(&id)))?;
    let is_indexed =
        (is_listed || entry.header.unlinked) && due.is_some() && entry.armed_ms <= entry.header.due_ms();
    Ok((!is_indexed).then_some((SessionProblem::NotIndexed, Repair::Index(entry))))
}

fn list_fault<T: Transaction>(tx: &mut T, key: &[u8], value: &[u8]) -> Result<Fault, T::Stop> {
    let name = key.strip_prefix(schema::PLAYERS).unwrap_or_default();
    let player = std::str::from_utf8(name)
        .ok()
        .and_then(|name| PlayerId::new(name).ok());
    let list = player.and_then(|player| Some((super::read_list(&player, value).ok()?, player)));
    let Some((ids, player)) = list.filter(|(ids, _)| !ids.is_empty()) else {
        return Ok(Some((SessionProblem::Unreadable, Repair::Remove)));
    };
    let mut kept: Vec<SessionId> = Vec::new();
    for id in &ids {
        let entry = tx
            .peek(&schema::session(id))?
            .map(|value| Entry::decode(*id, &value));
        let is_theirs = match &entry {
            None => false,
            Some(Ok(entry)) => entry.player == player && !entry.header.unlinked,
            // It is a fault of the session.
            Some(Err(_)) => true,
        };
        if is_theirs && !kept.contains(id) {
            kept.push(*id);
        }
    }
    Ok((kept != ids).then_some((SessionProblem::Dangling, Repair::SetList(player, kept))))
}
