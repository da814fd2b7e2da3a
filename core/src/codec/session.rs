//! The stored form of sessions.

mod header;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::header::SessionHeader;
use super::data;
use super::envelope::{Fields, Kind};
use crate::session::{CreateOutcome, Displaced};
use crate::{
    Fence, Limits, NodeId, NodeIncarnation, Nonce, OperationId, PlayerId, Result, SessionId, SessionRecord,
    Ttl, Version,
};

/// Everything that a store keeps of one session: the record, and what makes writes idempotent and
/// expiry exact. Times are milliseconds on the clock of the session's partition.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredSession {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub player: PlayerId,
    /// Who holds it.
    pub owner: NodeIncarnation,
    /// What every write of the owner carries.
    pub fence: Fence,
    /// The version of the data.
    pub version: Version,
    /// The time to live that its last touch asked for.
    pub ttl: Ttl,
    /// When it expires.
    pub deadline_ms: u64,
    /// It is no longer among its player's sessions and cannot be revived: it waits for the
    /// acknowledgement of its expiry.
    pub unlinked: bool,
    /// The sweeper that has it; void, so `None`, after a touch, a save or a claim.
    pub take: Option<StoredTake>,
    /// The last write of data, with its answer.
    pub saved: Option<StoredSave>,
    /// The login that holds it, with its answer; `None` after a claim or a restoration.
    pub login: Option<StoredLogin>,
    /// The application's bytes.
    pub data: Bytes,
}

impl StoredSession {
    /// A session that expires at `deadline_ms`, linked, without a take, a save or a login. What
    /// remains in `record` is not looked at.
    pub fn new(record: SessionRecord, deadline_ms: u64) -> Self {
        let SessionRecord {
            id,
            player,
            owner,
            fence,
            version,
            ttl,
            remaining: _,
            data,
        } = record;
        Self {
            id,
            player,
            owner,
            fence,
            version,
            ttl,
            deadline_ms,
            unlinked: false,
            take: None,
            saved: None,
            login: None,
            data,
        }
    }

    /// The record as a reader sees it at `now_ms`.
    pub fn record(&self, now_ms: u64) -> SessionRecord {
        SessionRecord {
            id: self.id,
            player: self.player.clone(),
            owner: self.owner.clone(),
            fence: self.fence,
            version: self.version,
            ttl: self.ttl,
            remaining: Duration::from_millis(self.deadline_ms.saturating_sub(now_ms)),
            data: self.data.clone(),
        }
    }

    /// What its login came to: it made the session where it has the session's own id, and took it
    /// over otherwise.
    pub fn login_outcome(&self) -> Option<CreateOutcome> {
        let login = self.login.as_ref()?;
        Some(if login.id == self.id {
            CreateOutcome::New
        } else {
            CreateOutcome::TakenOver
        })
    }

    /// The header that belongs to a body of the newest format, as [`encode_session_body`] writes it.
    ///
    /// Whoever rewrites the header alone changes the one that was [read](SessionHeader::read), which
    /// keeps the format of the body that stays.
    pub fn header(&self) -> SessionHeader {
        SessionHeader {
            format: Kind::Session.newest(),
            unknown_flags: 0,
            fence: self.fence,
            version: self.version,
            owner: self.owner.incarnation,
            deadline_ms: self.deadline_ms,
            ttl: self.ttl,
            unlinked: self.unlinked,
            take: self.take,
            saved: self.saved,
            login: self.login.as_ref().map(|login| login.id),
        }
    }

    fn check(&self) -> Result<()> {
        let kind = Kind::Session;
        if self.id.partition() != self.player.partition() {
            return Err(kind.invalid(OTHER_PARTITION));
        }
        kind.check_number("version", self.version.get())?;
        if let Some(save) = self.saved {
            kind.check_number("version", save.version.get())?;
        }
        let check = |fence: Fence, owner: &NodeIncarnation| {
            kind.check_number("epoch", fence.epoch)?;
            kind.check_number("incarnation number", owner.incarnation.number)
        };
        check(self.fence, &self.owner)?;
        if self.data.len() > Limits::DATA_BYTES_CEILING {
            return Err(kind.too_large("bytes of data", self.data.len(), Limits::DATA_BYTES_CEILING));
        }
        self.displaced()
            .iter()
            .try_for_each(|hold| check(hold.fence, &hold.owner))
    }

    fn displaced(&self) -> &[Displaced] {
        self.login.as_ref().map_or(&[], |login| &login.displaced)
    }

    fn write_body(&self, mut out: Vec<u8>) -> Result<Vec<u8>> {
        let displaced = self.displaced();
        let (len, max) = (displaced.len(), StoredLogin::DISPLACED_MAX);
        let count = u16::try_from(len).ok().filter(|_| len <= max);
        let count = count.ok_or_else(|| Kind::Session.too_large("displaced holds", len, max))?;
        write_node_id(&mut out, &self.owner.node)?;
        out.extend_from_slice(&count.to_le_bytes());
        for hold in displaced {
            write_hold(&mut out, hold)?;
        }
        let rest = RestRef {
            id: self.id,
            player: &self.player,
            data: &self.data,
        };
        Kind::Session.finish(out, &rest)
    }

    /// How many bytes a body takes, or a little more.
    fn body_len(&self) -> usize {
        let holds = self
            .displaced()
            .iter()
            .map(|hold| 67 + hold.owner.node.as_str().len());
        let names = self.owner.node.as_str().len() + self.player.as_str().len();
        holds.sum::<usize>() + names + 32 + self.data.len()
    }
}

const OTHER_PARTITION: &str = "its id and its player are of different partitions";

impl fmt::Debug for StoredSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSession")
            .field("id", &self.id)
            .field("player", &self.player)
            .field("owner", &self.owner)
            .field("fence", &self.fence)
            .field("version", &self.version.get())
            .field("ttl", &self.ttl)
            .field("deadline_ms", &self.deadline_ms)
            .field("unlinked", &self.unlinked)
            .field("take", &self.take)
            .field("saved", &self.saved)
            .field("login", &self.login)
            // The application's bytes may be secret.
            .field("data_bytes", &self.data.len())
            .finish()
    }
}

/// A sweeper's hold on an expired session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredTake {
    /// What an acknowledgement has to show.
    pub token: Nonce,
    /// When another sweeper may take it.
    pub hidden_until_ms: u64,
}

impl StoredTake {
    /// Taken with `token`, and hidden until then.
    pub const fn new(token: Nonce, hidden_until_ms: u64) -> Self {
        Self {
            token,
            hidden_until_ms,
        }
    }
}

/// The last write of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredSave {
    /// What named it.
    pub operation: OperationId,
    /// The version that it was answered with.
    pub version: Version,
}

impl StoredSave {
    /// The write `operation`, answered with `version`.
    pub const fn new(operation: OperationId, version: Version) -> Self {
        Self { operation, version }
    }
}

/// The login that holds a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredLogin {
    /// The session id that its caller made for it.
    pub id: SessionId,
    /// The holds that it ended, at most [`DISPLACED_MAX`](Self::DISPLACED_MAX).
    pub displaced: Vec<Displaced>,
}

impl StoredLogin {
    /// The most holds that one login can end.
    pub const DISPLACED_MAX: usize = 64;

    /// The login `id` that ended these holds.
    pub const fn new(id: SessionId, displaced: Vec<Displaced>) -> Self {
        Self { id, displaced }
    }
}

fn write_node_id(out: &mut Vec<u8>, node: &NodeId) -> Result<()> {
    let text = node.as_str();
    let len = u8::try_from(text.len())
        .map_err(|_| Kind::Session.too_large("bytes in a node id", text.len(), NodeId::LEN_MAX))?;
    out.push(len);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn read_node_id(fields: &mut Fields<'_>) -> Result<NodeId> {
    NodeId::new(fields.short_text()?).map_err(|error| Kind::Session.corrupt(error.to_string()))
}

fn read_session_id(bytes: [u8; 18]) -> Result<SessionId> {
    SessionId::from_bytes(bytes).map_err(|error| Kind::Session.corrupt(error.to_string()))
}

fn write_hold(out: &mut Vec<u8>, hold: &Displaced) -> Result<()> {
    let Displaced { id, owner, fence } = hold;
    out.extend_from_slice(&id.to_bytes());
    out.extend_from_slice(&fence.epoch.to_le_bytes());
    out.extend_from_slice(&fence.nonce.to_bytes());
    out.extend_from_slice(&owner.incarnation.number.to_le_bytes());
    out.extend_from_slice(&owner.incarnation.nonce.to_bytes());
    write_node_id(out, &owner.node)
}

fn read_hold(fields: &mut Fields<'_>) -> Result<Displaced> {
    let id = read_session_id(fields.bytes()?)?;
    let (fence, incarnation) = (fields.fence()?, fields.incarnation()?);
    let owner = NodeIncarnation::new(read_node_id(fields)?, incarnation);
    Ok(Displaced::new(id, owner, fence))
}

/// The end of a body as it is written; `Rest` has the same fields in the same order.
#[derive(Serialize)]
struct RestRef<'a> {
    id: SessionId,
    player: &'a PlayerId,
    #[serde(with = "data")]
    data: &'a Bytes,
}

#[derive(Serialize, Deserialize)]
struct Rest {
    id: SessionId,
    player: PlayerId,
    #[serde(with = "data")]
    data: Bytes,
}

/// The stored form of a session in one piece, in the newest format: the header, and behind it the
/// body.
///
/// # Errors
/// `TooLarge` above [`Limits::DATA_BYTES_CEILING`] bytes of data or
/// [`StoredLogin::DISPLACED_MAX`] displaced holds; `InvalidArgument` for a version, an epoch or an
/// incarnation number above [`NUMBER_MAX`](crate::id::NUMBER_MAX), and where id and player are of
/// different partitions.
pub fn encode_session(session: &StoredSession) -> Result<Vec<u8>> {
    session.check()?;
    let mut out = Vec::with_capacity(SessionHeader::LEN + session.body_len());
    out.extend_from_slice(&session.header().encode());
    session.write_body(out)
}

/// The part of a stored session behind its header, in the newest format. The other part is
/// [`StoredSession::header`].
///
/// # Errors
/// Those of [`encode_session`].
pub fn encode_session_body(session: &StoredSession) -> Result<Vec<u8>> {
    session.check()?;
    session.write_body(Vec::with_capacity(session.body_len()))
}

/// Reads a session that is stored in one piece.
///
/// # Errors
/// `Corrupt` for anything but the bytes that [`encode_session`] makes of a session, `Unsupported` for
/// a newer format.
pub fn decode_session(bytes: &[u8]) -> Result<StoredSession> {
    let (header, body) = bytes.split_at(bytes.len().min(SessionHeader::LEN));
    decode_session_parts(header, body)
}

/// Reads a session whose header and body are stored apart. That the two belong together is up to the
/// store, which writes them in one transaction.
///
/// # Errors
/// `Corrupt` for anything but what [`SessionHeader::encode`] and [`encode_session_body`] make of a
/// session, `Unsupported` for a newer format.
pub fn decode_session_parts(header: &[u8], body: &[u8]) -> Result<StoredSession> {
    let (format, mut fields) = Kind::Session.open(header)?;
    let SessionHeader {
        format: _,
        unknown_flags: _,
        fence,
        version,
        owner,
        deadline_ms,
        ttl,
        unlinked,
        take,
        saved,
        login,
    } = SessionHeader::read_fields(format, &mut fields)?;
    fields.end()?;

    let mut fields = Kind::Session.fields(body);
    let owner = NodeIncarnation::new(read_node_id(&mut fields)?, owner);
    let count = usize::from(u16::from_le_bytes(fields.bytes()?));
    if count > StoredLogin::DISPLACED_MAX {
        return Err(Kind::Session.corrupt(format!("it has {count} displaced holds")));
    }
    // Room comes with what is read: nothing is reserved for a number that was only claimed.
    let mut displaced = Vec::new();
    for _ in 0..count {
        displaced.push(read_hold(&mut fields)?);
    }
    let login = match login {
        Some(id) => Some(StoredLogin::new(id, displaced)),
        None if displaced.is_empty() => None,
        None => return Err(Kind::Session.corrupt("it has no login, and displaced holds")),
    };
    let Rest { id, player, data } = fields.body()?;
    if id.partition() != player.partition() {
        return Err(Kind::Session.corrupt(OTHER_PARTITION));
    }
    Ok(StoredSession {
        id,
        player,
        owner,
        fence,
        version,
        ttl,
        deadline_ms,
        unlinked,
        take,
        saved,
        login,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Incarnation;

    /// So that encoding makes room once, and not much more than it needs.
    #[test]
    fn a_body_takes_the_room_that_was_made_for_it() {
        let nonce = Nonce::from_bytes([1; 16]);
        let run = |id: &str| {
            let incarnation = Incarnation { number: 1, nonce };
            NodeIncarnation::new(NodeId::new(id).unwrap(), incarnation)
        };
        let fence = Fence { epoch: 1, nonce };
        for (player, owner, data) in [("a", "b", 0), ("player", "node", 100), ("p", "n", 20_000)] {
            let (player, owner) = (player.repeat(20), owner.repeat(10));
            let player = PlayerId::new(player).unwrap();
            let id = SessionId::new(player.partition(), [2; 16]);
            let record = SessionRecord::new(id, player, run(&owner), nonce, Ttl::MIN, vec![7; data].into());
            let mut session = StoredSession::new(record, 0);
            for holds in [0_usize, 1, 64] {
                let hold = |number: usize| Displaced::new(id, run(&"h".repeat(1 + number % 64)), fence);
                session.login = Some(StoredLogin::new(id, (0..holds).map(hold).collect()));
                let (needed, room) = (encode_session_body(&session).unwrap().len(), session.body_len());
                assert!(
                    (needed..=needed + 32).contains(&room),
                    "{room} bytes for {needed}"
                );
            }
        }
    }
}
