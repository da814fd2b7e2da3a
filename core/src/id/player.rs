//! Players, and the partition of the session space that each belongs to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, ErrorKind, Result};

/// Any principal that can hold sessions: 1 to 128 bytes of UTF-8, any characters.
///
/// ```
/// use ringhold_core::PlayerId;
///
/// assert!(PlayerId::new("{ada}\r\n\0").is_ok());
/// assert!(PlayerId::new("").is_err());
/// assert!(PlayerId::new("a".repeat(129)).is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayerId(Arc<str>);

impl PlayerId {
    /// The longest id in bytes.
    pub const LEN_MAX: usize = 128;

    /// Checks `id` and takes it.
    ///
    /// # Errors
    /// `InvalidArgument` when it is empty or longer than 128 bytes.
    pub fn new(id: impl AsRef<str>) -> Result<Self> {
        let id = id.as_ref();
        if id.is_empty() {
            let context = "is empty; it takes 1 to 128 bytes of UTF-8";
            return Err(Error::new(ErrorKind::InvalidArgument, "player id", context));
        }
        if id.len() > Self::LEN_MAX {
            let context = format!("has {} bytes; it takes 1 to 128 bytes of UTF-8", id.len());
            return Err(Error::new(ErrorKind::InvalidArgument, "player id", context));
        }
        Ok(Self(id.into()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that this player's sessions live in.
    pub fn partition(&self) -> Partition {
        Partition::of(self)
    }
}

impl fmt::Display for PlayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PlayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for PlayerId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl AsRef<str> for PlayerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for PlayerId {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Serialize for PlayerId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PlayerId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = crate::codec::bounded_str(deserializer, Self::LEN_MAX)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

/// One of the 1,024 shards of the session space: `XXH3-64(player id) mod 1024`.
///
/// All sessions of a player are in one partition, and a session id carries its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Partition(u16);

impl Partition {
    /// How many there are.
    pub const COUNT: u16 = 1_024;

    /// The partition of a player.
    pub fn of(player: &PlayerId) -> Self {
        let index = xxh3_64(player.as_str().as_bytes()) % u64::from(Self::COUNT);
        // The remainder is below 1,024.
        Self(u16::try_from(index).unwrap_or_default())
    }

    /// Checks an index.
    ///
    /// # Errors
    /// `InvalidArgument` from 1,024 on.
    pub fn new(index: u16) -> Result<Self> {
        if index < Self::COUNT {
            return Ok(Self(index));
        }
        let context = format!("{index} is out of range; it takes 0 to 1023");
        Err(Error::new(ErrorKind::InvalidArgument, "partition", context))
    }

    /// All partitions in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        (0..Self::COUNT).map(Self)
    }

    /// Its index, 0 to 1,023.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The key under which the ring says which node sweeps this partition: the nine bytes
    /// `partition` and the index as two little-endian bytes.
    pub fn ring_key(self) -> [u8; 11] {
        let mut key = *b"partition\0\0";
        key[9..].copy_from_slice(&self.0.to_le_bytes());
        key
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl<'de> Deserialize<'de> for Partition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u16::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_characters_up_to_128_bytes() {
        let wide = "\u{1F3AE}".repeat(32);
        assert_eq!(wide.len(), 128);
        for good in ["{", "}", "{a}{b}", "\0", "a\r\nb", "x", &wide] {
            assert_eq!(PlayerId::new(good).unwrap().as_str(), good);
        }
        for bad in [String::new(), "a".repeat(129), format!("{wide}a")] {
            assert_eq!(PlayerId::new(bad).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }

    /// Frozen: a program in another language must come to the same partitions.
    #[test]
    fn golden_partitions() {
        let of = |id: &str| PlayerId::new(id).unwrap().partition().get();
        assert_eq!(xxh3_64(b"player-1"), 0x773e_787c_2533_9b5a);
        assert_eq!(of("player-1"), 0x35a);
        for id in ["a", "{tag}", "\u{1F3AE}"] {
            let independent = twox_hash::XxHash3_64::oneshot(id.as_bytes()) % 1_024;
            assert_eq!(u64::from(of(id)), independent);
        }
    }

    #[test]
    fn partitions_are_in_range() {
        assert_eq!(Partition::all().len(), 1_024);
        assert!(Partition::new(1_024).is_err());
        assert_eq!(&Partition::new(0x0102).unwrap().ring_key(), b"partition\x02\x01");
    }

    #[test]
    fn it_is_shown_and_lent_as_it_is() {
        let player = PlayerId::new("ada").unwrap();
        assert_eq!(format!("{player}|{player:>5}|{player:?}"), "ada|  ada|\"ada\"");
        assert_eq!(AsRef::<str>::as_ref(&player), "ada");
        assert_eq!(AsRef::<[u8]>::as_ref(&player), b"ada");
        assert_eq!("ada".parse::<PlayerId>().unwrap(), player);
        assert_eq!(format!("{:?}", Partition::new(7).unwrap()), "p7");
    }
}
