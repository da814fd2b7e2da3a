//! What was written once is readable for ever: these files never change.

use std::fmt::Debug;

use ringhold_core::Result;
use ringhold_core::codec::{
    NodeHeader, SessionHeader, decode_frame, decode_node, decode_session, encode_frame, encode_node,
    encode_session,
};

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

#[test]
fn frames_are_read_and_written_as_they_were() {
    check(&values::FRAME, &values::message(), encode_frame, decode_frame);
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
