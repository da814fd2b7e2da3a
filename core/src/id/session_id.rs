//! Session ids: a partition and 128 random bits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Nonce, Partition};
use crate::{Error, ErrorKind, Result};

/// Names a session for ever: its partition and 128 random bits.
///
/// It is written as three hexadecimal digits, a hyphen and 32 hexadecimal digits, such as
/// `35a-00112233445566778899aabbccddeeff`. An id is no credential, but it is not shown around
/// either: `Debug` shortens it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    partition: Partition,
    random: Nonce,
}

impl SessionId {
    /// The length of its written form.
    pub const TEXT_LEN: usize = 36;

    /// An id in `partition` from 128 bits of a cryptographic source.
    pub const fn new(partition: Partition, random: [u8; 16]) -> Self {
        Self {
            partition,
            random: Nonce::from_bytes(random),
        }
    }

    /// Where the session lives.
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// The 18 bytes of its binary form: the partition in big-endian, then the random bytes. Byte
    /// order is the order of ids.
    pub fn to_bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..2].copy_from_slice(&self.partition.get().to_be_bytes());
        bytes[2..].copy_from_slice(&self.random.to_bytes());
        bytes
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// `InvalidArgument` when the partition is out of range.
    pub fn from_bytes(bytes: [u8; 18]) -> Result<Self> {
        let [high, low, random @ ..] = bytes;
        Ok(Self::new(
            Partition::new(u16::from_be_bytes([high, low]))?,
            random,
        ))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:03x}-{:032x}",
            self.partition.get(),
            u128::from_be_bytes(self.random.to_bytes())
        )
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03x}-{:?}", self.partition.get(), self.random)
    }
}

impl FromStr for SessionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            let context = "is not three hexadecimal digits, a hyphen and 32 hexadecimal digits";
            Error::new(ErrorKind::InvalidArgument, "session id", context)
        };
        // Exactly the form that `Display` writes: no sign, no upper case, so that one id has one text.
        let digits = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != Self::TEXT_LEN {
            return Err(bad());
        }
        let (partition, random) = text.split_once('-').ok_or_else(bad)?;
        if partition.len() != 3 || !digits(partition) || !digits(random) {
            return Err(bad());
        }
        let partition = u16::from_str_radix(partition, 16).map_err(|_| bad())?;
        let random = u128::from_str_radix(random, 16).map_err(|_| bad())?;
        Ok(Self::new(
            Partition::new(partition).map_err(|_| bad())?,
            random.to_be_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let id = SessionId::new(Partition::new(0x35a).unwrap(), *b"0123456789abcdef");
        assert_eq!(id.to_string(), "35a-30313233343536373839616263646566");
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
        assert_eq!(SessionId::from_bytes(id.to_bytes()).unwrap(), id);
        assert_eq!(format!("{id:?}"), "35a-3031..");
    }

    #[test]
    fn other_texts_are_refused() {
        let good = "35a-30313233343536373839616263646566";
        for bad in [
            "",
            &good[1..],
            "35a-3031",
            "35a-030313233343536373839616263646566",
            &good.to_uppercase(),
            "400-30313233343536373839616263646566",
            "35a-+0313233343536373839616263646566",
            "35a030313233343536373839616263646566-",
            "35a-3031323334353637383961626364\u{e9}56",
        ] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
