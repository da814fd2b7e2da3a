//! Stored node records: any bytes are read or refused, and what is read has one form.

use ringhold_core::codec::{NodeHeader, decode_node, encode_node};

use crate::session_record::refused;

/// Reads the bytes in every way.
pub fn run(bytes: &[u8]) {
    let header = NodeHeader::read(bytes);
    match decode_node(bytes) {
        Ok(record) => {
            let header = header.as_ref().expect("a record without a header");
            assert_eq!(header.incarnation, record.incarnation);
            assert_eq!(encode_node(&record).unwrap(), bytes, "another form of the record");
            assert!(record.endpoints.len() <= 8 && record.labels.len() <= 32);
            let _ = format!("{record:?}");
        }
        Err(error) => refused(&error),
    }
    if let Err(error) = header {
        refused(&error);
    }
}
