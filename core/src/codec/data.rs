//! [`Bytes`] as a byte string: `#[serde(with = "ringhold_core::codec::data")]`.
//!
//! In the wire form a length and the bytes. More than [`Limits::DATA_BYTES_CEILING`] are refused
//! before anything is allocated for them.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

use crate::Limits;

/// Writes the bytes as one byte string.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(data)
}

/// Reads a byte string.
///
/// # Errors
/// Those of the deserializer, and an invalid length above [`Limits::DATA_BYTES_CEILING`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    deserializer.deserialize_bytes(Data)
}

struct Data;

impl Data {
    fn check<E: Error>(&self, len: usize) -> Result<(), E> {
        if len > Limits::DATA_BYTES_CEILING {
            Err(E::invalid_length(len, self))
        } else {
            Ok(())
        }
    }
}

impl Visitor<'_> for Data {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} bytes", Limits::DATA_BYTES_CEILING)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        self.check(bytes.len())?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        self.check(bytes.len())?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{BytesDeserializer, Error};

    use super::*;

    #[test]
    fn one_byte_over_the_ceiling_is_refused() {
        let bytes = vec![7; Limits::DATA_BYTES_CEILING + 1];
        let read = |bytes: &[u8]| {
            let input: BytesDeserializer<'_, Error> = bytes.into_deserializer();
            deserialize(input)
        };
        assert_eq!(read(&bytes[1..]).unwrap(), bytes[1..]);
        let error = read(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid length 1048577, expected at most 1048576 bytes"
        );
    }

    /// Formats that own their bytes hand them over.
    #[test]
    fn owned_bytes_are_taken_and_limited() {
        let read = |bytes: Vec<u8>| Data.visit_byte_buf::<Error>(bytes);
        assert_eq!(read(b"abc".to_vec()).unwrap(), "abc");
        assert_eq!(read(vec![7; Limits::DATA_BYTES_CEILING]).unwrap().len(), 1 << 20);
        assert!(read(vec![7; Limits::DATA_BYTES_CEILING + 1]).is_err());
    }
}
