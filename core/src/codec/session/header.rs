//! The fixed part of a stored session.

use super::{StoredSave, StoredTake, read_session_id};
use crate::codec::envelope::{self, Fields, Kind};
use crate::id::NUMBER_MAX;
use crate::{Error, Fence, Incarnation, Nonce, OperationId, Result, SessionId, Ttl, Version};

const UNLINKED: u8 = 1;
const TAKEN: u8 = 2;
const SAVED: u8 = 4;
const LOGGED_IN: u8 = 8;
const KNOWN: u8 = UNLINKED | TAKEN | SAVED | LOGGED_IN;

/// The fixed part of a stored session, of any format: [its layout never
/// changes](crate::codec#what-never-changes). It is read without the rest, and can be stored apart from it,
/// so that a touch writes [`LEN`](Self::LEN) bytes and not the data.
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
    /// The format of the record; above 1 its body cannot be read here.
    pub format: u16,
    /// Flags of a newer format, written as they were read.
    pub(super) unknown_flags: u8,
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
    /// The last write of data, with its answer.
    pub saved: Option<StoredSave>,
    /// The id of the login that holds it; what that login displaced is in the body.
    pub login: Option<SessionId>,
}

impl SessionHeader {
    /// How many bytes it takes at the beginning of a record, with the envelope.
    pub const LEN: usize = envelope::LEN + 139;

    /// Reads the header of a stored session, also of a newer format; what follows it is not looked at.
    /// O(1).
    ///
    /// # Errors
    /// `Corrupt` for anything but the beginning of a session record.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let (format, mut fields) = Kind::Session.open_any(bytes)?;
        Self::read_fields(format, &mut fields)
    }

    /// Its stored form, under the format that it has, which is the one of the body beside it. O(1).
    ///
    /// Numbers above [`NUMBER_MAX`](crate::id::NUMBER_MAX) are written as they are, and not read again.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let mut rest = out.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            if let Some((field, behind)) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len()) {
                field.copy_from_slice(bytes);
                rest = behind;
            }
        };
        let flag = |is: bool, flag| if is { flag } else { 0 };
        let flags = self.unknown_flags
            | flag(self.unlinked, UNLINKED)
            | flag(self.take.is_some(), TAKEN)
            | flag(self.saved.is_some(), SAVED)
            | flag(self.login.is_some(), LOGGED_IN);
        let (token, hidden_until_ms) = self
            .take
            .map_or(([0; 16], 0), |take| (take.token.to_bytes(), take.hidden_until_ms));
        let (operation, answer) = self.saved.map_or(([0; 16], 0), |save| {
            (save.operation.to_bytes(), save.version.get())
        });
        put(&Kind::Session.envelope(self.format));
        put(&[flags]);
        put(&self.fence.epoch.to_le_bytes());
        put(&self.fence.nonce.to_bytes());
        put(&self.version.get().to_le_bytes());
        put(&self.owner.number.to_le_bytes());
        put(&self.owner.nonce.to_bytes());
        put(&self.deadline_ms.to_le_bytes());
        put(&self.ttl.as_millis().to_le_bytes());
        put(&token);
        put(&hidden_until_ms.to_le_bytes());
        put(&operation);
        put(&answer.to_le_bytes());
        put(&self.login.map_or([0; 18], SessionId::to_bytes));
        out
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

    pub(super) fn read_fields(format: u16, fields: &mut Fields<'_>) -> Result<Self> {
        // All of it is there or not, and then each field is at its place.
        let raw = fields.part::<{ Self::LEN - envelope::LEN }>()?;
        let [flags, ..] = *raw;
        let has = |flag| flags & flag != 0;
        let (epoch, version, number, answer) =
            (u64_at(raw, 1), u64_at(raw, 25), u64_at(raw, 33), u64_at(raw, 113));
        // All bits of the greatest one are set, so one look does for four.
        if epoch | version | number | answer > NUMBER_MAX {
            return Err(above([epoch, version, number, answer]));
        }
        if has(!KNOWN) && format <= Kind::Session.newest() {
            return Err(unknown_flags(flags));
        }
        if !has(TAKEN) && at::<24>(raw, 73) != [0; 24] {
            return Err(Kind::Session.corrupt("it is not taken, and has a take"));
        }
        if !has(SAVED) && at::<24>(raw, 97) != [0; 24] {
            return Err(Kind::Session.corrupt("it was not saved, and has a save"));
        }
        if !has(LOGGED_IN) && at::<18>(raw, 121) != [0; 18] {
            return Err(Kind::Session.corrupt("it has no login, and the id of one"));
        }
        let ttl = Ttl::from_millis(u64_at(raw, 65)).map_err(no_ttl)?;
        let login = if has(LOGGED_IN) {
            Some(read_session_id(at(raw, 121))?)
        } else {
            None
        };
        let nonce = |from| Nonce::from_bytes(at(raw, from));
        Ok(Self {
            format,
            unknown_flags: flags & !KNOWN,
            fence: Fence {
                epoch,
                nonce: nonce(9),
            },
            version: Version::new(version),
            owner: Incarnation {
                number,
                nonce: nonce(41),
            },
            deadline_ms: u64_at(raw, 57),
            ttl,
            unlinked: has(UNLINKED),
            take: has(TAKEN).then(|| StoredTake::new(nonce(73), u64_at(raw, 89))),
            saved: has(SAVED)
                .then(|| StoredSave::new(OperationId::from_bytes(at(raw, 97)), Version::new(answer))),
            login,
        })
    }
}

/// What stands behind the envelope.
type RawHeader = [u8; SessionHeader::LEN - envelope::LEN];

/// `N` bytes of it. Places are constants within it.
#[inline]
fn at<const N: usize>(raw: &RawHeader, from: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&raw[from..from + N]);
    bytes
}

#[inline]
fn u64_at(raw: &RawHeader, from: usize) -> u64 {
    u64::from_le_bytes(at(raw, from))
}

/// Which of the numbers of a header is greater than one can be.
#[cold]
fn above(numbers: [u64; 4]) -> Error {
    let names = ["epoch", "version", "incarnation number", "version"];
    let found = numbers
        .into_iter()
        .zip(names)
        .find(|(number, _)| *number > NUMBER_MAX);
    let (number, name) = found.unwrap_or_default();
    Kind::Session.corrupt(format!("{name} {number} is above {NUMBER_MAX}"))
}

#[cold]
fn unknown_flags(flags: u8) -> Error {
    Kind::Session.corrupt(format!("flags {flags:#04x} are not known"))
}

#[cold]
#[expect(
    clippy::needless_pass_by_value,
    reason = "it stands where the error is mapped"
)]
fn no_ttl(error: Error) -> Error {
    Kind::Session.corrupt(error.to_string())
}
