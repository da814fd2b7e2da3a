//! The stored form of what is remembered of sessions that have ended.

use super::envelope::{self, Kind};
use crate::session::EndReason;
use crate::{Nonce, OperationId, Result};

/// What a store remembers of a session or a login that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredTombstone {
    /// How it ended.
    pub end: StoredEnd,
    /// When it is forgotten, in milliseconds on the partition's clock.
    pub deadline_ms: u64,
}

impl StoredTombstone {
    /// How many bytes its stored form takes.
    pub const LEN: usize = envelope::LEN + 25;

    /// Ended so, and remembered until then.
    pub const fn new(end: StoredEnd, deadline_ms: u64) -> Self {
        Self { end, deadline_ms }
    }
}

/// How a session or a login ended, with what tells a repetition of the write that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredEnd {
    /// Removed by this operation.
    Removed(OperationId),
    /// Ended by a later login or a claim.
    Displaced,
    /// Expired, and acknowledged with this token.
    Expired(Nonce),
}

impl StoredEnd {
    /// The reason, which callers are told.
    pub const fn reason(self) -> EndReason {
        match self {
            Self::Removed(_) => EndReason::Removed,
            Self::Displaced => EndReason::Displaced,
            Self::Expired(_) => EndReason::Expired,
        }
    }
}

/// The stored form of a tombstone, in the newest format. O(1).
pub fn encode_tombstone(tombstone: &StoredTombstone) -> Vec<u8> {
    let (reason, proof) = match tombstone.end {
        StoredEnd::Removed(operation) => (1, operation.to_bytes()),
        StoredEnd::Displaced => (2, [0; 16]),
        StoredEnd::Expired(token) => (3, token.to_bytes()),
    };
    let mut out = Kind::Tombstone.begin(StoredTombstone::LEN);
    out.extend_from_slice(&tombstone.deadline_ms.to_le_bytes());
    out.push(reason);
    out.extend_from_slice(&proof);
    out
}

/// Reads a stored tombstone. O(1).
///
/// # Errors
/// `Corrupt` for anything but the bytes that [`encode_tombstone`] makes of one, `Unsupported` for a
/// newer format.
pub fn decode_tombstone(bytes: &[u8]) -> Result<StoredTombstone> {
    let (_, mut fields) = Kind::Tombstone.open(bytes)?;
    let deadline_ms = fields.u64()?;
    let [reason] = fields.bytes()?;
    let proof = fields.bytes()?;
    fields.end()?;
    let end = match reason {
        1 => StoredEnd::Removed(OperationId::from_bytes(proof)),
        2 if proof == [0; 16] => StoredEnd::Displaced,
        2 => return Err(Kind::Tombstone.corrupt("it was displaced, and has an operation or a token")),
        3 => StoredEnd::Expired(Nonce::from_bytes(proof)),
        _ => return Err(Kind::Tombstone.corrupt(format!("reason {reason} is not known"))),
    };
    Ok(StoredTombstone { end, deadline_ms })
}
