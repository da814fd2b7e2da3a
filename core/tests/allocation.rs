//! What decoding allocates, counted by the allocator of this test: never more than the input's length warrants,
//! whatever lengths it claims.
//!
//! All of it is one test, since the allocator counts for the whole process.

#[expect(dead_code, reason = "the tests of the codec use the rest of it")]
#[path = "codec/values.rs"]
mod values;

use std::alloc::System;
use std::mem::size_of;

use bytes::Bytes;
use ringhold_core::codec::{
    NodeHeader, SessionHeader, StoredLogin, decode_frame, decode_node, decode_session, decode_session_parts,
    decode_tombstone, encode_frame, encode_node, encode_session,
};
use ringhold_core::id::{Address, EndpointName, LabelKey, LabelValue};
use ringhold_core::node::{Endpoints, Labels};
use ringhold_core::session::Displaced;
use ringhold_core::transport::BODY_BYTES_MAX;
use ringhold_core::{ErrorKind, Limits, NodeRecord, PlayerId, Result, SessionId};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use values::Message;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A record in memory, for each byte of its stored form: short keys of maps cost most.
const RECORD_FACTOR: usize = 16;
/// The words of an error, and the first node of each map.
const SLACK: usize = 4 << 10;
/// Seven lists in each other.
type Nested = Vec<Vec<Vec<Vec<Vec<Vec<Vec<u8>>>>>>>;

/// What `work` allocates, all of it added up, also what it gives back.
fn allocated<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let region = Region::new(ALLOCATOR);
    let answer = work();
    (answer, region.change().bytes_allocated)
}

fn within<T>(what: &str, factor: usize, bytes: &[u8], read: impl FnOnce(&[u8]) -> Result<T>) -> bool {
    let (answer, spent) = allocated(|| read(bytes));
    let most = factor * bytes.len().min(BODY_BYTES_MAX + Limits::DATA_BYTES_CEILING) + SLACK;
    assert!(
        spent <= most,
        "{what}: {spent} bytes for {} of input, {most} at most",
        bytes.len()
    );
    if let Err(error) = &answer {
        let kinds = [ErrorKind::Corrupt, ErrorKind::Unsupported, ErrorKind::TooLarge];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
    answer.is_ok()
}

/// Reads the bytes as everything; whether they were anything.
fn read_all_ways(bytes: &[u8]) -> bool {
    let header = &values::SESSION_PLAIN.bytes[..SessionHeader::LEN];
    // A list of elements in memory, once as it grows and once whole, for each byte that an element takes.
    let list = |element: usize| 3 * element;
    [
        within("session", RECORD_FACTOR, bytes, decode_session),
        within("body", RECORD_FACTOR, bytes, |body| {
            decode_session_parts(header, body)
        }),
        within("session header", 0, bytes, SessionHeader::read),
        within("node", RECORD_FACTOR, bytes, decode_node),
        within("node header", 0, bytes, NodeHeader::read),
        within("tombstone", 0, bytes, decode_tombstone),
        within("message", RECORD_FACTOR, bytes, decode_frame::<Message>),
        within(
            "messages",
            list(size_of::<Message>()),
            bytes,
            decode_frame::<Vec<Message>>,
        ),
        within(
            "texts",
            list(size_of::<String>()),
            bytes,
            decode_frame::<Vec<String>>,
        ),
        within("lists", list(size_of::<Nested>()), bytes, decode_frame::<Nested>),
    ]
    .contains(&true)
}

/// The longest session that there is, but for its data.
fn longest_session(data: usize) -> Vec<u8> {
    let mut session = values::session();
    session.player = PlayerId::new("\u{1F3AE}".repeat(32)).unwrap();
    session.id = SessionId::new(session.player.partition(), values::run(0x10));
    session.owner = values::node(&"n".repeat(64), 7, 0xb0);
    let hold = Displaced::new(session.id, session.owner.clone(), session.fence);
    let holds = vec![hold; StoredLogin::DISPLACED_MAX];
    session.login = Some(StoredLogin::new(session.id, holds));
    session.data = Bytes::from(vec![7; data]);
    encode_session(&session).unwrap()
}

/// A node with as many entries as there may be: with keys as short, or all as long as may be.
fn fullest_node(long: bool) -> Vec<u8> {
    let mut record: NodeRecord = values::node_record();
    (record.endpoints, record.labels) = (Endpoints::default(), Labels::default());
    let name = |number: usize, len: usize| {
        let name = format!(
            "{}{}",
            char::from(b'a' + u8::try_from(number / 8).unwrap()),
            number % 8
        );
        if long { format!("{name:x<len$}") } else { name }
    };
    let value = |len: usize| if long { "v".repeat(len) } else { "v".to_owned() };
    for number in 0..Endpoints::ENTRIES_MAX {
        let (key, value) = (name(number, EndpointName::LEN_MAX), value(Address::LEN_MAX));
        let old = record
            .endpoints
            .insert(EndpointName::new(key).unwrap(), Address::new(value).unwrap());
        assert_eq!(old.unwrap(), None);
    }
    for number in 0..Labels::ENTRIES_MAX {
        let (key, value) = (name(number, LabelKey::LEN_MAX), value(LabelValue::LEN_MAX));
        let old = record
            .labels
            .insert(LabelKey::new(key).unwrap(), LabelValue::new(value).unwrap());
        assert_eq!(old.unwrap(), None);
    }
    encode_node(&record).unwrap()
}

/// Lists in each other, with one element in each.
fn deepest() -> Nested {
    vec![vec![vec![vec![vec![vec![b"leaf".to_vec()]]]]]]
}

/// Bytes from a generator of its own (xorshift).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..len / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

#[test]
fn what_is_allocated_is_bounded_by_the_input() {
    let (_, spent) = allocated(|| Vec::<u8>::with_capacity(12_345));
    assert!(spent >= 12_345, "the allocator does not count");

    let frames = [
        encode_frame(&deepest()).unwrap(),
        encode_frame(&vec![String::new(); 1_000]).unwrap(),
        encode_frame(&(0..1_000).map(|_| Message::Ping).collect::<Vec<_>>()).unwrap(),
    ];
    let mut inputs: Vec<Vec<u8>> = values::ALL.iter().map(|golden| golden.bytes.to_vec()).collect();
    inputs.extend([longest_session(100), fullest_node(false), fullest_node(true)]);
    inputs.extend(frames);
    let claims: [&[u8]; 4] = [
        b"\x7f",
        b"\x80\x80\x80\x80\x10",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        &[0xff; 32],
    ];
    for input in &inputs {
        assert!(read_all_ways(input), "it is something");
        for at in 0..input.len() {
            // Cut off here; and a length here that is not true.
            read_all_ways(&input[..at]);
            if at >= 6 && (at < 600 || at + 100 > input.len()) {
                for claim in claims {
                    read_all_ways(&[&input[..at], claim, &input[at + 1..]].concat());
                }
            }
        }
    }

    // What is longest, and longer.
    assert!(read_all_ways(&longest_session(Limits::DATA_BYTES_CEILING)));
    assert!(read_all_ways(
        &encode_frame(&vec![String::new(); BODY_BYTES_MAX - 16]).unwrap()
    ));
    let mut noise = noise(10_000_000);
    assert!(!read_all_ways(&noise));
    for input in &inputs {
        let header = input.len().min(SessionHeader::LEN + 60);
        noise[..header].copy_from_slice(&input[..header]);
        read_all_ways(&noise);
        // No longer than a message may be.
        read_all_ways(&noise[..BODY_BYTES_MAX]);
    }
}
