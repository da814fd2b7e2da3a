//! The stored form of records, and the form of messages between nodes.
//!
//! All of them begin with the same envelope. Behind it a record has fixed fields, which are read
//! without decoding the rest ([`SessionHeader::read`], [`NodeHeader::read`]), and a body in
//! [postcard]. A file per form lies in `core/tests/golden`, byte for byte as it is written, with
//! notes beside it; a format that was written once is readable for ever.
//!
//! # Layout
//!
//! Format 1. Numbers are unsigned and little-endian, offsets and lengths are in bytes, times are
//! milliseconds on the clock of the session's partition. Nonces, tokens and operation ids are 16
//! bytes as they are.
//!
//! **Envelope**
//!
//! | offset | length | |
//! |---|---|---|
//! | 0 | 3 | magic: `F5 52 48` |
//! | 3 | 1 | kind: 1 session record, 2 node record, 3 peer message |
//! | 4 | 2 | format |
//!
//! **Session record** ([`StoredSession`])
//!
//! | offset | length | |
//! |---|---|---|
//! | 6 | 1 | flags: 1 unlinked, 2 taken; the other bits are 0 |
//! | 7 | 8 | fence: epoch |
//! | 15 | 16 | fence: nonce |
//! | 31 | 8 | version |
//! | 39 | 8 | owner: incarnation number |
//! | 47 | 16 | owner: incarnation nonce |
//! | 63 | 8 | deadline |
//! | 71 | 8 | time to live, 1,000 to 2,592,000,000 |
//! | 79 | 16 | token of the take; all 0 where it is not taken |
//! | 95 | 8 | the take is hidden until; 0 where it is not taken |
//! | 103 | | body |
//!
//! | body | form |
//! |---|---|
//! | session id | partition as varint, below 1,024; 16 bytes |
//! | player | text, 1 to 128 bytes |
//! | owner: node id | text, 1 to 64 bytes |
//! | last save | option of: operation id; version as varint |
//! | login | option of: its session id; sequence of displaced holds, at most 65,535 |
//! | data | byte string, at most 1 MiB |
//!
//! A displaced hold is: session id; node id; incarnation number as varint; incarnation nonce; epoch
//! as varint; fence nonce.
//!
//! **Node record** ([`NodeRecord`](crate::NodeRecord))
//!
//! | offset | length | |
//! |---|---|---|
//! | 6 | 8 | incarnation number |
//! | 14 | 16 | incarnation nonce |
//! | 30 | | body |
//!
//! | body | form |
//! |---|---|
//! | node id | text, 1 to 64 bytes |
//! | state | varint: 0 joining, 1 ready, 2 draining |
//! | endpoints | map of at most 8: name, address |
//! | zone | text, at most 64 bytes |
//! | weight | varint, at most 256 |
//! | capacity | option of varint, below 2^32 |
//! | labels | map of at most 32: key, value |
//! | build | text, at most 64 bytes |
//! | formats | oldest and newest as varints, below 2^16 |
//!
//! **Peer message** ([`encode_frame`]): at offset 6 the message, in postcard.
//!
//! **Postcard**, as far as it occurs in records. A *varint* is LEB128: seven bits to a byte, the
//! lowest first, the top bit set in all bytes but the last. A *text* (UTF-8) or *byte string* is its
//! length as varint and its bytes. An *option* is the byte 0, or the byte 1 and the value. A
//! *sequence* is its length as varint and its elements; a *map* is one of pairs whose keys rise
//! strictly by their bytes.
//!
//! # What decoding promises
//!
//! - Bytes that are something else, too short or too long, and values over their limits are
//!   `Corrupt`; a newer format is `Unsupported` and named. Never a panic.
//! - What is allocated is bounded by the length of the input: a claimed length reserves nothing.
//! - There is no checksum: of a flipped bit within data or a nonce nothing is noticed.
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format

mod bounded;
pub mod data;
mod envelope;
mod frame;
mod node;
mod session;

use bounded::bounded_vec;
pub(crate) use bounded::{bounded_map, bounded_str};
pub use frame::{decode_frame, encode_frame};
pub use node::{NodeHeader, decode_node, encode_node};
pub use session::{
    SessionHeader, StoredLogin, StoredSave, StoredSession, StoredTake, decode_session, encode_session,
};

/// The oldest format of stored records that this build reads.
pub const FORMAT_OLDEST: u16 = 1;
/// The newest format of stored records that this build reads, and the one that it writes where
/// every live node reads it.
pub const FORMAT_NEWEST: u16 = 1;
