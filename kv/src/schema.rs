//! Which keys there are, relative to their fleet.
//!
//! They are text as far as what they name is, so that a person can read them with the store's own tools.
//! Session ids are written as they always are, numbers as 16 hexadecimal digits, so that the order of keys
//! is the order of numbers.
//!
//! | key | value |
//! |---|---|
//! | `schema` | the number of this schema, in decimal |
//! | `clock/sessions`, `clock/leases` | a clock's reading in milliseconds, 8 bytes, little-endian |
//! | `clock/wall` | embedded stores: the time of day when a clock was moved on, in the same form |
//! | `session/ID` | armed time, 8 bytes, little-endian; the session's header; its player |
//! | `body/ID` | the session's body |
//! | `player/PLAYER` | the ids of the player's linked sessions, oldest first, 18 bytes each |
//! | `tombstone/ID` | how a session or a login ended |
//! | `due/TIME/ID` | empty: when a session has to be looked at, its armed time |
//! | `grave/TIME/ID` | empty: when a tombstone is forgotten |
//! | `fleet` | the last change's revision, the timing and two counts: see [`discovery`](crate::discovery) |
//! | `node/NODE` | the record of a member |
//! | `lease/NODE` | a member's incarnation, deadline, load |
//! | `runs/NODE` | the last incarnations of an id |
//! | `departed/TIME/NODE` | empty: when the last incarnation of an id left, on the lease clock |
//! | `change/NUMBER` | one change of the membership |
//!
//! Headers, bodies, tombstones and node records are those of `ringhold_core::codec`. A session's header
//! and body are apart so that a touch writes the header alone; a session's *armed time* is never later
//! than the time at which it is due, so that a touch leaves the `due` key alone.

use ringhold_core::{NodeId, Partition, PlayerId, SessionId};

/// The number of this schema, stored with every fleet.
pub const SCHEMA: u32 = 2;

/// The key of the schema's number.
pub const SCHEMA_KEY: &[u8] = b"schema";
/// The key of the clock that sessions run on.
pub const SESSION_CLOCK: &[u8] = b"clock/sessions";
/// The key of the clock that leases run on.
pub const LEASE_CLOCK: &[u8] = b"clock/leases";
/// The key of the time of day at which an embedded store last moved a clock on.
pub const WALL_CLOCK: &[u8] = b"clock/wall";
/// The key of what there is once in a fleet's membership.
pub const FLEET: &[u8] = b"fleet";

pub(crate) const SESSIONS: &[u8] = b"session/";
pub(crate) const BODIES: &[u8] = b"body/";
pub(crate) const PLAYERS: &[u8] = b"player/";
pub(crate) const TOMBSTONES: &[u8] = b"tombstone/";
pub(crate) const DUE: &[u8] = b"due/";
pub(crate) const GRAVES: &[u8] = b"grave/";
pub(crate) const NODES: &[u8] = b"node/";
pub(crate) const LEASES: &[u8] = b"lease/";
pub(crate) const DEPARTED: &[u8] = b"departed/";
/// What the keys of the log of changes begin with: written whenever the membership changes, and then alone.
pub const CHANGES: &[u8] = b"change/";

fn key(prefix: &[u8], name: &str) -> Vec<u8> {
    [prefix, name.as_bytes()].concat()
}

pub(crate) fn session(id: &SessionId) -> Vec<u8> {
    key(SESSIONS, &id.to_string())
}

/// The prefix of the session keys of one partition.
pub(crate) fn sessions_of(partition: Partition) -> Vec<u8> {
    key(SESSIONS, &format!("{:03x}-", partition.get()))
}

/// The id in a key that [`session`] made; `None` for any other.
pub(crate) fn read_session(key: &[u8]) -> Option<SessionId> {
    let text = key.strip_prefix(SESSIONS)?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(crate) fn body(id: &SessionId) -> Vec<u8> {
    key(BODIES, &id.to_string())
}

pub(crate) fn player(player: &PlayerId) -> Vec<u8> {
    key(PLAYERS, player.as_str())
}

pub(crate) fn tombstone(id: &SessionId) -> Vec<u8> {
    key(TOMBSTONES, &id.to_string())
}

/// Where sessions stand that are due at `ms`; the first of them, where no session is given.
pub(crate) fn due(ms: u64, id: Option<&SessionId>) -> Vec<u8> {
    timed(DUE, ms, id)
}

/// Where tombstones stand that are forgotten at `ms`; the first of them, where no id is given.
pub(crate) fn grave(ms: u64, id: Option<&SessionId>) -> Vec<u8> {
    timed(GRAVES, ms, id)
}

/// The entry of an id whose last incarnation left at `ms`.
pub(crate) fn departed(ms: u64, id: &NodeId) -> Vec<u8> {
    key(DEPARTED, &format!("{ms:016x}/{id}"))
}

/// Time and id of a key that [`departed`] made; `None` for any other.
pub(crate) fn read_departed(key: &[u8]) -> Option<(u64, NodeId)> {
    let (time, id) = split_timed(DEPARTED, key)?;
    Some((time, NodeId::new(id).ok()?))
}

pub(crate) fn timed(prefix: &[u8], ms: u64, id: Option<&SessionId>) -> Vec<u8> {
    let id = id.map(SessionId::to_string).unwrap_or_default();
    key(prefix, &format!("{ms:016x}/{id}"))
}

/// Time and id of a key that [`due`] or [`grave`] made; `None` for any other.
pub(crate) fn read_timed(prefix: &[u8], key: &[u8]) -> Option<(u64, SessionId)> {
    let (time, id) = split_timed(prefix, key)?;
    Some((time, id.parse().ok()?))
}

fn split_timed<'a>(prefix: &[u8], key: &'a [u8]) -> Option<(u64, &'a str)> {
    let (time, id) = std::str::from_utf8(key.strip_prefix(prefix)?)
        .ok()?
        .split_once('/')?;
    Some((read_number(time)?, id))
}

/// 16 lower-case hexadecimal digits.
fn read_number(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

pub(crate) fn node(id: &NodeId) -> Vec<u8> {
    key(NODES, id.as_str())
}

pub(crate) fn lease(id: &NodeId) -> Vec<u8> {
    key(LEASES, id.as_str())
}

pub(crate) fn runs(id: &NodeId) -> Vec<u8> {
    key(b"runs/", id.as_str())
}

pub(crate) fn change(number: u64) -> Vec<u8> {
    key(CHANGES, &format!("{number:016x}"))
}

/// The first key behind all that begin with `prefix`, whose last byte is not the greatest.
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}
