//! The form of the data: which keys there are, and in which slots.
//!
//! # Schema 2
//!
//! A fleet is spread over 1,024 partitions; a player's is the XXH3-64 hash of its id modulo 1,024
//! (`ringhold_core::PlayerId::partition`). The *hash tag* of partition p is entry p of a table, chosen
//! so that its slot is 16p + 8: however many masters share the slots, each has its share of partitions.
//! The fleet's name stands outside the tag.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `ringhold:{tag}:<fleet>:s` | hash | a session's id → its header, or a tombstone; its id and `b` → player and body; `c` → the partition's clock |
//! | `ringhold:{tag}:<fleet>:p` | hash | a player's id → the ids of its linked sessions, oldest first; the empty text is the sentinel |
//! | `ringhold:{tag}:<fleet>:d` | sorted set | a session's id, or a tombstone's → when it is due; the empty text, at infinity, is the sentinel |
//!
//! The clock, and in the other two keys the *sentinel*, is never removed, so that no key of a
//! partition is ever deleted and made again: in a slot that migrates, a script whose keys are all in
//! one place runs as a whole, and otherwise it is refused before its first line.
//!
//! They also tell a key that the server lost (an eviction, a mistaken `DEL`) from one of a new partition. `:p` and `:d`
//! are rebuilt from `:s`, once it is certain that their slot is not being moved. Where `:s` is lost, the clock starts
//! again at 0, `:d` is emptied, and the clock's value names, in 8 bytes more, the reading until which the partition *recovers*: the longest period
//! between two touches and one cap of the clock. Until then the ids that `:p` still names may be restored by their
//! owners, and a login of their players is refused with `Unavailable`; later such ids are left out and dropped. Where `:p`
//! is lost as well, one more byte says so, and every login of a player without a session is refused. Where only the field
//! `c` of `:s` is lost, the clock goes on at the last touch of all sessions.
//!
//! Membership lives in the slot of one partition, the XXH3-64 hash of the fleet's name modulo 1,024:
//!
//! | key | type | holds |
//! |---|---|---|
//! | `ringhold:{tag}:<fleet>:n` | hash | node records, the last incarnations of each remembered node id, the greatest incarnation number that was given, the lease clock, the timing |
//! | `ringhold:{tag}:<fleet>:l` | hash | a live node's id → its incarnation and load |
//! | `ringhold:{tag}:<fleet>:e` | sorted set | a live node's id → the end of its lease; `~` and a remembered id without a member → 2⁵² + when its last incarnation left |
//! | `ringhold:{tag}:<fleet>:v` | list | the last changes, oldest first |
//! | `ringhold:{tag}:<fleet>:schema` | string | `2` |
//!
//! Numbers inside of values are as in `ringhold_core::codec`: little-endian, times in milliseconds.

mod tags;

use ringhold_core::{FleetName, Partition};

use crate::client::Words;
use crate::script::Script;

/// The number of this schema.
pub(crate) const SCHEMA: u16 = 2;

/// The hash tag of a partition.
pub(crate) fn tag(partition: Partition) -> &'static str {
    tags::TAGS[usize::from(partition.get())]
}

/// The slot of a partition.
pub(crate) const fn slot(partition: Partition) -> u16 {
    16 * partition.get() + 8
}

/// The partition whose slot this is; `None` for slots that no partition is in.
pub(crate) fn partition_of_slot(slot: u16) -> Option<Partition> {
    (slot % 16 == 8).then(|| Partition::new(slot / 16).ok()).flatten()
}

/// The names of a fleet's keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    fleet: FleetName,
    home: Partition,
}

impl Keys {
    pub(crate) fn new(fleet: FleetName) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_64(fleet.as_str().as_bytes());
        let count = u64::from(Partition::COUNT);
        let home = u16::try_from(hash % count)
            .ok()
            .and_then(|p| Partition::new(p).ok());
        Self {
            fleet,
            // A remainder of the number of partitions is always one of them.
            home: home.unwrap_or_else(|| unreachable!("a remainder below {count}")),
        }
    }

    /// Where the membership is.
    pub(crate) fn home(&self) -> Partition {
        self.home
    }

    /// The beginning of a command that runs `script` on a partition's sessions.
    pub(crate) fn sessions(&self, script: &Script, partition: Partition) -> Words {
        self.begin(script, partition, &["s", "p", "d"])
    }

    /// The beginning of a command that runs `script` on the membership.
    pub(crate) fn membership(&self, script: &Script) -> Words {
        self.begin(script, self.home, &["n", "l", "e", "v"])
    }

    /// The beginning of a command that runs `script` on the schema's number.
    pub(crate) fn schema(&self, script: &Script) -> Words {
        self.begin(script, self.home, &["schema"])
    }

    /// With the keys as the scripts declare them.
    fn begin(&self, script: &Script, partition: Partition, names: &[&str]) -> Words {
        let mut words = script.begin(names.len() as u64);
        let (tag, fleet) = (tag(partition), self.fleet.as_str());
        for name in names {
            words.joined(&["ringhold:{", tag, "}:", fleet, ":", name].map(str::as_bytes));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    /// The CRC-16 of the Redis Cluster specification: XMODEM, polynomial 0x1021.
    fn crc16(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
                (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
            })
        })
    }

    #[test]
    fn each_tag_is_in_its_slot() {
        assert_eq!(crc16(b"123456789"), 0x31c3, "the specification's own check");
        for partition in Partition::all() {
            assert_eq!(crc16(tag(partition).as_bytes()) % 16_384, slot(partition));
            assert_eq!(partition_of_slot(slot(partition)), Some(partition));
        }
        assert_eq!(partition_of_slot(7), None);
    }

    #[test]
    fn a_fleet_keeps_to_its_own_keys() {
        let keys = |name| Keys::new(FleetName::new(name).unwrap());
        let names = |words: Words| {
            let command = words.finish();
            let words = command
                .iter()
                .map(|word| String::from_utf8_lossy(word).into_owned());
            words.skip(2).collect::<Vec<_>>()
        };
        let of_sessions = keys("arena").sessions(&script::GET, Partition::new(0).unwrap());
        let expected = [
            "3",
            "ringhold:{fkt}:arena:s",
            "ringhold:{fkt}:arena:p",
            "ringhold:{fkt}:arena:d",
        ];
        assert_eq!(names(of_sessions), expected);
        assert_eq!(keys("arena").home(), keys("arena").home());
        let membership = |name| names(keys(name).membership(&script::POLL));
        assert_eq!((membership("a").len(), &membership("a")[0][..]), (5, "4"));
        assert!(
            membership("a")[1..]
                .iter()
                .all(|key| !membership("b").contains(key))
        );
        assert!(names(keys("arena").schema(&script::SCHEMA))[1].ends_with(":arena:schema"));
    }
}
