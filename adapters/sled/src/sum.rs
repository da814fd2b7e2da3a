//! What all keys and values of a folder add up to.
//!
//! Where sled's log is damaged before its last segments, sled leaves out the rest of that segment, goes on with the
//! next, and says nothing (`LogIter::next` in its `src/pagecache/iterator.rs`): what was written late is there, and
//! something that was written before it is not. So each batch also writes what everything adds up to behind it, and
//! who opens the folder adds it up again.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

/// The sum of the hashes of all pairs, modulo 2^128, in whatever order: one pair more or less, or another value,
/// makes another sum but once in 2^128.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum(u128);

impl Sum {
    pub(crate) const BYTES: usize = 16;

    /// With one pair more.
    #[must_use]
    pub(crate) fn plus(self, key: &[u8], value: &[u8]) -> Self {
        Self(self.0.wrapping_add(hash(key, value)))
    }

    /// With a pair less that was counted before.
    #[must_use]
    pub(crate) fn minus(self, key: &[u8], value: &[u8]) -> Self {
        Self(self.0.wrapping_sub(hash(key, value)))
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({:032x})", self.0)
    }
}

/// The length stands first, so that no byte goes from a key to its value unseen.
fn hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(value);
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_none_and_what_went_is_gone() {
        let (a, b) = (
            Sum::default().plus(b"k", b"v").plus(b"l", b"w"),
            Sum::default().plus(b"l", b"w").plus(b"k", b"v"),
        );
        assert_eq!(a, b);
        assert_eq!(a.minus(b"k", b"v").minus(b"l", b"w"), Sum::default());
        assert_eq!(Sum::from_bytes(a.to_bytes()), a);
    }

    #[test]
    fn what_is_another_pair_is_another_sum() {
        let good = Sum::default().plus(b"ab", b"c");
        for (key, value) in [
            (&b"a"[..], &b"bc"[..]),
            (b"abc", b""),
            (b"ab", b"d"),
            (b"", b"abc"),
        ] {
            assert_ne!(Sum::default().plus(key, value), good, "{key:?} {value:?}");
        }
        assert_ne!(good.plus(b"ab", b"c"), good, "a pair twice");
    }
}
