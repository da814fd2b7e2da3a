//! Encodings of session values.

mod strict;

use std::error::Error as StdError;

use bytes::Bytes;
use ringhold_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The cause of a failure, without the operation that it happened in.
type Cause = Box<dyn StdError + Send + Sync>;

/// An encoding of `T` as a session's data.
///
/// The next login must be able to read a value that `save` acknowledged. A value is therefore decoded once before
/// it is sent, unless the codec guarantees the round trip.
#[derive(Debug)]
pub(crate) struct Codec<T> {
    encode: fn(&T) -> Result<Bytes, Cause>,
    decode: fn(&Bytes) -> Result<T, Cause>,
    /// `decode` accepts whatever `encode` returns, so no value needs to be verified.
    guarantees_round_trip: bool,
}

impl<T: Serialize + DeserializeOwned> Codec<T> {
    /// Values as postcard, which stores fields by position and without names.
    pub(crate) fn postcard() -> Self {
        Self {
            encode: |value| strict::to_postcard(value).map(Bytes::from),
            decode: |data| match postcard::take_from_bytes(data)? {
                (value, []) => Ok(value),
                (_, rest) => Err(format!("{} bytes are left over", rest.len()).into()),
            },
            guarantees_round_trip: false,
        }
    }
}

impl Codec<Bytes> {
    /// Bytes as they are.
    pub(crate) fn raw() -> Self {
        Self {
            encode: |bytes| Ok(bytes.clone()),
            decode: |bytes| Ok(bytes.clone()),
            guarantees_round_trip: true,
        }
    }
}

impl<T> Codec<T> {
    /// Encodes a value that `operation` is about to store.
    ///
    /// # Errors
    /// `InvalidArgument`: the value cannot be encoded, or what it is encoded to cannot be decoded.
    pub(crate) fn encode(&self, operation: &'static str, value: &T) -> Result<Bytes> {
        let refused = |context: &'static str, cause: Cause| {
            Error::new(ErrorKind::InvalidArgument, operation, context).with_source(cause)
        };
        let data = (self.encode)(value).map_err(|cause| refused("the value cannot be encoded", cause))?;
        if !self.guarantees_round_trip {
            (self.decode)(&data).map_err(|cause| {
                let context = "expected a value that can be decoded again, and this one cannot; nothing was \
                    written. Tagged and untagged enums and serde_json::Value need a format that describes \
                    itself: encode them yourself, and use login_raw";
                refused(context, cause)
            })?;
        }
        Ok(data)
    }

    /// Decodes what a login found.
    ///
    /// # Errors
    /// `Corrupt`: the data is not that of a `T`.
    pub(crate) fn decode(&self, data: &Bytes) -> Result<T> {
        (self.decode)(data).map_err(|cause| {
            let context = "the stored value is not of the type that was asked for";
            Error::new(ErrorKind::Corrupt, "login", context).with_source(cause)
        })
    }
}

#[cfg(test)]
mod tests;
