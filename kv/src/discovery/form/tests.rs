//! The stored forms byte for byte, and what is refused.

use ringhold_core::{ErrorKind, NodeRecord};

use super::*;

/// The bytes of these hexadecimal digits; blanks separate fields.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn incarnation() -> Incarnation {
    Incarnation {
        number: 0x0102_0304,
        nonce: Nonce::from_bytes(*b"0123456789abcdef"),
    }
}

const INCARNATION: &str = "0403020100000000 30313233343536373839616263646566";

/// Each prefix of `bytes` and `bytes` with one more.
fn of_another_length(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let shorter = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    shorter.chain([[bytes, &[0]].concat()])
}

#[test]
fn a_fleet() {
    let fleet = Fleet {
        head: Revision::new(0x0a0b, 0x1122_3344_5566_7788),
        timing: Timing::relaxed(),
        last_number: 0x0c0d,
        departed: 7,
    };
    let counts = "0d0c000000000000 0700000000000000";
    let bytes = hex(&format!(
        "0b0a000000000000 8877665544332211 8813000000000000 983a000000000000 {counts}"
    ));
    assert_eq!(fleet.encode(), bytes);
    assert_eq!(Fleet::decode(&bytes).unwrap(), fleet);
    for bytes in of_another_length(&bytes) {
        assert_eq!(Fleet::decode(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let no_timing = hex(&format!(
        "0b0a000000000000 8877665544332211 8813000000000000 8813000000000000 {counts}"
    ));
    let error = Fleet::decode(&no_timing).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Corrupt,
        "a lease as short as a heartbeat"
    );
    let no_timing = hex(&format!(
        "0b0a000000000000 8877665544332211 ffffffffffffffff ffffffffffffffff {counts}"
    ));
    assert!(Fleet::decode(&no_timing).is_err());
    let mut over = bytes;
    over[39] = 1;
    assert!(Fleet::decode(&over).is_err(), "a number that is never given");
}

#[test]
fn a_lease() {
    let lease = Lease {
        incarnation: incarnation(),
        deadline_ms: 0x0123_4567,
        renewals: 9,
        load: Load::new(0x0203),
    };
    let bytes = hex(&format!(
        "{INCARNATION} 6745230100000000 0900000000000000 03020000"
    ));
    assert_eq!(lease.encode(), bytes);
    assert_eq!(Lease::decode(&bytes), Some(lease));
    for bytes in of_another_length(&bytes) {
        assert_eq!(Lease::decode(&bytes), None);
    }
    let mut over = bytes;
    over[7] = 1;
    assert_eq!(Lease::decode(&over), None, "a number that is never given");
}

#[test]
fn runs() {
    let mut runs = Runs::default();
    assert_eq!(Runs::decode(None).unwrap(), runs);
    runs.add(6, Nonce::from_bytes([0xaa; 16]));
    runs.add(7, Nonce::from_bytes(*b"0123456789abcdef"));
    let nonces = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 30313233343536373839616263646566";
    let bytes = hex(&format!("0700000000000000 ffffffffffffffff {nonces}"));
    assert_eq!(runs.encode(), bytes);
    assert_eq!(Runs::decode(Some(&bytes)).unwrap(), runs);
    runs.left_ms = Some(0x0201);
    let left = hex(&format!("0700000000000000 0102000000000000 {nonces}"));
    assert_eq!(runs.encode(), left);
    assert_eq!(Runs::decode(Some(&left)).unwrap(), runs);
    for bytes in of_another_length(&bytes).filter(|bytes| bytes.len() < 16 || bytes.len() % 16 != 0) {
        assert_eq!(Runs::decode(Some(&bytes)).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    for number in 8..40 {
        runs.add(number, Nonce::from_bytes([0xbb; 16]));
    }
    assert_eq!(runs.left_ms, None, "it has a member again");
    assert_eq!(runs.encode().len(), 16 + 16 * Runs::NONCES_MAX);
    let one_more = [runs.encode(), vec![0; 16]].concat();
    assert!(Runs::decode(Some(&one_more)).is_err());
    assert!(
        Runs::decode(Some(&[0xff; 16])).is_err(),
        "a number that is never given"
    );
}

#[test]
fn a_change() {
    let (number, tag) = (5, 0x1122_3344_5566_7788);
    let revision = Revision::new(number, tag);
    let id = NodeId::new("eu-1").unwrap();
    for (reason, byte) in [
        (LeftReason::Leave, "01"),
        (LeftReason::LeaseLapsed, "02"),
        (LeftReason::Evicted, "03"),
        (LeftReason::Superseded, "04"),
    ] {
        let bytes = hex(&format!("8877665544332211 03 {byte} {INCARNATION} 65752d31"));
        assert_eq!(Change::Left(&id, incarnation(), reason).encode(tag), bytes);
        let node = NodeIncarnation::new(id.clone(), incarnation());
        let left = Update::Left {
            revision,
            node,
            reason,
        };
        assert_eq!(Change::decode(number, &bytes), Some(left));
        assert_eq!(Change::tag(&bytes), Some(tag));
        for len in 0..35 {
            assert_eq!(Change::decode(number, &bytes[..len]), None, "{len}");
        }
    }

    let node = NodeRecord::new(id, incarnation());
    let record = codec::encode_node(&node).unwrap();
    let node = Arc::new(node);
    let joined = Change::Joined(&record).encode(tag);
    assert_eq!(joined, [hex("8877665544332211 01"), record.clone()].concat());
    let update = Update::Joined {
        revision,
        node: Arc::clone(&node),
    };
    assert_eq!(Change::decode(number, &joined), Some(update));
    let changed = Change::Changed(&record).encode(tag);
    assert_eq!(changed, [hex("8877665544332211 02"), record].concat());
    assert_eq!(
        Change::decode(number, &changed),
        Some(Update::Changed { revision, node })
    );
    for bytes in of_another_length(&joined) {
        assert_eq!(Change::decode(number, &bytes), None);
    }
    // Kinds and reasons that there are not, and a number above those that are given.
    for (at, byte) in [(8, 0), (8, 4), (9, 0), (9, 5), (17, 2)] {
        let mut other = hex(&format!("8877665544332211 03 01 {INCARNATION} 65752d31"));
        other[at] = byte;
        assert_eq!(Change::decode(number, &other), None, "byte {at}");
    }
    let too_long = hex(&format!(
        "8877665544332211 03 01 {INCARNATION} {}",
        "61".repeat(65)
    ));
    assert_eq!(Change::decode(number, &too_long), None);
}
