//! Places on the ring: the hashes of keys and of points.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::VIRTUAL_NODES;
use crate::{NodeId, Weight};

/// Length (a byte), id and number (four) of a point.
const NAME_LEN_MAX: usize = NodeId::LEN_MAX + 5;

/// The place of a key on the ring: XXH3-64 of its bytes.
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The place of point `number` of a node, counted from 0; a node of weight `w` has `150 * w` of them.
pub fn point_hash(id: &NodeId, number: u32) -> u64 {
    Name::new(id).hash(number)
}

/// How many points a weight gives.
pub(super) fn count(weight: Weight) -> usize {
    usize::from(weight.get()) * VIRTUAL_NODES as usize
}

/// The length of an id as it is hashed.
pub(super) fn id_len(id: &NodeId) -> u8 {
    // An id has at most 64 bytes.
    u8::try_from(id.as_str().len()).unwrap_or(u8::MAX)
}

/// Tells the places of some of a node's points.
pub(super) fn for_each(id: &NodeId, numbers: Range<usize>, mut each: impl FnMut(u64)) {
    let mut name = Name::new(id);
    for number in numbers {
        // At most 150 * 256.
        each(name.hash(u32::try_from(number).unwrap_or(u32::MAX)));
    }
}

/// The bytes that are hashed for a point, on the stack.
struct Name {
    bytes: [u8; NAME_LEN_MAX],
    number_at: usize,
}

impl Name {
    fn new(id: &NodeId) -> Self {
        let id_bytes = id.as_str().as_bytes();
        let number_at = 1 + id_bytes.len();
        let mut bytes = [0; NAME_LEN_MAX];
        bytes[0] = id_len(id);
        bytes[1..number_at].copy_from_slice(id_bytes);
        Self { bytes, number_at }
    }

    fn hash(&mut self, number: u32) -> u64 {
        let end = self.number_at + 4;
        self.bytes[self.number_at..end].copy_from_slice(&number.to_le_bytes());
        xxh3_64(&self.bytes[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_by_length_id_and_number() {
        let id = NodeId::new("eu-1").unwrap();
        assert_eq!(point_hash(&id, 0x0102_0304), xxh3_64(b"\x04eu-1\x04\x03\x02\x01"));
        let longest = NodeId::new("n".repeat(64)).unwrap();
        let name = [&[64_u8][..], &[b'n'; 64][..], &[0; 4][..]].concat();
        assert_eq!(point_hash(&longest, 0), xxh3_64(&name));
    }

    #[test]
    fn points_are_told_by_their_numbers() {
        let id = NodeId::new("a").unwrap();
        let mut places = Vec::new();
        for_each(&id, 149..151, |place| places.push(place));
        assert_eq!(places, [point_hash(&id, 149), point_hash(&id, 150)]);
        for_each(&id, 5..5, |place| places.push(place));
        assert_eq!(places.len(), count(Weight::new(2).unwrap()) - 298);
    }
}
