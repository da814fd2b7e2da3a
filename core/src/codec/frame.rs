//! The form of messages between nodes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::Kind;
use crate::Result;
use crate::transport::BODY_BYTES_MAX;

/// The wire form of a message to a peer, in the newest format: the envelope and `message` in
/// postcard, together at most [`BODY_BYTES_MAX`] bytes.
///
/// # Errors
/// `TooLarge` above that, and `InvalidArgument` where the type cannot be written, such as a sequence
/// that does not know its length.
pub fn encode_frame(message: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = Kind::Frame.finish(Kind::Frame.begin(128), message)?;
    check(bytes)
}

/// Reads a message of a peer.
///
/// What is allocated is bounded by the length of the input as far as the message's own types are:
/// never send a sequence of values that take no bytes, such as `Vec<()>`. How deep values lie in each
/// other is bounded by their types alone: never send a type that contains itself, such as a tree.
///
/// One message has one form: what was read is written again and compared, without an allocation. So a
/// type has to be written in one way only. No hash tables, whose order changes; a sorted `Vec` or a
/// `BTreeMap` instead.
///
/// # Errors
/// `TooLarge` above [`BODY_BYTES_MAX`] bytes, `Corrupt` for anything but the bytes that
/// [`encode_frame`] makes of a message of this type, `Unsupported` for a newer format.
pub fn decode_frame<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T> {
    let (_, fields) = Kind::Frame.open(check(bytes)?)?;
    fields.body()
}

fn check<B: AsRef<[u8]>>(frame: B) -> Result<B> {
    let len = frame.as_ref().len();
    if len > BODY_BYTES_MAX {
        return Err(Kind::Frame.too_large("bytes", len, BODY_BYTES_MAX));
    }
    Ok(frame)
}
