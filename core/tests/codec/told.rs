//! What is told of bytes that are something else: which they are, and what is wrong with them.

use ringhold_core::codec::{SessionHeader, decode_frame, decode_node, decode_session};
use ringhold_core::id::NUMBER_MAX;

use crate::robustness::patched;
use crate::values::{self, Message};

#[test]
fn another_kind_is_named() {
    let error = decode_session(values::NODE.bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "session record: corrupt: this is a node record"
    );
    let error = decode_node(values::FRAME.bytes).unwrap_err();
    assert_eq!(error.to_string(), "node record: corrupt: this is a peer message");
    let error = decode_session(values::TOMBSTONE.bytes).unwrap_err();
    assert_eq!(error.to_string(), "session record: corrupt: this is a tombstone");
    let error = decode_frame::<Message>(values::SESSION.bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "peer message: corrupt: this is a session record"
    );
    let error = decode_node(&patched(&values::NODE, 3, &[9])).unwrap_err();
    assert_eq!(error.to_string(), "node record: corrupt: kind 9 is not known");
}

/// Also where two of them are, whose bits cancel each other.
#[test]
fn each_number_of_a_header_that_is_too_great_is_named() {
    let places = [
        (7, "epoch"),
        (31, "version"),
        (39, "incarnation number"),
        (119, "version"),
    ];
    let above = (NUMBER_MAX + 1).to_le_bytes();
    for (first, (place, name)) in places.iter().enumerate() {
        let one = patched(&values::SESSION, *place, &above);
        let told = format!(
            "session record: corrupt: {name} {} is above {NUMBER_MAX}",
            NUMBER_MAX + 1
        );
        assert_eq!(SessionHeader::read(&one).unwrap_err().to_string(), told);
        for (other, _) in &places[first + 1..] {
            let mut two = one.clone();
            two[*other..*other + 8].copy_from_slice(&above);
            assert_eq!(SessionHeader::read(&two).unwrap_err().to_string(), told);
        }
    }
    // The greatest ones are none too great.
    let mut greatest = values::SESSION.bytes.to_vec();
    for (place, _) in &places[..3] {
        greatest[*place..*place + 8].copy_from_slice(&NUMBER_MAX.to_le_bytes());
    }
    SessionHeader::read(&greatest).unwrap();
    greatest[39..47].copy_from_slice(&above);
    assert_eq!(
        SessionHeader::read(&greatest).unwrap_err().to_string(),
        format!(
            "session record: corrupt: incarnation number {} is above {NUMBER_MAX}",
            NUMBER_MAX + 1
        )
    );
}

#[test]
fn an_envelope_that_is_none_is_described() {
    let error = decode_node(&patched(&values::NODE, 4, &[0, 0])).unwrap_err();
    assert_eq!(error.to_string(), "node record: corrupt: there is no format 0");
    for len in 3..6 {
        let error = decode_node(&values::NODE.bytes[..len]).unwrap_err();
        assert_eq!(error.to_string(), "node record: corrupt: it ends within a field");
    }
}
