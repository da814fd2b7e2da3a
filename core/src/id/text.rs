//! Names: ASCII words and short texts with limits.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// Which characters a text type takes.
#[derive(Clone, Copy)]
enum Alphabet {
    /// `A-Z a-z 0-9 . _ -`
    Word,
    /// Printable ASCII without blanks.
    Graphic,
    /// Any UTF-8 without control characters.
    Text,
}

impl Alphabet {
    fn holds(self, text: &str) -> bool {
        match self {
            Self::Word => text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')),
            Self::Graphic => text.bytes().all(|b| b.is_ascii_graphic()),
            Self::Text => !text.chars().any(char::is_control),
        }
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::Word => "ASCII letters, digits, '.', '_' and '-'",
            Self::Graphic => "printable ASCII without blanks",
            Self::Text => "UTF-8 without control characters",
        }
    }
}

fn check(what: &'static str, text: &str, min: usize, max: usize, alphabet: Alphabet) -> Result<()> {
    let takes = || format!("it takes {min} to {max} bytes of {}", alphabet.describe());
    if text.len() > max {
        let context = format!("has {} bytes; {}", text.len(), takes());
        return Err(Error::new(ErrorKind::InvalidArgument, what, context));
    }
    if text.len() < min {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            what,
            format!("is empty; {}", takes()),
        ));
    }
    if !alphabet.holds(text) {
        let context = format!("{text:?} has a character that is not allowed; {}", takes());
        return Err(Error::new(ErrorKind::InvalidArgument, what, context));
    }
    Ok(())
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $min:literal..=$max:literal, $alphabet:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest value in bytes.
            pub const LEN_MAX: usize = $max;

            /// Checks `text` and takes it.
            ///
            /// # Errors
            /// `InvalidArgument` when the length or a character is not allowed.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                check($what, text, $min, $max, $alphabet)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = crate::codec::bounded_str(deserializer, $max)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_type!(
    /// The name of a fleet: the servers that share one namespace in one backend. 1 to 64 bytes of
    /// ASCII letters, digits, `.`, `_` and `-`.
    FleetName, "fleet name", 1..=64, Alphabet::Word
);
text_type!(
    /// The *logical* name of a server process, never an address: it stays when the process moves
    /// or restarts. 1 to 64 bytes of ASCII letters, digits, `.`, `_` and `-`.
    NodeId, "node id", 1..=64, Alphabet::Word
);
text_type!(
    /// The name of an endpoint of a node, such as `player`, `peer` or `health`. 1 to 32 bytes of
    /// ASCII letters, digits, `.`, `_` and `-`.
    EndpointName, "endpoint name", 1..=32, Alphabet::Word
);
text_type!(
    /// Where an endpoint is reached, such as `10.0.0.7:4000` or `wss://eu-1.example/play`. 1 to
    /// 255 bytes of printable ASCII without blanks. Its form is between the application and its clients; see
    /// [`ensure_reachable`](Self::ensure_reachable) for what no endpoint may be.
    Address, "address", 1..=255, Alphabet::Graphic
);
text_type!(
    /// A failure domain, such as `eu-west-1a`. Up to 64 bytes, may be empty.
    Zone, "zone", 0..=64, Alphabet::Word
);
text_type!(
    /// The build of the application on a node. Up to 64 bytes of UTF-8 without control characters,
    /// may be empty.
    Build, "build", 0..=64, Alphabet::Text
);
text_type!(
    /// The key of a label. 1 to 63 bytes of ASCII letters, digits, `.`, `_` and `-`.
    LabelKey, "label key", 1..=63, Alphabet::Word
);
text_type!(
    /// The value of a label. Up to 255 bytes of UTF-8 without control characters, may be empty.
    LabelValue, "label value", 0..=255, Alphabet::Text
);

impl Default for Zone {
    fn default() -> Self {
        Self("".into())
    }
}

impl Default for Build {
    fn default() -> Self {
        Self("".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_alphabets() {
        assert!(NodeId::new("eu-1.arena_2").is_ok());
        assert!(NodeId::new("a".repeat(64)).is_ok());
        for bad in ["", "a b", "a{b}", "é", "a\0b", "a\nb", &"a".repeat(65)] {
            assert_eq!(
                NodeId::new(bad).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{bad:?}"
            );
        }
        assert!(Zone::new("").is_ok());
        assert!(Address::new("ws://h:1/?a={b}").is_ok());
        assert!(Address::new("a b").is_err());
        assert!(Build::new("1.2.3 (é)").is_ok());
        assert!(LabelValue::new("line\r\nbreak").is_err());
    }

    #[test]
    fn an_error_says_what_is_allowed() {
        let context = |error: Error| error.context().to_owned();
        let word = context(NodeId::new("a b").unwrap_err());
        assert!(
            word.ends_with("1 to 64 bytes of ASCII letters, digits, '.', '_' and '-'"),
            "{word}"
        );
        let graphic = context(Address::new("").unwrap_err());
        assert!(
            graphic.ends_with("1 to 255 bytes of printable ASCII without blanks"),
            "{graphic}"
        );
        let text = context(Build::new("\0").unwrap_err());
        assert!(
            text.ends_with("0 to 64 bytes of UTF-8 without control characters"),
            "{text}"
        );
    }

    #[test]
    fn a_name_is_shown_and_lent_as_it_is() {
        let node = NodeId::new("eu-1").unwrap();
        assert_eq!(format!("{node}|{node:>6}|{node:?}"), "eu-1|  eu-1|\"eu-1\"");
        assert_eq!(
            (node.as_ref(), "eu-1".parse::<NodeId>().unwrap()),
            ("eu-1", node.clone())
        );
        assert_eq!((Zone::default().as_str(), Build::default().as_str()), ("", ""));
    }
}
