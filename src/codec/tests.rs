use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::*;

/// The error's text with those of its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[track_caller]
fn refused<T: Serialize + DeserializeOwned>(value: &T, why: &str) {
    let error = Codec::postcard().encode("save", value).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let text = chain(&error);
    assert!(text.contains(why), "expected {why:?} in {text:?}");
}

#[track_caller]
fn stored<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let codec = Codec::postcard();
    let data = codec.encode("save", value).expect("a value that can be stored");
    assert_eq!(&data[..], postcard::to_stdvec(value).unwrap(), "plain postcard");
    assert_eq!(codec.decode(&data).expect("what was stored"), *value);
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<u8>,
    list: Vec<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum SkipsInVariant {
    Named {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        friends: Vec<u32>,
        level: u64,
    },
}

/// Read back, it would be `{ first: 1, list: [] }`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ReadsAsAnother {
    #[serde(default, skip_serializing_if = "is_zero")]
    first: u64,
    list: Vec<u8>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[test]
fn value_with_a_skipped_field_is_refused_by_its_name() {
    let empty = Skips::default;
    refused(&empty(), "field \"note\" was skipped");
    refused(&vec![empty()], "\"note\"");
    refused(&(1, Some(empty())), "\"note\"");
    refused(
        &[(1, empty())].into_iter().collect::<BTreeMap<_, _>>(),
        "\"note\"",
    );
    refused(&Ok::<_, u8>(Box::new(empty())), "\"note\"");
    let variant = SkipsInVariant::Named {
        friends: Vec::new(),
        level: 3,
    };
    refused(&variant, "\"friends\"");
    let another = ReadsAsAnother {
        first: 0,
        list: vec![0],
    };
    let unnoticed: ReadsAsAnother = postcard::from_bytes(&postcard::to_stdvec(&another).unwrap()).unwrap();
    assert_ne!(unnoticed, another, "decoding alone would not notice");
    refused(&another, "\"first\"");
}

#[test]
fn value_whose_optional_fields_are_all_there_is_stored() {
    stored(&Skips {
        note: Some(1),
        list: vec![2],
    });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Walk { to: u32 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
enum AdjacentlyTagged {
    Walk { to: u32 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    level: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, u32>,
}

/// Reads a byte less than it writes.
#[derive(Debug, PartialEq)]
struct LeavesAByte;

impl Serialize for LeavesAByte {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (1_u8, 2_u8).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LeavesAByte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(|_| Self)
    }
}

#[test]
fn value_that_cannot_be_decoded_again_is_refused() {
    let again = "cannot";
    refused(&Tagged::Walk { to: 3 }, again);
    refused(&AdjacentlyTagged::Walk { to: 3 }, again);
    refused(&Untagged::Number(3), again);
    refused(&serde_json::json!({ "level": 3 }), again);
    refused(&vec![serde_json::Value::Null], again);
    refused(&LeavesAByte, "1 bytes are left over");
    let flattened = Flattened {
        level: 1,
        rest: BTreeMap::new(),
    };
    refused(&flattened, "cannot be encoded");
}

#[test]
fn values_of_ordinary_types_are_stored() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newtype(String);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(i128, u128);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        Unit,
        Newtype(Newtype),
        Tuple(u8, f32),
        Struct { at: [i16; 3] },
    }
    stored(&(true, 'x', 1.5_f64, i8::MIN, i64::MIN));
    stored(&(Unit, Newtype("ada".to_owned()), Pair(i128::MIN, u128::MAX)));
    stored(&[
        Variants::Unit,
        Variants::Newtype(Newtype(String::new())),
        Variants::Tuple(1, 2.5),
        Variants::Struct { at: [1, 2, 3] },
    ]);
    stored(&HashMap::from([
        ("a".to_owned(), vec![1_u16]),
        ("b".to_owned(), vec![]),
    ]));
    stored(&(
        Some(Duration::from_millis(5)),
        None::<IpAddr>,
        IpAddr::from([127, 0, 0, 1]),
    ));
}

#[test]
fn codec_that_guarantees_the_round_trip_is_not_decoded() {
    fn unread(_: &Bytes) -> Result<u8, Cause> {
        panic!("the codec guarantees the round trip")
    }
    let mut codec = Codec::<u8> {
        decode: unread,
        guarantees_round_trip: true,
        ..Codec::postcard()
    };
    assert_eq!(&codec.encode("save", &7).unwrap()[..], [7]);
    codec.decode = |_| Err("not readable".into());
    codec.guarantees_round_trip = false;
    let error = codec.encode("save", &7).unwrap_err();
    assert!(chain(&error).contains("not readable"), "{error}");
    assert_eq!(
        &Codec::raw().encode("save", &Bytes::from_static(b"x")).unwrap()[..],
        b"x"
    );
}

proptest! {
    /// Whatever is skipped: either the save is refused, or what was stored is what was saved.
    #[test]
    fn what_is_stored_is_read_as_it_was_saved(first in 0_u64..3, list: Vec<u8>, note: Option<u8>) {
        let codec = Codec::postcard();
        let value = (ReadsAsAnother { first, list: list.clone() }, Skips { note, list });
        let complete = first != 0 && note.is_some();
        match codec.encode("save", &value) {
            Ok(data) => {
                prop_assert!(complete);
                prop_assert_eq!(codec.decode(&data).unwrap(), value);
            }
            Err(error) => prop_assert!(!complete, "{}", chain(&error)),
        }
    }
}
