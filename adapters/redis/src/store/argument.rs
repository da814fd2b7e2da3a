//! The arguments of scripts, in the forms in which they stand in the store.

use ringhold_core::codec::{self, StoredLogin, StoredSession};
use ringhold_core::{Fence, NodeIncarnation, Nonce, Result, SessionId, SessionRecord, Ttl};

use crate::client::Words;

/// Epoch and nonce.
pub(super) fn fence(fence: Fence) -> [u8; 24] {
    numbered(fence.epoch, fence.nonce)
}

/// Number and nonce of an incarnation.
pub(super) fn incarnation(owner: &NodeIncarnation) -> [u8; 24] {
    numbered(owner.incarnation.number, owner.incarnation.nonce)
}

fn numbered(number: u64, nonce: Nonce) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..].copy_from_slice(&nonce.to_bytes());
    bytes
}

/// A number as records have it.
pub(super) fn number(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

pub(super) fn ttl(ttl: Ttl) -> [u8; 8] {
    number(ttl.as_millis())
}

/// A node id behind its length in a byte; ids have at most 64.
pub(super) fn node(words: &mut Words, owner: &NodeIncarnation) {
    let name = owner.node.as_str();
    words.joined(&[&[short(name)], name.as_bytes()]);
}

/// Data as a byte string of postcard: its length as varint, and its bytes.
pub(super) fn data(words: &mut Words, data: &[u8]) {
    let mut prefix = [0; 10];
    let (mut rest, mut len) = (data.len(), 0);
    while rest >= 0x80 {
        prefix[len] = 0x80 | low_bits(rest);
        rest >>= 7;
        len += 1;
    }
    prefix[len] = low_bits(rest);
    words.joined(&[&prefix[..=len], data]);
}

fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or_default()
}

/// Header and stored body of a session that is to be written, without a deadline: the script knows the
/// time.
pub(super) fn session(words: &mut Words, record: SessionRecord, login: Option<SessionId>) -> Result<()> {
    let mut stored = StoredSession::new(record, 0);
    stored.login = login.map(|id| StoredLogin::new(id, Vec::new()));
    let body = codec::encode_session_body(&stored)?;
    let player = stored.player.as_str();
    words
        .word(&stored.header().encode())
        .joined(&[&[short(player)], player.as_bytes(), &body]);
    Ok(())
}

/// The length of a text of at most 255 bytes.
fn short(text: &str) -> u8 {
    u8::try_from(text.len()).unwrap_or_else(|_| unreachable!("players and nodes have short ids"))
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
            let mut words = Words::with_room(1, 0);
            data(&mut words, &vec![7; len]);
            let written = words.finish();
            assert!(written[0].starts_with(prefix), "{len}");
            assert_eq!(written.bytes(), len + prefix.len());
        }
    }
}
