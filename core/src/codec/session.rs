//! The stored form of sessions.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::envelope::{Fields, Kind};
use super::{bounded_vec, data, envelope};
use crate::session::{CreateOutcome, Displaced};
use crate::{
    Fence, Incarnation, Limits, NodeId, NodeIncarnation, Nonce, OperationId, PlayerId, Result, SessionId,
    SessionRecord, Ttl, Version,
};

const UNLINKED: u8 = 1;
const TAKEN: u8 = 2;

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

    /// The part that can be read without the rest.
    pub fn header(&self) -> SessionHeader {
        SessionHeader {
            fence: self.fence,
            version: self.version,
            owner: self.owner.incarnation,
            deadline_ms: self.deadline_ms,
            ttl: self.ttl,
            unlinked: self.unlinked,
            take: self.take,
        }
    }
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The most holds that one login can end, as many as a player can have sessions.
    pub const DISPLACED_MAX: usize = 65_535;

    /// The login `id` that ended these holds.
    pub const fn new(id: SessionId, displaced: Vec<Displaced>) -> Self {
        Self { id, displaced }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Displaced")]
struct DisplacedForm {
    id: SessionId,
    owner: NodeIncarnation,
    fence: Fence,
}

/// A hold in its stored form.
#[derive(Serialize)]
struct HoldRef<'a>(#[serde(with = "DisplacedForm")] &'a Displaced);

/// A hold out of its stored form.
#[derive(Deserialize)]
struct Hold(#[serde(with = "DisplacedForm")] Displaced);

impl Serialize for StoredLogin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Holds<'a>(&'a [Displaced]);

        impl Serialize for Holds<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().map(HoldRef))
            }
        }

        (self.id, Holds(&self.displaced)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredLogin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Holds(Vec<Displaced>);

        impl<'de> Deserialize<'de> for Holds {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                bounded_vec(deserializer, StoredLogin::DISPLACED_MAX, |Hold(displaced)| {
                    displaced
                })
                .map(Self)
            }
        }

        let (id, Holds(displaced)) = Deserialize::deserialize(deserializer)?;
        Ok(Self { id, displaced })
    }
}

/// The fixed part of a stored session, which is read without decoding the rest.
///
/// ```
/// use ringhold_core::codec::SessionHeader;
///
/// let error = SessionHeader::read(b"something else").unwrap_err();
/// assert_eq!(error.to_string(), "session record: corrupt: these 14 bytes are something else");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionHeader {
    /// What every write of the owner carries.
    pub fence: Fence,
    /// The version of the data.
    pub version: Version,
    /// Which run of the node holds it; the node's id is in the body.
    pub owner: Incarnation,
    /// When it expires, in milliseconds on the partition's clock.
    pub deadline_ms: u64,
    /// The time to live that its last touch asked for.
    pub ttl: Ttl,
    /// It is no longer among its player's sessions.
    pub unlinked: bool,
    /// The sweeper that has it.
    pub take: Option<StoredTake>,
}

impl SessionHeader {
    /// How many bytes it takes at the beginning of a record, with the envelope.
    pub const LEN: usize = envelope::LEN + 97;

    /// Reads the header of a stored session; the body is not looked at. O(1).
    ///
    /// # Errors
    /// `Corrupt` for anything but the beginning of a session record, `Unsupported` for a newer format.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        Self::read_fields(&mut Kind::Session.open(bytes)?)
    }

    /// Whether readers see the session at `now_ms`.
    pub const fn is_live(&self, now_ms: u64) -> bool {
        now_ms < self.deadline_ms
    }

    /// When a sweeper may take it.
    pub const fn due_ms(&self) -> u64 {
        match self.take {
            Some(StoredTake { hidden_until_ms, .. }) => hidden_until_ms,
            None => self.deadline_ms,
        }
    }

    fn read_fields(fields: &mut Fields<'_>) -> Result<Self> {
        let [flags] = fields.bytes()?;
        let fence = Fence {
            epoch: fields.u64()?,
            nonce: Nonce::from_bytes(fields.bytes()?),
        };
        let version = Version::new(fields.u64()?);
        let owner = Incarnation {
            number: fields.u64()?,
            nonce: Nonce::from_bytes(fields.bytes()?),
        };
        let deadline_ms = fields.u64()?;
        let ttl_ms = fields.u64()?;
        let (token, hidden_until_ms) = (fields.bytes()?, fields.u64()?);
        if flags & !(UNLINKED | TAKEN) != 0 {
            return Err(Kind::Session.corrupt(format!("flags {flags:#04x} are not known")));
        }
        let ttl = Ttl::from_millis(ttl_ms).map_err(|error| Kind::Session.corrupt(error.to_string()))?;
        let take = if flags & TAKEN != 0 {
            Some(StoredTake {
                token: Nonce::from_bytes(token),
                hidden_until_ms,
            })
        } else if (token, hidden_until_ms) == ([0; 16], 0) {
            None
        } else {
            return Err(Kind::Session.corrupt("it is not taken, and has a token"));
        };
        Ok(Self {
            fence,
            version,
            owner,
            deadline_ms,
            ttl,
            unlinked: flags & UNLINKED != 0,
            take,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let unlinked = if self.unlinked { UNLINKED } else { 0 };
        let (flag, token, hidden_until_ms) = match self.take {
            Some(StoredTake {
                token,
                hidden_until_ms,
            }) => (TAKEN, token.to_bytes(), hidden_until_ms),
            None => (0, [0; 16], 0),
        };
        out.push(unlinked | flag);
        out.extend_from_slice(&self.fence.epoch.to_le_bytes());
        out.extend_from_slice(&self.fence.nonce.to_bytes());
        out.extend_from_slice(&self.version.get().to_le_bytes());
        out.extend_from_slice(&self.owner.number.to_le_bytes());
        out.extend_from_slice(&self.owner.nonce.to_bytes());
        out.extend_from_slice(&self.deadline_ms.to_le_bytes());
        out.extend_from_slice(&self.ttl.as_millis().to_le_bytes());
        out.extend_from_slice(&token);
        out.extend_from_slice(&hidden_until_ms.to_le_bytes());
    }
}

/// The body as it is written; `Body` has the same fields in the same order.
#[derive(Serialize)]
struct BodyRef<'a> {
    id: SessionId,
    player: &'a PlayerId,
    node: &'a NodeId,
    saved: Option<StoredSave>,
    login: Option<&'a StoredLogin>,
    #[serde(with = "data")]
    data: &'a Bytes,
}

#[derive(Deserialize)]
struct Body {
    id: SessionId,
    player: PlayerId,
    node: NodeId,
    saved: Option<StoredSave>,
    login: Option<StoredLogin>,
    #[serde(with = "data")]
    data: Bytes,
}

/// The stored form of a session, in the newest format.
///
/// # Errors
/// `TooLarge` above [`Limits::DATA_BYTES_CEILING`] bytes of data or
/// [`StoredLogin::DISPLACED_MAX`] displaced holds.
pub fn encode_session(session: &StoredSession) -> Result<Vec<u8>> {
    let StoredSession {
        id,
        player,
        owner,
        saved,
        login,
        data,
        ..
    } = session;
    let displaced = login.as_ref().map_or(0, |login| login.displaced.len());
    if displaced > StoredLogin::DISPLACED_MAX {
        return Err(Kind::Session.too_large("displaced holds", displaced, StoredLogin::DISPLACED_MAX));
    }
    if data.len() > Limits::DATA_BYTES_CEILING {
        return Err(Kind::Session.too_large("bytes of data", data.len(), Limits::DATA_BYTES_CEILING));
    }
    // Enough for all but the longest names; it grows where it is not.
    let len = SessionHeader::LEN + 128 + player.as_str().len() + 96 * displaced + data.len();
    let mut out = Kind::Session.begin(len);
    session.header().write(&mut out);
    let body = BodyRef {
        id: *id,
        player,
        node: &owner.node,
        saved: *saved,
        login: login.as_ref(),
        data,
    };
    Kind::Session.finish(out, &body)
}

/// Reads a stored session.
///
/// # Errors
/// `Corrupt` for anything but a whole session record and nothing behind it, `Unsupported` for a
/// newer format.
pub fn decode_session(bytes: &[u8]) -> Result<StoredSession> {
    let mut fields = Kind::Session.open(bytes)?;
    let header = SessionHeader::read_fields(&mut fields)?;
    let Body {
        id,
        player,
        node,
        saved,
        login,
        data,
    } = fields.body()?;
    let SessionHeader {
        fence,
        version,
        owner,
        deadline_ms,
        ttl,
        unlinked,
        take,
    } = header;
    let owner = NodeIncarnation::new(node, owner);
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
