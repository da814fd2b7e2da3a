//! Stored sessions and tombstones: any bytes are read or refused, and what is read has one form.

use ringhold_core::codec::{
    SessionHeader, decode_session, decode_session_parts, decode_tombstone, encode_session,
    encode_session_body, encode_tombstone,
};
use ringhold_core::{Error, ErrorKind};

/// A session with nothing in it that is optional.
const WHOLE: &[u8] = include_bytes!("../../core/tests/golden/session-plain-v1.bin");

/// Reads the bytes in every way.
pub fn run(bytes: &[u8]) {
    let header = SessionHeader::read(bytes);
    if let Ok(header) = &header {
        let written = header.encode();
        assert_eq!(written, bytes[..SessionHeader::LEN], "another form of the header");
        assert_eq!(SessionHeader::read(&written).unwrap(), *header);
    }
    match decode_session(bytes) {
        Ok(session) => {
            assert!(header.is_ok(), "a session without a header");
            assert_eq!(
                encode_session(&session).unwrap(),
                bytes,
                "another form of the session"
            );
            let (head, body) = bytes.split_at(SessionHeader::LEN);
            assert_eq!(encode_session_body(&session).unwrap(), body);
            assert_eq!(decode_session_parts(head, body).unwrap(), session);
            for now in [0, 1, u64::MAX] {
                assert_eq!(session.record(now).player.partition(), session.id.partition());
            }
            // Only lengths are shown of what the application keeps.
            let _ = format!("{session:?}");
        }
        Err(error) => refused(&error),
    }
    // And as a body behind a good header, which is kept apart in some stores.
    match decode_session_parts(&WHOLE[..SessionHeader::LEN], bytes) {
        Ok(session) => assert_eq!(encode_session_body(&session).unwrap(), bytes),
        Err(error) => refused(&error),
    }
    match decode_tombstone(bytes) {
        Ok(tombstone) => assert_eq!(encode_tombstone(&tombstone), bytes),
        Err(error) => refused(&error),
    }
    if let Err(error) = header {
        refused(&error);
    }
}

/// The two kinds of bytes that cannot be read.
pub(crate) fn refused(error: &Error) {
    assert!(
        matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported),
        "{error}"
    );
    assert!(!error.is_retryable(), "{error}");
}
