//! Numbers that order, expire or fence.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::{Error, ErrorKind, Result};

/// The greatest version, epoch, incarnation number and revision number: 2⁵³ − 1, the last whole number
/// that every store's scripts can count to exactly.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// 128 random bits that make two values with the same number different.
///
/// The caller draws them from a cryptographic source; this crate has none. Its `Debug` shows only
/// the first four hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// Takes 16 random bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}..", self.0[0], self.0[1])
    }
}

/// Names one attempt-spanning write, so that a repetition is recognised. The caller draws it before
/// the first attempt and keeps it over all attempts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OperationId(Nonce);

impl OperationId {
    /// Takes 16 random bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Nonce::from_bytes(bytes))
    }

    /// The bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How often a session changed its owner. Grows by one with every new fence.
pub type Epoch = u64;

/// Which stay of an owner a write belongs to; new at every change of owner.
///
/// Two fences are the same only when both parts are: after a rollback of the store two owners can
/// have been given the same epoch, never the same nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// Counts the owners of the session, from 1.
    pub epoch: Epoch,
    /// Makes it unique.
    pub nonce: Nonce,
}

/// Which run of a node id. Numbers order, equality is of both parts; dead is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Given by the store at registration: one more than any before.
    pub number: u64,
    /// Drawn by the node.
    pub nonce: Nonce,
}

/// One run of one node: what owns sessions and holds leases.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeIncarnation {
    /// The node's logical name.
    pub node: NodeId,
    /// Which run of it.
    pub incarnation: Incarnation,
}

impl NodeIncarnation {
    /// This run of this node.
    pub const fn new(node: NodeId, incarnation: Incarnation) -> Self {
        Self { node, incarnation }
    }
}

impl fmt::Display for NodeIncarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.incarnation.number)
    }
}

impl fmt::Debug for NodeIncarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}#{}/{:?}",
            self.node, self.incarnation.number, self.incarnation.nonce
        )
    }
}

/// Grows by one at every write of a session's data; what compare-and-set compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(u64);

impl Version {
    /// The version of freshly created data.
    pub const FIRST: Self = Self(1);

    /// Takes a number read from a store.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    ///
    /// # Errors
    /// `InvalidArgument` from [`NUMBER_MAX`] on.
    pub fn next(self) -> Result<Self> {
        if self.0 < NUMBER_MAX {
            return Ok(Self(self.0 + 1));
        }
        let context = format!("{self} is the last version that there is");
        Err(Error::new(ErrorKind::InvalidArgument, "version", context))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How long a session lives after its last touch: 1 s to 30 days, in whole milliseconds.
///
/// Surviving an outage of the store is promised for 12 s and more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Ttl(u64);

impl Ttl {
    /// 1 second.
    pub const MIN: Self = Self(1_000);
    /// 30 days.
    pub const MAX: Self = Self(30 * 24 * 3_600 * 1_000);

    /// Checks a duration; parts of a millisecond are dropped.
    ///
    /// # Errors
    /// `InvalidArgument` below 1 s and above 30 days.
    pub fn new(duration: Duration) -> Result<Self> {
        Self::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// Checks a number of milliseconds.
    ///
    /// # Errors
    /// `InvalidArgument` below 1 s and above 30 days.
    pub fn from_millis(millis: u64) -> Result<Self> {
        if (Self::MIN.0..=Self::MAX.0).contains(&millis) {
            return Ok(Self(millis));
        }
        let context = format!("{millis} ms is out of range; it takes 1 s to 30 days");
        Err(Error::new(ErrorKind::InvalidArgument, "ttl", context))
    }

    /// The time to live.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// The time to live in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.duration(), f)
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_millis(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A node's share of the ring relative to others: 0 to 256. 0 takes nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Weight(u16);

impl Weight {
    /// Takes nothing new.
    pub const ZERO: Self = Self(0);
    /// The usual weight.
    pub const ONE: Self = Self(1);
    /// The greatest weight; 38,400 virtual nodes.
    pub const MAX: Self = Self(256);

    /// Checks a weight.
    ///
    /// # Errors
    /// `InvalidArgument` above 256.
    pub fn new(weight: u32) -> Result<Self> {
        match u16::try_from(weight) {
            Ok(small) if small <= Self::MAX.0 => Ok(Self(small)),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                "weight",
                format!("{weight} is out of range; it takes 0 to 256"),
            )),
        }
    }

    /// The weight.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_has_a_floor_and_a_ceiling() {
        for bad in [
            Duration::ZERO,
            Duration::from_millis(999),
            Duration::from_secs(u64::MAX),
        ] {
            assert_eq!(Ttl::new(bad).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        assert!(Ttl::from_millis(u64::MAX).is_err());
        assert_eq!(Ttl::new(Duration::from_secs(1)).unwrap(), Ttl::MIN);
        assert_eq!(Ttl::new(Duration::from_secs(30 * 86_400)).unwrap(), Ttl::MAX);
    }

    #[test]
    fn weight_has_a_ceiling() {
        assert!(Weight::new(u32::MAX).is_err());
        assert!(Weight::new(257).is_err());
        assert_eq!(Weight::new(256).unwrap(), Weight::MAX);
    }

    #[test]
    fn a_nonce_does_not_show_itself() {
        let shown = format!("{:?}", Nonce::from_bytes([0xab; 16]));
        assert_eq!(shown, "abab..");
    }

    #[test]
    fn runs_of_nodes_and_operations_are_shown_short() {
        let nonce = Nonce::from_bytes([0xab; 16]);
        let run = NodeIncarnation::new(NodeId::new("eu-1").unwrap(), Incarnation { number: 7, nonce });
        assert_eq!(run.to_string(), "eu-1#7");
        assert_eq!(format!("{run:?}"), "eu-1#7/abab..");
        assert_eq!(format!("{:?}", OperationId::from_bytes([0xcd; 16])), "cdcd..");
        assert_eq!(format!("{:?}", Ttl::MIN), "1s");
    }

    #[test]
    fn versions_grow_by_one_up_to_the_last() {
        assert_eq!(Version::FIRST.next().unwrap(), Version::new(2));
        assert_eq!(Version::new(NUMBER_MAX - 1).next().unwrap().get(), NUMBER_MAX);
        let error = Version::new(NUMBER_MAX).next().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.context().starts_with("9007199254740991 is"), "{error}");
    }
}
