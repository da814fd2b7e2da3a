//! What the scripts of the membership answer, as values.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::membership::{LeftReason, Member, UnreadableMember};
use ringhold_core::node::Load;
use ringhold_core::{
    Error, ErrorKind, Incarnation, Membership, NodeId, NodeIncarnation, NodeRecord, Nonce, Result, Revision,
    Timing, Update, codec,
};

use crate::client::{Elements, malformed};

/// The periods of a fleet, as they are stored.
pub(super) fn timing(operation: &'static str, heartbeat_ms: u64, lease_ms: u64) -> Result<Timing> {
    let (heartbeat, lease) = (
        Duration::from_millis(heartbeat_ms),
        Duration::from_millis(lease_ms),
    );
    Timing::new(heartbeat, lease).map_err(|error| {
        let context = "the stored timing of the fleet is none; something else uses its keys";
        Error::new(ErrorKind::Corrupt, operation, context).with_source(error)
    })
}

/// A whole membership. Members whose records cannot be read here are shown as such.
pub(super) fn membership(operation: &'static str, mut elements: Elements) -> Result<Membership> {
    let number = elements.number()?;
    let revision = Revision::new(number, tag(operation, &elements.bytes()?)?);
    let lag = Duration::from_millis(elements.number()?);
    let (mut members, mut unreadable) = (Vec::new(), Vec::new());
    while !elements.is_empty() {
        let (id, record) = (elements.bytes()?, elements.bytes()?);
        let (load, lapsed) = (load(operation, &elements.bytes()?)?, elements.number()? == 1);
        let Ok(id) = node_id(operation, &id) else {
            tracing::warn!(operation, "something that is no node stands among the members");
            continue;
        };
        match decode_node(&id, &record) {
            Ok(record) => {
                let mut member = Member::new(record, load);
                member.lapsed = lapsed;
                members.push(member);
            }
            Err(error) => unreadable.push(UnreadableMember::new(id, &error)),
        }
    }
    unreadable.sort_by(|a, b| a.id.cmp(&b.id));
    let mut membership = Membership::new(revision, members);
    membership.unreadable = unreadable;
    membership.clock_lag = lag;
    Ok(membership)
}

/// Changes in order.
///
/// # Errors
/// `Corrupt` or `Unsupported` when one of them cannot be read here: the reader has to start over.
pub(super) fn updates(operation: &'static str, mut elements: Elements) -> Result<Vec<Update>> {
    let mut updates = Vec::new();
    while !elements.is_empty() {
        updates.push(update(operation, &elements.bytes()?)?);
    }
    Ok(updates)
}

/// Number, tag, kind and reason, and what has changed.
fn update(operation: &'static str, entry: &[u8]) -> Result<Update> {
    let short = || malformed(operation, "a change that is too short");
    let (number, rest) = entry.split_first_chunk::<8>().ok_or_else(short)?;
    let (tag_text, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
    let ([kind, reason], rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let revision = Revision::new(u64::from_le_bytes(*number), tag(operation, tag_text)?);
    Ok(match kind {
        b'J' | b'C' => {
            let node: Arc<NodeRecord> = Arc::new(codec::decode_node(rest)?);
            if *kind == b'J' {
                Update::Joined { revision, node }
            } else {
                Update::Changed { revision, node }
            }
        }
        b'L' => {
            let (gone, id) = rest.split_first_chunk::<24>().ok_or_else(short)?;
            let reason = match reason {
                b'1' => LeftReason::Leave,
                b'2' => LeftReason::LeaseLapsed,
                b'3' => LeftReason::Evicted,
                b'4' => LeftReason::Superseded,
                _ => return Err(malformed(operation, "an unknown reason")),
            };
            let node = NodeIncarnation::new(node_id(operation, id)?, incarnation(gone));
            Update::Left {
                revision,
                node,
                reason,
            }
        }
        _ => return Err(malformed(operation, "an unknown change")),
    })
}

/// What all members carry, by id.
pub(super) fn loads(operation: &'static str, mut elements: Elements) -> Result<Vec<(NodeIncarnation, Load)>> {
    let mut loads = Vec::new();
    while !elements.is_empty() {
        let (id, run, load_bytes) = (elements.bytes()?, elements.bytes()?, elements.bytes()?);
        let run = <&[u8; 24]>::try_from(&run[..]).map_err(|_| malformed(operation, "no incarnation"))?;
        if let Ok(id) = node_id(operation, &id) {
            loads.push((
                NodeIncarnation::new(id, incarnation(run)),
                load(operation, &load_bytes)?,
            ));
        }
    }
    loads.sort_by(|(a, _), (b, _)| a.node.cmp(&b.node));
    Ok(loads)
}

fn decode_node(id: &NodeId, record: &Bytes) -> Result<NodeRecord> {
    let record = codec::decode_node(record)?;
    if record.id == *id {
        return Ok(record);
    }
    let context = "it stands under the id of another node";
    Err(Error::new(ErrorKind::Corrupt, "node record", context))
}

fn incarnation(bytes: &[u8; 24]) -> Incarnation {
    let (mut number, mut nonce) = ([0; 8], [0; 16]);
    number.copy_from_slice(&bytes[..8]);
    nonce.copy_from_slice(&bytes[8..]);
    Incarnation {
        number: u64::from_le_bytes(number),
        nonce: Nonce::from_bytes(nonce),
    }
}

fn node_id(operation: &'static str, bytes: &[u8]) -> Result<NodeId> {
    let text = std::str::from_utf8(bytes).ok();
    let id = text.and_then(|text| NodeId::new(text).ok());
    id.ok_or_else(|| malformed(operation, "no node id"))
}

fn load(operation: &'static str, bytes: &[u8]) -> Result<Load> {
    let sessions = bytes.try_into().map(u32::from_le_bytes);
    sessions
        .map(Load::new)
        .map_err(|_| malformed(operation, "no load"))
}

fn tag(operation: &'static str, text: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 16);
    let tag = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    tag.ok_or_else(|| malformed(operation, "no tag"))
}
