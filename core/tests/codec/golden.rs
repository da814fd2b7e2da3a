//! What was written once is readable for ever: these files never change.

use std::fmt::Debug;

use ringhold_core::Result;
use ringhold_core::codec::{
    NodeHeader, SessionHeader, StoredLogin, decode_frame, decode_node, decode_session, decode_session_parts,
    decode_tombstone, encode_frame, encode_node, encode_session, encode_session_body, encode_tombstone,
};
use ringhold_core::node::ExpiryMode;
use ringhold_core::session::Displaced;

use crate::values::{self, Golden};

fn check<T: Debug + PartialEq>(
    golden: &Golden,
    value: &T,
    encode: impl Fn(&T) -> Result<Vec<u8>>,
    decode: impl Fn(&[u8]) -> Result<T>,
) {
    assert_eq!(&decode(golden.bytes).unwrap(), value, "{}", golden.name);
    assert_eq!(encode(value).unwrap(), golden.bytes, "{}", golden.name);
}

#[test]
fn sessions_are_read_and_written_as_they_were() {
    check(
        &values::SESSION,
        &values::session(),
        encode_session,
        decode_session,
    );
    check(
        &values::SESSION_PLAIN,
        &values::session_plain(),
        encode_session,
        decode_session,
    );
}

#[test]
fn nodes_are_read_and_written_as_they_were() {
    check(&values::NODE, &values::node_record(), encode_node, decode_node);
    check(
        &values::NODE_PLAIN,
        &values::node_record_plain(),
        encode_node,
        decode_node,
    );
}

/// A record without a choice is that of a node that discards.
#[test]
fn nodes_of_format_1_are_read_and_discard_expired_sessions() {
    for (golden, mut record) in [
        (&values::NODE_1, values::node_record()),
        (&values::NODE_PLAIN_1, values::node_record_plain()),
    ] {
        record.expiry = ExpiryMode::Discard;
        assert_eq!(decode_node(golden.bytes).unwrap(), record, "{}", golden.name);
    }
}

#[test]
fn frames_are_read_and_written_as_they_were() {
    check(&values::FRAME, &values::message(), encode_frame, decode_frame);
}

#[test]
fn tombstones_are_read_and_written_as_they_were() {
    let encode = |tombstone: &_| Ok(encode_tombstone(tombstone));
    check(&values::TOMBSTONE, &values::tombstone(), encode, decode_tombstone);
}

#[test]
fn a_session_is_its_header_and_its_body() {
    for (golden, session) in [
        (values::SESSION, values::session()),
        (values::SESSION_PLAIN, values::session_plain()),
    ] {
        let (header, body) = golden.bytes.split_at(SessionHeader::LEN);
        assert_eq!(session.header().encode(), header);
        assert_eq!(encode_session_body(&session).unwrap(), body);
        assert_eq!(decode_session_parts(header, body).unwrap(), session);
    }
    // A touch and a take, with a body that nobody looked at.
    let (header, body) = values::SESSION.bytes.split_at(SessionHeader::LEN);
    let mut header = SessionHeader::read(header).unwrap();
    (header.deadline_ms, header.take) = (2_000_000_000, None);
    let mut session = values::session();
    (session.deadline_ms, session.take) = (2_000_000_000, None);
    assert_eq!(decode_session_parts(&header.encode(), body).unwrap(), session);
}

/// As the documentation tells a script to do it: by offsets, and without postcard.
#[test]
fn a_hold_is_a_concatenation_of_header_and_body() {
    let (header, body) = values::SESSION_PLAIN.bytes.split_at(SessionHeader::LEN);
    let before = values::session_plain();
    let node = 1 + usize::from(body[0]);
    let id = before.id.to_bytes();
    let hold = [&id, &header[7..31], &header[39..63], &body[..node]].concat();

    let mut after = before.clone();
    after.owner = values::node("b", 2, 0x70);
    after.fence = values::fence(2, 0x80);
    let login = values::session_plain_id(0x90);
    let mut header = after.header().encode();
    header[6] |= 8;
    header[127..].copy_from_slice(&login.to_bytes());
    let body = [b"\x01b", &[1, 0][..], &hold, &body[node + 2..]].concat();

    let displaced = vec![Displaced::new(before.id, before.owner, before.fence)];
    after.login = Some(StoredLogin::new(login, displaced));
    assert_eq!(decode_session_parts(&header, &body).unwrap(), after);
    assert_eq!(encode_session(&after).unwrap(), [&header[..], &body].concat());
    // Where a save puts the data: partition and player are varints of one or two bytes.
    let varint = |at: usize| if body[at] < 0x80 { 1 } else { 2 };
    let at = 2 + 2 + hold.len();
    let player = at + varint(at) + 16;
    let data = player + varint(player) + after.player.as_str().len();
    after.data = "new".into();
    assert_eq!(
        decode_session_parts(&header, &[&body[..data], b"\x03new"].concat()).unwrap(),
        after
    );
}

#[test]
fn a_header_is_read_without_the_rest() {
    for (golden, session) in [
        (values::SESSION, values::session()),
        (values::SESSION_PLAIN, values::session_plain()),
    ] {
        let header = SessionHeader::read(&golden.bytes[..SessionHeader::LEN]).unwrap();
        assert_eq!(header, session.header());
        assert_eq!(SessionHeader::read(golden.bytes).unwrap(), header);
    }
    let header = SessionHeader::read(values::SESSION.bytes).unwrap();
    assert!(header.is_live(1_234_567_889) && !header.is_live(1_234_567_890));
    assert_eq!(header.due_ms(), 1_234_597_890);
    assert_eq!(values::session_plain().header().due_ms(), 0);

    let header = NodeHeader::read(&values::NODE.bytes[..NodeHeader::LEN]).unwrap();
    assert_eq!(header.incarnation, values::node_record().incarnation);
    assert_eq!(header.format, 2);
    assert_eq!(NodeHeader::read(values::NODE_1.bytes).unwrap().format, 1);
}

/// The notes are what another implementation is written from, so they say the same.
#[test]
fn the_notes_tell_the_bytes() {
    for golden in values::ALL {
        let lines = golden.notes.lines().filter_map(|line| line.split('#').next());
        let digits: String = lines.map(str::trim).collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hexadecimal digits");
        let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        assert_eq!(bytes, golden.bytes, "{}", golden.name);
    }
}
