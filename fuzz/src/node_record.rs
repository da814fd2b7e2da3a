//! Stored node records: any bytes are read or refused, and what is read has one form.

use ringhold_core::codec::{FORMAT_NEWEST, NodeHeader, decode_node, encode_node};

use crate::session_record::refused;

/// Reads the bytes in every way.
pub fn run(bytes: &[u8]) {
    let header = NodeHeader::read(bytes);
    match decode_node(bytes) {
        Ok(record) => {
            let header = header.as_ref().expect("a record without a header");
            assert_eq!(header.incarnation, record.incarnation);
            let written = encode_node(&record).unwrap();
            if header.format == FORMAT_NEWEST {
                assert_eq!(written, bytes, "another form of the record");
            } else {
                assert_eq!(
                    decode_node(&written).unwrap(),
                    record,
                    "another record in the newest format"
                );
            }
            assert!(record.endpoints.len() <= 8 && record.labels.len() <= 32);
            let _ = format!("{record:?}");
        }
        Err(error) => refused(&error),
    }
    if let Err(error) = header {
        refused(&error);
    }
}
