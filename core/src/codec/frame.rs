//! The form of messages between nodes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::{self, Kind};
use crate::Result;
use crate::transport::BODY_BYTES_MAX;

/// The wire form of a message to a peer, in the newest format: the envelope and `message` in
/// postcard, together at most [`BODY_BYTES_MAX`] bytes.
///
/// # Errors
/// `TooLarge` above that, and `InvalidArgument` where the type cannot be written, such as a sequence
/// that does not know its length.
pub fn encode_frame(message: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = Kind::Frame.finish(Kind::Frame.begin(envelope::LEN + 128), message)?;
    check(bytes)
}

/// Reads a message of a peer.
///
/// What is allocated is bounded by the length of the input as far as the message's own types are:
/// prefer `Vec` to hash tables, which may reserve up to 1 MiB for a length that was claimed, and
/// never send a sequence of values that take no bytes, such as `Vec<()>`.
///
/// # Errors
/// `TooLarge` above [`BODY_BYTES_MAX`] bytes, `Corrupt` for anything but a whole message of this type
/// and nothing behind it, `Unsupported` for a newer format.
pub fn decode_frame<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    Kind::Frame.open(check(bytes)?)?.body()
}

fn check<B: AsRef<[u8]>>(frame: B) -> Result<B> {
    let len = frame.as_ref().len();
    if len > BODY_BYTES_MAX {
        return Err(Kind::Frame.too_large("bytes", len, BODY_BYTES_MAX));
    }
    Ok(frame)
}
