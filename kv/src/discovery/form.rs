//! The stored forms; `discovery` says what they look like.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::id::NUMBER_MAX;
use ringhold_core::membership::LeftReason;
use ringhold_core::node::Load;
use ringhold_core::{
    Error, Incarnation, NodeId, NodeIncarnation, Nonce, Result, Revision, Timing, Update, codec,
};

use crate::schema;
use crate::transaction::{Transaction, corrupt};

const OPERATION: &str = "discovery";

/// What there is once in a fleet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fleet {
    /// The revision of the last change.
    pub(super) head: Revision,
    pub(super) timing: Timing,
    /// The greatest incarnation number that was given.
    pub(super) last_number: u64,
    /// How many ids are remembered that have no member.
    pub(super) departed: u64,
}

impl Fleet {
    pub(super) fn peek<T: Transaction>(tx: &mut T) -> Result<Option<Self>, T::Stop> {
        let bytes = tx.peek(schema::FLEET)?;
        Ok(bytes.map(|bytes| Self::decode(&bytes)).transpose()?)
    }

    pub(super) fn get<T: Transaction>(tx: &mut T) -> Result<Option<Self>, T::Stop> {
        let bytes = tx.get(schema::FLEET)?;
        Ok(bytes.map(|bytes| Self::decode(&bytes)).transpose()?)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = || corrupt(OPERATION, "what there is once in a fleet");
        let mut fields = Fields(bytes);
        let [number, tag, heartbeat, lease, last_number, departed] =
            std::array::from_fn(|_| fields.u64().ok_or_else(malformed));
        let head = Revision::new(number?, tag?);
        let (heartbeat, lease) = (Duration::from_millis(heartbeat?), Duration::from_millis(lease?));
        let timing = Timing::new(heartbeat, lease).map_err(|error| malformed().with_source(error))?;
        fields.end().ok_or_else(malformed)?;
        let (last_number, departed) = (last_number?, departed?);
        if last_number > NUMBER_MAX {
            return Err(malformed());
        }
        Ok(Self {
            head,
            timing,
            last_number,
            departed,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { head, timing, .. } = self;
        let numbers = [
            head.number,
            head.tag,
            millis(timing.heartbeat()),
            millis(timing.lease()),
            self.last_number,
            self.departed,
        ];
        numbers.map(u64::to_le_bytes).concat()
    }
}

/// A member's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) incarnation: Incarnation,
    /// When it lapses, on the lease clock.
    pub(super) deadline_ms: u64,
    /// How often it was renewed.
    pub(super) renewals: u64,
    pub(super) load: Load,
}

impl Lease {
    pub(super) fn new(incarnation: Incarnation, deadline_ms: u64) -> Self {
        Self {
            incarnation,
            deadline_ms,
            renewals: 0,
            load: Load::default(),
        }
    }

    /// `None` for what is no lease.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let lease = Self {
            incarnation: fields.incarnation()?,
            deadline_ms: fields.u64()?,
            renewals: fields.u64()?,
            load: Load::new(u32::from_le_bytes(fields.take()?)),
        };
        fields.end()?;
        Some(lease)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = incarnation_bytes(self.incarnation);
        bytes.extend_from_slice(&self.deadline_ms.to_le_bytes());
        bytes.extend_from_slice(&self.renewals.to_le_bytes());
        bytes.extend_from_slice(&self.load.sessions.to_le_bytes());
        bytes
    }
}

/// The last incarnations of one id.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// The last incarnation number.
    pub(super) number: u64,
    /// When the last of them left, on the lease clock; `None` while the id has a member.
    pub(super) left_ms: Option<u64>,
    /// The nonces of the last [`Runs::NONCES_MAX`] incarnations, oldest first.
    pub(super) nonces: Vec<Nonce>,
}

impl Runs {
    /// A repetition comes within a minute or never; no id has more runs than this in that time
    /// unless its processes fight over it.
    pub(super) const NONCES_MAX: usize = 16;
    const IS_MEMBER: u64 = u64::MAX;

    pub(super) fn add(&mut self, number: u64, nonce: Nonce) {
        (self.number, self.left_ms) = (number, None);
        if self.nonces.len() >= Self::NONCES_MAX {
            self.nonces.remove(0);
        }
        self.nonces.push(nonce);
    }

    /// Of an id that was never seen, no runs.
    pub(super) fn decode(bytes: Option<&[u8]>) -> Result<Self> {
        let Some(bytes) = bytes else {
            return Ok(Self::default());
        };
        let malformed = || corrupt(OPERATION, "what is remembered of a node's runs");
        let mut fields = Fields(bytes);
        let (number, left_ms) = fields.u64().zip(fields.u64()).ok_or_else(malformed)?;
        let (nonces, rest) = fields.0.as_chunks::<16>();
        if number > NUMBER_MAX || nonces.len() > Self::NONCES_MAX || !rest.is_empty() {
            return Err(malformed());
        }
        let nonces = nonces.iter().copied().map(Nonce::from_bytes).collect();
        Ok(Self {
            number,
            left_ms: Some(left_ms).filter(|left_ms| *left_ms != Self::IS_MEMBER),
            nonces,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let left_ms = self.left_ms.unwrap_or(Self::IS_MEMBER);
        let mut bytes = [self.number, left_ms].map(u64::to_le_bytes).concat();
        for nonce in &self.nonces {
            bytes.extend_from_slice(&nonce.to_bytes());
        }
        bytes
    }
}

/// A change that is to be written.
#[derive(Debug)]
pub(super) enum Change<'a> {
    /// With the record in its stored form.
    Joined(&'a [u8]),
    /// With the record in its stored form.
    Changed(&'a [u8]),
    Left(&'a NodeId, Incarnation, LeftReason),
}

impl Change<'_> {
    const JOINED: u8 = 1;
    const CHANGED: u8 = 2;
    const LEFT: u8 = 3;

    pub(super) fn encode(&self, tag: u64) -> Vec<u8> {
        let mut bytes = tag.to_le_bytes().to_vec();
        match self {
            Self::Joined(record) => {
                bytes.push(Self::JOINED);
                bytes.extend_from_slice(record);
            }
            Self::Changed(record) => {
                bytes.push(Self::CHANGED);
                bytes.extend_from_slice(record);
            }
            Self::Left(id, incarnation, reason) => {
                bytes.extend_from_slice(&[Self::LEFT, reason_byte(*reason)]);
                bytes.extend_from_slice(&incarnation_bytes(*incarnation));
                bytes.extend_from_slice(id.as_str().as_bytes());
            }
        }
        bytes
    }

    /// The tag alone.
    pub(super) fn tag(bytes: &[u8]) -> Option<u64> {
        Fields(bytes).u64()
    }

    /// Change `number` as readers are told of it; `None` where it cannot be read here.
    pub(super) fn decode(number: u64, bytes: &[u8]) -> Option<Update> {
        let mut fields = Fields(bytes);
        let revision = Revision::new(number, fields.u64()?);
        let [kind] = fields.take()?;
        match kind {
            Self::JOINED | Self::CHANGED => {
                let node = Arc::new(codec::decode_node(fields.0).ok()?);
                Some(if kind == Self::JOINED {
                    Update::Joined { revision, node }
                } else {
                    Update::Changed { revision, node }
                })
            }
            Self::LEFT => {
                let [reason] = fields.take()?;
                let (reason, incarnation) = (reason_of(reason)?, fields.incarnation()?);
                let node = NodeIncarnation::new(node_id(fields.0)?, incarnation);
                Some(Update::Left {
                    revision,
                    node,
                    reason,
                })
            }
            _ => None,
        }
    }
}

/// The reasons and their bytes; 0 is for those that this build does not know.
const REASONS: [(LeftReason, u8); 4] = [
    (LeftReason::Leave, 1),
    (LeftReason::LeaseLapsed, 2),
    (LeftReason::Evicted, 3),
    (LeftReason::Superseded, 4),
];

fn reason_byte(reason: LeftReason) -> u8 {
    REASONS
        .iter()
        .find(|(known, _)| *known == reason)
        .map_or(0, |(_, byte)| *byte)
}

fn reason_of(byte: u8) -> Option<LeftReason> {
    REASONS
        .iter()
        .find(|(_, known)| *known == byte)
        .map(|(reason, _)| *reason)
}

/// The id in the rest of a key or of a change.
pub(super) fn node_id(bytes: &[u8]) -> Option<NodeId> {
    NodeId::new(std::str::from_utf8(bytes).ok()?).ok()
}

pub(super) fn incarnation_bytes(incarnation: Incarnation) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(44);
    bytes.extend_from_slice(&incarnation.number.to_le_bytes());
    bytes.extend_from_slice(&incarnation.nonce.to_bytes());
    bytes
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The error that a node's record cannot be shown.
pub(super) fn bad_record(context: &'static str) -> Error {
    Error::new(ringhold_core::ErrorKind::Corrupt, "node record", context)
}

/// What is left to read of a stored value.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn incarnation(&mut self) -> Option<Incarnation> {
        let number = self.u64().filter(|number| *number <= NUMBER_MAX)?;
        let nonce = Nonce::from_bytes(self.take()?);
        Some(Incarnation { number, nonce })
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests;
