//! The stored form of records, and the form of messages between nodes.
//!
//! All of them begin with the same envelope. Behind it a record has fixed fields, which are read
//! without decoding the rest ([`SessionHeader::read`], [`NodeHeader::read`]), and a body, most of it
//! in [postcard]. A file per form lies in `core/tests/golden`, byte for byte as it is written, with
//! notes beside it; a format that was written once is readable for ever.
//!
//! # Layout
//!
//! Numbers are unsigned and little-endian, offsets and lengths are in bytes, times are
//! milliseconds on the clock of the session's partition. Nonces, tokens and operation ids are 16
//! bytes as they are. Versions, epochs and incarnation numbers are at most 2^53 - 1, which is exact
//! also where all numbers are floating. A *short text* is its length as one byte and its bytes.
//!
//! **Envelope**
//!
//! | offset | length | |
//! |---|---|---|
//! | 0 | 3 | magic: `F5 52 48` |
//! | 3 | 1 | kind: 1 session record, 2 node record, 3 peer message, 4 tombstone |
//! | 4 | 2 | format: 2 for node records, 1 for all others |
//!
//! A kind is written in the format in which its layout last changed.
//!
//! **Session record** ([`StoredSession`]), a header of 145 bytes and a body. A store keeps them as one
//! value ([`encode_session`]), or apart ([`SessionHeader::encode`], [`encode_session_body`]).
//!
//! | offset | length | header |
//! |---|---|---|
//! | 6 | 1 | flags: 1 unlinked, 2 taken, 4 saved, 8 has a login; the other bits are 0 |
//! | 7 | 8 | fence: epoch |
//! | 15 | 16 | fence: nonce |
//! | 31 | 8 | version |
//! | 39 | 8 | owner: incarnation number |
//! | 47 | 16 | owner: incarnation nonce |
//! | 63 | 8 | deadline |
//! | 71 | 8 | time to live, 1,000 to 2,592,000,000 |
//! | 79 | 16 | token of the take; all 0 where it is not taken |
//! | 95 | 8 | the take is hidden until; 0 where it is not taken |
//! | 103 | 16 | last save: operation id; all 0 where it was not saved |
//! | 119 | 8 | last save: the version that it was answered with; 0 where it was not saved |
//! | 127 | 18 | login: session id; all 0 where it has none |
//!
//! | body | form |
//! |---|---|
//! | owner: node id | short text, 1 to 64 bytes |
//! | displaced holds | 2 bytes: their number, at most 64, 0 without a login; the holds |
//! | session id | postcard: partition as varint, below 1,024; 16 bytes |
//! | player | postcard: text, 1 to 128 bytes |
//! | data | postcard: byte string, at most 1 MiB |
//!
//! | displaced hold | length | |
//! |---|---|---|
//! | 0 | 18 | session id |
//! | 18 | 8 | fence: epoch |
//! | 26 | 16 | fence: nonce |
//! | 42 | 8 | owner: incarnation number |
//! | 50 | 16 | owner: incarnation nonce |
//! | 66 | 1 + 1 to 64 | owner: node id, short text |
//!
//! A session id outside postcard is [its 18 bytes](crate::SessionId::to_bytes): the partition in
//! *big-endian*, and 16 bytes. The partitions of a session and of its player are the same.
//!
//! For a script that has no postcard: a touch or a take writes the header only. The hold that a login
//! ends is a concatenation of the session id, bytes 7 to 30 of the header (the fence), bytes 39 to 62
//! (the incarnation) and the first field of the body (the node id). That field is in the body, and not
//! in 65 bytes of the header, since what changes the owner changes the holds behind it too, and touches
//! stay short. Partition and length of the player are varints of one byte below 128 and of two from
//! there on, so the data begins at 16 + 1 or 2 + 1 or 2 + the player's length behind the holds.
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
//! | formats | oldest and newest as varints, 1 to 65,535, not falling |
//! | expiry | varint: 0 handle, 1 discard, 2 leave; absent in format 1, which reads as discard |
//!
//! **Tombstone** ([`StoredTombstone`]), 31 bytes
//!
//! | offset | length | |
//! |---|---|---|
//! | 6 | 8 | deadline |
//! | 14 | 1 | reason: 1 removed, 2 displaced, 3 expired |
//! | 15 | 16 | removed: operation id; expired: token of the acknowledgement; displaced: all 0 |
//!
//! **Peer message** ([`encode_frame`]): at offset 6 the message, in postcard.
//!
//! **Postcard**, as far as it occurs in records. A *varint* is LEB128: seven bits to a byte, the
//! lowest first, the top bit set in all bytes but the last. A *text* (UTF-8) or *byte string* is its
//! length as varint and its bytes. An *option* is the byte 0, or the byte 1 and the value. A
//! *sequence* is its length as varint and its elements; a *map* is one of pairs whose keys rise
//! strictly by their bytes.
//!
//! # What never changes
//!
//! In every later format the header of a session record and the header of a node record have the same
//! fields, with the same meanings and limits, at the same offsets; what is new comes in the body, or as
//! a flag. So [`SessionHeader::read`] and [`NodeHeader::read`] read the headers of newer formats, and a
//! session that cannot be decoded here can still be seen to expire, be taken and be acknowledged: a
//! header that is changed and [written](SessionHeader::encode) keeps its format and the flags that are
//! not known here. Only to decode the body of a newer format is `Unsupported`.
//!
//! # What decoding promises
//!
//! - Bytes that are something else, too short or too long, and values over their limits are
//!   `Corrupt`; a newer format is `Unsupported` and named. Never a panic.
//! - One value has one form in each format: bytes of the newest one that are decoded are those that encoding writes. A varint that is
//!   longer than it has to be is `Corrupt`.
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
mod tombstone;

pub(crate) use bounded::{bounded_map, bounded_str};
pub use frame::{decode_frame, encode_frame};
pub use node::{NodeHeader, decode_node, encode_node};
pub use session::{
    SessionHeader, StoredLogin, StoredSave, StoredSession, StoredTake, decode_session, decode_session_parts,
    encode_session, encode_session_body,
};
pub use tombstone::{StoredEnd, StoredTombstone, decode_tombstone, encode_tombstone};

/// The oldest format of stored records that this build reads.
pub const FORMAT_OLDEST: u16 = 1;
/// The newest format of any kind of record that this build reads and writes: that of node records.
/// Session records, tombstones and peer messages are of format 1.
pub const FORMAT_NEWEST: u16 = 2;
