//! Formats that are older and newer than this build's, as they meet while a fleet is being replaced.

use proptest::collection::vec;
use proptest::prelude::*;
use ringhold_core::ErrorKind;
use ringhold_core::codec::{
    FORMAT_NEWEST, FORMAT_OLDEST, NodeHeader, SessionHeader, StoredEnd, StoredTake, StoredTombstone,
    decode_frame, decode_node, decode_session, decode_session_parts, decode_tombstone, encode_frame,
    encode_node, encode_session, encode_session_body, encode_tombstone,
};
use ringhold_core::{Nonce, OperationId, Result, Ttl};

use crate::properties::{node_record, session};
use crate::values::{self, Message};

/// The newest format of all kinds but node records.
const SESSION: u16 = 1;

/// Where the format stands, and the flags of a session.
const FORMAT: std::ops::Range<usize> = 4..6;
const FLAGS: usize = 6;
/// Flags that this build does not know.
const NEW_FLAGS: u8 = 0xf0;

fn in_format(format: u16, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[FORMAT].copy_from_slice(&format.to_le_bytes());
    bytes
}

fn newer_than(newest: u16) -> impl Strategy<Value = u16> {
    prop_oneof![Just(newest + 1), newest + 1..=u16::MAX]
}

fn kind<T>(read: Result<T>) -> Option<ErrorKind> {
    read.err().map(|error| error.kind())
}

/// A build that writes a new format still reads the one before, of every kind: its files stay.
#[test]
fn each_format_that_is_read_has_its_files() {
    for (newest, names) in [
        (SESSION, &["session", "session-plain", "frame", "tombstone"][..]),
        (FORMAT_NEWEST, &["node", "node-plain"]),
    ] {
        for (format, what) in
            (FORMAT_OLDEST..=newest).flat_map(|format| names.iter().map(move |what| (format, what)))
        {
            let name = format!("{what}-v{format}");
            let golden = values::ALL.iter().find(|golden| golden.name == name);
            let golden = golden.unwrap_or_else(|| panic!("there is no {name}"));
            assert_eq!(golden.bytes[FORMAT], format.to_le_bytes(), "{name}");
        }
    }
}

proptest! {
    /// What a newer build wrote is not read here, and named; its header is, as far as sweeping goes.
    #[test]
    fn a_newer_session_is_swept_and_not_read(
        session in session(),
        format in newer_than(SESSION),
        flags in 0..16_u8,
        behind in vec(any::<u8>(), 0..40),
        (token, hidden_until_ms) in (any::<[u8; 16]>(), any::<u64>()),
    ) {
        let mut bytes = in_format(format, &encode_session(&session).unwrap());
        bytes[FLAGS] |= flags << 4;
        bytes.extend(behind);
        let error = decode_session(&bytes).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::Unsupported);
        prop_assert!(error.context().contains(&format!("format {format} ")), "{}", error);

        let header = SessionHeader::read(&bytes).unwrap();
        prop_assert_eq!(header.format, format);
        let own = session.header();
        prop_assert_eq!((header.fence, header.version, header.owner), (own.fence, own.version, own.owner));
        prop_assert_eq!((header.take, header.saved, header.login), (own.take, own.saved, own.login));
        prop_assert_eq!((header.due_ms(), header.is_live(7)), (own.due_ms(), own.is_live(7)));
        // As it was read, so it is written.
        prop_assert_eq!(&header.encode(), &bytes[..SessionHeader::LEN]);

        // Taken here, it is to the newer build the same session, taken, with all that it put there.
        let mut taken = header;
        taken.take = Some(StoredTake::new(Nonce::from_bytes(token), hidden_until_ms));
        let written = taken.encode();
        prop_assert_eq!(written[FLAGS] & NEW_FLAGS, flags << 4);
        prop_assert_eq!(&written[FORMAT], &bytes[FORMAT]);
        let mut known = in_format(SESSION, &written);
        known[FLAGS] &= !NEW_FLAGS;
        let mut expected = session.clone();
        expected.take = taken.take;
        let body = encode_session_body(&session).unwrap();
        prop_assert_eq!(decode_session_parts(&known, &body).unwrap(), expected);
    }

    /// And touched here, it is the same session with another deadline.
    #[test]
    fn a_newer_session_is_touched_without_a_loss(
        session in session(),
        format in newer_than(SESSION),
        deadline_ms: u64,
        ttl in Ttl::MIN.as_millis()..=Ttl::MAX.as_millis(),
    ) {
        let bytes = in_format(format, &encode_session(&session).unwrap());
        let (head, body) = bytes.split_at(SessionHeader::LEN);
        let mut header = SessionHeader::read(head).unwrap();
        (header.deadline_ms, header.ttl) = (deadline_ms, Ttl::from_millis(ttl).unwrap());
        let known = in_format(SESSION, &header.encode());
        let mut expected = session;
        (expected.deadline_ms, expected.ttl) = (header.deadline_ms, header.ttl);
        prop_assert_eq!(decode_session_parts(&known, body).unwrap(), expected);
    }

    #[test]
    fn a_newer_node_is_known_by_its_run(
        record in node_record(),
        format in newer_than(FORMAT_NEWEST),
        behind in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = in_format(format, &encode_node(&record).unwrap());
        bytes.extend(behind);
        let error = decode_node(&bytes).unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::Unsupported);
        prop_assert!(error.context().contains(&format!("format {format} ")), "{}", error);
        let header = NodeHeader::read(&bytes).unwrap();
        prop_assert_eq!((header.format, header.incarnation), (format, record.incarnation));
    }

    #[test]
    fn newer_tombstones_and_messages_are_not_read(proof: [u8; 16], deadline_ms: u64, format in newer_than(SESSION)) {
        let end = StoredEnd::Removed(OperationId::from_bytes(proof));
        let tombstone = encode_tombstone(&StoredTombstone::new(end, deadline_ms));
        let newer = in_format(format, &tombstone);
        prop_assert_eq!(kind(decode_tombstone(&newer)), Some(ErrorKind::Unsupported));
        let message = encode_frame(&values::message()).unwrap();
        let newer = in_format(format, &message);
        prop_assert_eq!(kind(decode_frame::<Message>(&newer)), Some(ErrorKind::Unsupported));
    }

    /// There is nothing before the oldest format: such bytes are no record.
    #[test]
    fn older_than_the_oldest_is_corrupt(session in session(), record in node_record(), format in 0..FORMAT_OLDEST) {
        let session = in_format(format, &encode_session(&session).unwrap());
        prop_assert_eq!(kind(decode_session(&session)), Some(ErrorKind::Corrupt));
        prop_assert_eq!(kind(SessionHeader::read(&session)), Some(ErrorKind::Corrupt));
        let node = in_format(format, &encode_node(&record).unwrap());
        prop_assert_eq!(kind(decode_node(&node)), Some(ErrorKind::Corrupt));
        prop_assert_eq!(kind(NodeHeader::read(&node)), Some(ErrorKind::Corrupt));
    }
}
