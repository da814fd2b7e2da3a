//! The stored form of node records.

use serde::{Deserialize, Serialize};

use super::envelope::{self, Fields, Kind};
use crate::id::{Build, Zone};
use crate::node::{Endpoints, ExpiryMode, Formats, Labels, NodeState};
use crate::{Incarnation, NodeId, NodeRecord, Result, Weight};

/// The fixed part of a stored node record, which is read without decoding the rest, of any format:
/// [its layout never changes](super#what-never-changes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeHeader {
    /// The format of the record; above [`FORMAT_NEWEST`](super::FORMAT_NEWEST) its body cannot be read
    /// here.
    pub format: u16,
    /// Which run of the node.
    pub incarnation: Incarnation,
}

impl NodeHeader {
    /// How many bytes it takes at the beginning of a record, with the envelope.
    pub const LEN: usize = envelope::LEN + 24;

    /// Reads the header of a stored node record, also of a newer format; the body is not looked at.
    /// O(1).
    ///
    /// # Errors
    /// `Corrupt` for anything but the beginning of a node record.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let (format, mut fields) = Kind::Node.open_any(bytes)?;
        Self::read_fields(format, &mut fields)
    }

    fn read_fields(format: u16, fields: &mut Fields<'_>) -> Result<Self> {
        Ok(Self {
            format,
            incarnation: fields.incarnation()?,
        })
    }
}

/// The body as it is written; `Body` has the same fields in the same order.
#[derive(Serialize)]
struct BodyRef<'a> {
    id: &'a NodeId,
    state: NodeState,
    endpoints: &'a Endpoints,
    zone: &'a Zone,
    weight: Weight,
    capacity: Option<u32>,
    labels: &'a Labels,
    build: &'a Build,
    formats: Formats,
    expiry: ExpiryMode,
}

/// `E` is `()`, which has no bytes, in format 1.
#[derive(Serialize, Deserialize)]
struct Body<E> {
    id: NodeId,
    state: NodeState,
    endpoints: Endpoints,
    zone: Zone,
    weight: Weight,
    capacity: Option<u32>,
    labels: Labels,
    build: Build,
    formats: Formats,
    expiry: E,
}

/// The stored form of a node record, in the newest format.
///
/// # Errors
/// `InvalidArgument` for an incarnation number above [`NUMBER_MAX`](crate::id::NUMBER_MAX).
pub fn encode_node(record: &NodeRecord) -> Result<Vec<u8>> {
    let NodeRecord {
        id,
        incarnation,
        state,
        endpoints,
        zone,
        weight,
        capacity,
        labels,
        build,
        formats,
        expiry,
    } = record;
    Kind::Node.check_number("incarnation number", incarnation.number)?;
    let mut out = Kind::Node.begin(512);
    out.extend_from_slice(&incarnation.number.to_le_bytes());
    out.extend_from_slice(&incarnation.nonce.to_bytes());
    let (state, weight, capacity, formats, expiry) = (*state, *weight, *capacity, *formats, *expiry);
    let body = BodyRef {
        id,
        state,
        endpoints,
        zone,
        weight,
        capacity,
        labels,
        build,
        formats,
        expiry,
    };
    Kind::Node.finish(out, &body)
}

/// Reads a stored node record.
///
/// # Errors
/// `Corrupt` for anything but the bytes that [`encode_node`] makes of a record, `Unsupported` for a
/// newer format.
pub fn decode_node(bytes: &[u8]) -> Result<NodeRecord> {
    let (format, mut fields) = Kind::Node.open(bytes)?;
    let NodeHeader { incarnation, .. } = NodeHeader::read_fields(format, &mut fields)?;
    if format == 1 {
        let body: Body<()> = fields.body()?;
        return Ok(body.into_record(incarnation, ExpiryMode::default()));
    }
    let body: Body<ExpiryMode> = fields.body()?;
    let expiry = body.expiry;
    Ok(body.into_record(incarnation, expiry))
}

impl<E> Body<E> {
    fn into_record(self, incarnation: Incarnation, expiry: ExpiryMode) -> NodeRecord {
        let Self {
            id,
            state,
            endpoints,
            zone,
            weight,
            capacity,
            labels,
            build,
            formats,
            expiry: _,
        } = self;
        NodeRecord {
            id,
            incarnation,
            state,
            endpoints,
            zone,
            weight,
            capacity,
            labels,
            build,
            formats,
            expiry,
        }
    }
}
