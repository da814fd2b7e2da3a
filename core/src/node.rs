//! Node records: what a node tells the fleet about itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Address, Build, EndpointName, LabelKey, LabelValue, Zone};
use crate::{Error, ErrorKind, Incarnation, NodeId, NodeIncarnation, Result, Weight};

/// What a node is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NodeState {
    /// Registered, and takes no players yet.
    Joining,
    /// Takes players.
    Ready,
    /// Keeps its players and takes none.
    Draining,
}

impl NodeState {
    /// Its name in one word, as it stands in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// A node's part in the expiry of sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExpiryMode {
    /// Expired sessions go to a handler of the application on this node.
    Handle,
    /// The node acknowledges expired sessions where no member handles them.
    #[default]
    Discard,
    /// The node leaves expired sessions in the store, for a node that handles or discards them.
    Leave,
}

impl ExpiryMode {
    /// Its name in one word, as in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Discard => "discard",
            Self::Leave => "leave",
        }
    }
}

/// A small map with a limit on its entries.
macro_rules! bounded_map {
    ($(#[$doc:meta])* $name:ident, $key:ty, $value:ty, $what:literal, $max:literal, $check:expr, $errors:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
        pub struct $name(BTreeMap<$key, $value>);

        impl $name {
            /// The most entries.
            pub const ENTRIES_MAX: usize = $max;

            /// Sets one entry and answers its old value.
            ///
            /// # Errors
            /// `TooLarge` when the map is full and has no such key.
            #[doc = $errors]
            pub fn insert(&mut self, key: $key, value: $value) -> Result<Option<$value>> {
                let check: fn(&$value) -> Result<()> = $check;
                check(&value)?;
                if self.0.len() >= Self::ENTRIES_MAX && !self.0.contains_key(&key) {
                    let context = format!("has {} entries already, the most that are allowed", $max);
                    return Err(Error::new(ErrorKind::TooLarge, $what, context));
                }
                Ok(self.0.insert(key, value))
            }

            /// Takes one entry away.
            pub fn remove(&mut self, key: &str) -> Option<$value> {
                let key = <$key>::new(key).ok()?;
                self.0.remove(&key)
            }

            /// The value of `key`.
            pub fn get(&self, key: &str) -> Option<&$value> {
                self.0.iter().find_map(|(k, v)| (k.as_str() == key).then_some(v))
            }

            /// All entries by key.
            pub fn iter(&self) -> impl ExactSizeIterator<Item = (&$key, &$value)> {
                self.0.iter()
            }

            /// How many entries there are.
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::codec::bounded_map(deserializer, $max).map(Self)
            }
        }
    };
}

bounded_map!(
    /// Named addresses of a node, at most 8. `player` is where clients connect, `peer` where other
    /// nodes do, `health` where probes do; others are the application's.
    ///
    /// A stored record may hold addresses that [`insert`](Self::insert) refuses.
    Endpoints, EndpointName, Address, "endpoints", 8, Address::ensure_reachable,
    "`InvalidArgument` for an address that [`Address::ensure_reachable`] refuses."
);
bounded_map!(
    /// Free labels of a node, at most 32.
    Labels, LabelKey, LabelValue, "labels", 32, |_| Ok(()), ""
);

/// The formats of stored records that a node can read: from the oldest to the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Formats {
    oldest: u16,
    newest: u16,
}

impl Formats {
    /// From `oldest` to `newest`.
    ///
    /// # Errors
    /// `InvalidArgument` for format 0, which there is not, and when they are the wrong way round.
    pub fn new(oldest: u16, newest: u16) -> Result<Self> {
        if oldest == 0 || oldest > newest {
            let context = format!("{oldest} to {newest} is no range of formats from 1 up");
            return Err(Error::new(ErrorKind::InvalidArgument, "formats", context));
        }
        Ok(Self { oldest, newest })
    }

    /// The oldest readable format.
    pub const fn oldest(self) -> u16 {
        self.oldest
    }

    /// The newest readable format.
    pub const fn newest(self) -> u16 {
        self.newest
    }
}

impl Default for Formats {
    fn default() -> Self {
        Self {
            oldest: crate::codec::FORMAT_OLDEST,
            newest: crate::codec::FORMAT_NEWEST,
        }
    }
}

impl<'de> Deserialize<'de> for Formats {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Formats")]
        struct Unchecked {
            oldest: u16,
            newest: u16,
        }

        let Unchecked { oldest, newest } = Deserialize::deserialize(deserializer)?;
        Self::new(oldest, newest).map_err(serde::de::Error::custom)
    }
}

/// What a node tells the fleet about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeRecord {
    /// The node's logical name.
    pub id: NodeId,
    /// Which run of it; the number is the store's.
    pub incarnation: Incarnation,
    /// What it is ready for.
    pub state: NodeState,
    /// Where it is reached.
    pub endpoints: Endpoints,
    /// Its failure domain.
    pub zone: Zone,
    /// Its share of the ring.
    pub weight: Weight,
    /// The most sessions that it takes; `None` for no limit.
    pub capacity: Option<u32>,
    /// Free labels.
    pub labels: Labels,
    /// The build of the application.
    pub build: Build,
    /// The formats that it can read.
    pub formats: Formats,
    /// Its part in the expiry of sessions.
    pub expiry: ExpiryMode,
}

impl NodeRecord {
    /// A ready node of weight 1 without endpoints, zone, labels or a limit of sessions, which discards expired
    /// sessions.
    pub fn new(id: NodeId, incarnation: Incarnation) -> Self {
        Self {
            id,
            incarnation,
            state: NodeState::Ready,
            endpoints: Endpoints::default(),
            zone: Zone::default(),
            weight: Weight::ONE,
            capacity: None,
            labels: Labels::default(),
            build: Build::default(),
            formats: Formats::default(),
            expiry: ExpiryMode::default(),
        }
    }

    /// This run of this node.
    pub fn node(&self) -> NodeIncarnation {
        NodeIncarnation::new(self.id.clone(), self.incarnation)
    }

    /// Where the named endpoint is reached.
    pub fn endpoint(&self, name: &str) -> Option<&Address> {
        self.endpoints.get(name)
    }
}

/// How much a node carries, as it tells the others with its heartbeats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Load {
    /// Sessions attached to it.
    pub sessions: u32,
}

impl Load {
    /// A load of so many sessions.
    pub const fn new(sessions: u32) -> Self {
        Self { sessions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_have_limits() {
        let mut labels = Labels::default();
        for i in 0..32 {
            let key = LabelKey::new(format!("k{i}")).unwrap();
            labels.insert(key, LabelValue::new("v").unwrap()).unwrap();
        }
        let value = || LabelValue::new("w").unwrap();
        let error = labels.insert(LabelKey::new("k32").unwrap(), value()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(
            labels
                .insert(LabelKey::new("k0").unwrap(), value())
                .unwrap()
                .is_some()
        );
        assert_eq!(labels.get("k0").map(LabelValue::as_str), Some("w"));
        assert!(labels.remove("k0").is_some() && labels.get("k0").is_none());
    }

    #[test]
    fn each_state_and_mode_has_a_word() {
        let words = [NodeState::Joining, NodeState::Ready, NodeState::Draining].map(NodeState::as_str);
        assert_eq!(words, ["joining", "ready", "draining"]);
        let words = [ExpiryMode::Handle, ExpiryMode::Discard, ExpiryMode::Leave].map(ExpiryMode::as_str);
        assert_eq!(words, ["handle", "discard", "leave"]);
    }

    #[test]
    fn a_record_answers_what_it_was_made_of() {
        let nonce = crate::Nonce::from_bytes([1; 16]);
        let incarnation = Incarnation { number: 7, nonce };
        let mut record = NodeRecord::new(NodeId::new("eu-1").unwrap(), incarnation);
        assert_eq!(
            record.node(),
            NodeIncarnation::new(record.id.clone(), incarnation)
        );
        assert_eq!(record.endpoint("player"), None);
        let (name, address) = (EndpointName::new("player").unwrap(), Address::new("h:1").unwrap());
        record.endpoints.insert(name, address.clone()).unwrap();
        assert_eq!(record.endpoint("player"), Some(&address));
        let formats = Formats::new(2, 3).unwrap();
        assert_eq!((formats.oldest(), formats.newest()), (2, 3));
    }

    #[test]
    fn an_endpoint_that_others_cannot_reach_is_refused_and_is_still_read() {
        let mut endpoints = Endpoints::default();
        for address in ["0.0.0.0:4000", "ws://[::]:1/play", "eu-1:0"] {
            let (name, address) = (
                EndpointName::new("player").unwrap(),
                Address::new(address).unwrap(),
            );
            let error = endpoints.insert(name, address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        assert!(endpoints.is_empty());
        // A record of a node that was not checked: the other nodes can still read it.
        let stored: BTreeMap<&str, &str> = [("player", "0.0.0.0:4000")].into();
        let read: Endpoints = postcard::from_bytes(&postcard::to_allocvec(&stored).unwrap()).unwrap();
        assert_eq!(read.get("player").map(Address::as_str), Some("0.0.0.0:4000"));
    }

    #[test]
    fn a_map_counts_its_entries() {
        let mut endpoints = Endpoints::default();
        assert_eq!((endpoints.is_empty(), endpoints.len()), (true, 0));
        for name in ["b", "a"] {
            let (name, address) = (EndpointName::new(name).unwrap(), Address::new("h:1").unwrap());
            assert_eq!(endpoints.insert(name, address).unwrap(), None);
        }
        assert_eq!((endpoints.is_empty(), endpoints.len()), (false, 2));
        let names: Vec<&str> = endpoints.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
