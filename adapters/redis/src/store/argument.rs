//! The arguments of scripts, in the forms in which they stand in the store.

use bytes::Bytes;
use ringhold_core::codec::{self, StoredLogin, StoredSession};
use ringhold_core::{
    Fence, NodeIncarnation, Nonce, OperationId, PlayerId, Result, SessionId, SessionRecord, Ttl,
};

pub(super) fn id(id: &SessionId) -> Bytes {
    Bytes::copy_from_slice(&id.to_bytes())
}

pub(super) fn player(player: &PlayerId) -> Bytes {
    Bytes::copy_from_slice(player.as_str().as_bytes())
}

pub(super) fn nonce(nonce: Nonce) -> Bytes {
    Bytes::copy_from_slice(&nonce.to_bytes())
}

pub(super) fn operation(operation: OperationId) -> Bytes {
    Bytes::copy_from_slice(&operation.to_bytes())
}

/// A number as records have it.
pub(super) fn number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

/// A number as scripts count with it.
pub(super) fn decimal(number: u64) -> Bytes {
    number.to_string().into()
}

pub(super) fn ttl(ttl: Ttl) -> Bytes {
    number(ttl.as_millis())
}

/// Epoch and nonce: 24 bytes.
pub(super) fn fence(fence: Fence) -> Bytes {
    [&fence.epoch.to_le_bytes()[..], &fence.nonce.to_bytes()]
        .concat()
        .into()
}

/// Number and nonce of an incarnation: 24 bytes.
pub(super) fn incarnation(owner: &NodeIncarnation) -> Bytes {
    let incarnation = owner.incarnation;
    [
        &incarnation.number.to_le_bytes()[..],
        &incarnation.nonce.to_bytes(),
    ]
    .concat()
    .into()
}

/// A node id behind its length in a byte; ids have at most 64.
pub(super) fn node(owner: &NodeIncarnation) -> Bytes {
    short_text(owner.node.as_str())
}

/// Data as a byte string of postcard: its length as varint, and its bytes.
pub(super) fn data(data: &Bytes) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 4);
    let mut rest = data.len();
    while rest >= 0x80 {
        out.push(0x80 | low_bits(rest));
        rest >>= 7;
    }
    out.push(low_bits(rest));
    out.extend_from_slice(data);
    out.into()
}

fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

/// Header and stored body of a session that is to be written, without a deadline: the script knows the
/// time.
pub(super) fn session(record: SessionRecord, login: Option<SessionId>) -> Result<(Bytes, Bytes)> {
    let mut stored = StoredSession::new(record, 0);
    stored.login = login.map(|id| StoredLogin::new(id, Vec::new()));
    let body = codec::encode_session_body(&stored)?;
    let player = short_text(stored.player.as_str());
    let header = Bytes::copy_from_slice(&stored.header().encode());
    Ok((header, [&player[..], &body].concat().into()))
}

/// A text of at most 255 bytes behind its length in a byte.
fn short_text(text: &str) -> Bytes {
    let len = u8::try_from(text.len()).unwrap_or_else(|_| unreachable!("players and nodes have short ids"));
    [&[len], text.as_bytes()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_written_as_postcard_writes_it() {
        for (len, prefix) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (65_536, &[0x80, 0x80, 4]),
        ] {
            let written = data(&Bytes::from(vec![7; len]));
            assert!(written.starts_with(prefix), "{len}");
            assert_eq!(written.len(), len + prefix.len());
        }
    }
}
