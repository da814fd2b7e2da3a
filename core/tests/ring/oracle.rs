//! The ring once more: from its written specification, on another crate's XXH3, as a sorted vector
//! that is searched from end to end by the standard library.

use std::collections::BTreeMap;

use ringhold_core::ring::Ring;
use ringhold_core::{NodeId, Weight};
use twox_hash::XxHash3_64;

/// Members as a test writes them down: ids with weights, sorted, one for each id.
pub(crate) type Members = BTreeMap<String, u16>;

pub(crate) struct Oracle {
    members: Members,
    /// Sorted by place, then by id.
    points: Vec<(u64, String)>,
}

pub(crate) fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

fn named(id: &str) -> Vec<u8> {
    let length = u8::try_from(id.len()).expect("an id has at most 64 bytes");
    [&[length], id.as_bytes()].concat()
}

pub(crate) fn point(id: &str, number: u32) -> u64 {
    hash(&[&named(id)[..], &number.to_le_bytes()[..]].concat())
}

impl Oracle {
    pub(crate) fn new(members: &Members) -> Self {
        let mut points = Vec::new();
        for (id, weight) in members {
            points.extend((0..150 * u32::from(*weight)).map(|number| (point(id, number), id.clone())));
        }
        points.sort();
        Self {
            members: members.clone(),
            points,
        }
    }

    pub(crate) fn owner_of_hash(&self, place: u64) -> Option<&str> {
        let next = self.points.partition_point(|(point, _)| *point < place);
        let (_, id) = self.points.get(next).or(self.points.first())?;
        Some(id)
    }

    pub(crate) fn owner(&self, key: &[u8]) -> Option<&str> {
        self.owner_of_hash(hash(key))
    }

    pub(crate) fn successors(&self, key: &[u8]) -> Vec<&str> {
        let next = self.points.partition_point(|(point, _)| *point < hash(key));
        let mut met = Vec::new();
        for (_, id) in self.points[next..].iter().chain(&self.points[..next]) {
            if !met.contains(&id.as_str()) {
                met.push(id);
            }
        }
        met
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        let mut bytes = b"ring/1".to_vec();
        for (id, weight) in &self.members {
            bytes.extend(named(id));
            bytes.extend(weight.to_le_bytes());
        }
        hash(&bytes)
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = u64> {
        self.points.iter().map(|(place, _)| *place)
    }
}

pub(crate) fn node(id: &str) -> NodeId {
    NodeId::new(id).expect("a node id")
}

pub(crate) fn weight(weight: u16) -> Weight {
    Weight::new(weight.into()).expect("a weight")
}

pub(crate) fn ring(members: &Members) -> Ring {
    Ring::new(members.iter().map(|(id, w)| (node(id), weight(*w))))
}

/// The ids of a ring's successors.
pub(crate) fn successors<'a>(ring: &'a Ring, key: &[u8]) -> Vec<&'a str> {
    ring.successors(key)
        .map(|node| ring.nodes()[node].0.as_str())
        .collect()
}
