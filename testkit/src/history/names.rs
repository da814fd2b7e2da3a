//! From the numbers of a history to what a store takes, and back.

use bytes::Bytes;
use ringhold_core::session::{Displaced, OnExisting, TakeoverFrom};
use ringhold_core::{
    Fence, Incarnation, NodeId, NodeIncarnation, Nonce, OperationId, Partition, PlayerId, SessionId,
    SessionRecord, Version,
};

use super::operation::{Ended, Hold, Number, Rule, Seen};

/// One run's way of writing numbers: 16 bytes are its mark, made of its seed, and the number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    mark: u64,
}

impl Names {
    pub(super) const fn new(seed: u64) -> Self {
        // Zeros alone are what a store may answer by mistake.
        let mark = seed ^ 0x5249_4e47_484f_4c44;
        Self { mark }
    }

    fn bytes(self, number: Number) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.mark.to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    fn number(self, bytes: [u8; 16]) -> Number {
        let bits = u128::from_be_bytes(bytes);
        let (mark, number) = (bits >> 64, bits & u128::from(u64::MAX));
        if mark == u128::from(self.mark) {
            u64::try_from(number).unwrap_or_default()
        } else {
            0
        }
    }

    /// A player in `partition`, the same one for the same number.
    pub(super) fn player(self, number: Number, partition: Partition) -> PlayerId {
        // One of 1,024 is right.
        (0..u64::MAX)
            .map(|turn| format!("player-{number}-{turn}-{:x}", self.mark))
            .filter_map(|name| PlayerId::new(name).ok())
            .find(|player| player.partition() == partition)
            .expect("some name falls into each partition")
    }

    pub(super) fn session(self, number: Number, player: &PlayerId) -> SessionId {
        SessionId::new(player.partition(), self.bytes(number))
    }

    pub(super) fn nonce(self, number: Number) -> Nonce {
        Nonce::from_bytes(self.bytes(number))
    }

    pub(super) fn operation(self, number: Number) -> OperationId {
        OperationId::from_bytes(self.bytes(number))
    }

    pub(super) fn owner(self, number: Number) -> NodeIncarnation {
        let node = NodeId::new(format!("owner-{number}")).expect("a word");
        let nonce = self.nonce(number);
        NodeIncarnation::new(node, Incarnation { number: 1, nonce })
    }

    pub(super) fn fence(self, hold: Hold) -> Fence {
        Fence {
            epoch: hold.epoch,
            nonce: self.nonce(hold.nonce),
        }
    }

    pub(super) fn data(self, number: Number) -> Bytes {
        Bytes::copy_from_slice(&self.bytes(number))
    }

    /// The record of what was seen, for a restoration.
    pub(super) fn record(self, seen: &Seen, player: &PlayerId, ttl: ringhold_core::Ttl) -> SessionRecord {
        let mut record = SessionRecord::new(
            self.session(seen.session, player),
            player.clone(),
            self.owner(seen.owner),
            self.nonce(seen.fence.nonce),
            ttl,
            self.data(seen.data),
        );
        record.fence.epoch = seen.fence.epoch;
        record.version = Version::new(seen.version);
        record
    }

    pub(super) fn seen(self, record: &SessionRecord, player: &PlayerId) -> Seen {
        let data = <[u8; 16]>::try_from(&record.data[..]);
        let mut session = self.session_number(&record.id, player);
        if record.player != *player {
            session = 0;
        }
        Seen {
            session,
            owner: self.owner_number(&record.owner),
            fence: self.hold(record.fence),
            version: record.version.get(),
            data: data.map_or(0, |bytes| self.number(bytes)),
        }
    }

    pub(super) fn ended(self, displaced: &Displaced, player: &PlayerId) -> Ended {
        Ended {
            session: self.session_number(&displaced.id, player),
            owner: self.owner_number(&displaced.owner),
            fence: self.hold(displaced.fence),
        }
    }

    fn session_number(self, id: &SessionId, player: &PlayerId) -> Number {
        let bytes = id.to_bytes();
        let number = <[u8; 16]>::try_from(&bytes[2..]).map_or(0, |random| self.number(random));
        if *id == self.session(number, player) {
            number
        } else {
            0
        }
    }

    pub(super) fn owner_number(self, owner: &NodeIncarnation) -> Number {
        let number = self.number(owner.incarnation.nonce.to_bytes());
        if *owner == self.owner(number) { number } else { 0 }
    }

    fn hold(self, fence: Fence) -> Hold {
        Hold {
            epoch: fence.epoch,
            nonce: self.number(fence.nonce.to_bytes()),
        }
    }
}

pub(super) fn on_existing(rule: Rule) -> OnExisting {
    match rule {
        Rule::Existing => OnExisting::Existing,
        Rule::TakeOverOwn => OnExisting::Takeover {
            from: TakeoverFrom::Own,
        },
        Rule::TakeOverAnyones => OnExisting::Takeover {
            from: TakeoverFrom::Anyone,
        },
        Rule::Reject => OnExisting::Reject,
        Rule::Replace => OnExisting::Replace,
        Rule::Allow(max) => OnExisting::Allow { max },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::Ttl;

    #[test]
    fn numbers_come_back_and_what_is_foreign_is_0() {
        let (names, others) = (Names::new(7), Names::new(8));
        let player = names.player(3, Partition::new(5).expect("in range"));
        let seen = Seen {
            session: 1,
            owner: 2,
            fence: Hold { epoch: 4, nonce: 5 },
            version: 6,
            data: 9,
        };
        let record = names.record(&seen, &player, Ttl::MAX);
        assert_eq!(player.partition().get(), 5);
        assert_eq!(names.seen(&record, &player), seen);
        let foreign = others.seen(&record, &player);
        assert_eq!((foreign.session, foreign.owner, foreign.data), (0, 0, 0));
        let other = names.player(4, player.partition());
        assert_eq!(names.seen(&record, &other).session, 0, "another player's");
    }
}
