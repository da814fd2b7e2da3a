//! Bytes that are not what they should be.
//!
//! That a decoder allocates no more than its input warrants is counted in `core/tests/allocation.rs`.
//! Texts and data are borrowed from the input until their limits are checked, so a claimed length that
//! the input does not have allocates nothing. Lists and maps make room for what was read, and none for
//! what was only claimed. And here claims of 4 GiB and more come to a typed error, while the process has
//! never reserved the address space that one of them would take.

use bytes::Bytes;
use ringhold_core::codec::{
    FORMAT_NEWEST, NodeHeader, SessionHeader, StoredLogin, StoredSession, StoredTake, decode_frame,
    decode_node, decode_session, decode_session_parts, decode_tombstone, encode_frame, encode_node,
    encode_session, encode_session_body,
};
use ringhold_core::id::NUMBER_MAX;
use ringhold_core::node::Formats;
use ringhold_core::session::{CreateOutcome, Displaced};
use ringhold_core::transport::BODY_BYTES_MAX;
use ringhold_core::{Error, ErrorKind, Limits, Partition, PlayerId, Result, SessionId, Version};

use crate::values::{self, Golden, Message};

/// Decodes as what it is, and reads the header where there is one.
fn decode(golden: &Golden, bytes: &[u8]) -> Result<()> {
    match golden.name {
        "session-v1" | "session-plain-v1" => decode_session(bytes).map(drop),
        "node-v1" | "node-plain-v1" | "node-v2" | "node-plain-v2" => decode_node(bytes).map(drop),
        "tombstone-v1" => decode_tombstone(bytes).map(drop),
        _ => decode_frame::<Message>(bytes).map(drop),
    }
}

/// Any bytes are read by any reader without a panic; the errors have one of two kinds.
pub(crate) fn read_all_ways(bytes: &[u8]) {
    let errors = [
        decode_session(bytes).err(),
        decode_session_parts(values::SESSION.bytes.split_at(SessionHeader::LEN).0, bytes).err(),
        decode_node(bytes).err(),
        decode_tombstone(bytes).err(),
        decode_frame::<Message>(bytes).err(),
        SessionHeader::read(bytes).err(),
        NodeHeader::read(bytes).err(),
    ];
    for error in errors.into_iter().flatten() {
        assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported),
            "{error}"
        );
        assert!(!error.is_retryable());
    }
}

fn corrupt(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt
}

/// The bytes of a golden file with some of them replaced.
pub(crate) fn patched(golden: &Golden, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut all = golden.bytes.to_vec();
    all[offset..offset + bytes.len()].copy_from_slice(bytes);
    all
}

#[test]
fn cut_short_anywhere_is_corrupt() {
    for golden in values::ALL {
        for len in 0..golden.bytes.len() {
            let error = decode(&golden, &golden.bytes[..len]).unwrap_err();
            assert!(corrupt(&error), "{} of {len} bytes: {error}", golden.name);
            read_all_ways(&golden.bytes[..len]);
        }
    }
    for len in 0..SessionHeader::LEN {
        assert!(corrupt(
            &SessionHeader::read(&values::SESSION.bytes[..len]).unwrap_err()
        ));
    }
    for len in 0..NodeHeader::LEN {
        assert!(corrupt(
            &NodeHeader::read(&values::NODE.bytes[..len]).unwrap_err()
        ));
    }
}

#[test]
fn anything_behind_the_end_is_corrupt() {
    for golden in values::ALL {
        for tail in [b"\0".as_slice(), b"\xff", golden.bytes] {
            let error = decode(&golden, &[golden.bytes, tail].concat()).unwrap_err();
            assert!(corrupt(&error), "{}: {error}", golden.name);
            assert!(error.context().ends_with("bytes follow its end"), "{error}");
        }
    }
}

#[test]
fn a_flipped_bit_never_panics() {
    for golden in values::ALL {
        for bit in 0..golden.bytes.len() * 8 {
            let mut bytes = golden.bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            read_all_ways(&bytes);
            if bit < 32 {
                assert!(
                    corrupt(&decode(&golden, &bytes).unwrap_err()),
                    "bit {bit} of {}",
                    golden.name
                );
            }
        }
    }
}

#[test]
fn a_newer_format_is_named() {
    for golden in values::ALL {
        let newest = if golden.name.starts_with("node") {
            FORMAT_NEWEST
        } else {
            1
        };
        for format in [newest + 1, 300, u16::MAX] {
            let bytes = patched(&golden, 4, &format.to_le_bytes());
            // The rest may have changed in any way, also in length.
            for bytes in [&bytes[..], &bytes[..6]] {
                let error = decode(&golden, bytes).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(error.context().contains(&format!("format {format} ")), "{error}");
            }
        }
        let error = decode(&golden, &patched(&golden, 4, &[0, 0])).unwrap_err();
        assert!(corrupt(&error), "{error}");
    }
}

/// A record that cannot be decoded here can be seen to expire, and be taken.
#[test]
fn the_header_of_a_newer_format_is_read_and_written() {
    for format in [2_u16, u16::MAX] {
        let bytes = patched(&values::SESSION_PLAIN, 4, &format.to_le_bytes());
        let (bytes, body) = bytes.split_at(SessionHeader::LEN);
        let mut header = SessionHeader::read(bytes).unwrap();
        assert_eq!(header.format, format);
        assert_eq!(header.fence, values::session_plain().fence);
        assert!(!header.is_live(0));
        assert_eq!(header.encode(), bytes);
        // Flags that are not known here are kept.
        let mut bytes: [u8; SessionHeader::LEN] = bytes.try_into().unwrap();
        bytes[6] = 0xf0;
        header = SessionHeader::read(&bytes).unwrap();
        header.take = Some(StoredTake::new(values::nonce(0xc0), 9));
        bytes[6] = 0xf2;
        bytes[79..95].copy_from_slice(&values::run(0xc0));
        bytes[95] = 9;
        assert_eq!(header.encode(), bytes);
        let error = decode_session_parts(&bytes, body).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        // The limits are those of all formats.
        bytes[71..79].fill(0);
        assert!(corrupt(&SessionHeader::read(&bytes).unwrap_err()));

        let bytes = patched(&values::NODE, 4, &format.to_le_bytes());
        let header = NodeHeader::read(&bytes).unwrap();
        assert_eq!(header.format, format);
        assert_eq!(header.incarnation, values::node_record().incarnation);
    }
    for golden in [values::SESSION, values::NODE] {
        let bytes = patched(&golden, 4, &[0, 0]);
        assert!(SessionHeader::read(&bytes).is_err() && NodeHeader::read(&bytes).is_err());
    }
}

#[test]
fn parts_of_another_length_are_corrupt() {
    let (header, body) = values::SESSION.bytes.split_at(SessionHeader::LEN);
    let longer = [header, b"\0"].concat();
    for (header, body) in [
        (&longer[..], body),
        (&header[..SessionHeader::LEN - 1], body),
        (values::SESSION.bytes, body),
        (values::SESSION.bytes, b""),
        (header, b""),
        (header, &body[1..]),
        (b"", body),
    ] {
        assert!(corrupt(&decode_session_parts(header, body).unwrap_err()));
    }
}

/// A type that reads more than it writes has two forms of one value.
#[test]
fn a_message_that_is_written_shorter_is_corrupt() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Forgetful {
        kept: u8,
        #[serde(skip_serializing)]
        lost: u8,
    }
    let message = decode_frame::<(u8, u8)>(&encode_frame(&(1_u8, 2_u8)).unwrap()).unwrap();
    let bytes = encode_frame(&message).unwrap();
    let Err(error) = decode_frame::<Forgetful>(&bytes).map(|read| (read.kept, read.lost)) else {
        panic!("it was read")
    };
    assert!(corrupt(&error), "{error}");
}

#[test]
fn varints_longer_than_they_have_to_be_are_corrupt() {
    let over = |golden: &Golden, at: usize, varint: u8| {
        assert_eq!(golden.bytes[at], varint, "{} at {at}", golden.name);
        let (before, after) = golden.bytes.split_at(at);
        for long in [&[varint | 0x80, 0][..], &[varint | 0x80, 0x80, 0]] {
            let error = decode(golden, &[before, long, &after[1..]].concat()).unwrap_err();
            assert!(corrupt(&error), "{} at {at}: {error}", golden.name);
            assert!(error.context().contains("another form"), "{error}");
        }
    };
    let end = |golden: &Golden| golden.bytes.len();
    over(&values::SESSION, end(&values::SESSION) - 10, 9); // the length of the data
    over(&values::SESSION_PLAIN, end(&values::SESSION_PLAIN) - 1, 0);
    over(&values::SESSION_PLAIN, end(&values::SESSION_PLAIN) - 10, 8); // that of the player
    over(&values::NODE_PLAIN, NodeHeader::LEN, 1); // that of the node id
    over(&values::NODE_PLAIN, end(&values::NODE_PLAIN) - 2, 1); // the oldest format
    over(&values::FRAME, 6, 1); // the variant
    over(&values::FRAME, end(&values::FRAME) - 10, 9); // the length of the data
}

#[test]
fn a_session_lies_in_the_partition_of_its_player() {
    let mut session = values::session_plain();
    let right = session.id.partition().get();
    session.id = SessionId::new(Partition::new(right ^ 1).unwrap(), values::run(0x10));
    for result in [encode_session(&session), encode_session_body(&session)] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    // Behind the node id and the number of holds.
    let bytes = patched(
        &values::SESSION_PLAIN,
        SessionHeader::LEN + 4,
        &postcard_varint(right ^ 1),
    );
    let error = decode_session(&bytes).unwrap_err();
    assert!(corrupt(&error), "{error}");
    assert!(error.context().contains("partitions"), "{error}");
}

#[test]
fn formats_of_a_node_do_not_fall() {
    for (oldest, newest) in [(9, 1), (0, 0), (0, 1), (u16::MAX, 1)] {
        let error = Formats::new(oldest, newest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let formats = Formats::new(1, u16::MAX).unwrap();
    assert_eq!((formats.oldest(), formats.newest()), (1, u16::MAX));
    let at = values::NODE_PLAIN.bytes.len() - 3;
    for bad in [[9, 1], [0, 1], [0, 0]] {
        let error = decode_node(&patched(&values::NODE_PLAIN, at, &bad)).unwrap_err();
        assert!(corrupt(&error), "{error}");
    }
}

#[test]
fn numbers_above_the_greatest_are_neither_written_nor_read() {
    let over = NUMBER_MAX + 1;
    let golden = &values::SESSION;
    let hold = SessionHeader::LEN + 15;
    for offset in [7, 31, 39, 119, hold + 18, hold + 42] {
        let bytes = patched(golden, offset, &NUMBER_MAX.to_le_bytes());
        let session = decode_session(&bytes).unwrap();
        assert_eq!(encode_session(&session).unwrap(), bytes);
        let bytes = patched(golden, offset, &over.to_le_bytes());
        let error = decode_session(&bytes).unwrap_err();
        assert!(corrupt(&error), "at {offset}: {error}");
        assert_eq!(SessionHeader::read(&bytes).is_err(), offset < SessionHeader::LEN);
    }
    let changes: [fn(&mut StoredSession, u64); 6] = [
        |session, number| session.fence.epoch = number,
        |session, number| session.version = Version::new(number),
        |session, number| session.owner.incarnation.number = number,
        |session, number| session.saved.as_mut().unwrap().version = Version::new(number),
        |session, number| session.login.as_mut().unwrap().displaced[1].fence.epoch = number,
        |session, number| {
            session.login.as_mut().unwrap().displaced[1]
                .owner
                .incarnation
                .number = number;
        },
    ];
    for change in changes {
        let mut session = values::session();
        change(&mut session, NUMBER_MAX);
        encode_session(&session).unwrap();
        change(&mut session, over);
        assert_eq!(
            encode_session(&session).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
    let bytes = patched(&values::NODE, 6, &over.to_le_bytes());
    assert!(corrupt(&decode_node(&bytes).unwrap_err()));
    assert!(corrupt(&NodeHeader::read(&bytes).unwrap_err()));
    let mut node = values::node_record();
    node.incarnation.number = over;
    assert_eq!(encode_node(&node).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn tombstone_fields_out_of_range_are_corrupt() {
    for reason in [0, 4, 0xff] {
        let bytes = patched(&values::TOMBSTONE, 14, &[reason]);
        assert!(corrupt(&decode_tombstone(&bytes).unwrap_err()));
    }
    // One that was displaced has no proof.
    let bytes = patched(&values::TOMBSTONE, 14, &[2]);
    let error = decode_tombstone(&bytes).unwrap_err();
    assert!(
        corrupt(&error) && error.context().contains("displaced"),
        "{error}"
    );
    let bytes = patched(&values::TOMBSTONE, 14, &[&[2][..], &[0; 16]].concat());
    decode_tombstone(&bytes).unwrap();
}

#[test]
fn foreign_bytes_are_corrupt() {
    for foreign in [
        b"".as_slice(),
        b"\0",
        b"\xf5",
        b"{\"player\": \"ada\"}",
        &[0xff; 4_096],
        &[0; 4_096],
    ] {
        for golden in values::ALL {
            assert!(corrupt(&decode(&golden, foreign).unwrap_err()));
        }
        read_all_ways(foreign);
    }
}

#[test]
fn header_fields_out_of_range_are_corrupt() {
    let plain = &values::SESSION_PLAIN;
    for (offset, bytes) in [
        (6, [0x10].as_slice()),        // a flag that is not known
        (6, &[0x80]),                  // another
        (71, &999_u64.to_le_bytes()),  // a time to live below 1 s
        (71, &u64::MAX.to_le_bytes()), // one above 30 days
        (79, &[1]),                    // a token without a take
        (95, &[1]),                    // a time without a take
        (103, &[1]),                   // an operation without a save
        (119, &[1]),                   // a version without a save
        (127, &[1]),                   // a session id without a login
    ] {
        let bytes = patched(plain, offset, bytes);
        assert!(corrupt(&decode_session(&bytes).unwrap_err()), "at {offset}");
        assert!(corrupt(&SessionHeader::read(&bytes).unwrap_err()), "at {offset}");
    }
    // A login whose session id has a partition that there is not.
    let bytes = patched(&values::SESSION, 127, &[4, 0]);
    assert!(corrupt(&SessionHeader::read(&bytes).unwrap_err()));
}

/// Bodies that are well-formed but for one value.
#[test]
fn body_values_over_their_limits_are_corrupt() {
    let session = |body: &[u8]| [&values::SESSION_PLAIN.bytes[..SessionHeader::LEN], body].concat();
    let node = |body: &[u8]| [&values::NODE_PLAIN.bytes[..NodeHeader::LEN], body, b"\x01"].concat();
    let text = |len: u8, rest: &[u8]| [&[len][..], &vec![b'a'; usize::from(len)], rest].concat();
    let partition = PlayerId::new("p").unwrap().partition().get();
    let mut id = postcard_varint(partition);
    id.extend([7; 16]);
    let id = &id[..];

    // First that the parts fit together as they should.
    decode_session(&session(&[b"\x01a\0\0", id, b"\x01p\0"].concat())).unwrap();
    for body in [
        [b"\x01a\0\0\x80\x08", &[7; 16][..], b"\x01p\0"].concat(), // partition 1,024
        [b"\x01a\0\0", id, b"\0\0"].concat(),                      // a player without a name
        [b"\x01a\0\0", id, b"\x81\x01", &[b'a'; 129], b"\0"].concat(), // one of 129 bytes
        [b"\x01a\0\0", id, b"\x01\xff\0"].concat(),                // one that is not UTF-8
        [&text(65, b"\0\0"), id, b"\x01p\0"].concat(),             // a node id of 65 bytes
        [b"\0\0\0", id, b"\x01p\0"].concat(),                      // one without a name
        [b"\x01 \0\0", id, b"\x01p\0"].concat(),                   // one with a blank
        [b"\x01\xff\0\0", id, b"\x01p\0"].concat(),                // one that is not UTF-8
        [b"\x01a\x01\0", &[0; 66][..], b"\x01a", id, b"\x01p\0"].concat(), // a hold without a login
    ] {
        let error = decode_session(&session(&body)).unwrap_err();
        assert!(corrupt(&error), "{body:?}: {error}");
    }

    decode_node(&node(b"\x01a\x01\0\0\x01\0\0\0\x01\x01")).unwrap();
    let mode = patched(&values::NODE_PLAIN, values::NODE_PLAIN.bytes.len() - 1, &[3]);
    assert!(
        corrupt(&decode_node(&mode).unwrap_err()),
        "a mode that is not known"
    );
    let rest = b"\0\x01\0\0\0\x01\x01";
    for body in [
        b"\x01a\x03\0\0\x01\0\0\0\x01\x01".to_vec(), // a state that is not known
        b"\x01a\x01\0\0\x81\x02\0\0\0\x01\x01".to_vec(), // weight 257
        b"\x01a\x01\0\0\x01\0\0\0\x01\x80\x80\x04".to_vec(), // format 65,536
        b"\x01a\x01\0\0\x01\x01\xff\xff\xff\xff\x1f\0\0\x01\x01".to_vec(), // a capacity above 2^32
        [b"\x01a\x01\x02\x01b\x01x\x01a\x01x", &rest[..]].concat(), // endpoints out of order
        [b"\x01a\x01\x02\x01b\x01x\x01b\x01x", &rest[..]].concat(), // one twice
        [
            b"\x01a\x01\x09",
            &(b'a'..=b'i').flat_map(|c| [1, c, 1, c]).collect::<Vec<_>>()[..],
            rest,
        ]
        .concat(), // 9 of them
    ] {
        let error = decode_node(&node(&body)).unwrap_err();
        assert!(corrupt(&error), "{body:?}: {error}");
    }
}

/// A number below 2^14 as a varint.
fn postcard_varint(number: u16) -> Vec<u8> {
    let low = u8::try_from(number & 0x7f).unwrap();
    match u8::try_from(number >> 7).unwrap() {
        0 => vec![low],
        high => vec![low | 0x80, high],
    }
}

/// The most address space that this process ever had, in KiB. Only Linux tells.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmPeak:")?.trim().strip_suffix("kB"));
    peak.map_or(0, |number| number.trim().parse().expect("a number"))
}

#[test]
fn claims_of_gigabytes_are_corrupt() {
    let before = peak_kib();
    // 4 GiB, 2^63 and 2^64 - 1, and a number that has no end.
    let claims: [&[u8]; 4] = [
        b"\x80\x80\x80\x80\x10",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        &[0xff; 32],
    ];
    for golden in values::ALL {
        // In the place of every byte behind the envelope, so of every length there is.
        for offset in 6..golden.bytes.len() {
            for claim in claims {
                let (before, after) = golden.bytes.split_at(offset);
                read_all_ways(&[before, claim, &after[1..]].concat());
                read_all_ways(&[before, claim].concat());
            }
        }
    }
    // The length of the data, and how many holds were displaced.
    let bytes = values::SESSION_PLAIN.bytes;
    for claim in &claims[..3] {
        let bytes = [&bytes[..bytes.len() - 1], claim].concat();
        assert!(corrupt(&decode_session(&bytes).unwrap_err()));
    }
    for claim in [3_u16, 64, 65, u16::MAX] {
        let bytes = patched(&values::SESSION, SessionHeader::LEN + 13, &claim.to_le_bytes());
        assert!(corrupt(&decode_session(&bytes).unwrap_err()));
    }
    // Other tests run beside this one, and take megabytes.
    let grown = peak_kib() - before;
    assert!(grown < 2 << 20, "{grown} KiB more");
}

#[test]
fn data_is_limited_both_ways() {
    let mut session = values::session_plain();
    session.data = Bytes::from(vec![7; Limits::DATA_BYTES_CEILING]);
    let bytes = encode_session(&session).unwrap();
    assert_eq!(decode_session(&bytes).unwrap(), session);

    session.data = Bytes::from(vec![7; Limits::DATA_BYTES_CEILING + 1]);
    assert_eq!(encode_session(&session).unwrap_err().kind(), ErrorKind::TooLarge);
    // The same by hand: the length is a varint of three bytes either way.
    let len = bytes.len() - Limits::DATA_BYTES_CEILING - 3;
    let over = [&bytes[..len], b"\x81\x80\x40", &session.data].concat();
    assert!(corrupt(&decode_session(&over).unwrap_err()));
}

#[test]
fn displaced_holds_are_limited() {
    // A login can end every session that its player has.
    assert!(usize::from(Limits::SESSIONS_PER_PLAYER_MAX) <= StoredLogin::DISPLACED_MAX);
    let mut session = values::session_plain();
    let hold = Displaced::new(session.id, session.owner.clone(), session.fence);
    session.login = Some(StoredLogin::new(
        session.id,
        vec![hold; StoredLogin::DISPLACED_MAX],
    ));
    let bytes = encode_session(&session).unwrap();
    assert_eq!(decode_session(&bytes).unwrap(), session);
    let Some(login) = &mut session.login else {
        unreachable!("it was set above")
    };
    login.displaced.push(login.displaced[0].clone());
    assert_eq!(encode_session(&session).unwrap_err().kind(), ErrorKind::TooLarge);
    // The same by hand, with the last hold twice.
    let (before, holds) = bytes.split_at(SessionHeader::LEN + 2);
    let over = [before, &[65, 0], &holds[2..70], &holds[2..]].concat();
    assert!(corrupt(&decode_session(&over).unwrap_err()));
}

#[test]
fn frames_are_limited_both_ways() {
    let blob = vec![7_u8; BODY_BYTES_MAX];
    assert_eq!(encode_frame(&blob).unwrap_err().kind(), ErrorKind::TooLarge);
    // The envelope has 6 bytes, and the length of the vector 3.
    let most = &blob[9..];
    let bytes = encode_frame(&most).unwrap();
    assert_eq!(bytes.len(), BODY_BYTES_MAX);
    assert_eq!(decode_frame::<Vec<u8>>(&bytes).unwrap(), most);
    let over = [&bytes[..], b"\0"].concat();
    assert_eq!(
        decode_frame::<Vec<u8>>(&over).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}

#[test]
fn a_message_without_a_wire_form_is_an_invalid_argument() {
    struct Endless;
    impl serde::Serialize for Endless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0_u8..9).filter(|number| number % 2 == 0))
        }
    }
    assert_eq!(
        encode_frame(&Endless).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn ten_megabytes_of_noise_are_corrupt() {
    // A generator of its own (xorshift), as nothing here may depend on a random source.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise: Vec<u8> = (0..10_000_000 / 8)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    for golden in &values::ALL[..5] {
        assert!(corrupt(&decode(golden, &noise).unwrap_err()));
        // Behind a good header, too.
        let good = golden.bytes[..SessionHeader::LEN.min(golden.bytes.len() - 1)].len();
        noise[..good].copy_from_slice(&golden.bytes[..good]);
        assert!(corrupt(&decode(golden, &noise).unwrap_err()));
    }
    assert_eq!(
        decode_frame::<Message>(&noise).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}

#[test]
fn a_stored_session_shows_what_a_reader_sees() {
    let session = values::session();
    let record = session.record(1_234_567_000);
    assert_eq!(record.remaining.as_millis(), 890);
    assert!(session.record(u64::MAX).remaining.is_zero());
    assert_eq!(session.login_outcome(), Some(CreateOutcome::TakenOver));
    assert_eq!(values::session_plain().login_outcome(), None);
    let mut new = session.clone();
    new.login = Some(StoredLogin::new(new.id, Vec::new()));
    assert_eq!(new.login_outcome(), Some(CreateOutcome::New));
    // Data and whole ids are not shown.
    let shown = format!("{session:?}");
    assert!(
        shown.contains("data_bytes: 9") && !shown.contains("level") && !shown.contains("1011121314"),
        "{shown}"
    );
    assert_eq!(
        decode_node(&encode_node(&values::node_record()).unwrap()).unwrap(),
        values::node_record()
    );
}
