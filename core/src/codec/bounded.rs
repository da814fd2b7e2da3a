//! Decoding with limits: nothing is allocated for a length that was only claimed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Reads a text of at most `max` bytes, borrowed where the input allows it.
pub(crate) fn bounded_str<'de, D: Deserializer<'de>>(
    deserializer: D,
    max: usize,
) -> Result<Cow<'de, str>, D::Error> {
    struct Text(usize);

    impl Text {
        fn check<E: Error>(&self, len: usize) -> Result<(), E> {
            if len > self.0 {
                Err(E::invalid_length(len, self))
            } else {
                Ok(())
            }
        }
    }

    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a text of at most {} bytes", self.0)
        }

        fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
            self.check(text.len())?;
            Ok(Cow::Borrowed(text))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            self.check(text.len())?;
            Ok(Cow::Owned(text.to_owned()))
        }
    }

    deserializer.deserialize_str(Text(max))
}

/// Reads a map of at most `max` entries with strictly rising keys, the form in which they are written.
pub(crate) fn bounded_map<'de, D, K, V>(deserializer: D, max: usize) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Entries<K, V>(usize, PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a map of at most {} entries with rising keys", self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<K, V>()? {
                if map.len() == self.0 {
                    return Err(A::Error::invalid_length(self.0 + 1, &self));
                }
                if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(A::Error::custom("map keys do not rise"));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Entries(max, PhantomData))
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, MapDeserializer};

    use super::*;

    #[test]
    fn one_over_the_limit_is_refused() {
        let map = |keys: &[u32]| {
            let input = MapDeserializer::<_, Error>::new(keys.iter().map(|key| (*key, *key)));
            bounded_map::<_, u32, u32>(input, 3)
        };
        assert_eq!(map(&[1, 2, 3]).unwrap().len(), 3);
        for (bad, why) in [
            (
                [1, 2, 3, 4].as_slice(),
                "invalid length 4, expected a map of at most 3 entries with rising keys",
            ),
            (&[2, 1], "map keys do not rise"),
            (&[1, 1], "map keys do not rise"),
        ] {
            assert_eq!(map(bad).unwrap_err().to_string(), why);
        }

        let text = |text: &str| {
            let input: serde::de::value::StrDeserializer<'_, Error> = text.into_deserializer();
            bounded_str(input, 3).map(Cow::into_owned)
        };
        assert_eq!(text("abc").unwrap(), "abc");
        let error = text("\u{e9}\u{e9}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid length 4, expected a text of at most 3 bytes"
        );
    }
}
