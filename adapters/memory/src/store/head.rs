//! The fixed part of a packed session: numbers, at places of their own in 88 bytes.
//!
//! Behind it stand the player's id and, unless it is long, the data. So one session is one run of
//! bytes, and reading it is one walk through memory.

use std::time::Duration;

use ringhold_core::{Fence, Nonce, SessionId, Ttl, Version};

/// The bytes of a [`Head`].
pub(crate) const HEAD: usize = 88;

/// The bytes of a session id, which stand first.
pub(crate) const ID: usize = 18;

/// Where the length of the player's id stands.
pub(crate) const PLAYER_LEN_AT: usize = ID + 1;

/// Where `armed_at` stands.
const ARMED_AT: usize = HEAD - 8;

/// What is true of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// It is among its player's sessions. One that a later login has unlinked waits for its
    /// acknowledgement and cannot be revived.
    pub(crate) const LINKED: Self = Self(1);
    /// The login that made it holds it, and ended no other hold.
    pub(crate) const MADE: Self = Self(2);
    /// Its data is long and stands apart.
    pub(crate) const LONG: Self = Self(4);
    /// A sweeper has it.
    pub(crate) const TAKEN: Self = Self(8);

    pub(crate) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn set(&mut self, flag: Self, on: bool) {
        self.0 = if on { self.0 | flag.0 } else { self.0 & !flag.0 };
    }
}

/// The numbers of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: SessionId,
    pub(crate) fence: Fence,
    pub(crate) version: Version,
    pub(crate) ttl: Ttl,
    /// When it expires, in nanoseconds of the partition's clock.
    pub(crate) deadline: u64,
    /// The number of its owner.
    pub(crate) owner: u32,
    /// The player's next newer session.
    pub(crate) next: u32,
    /// The number of what few sessions have.
    pub(crate) extra: u32,
    /// Where it stands in the expiry index: the second and the place in it.
    pub(crate) armed: u32,
    pub(crate) armed_at: u32,
    pub(crate) data_len: u32,
    pub(crate) player_len: u8,
    pub(crate) flags: Flags,
}

impl Head {
    /// Reads what `write` wrote.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut from = Reader(bytes.first_chunk().unwrap_or(&[0; HEAD]));
        let Ok(id) = SessionId::from_bytes(from.next()) else {
            unreachable!("an id was written here");
        };
        let flags = Flags(from.next::<1>()[0]);
        let player_len = from.next::<1>()[0];
        let nonce = Nonce::from_bytes(from.next());
        let epoch = from.word();
        Self {
            id,
            fence: Fence { epoch, nonce },
            version: Version::new(from.word()),
            deadline: from.word(),
            ttl: Ttl::from_millis(from.number().into()).unwrap_or(Ttl::MIN),
            owner: from.number(),
            next: from.number(),
            extra: from.number(),
            armed: from.number(),
            armed_at: from.number(),
            data_len: from.number(),
            player_len,
            flags,
        }
    }

    /// Writes the first [`HEAD`] bytes.
    #[inline]
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let Some(bytes) = bytes.first_chunk_mut::<HEAD>() else {
            return;
        };
        let mut to = Writer(bytes);
        to.put(self.id.to_bytes());
        to.put([self.flags.0]);
        to.put([self.player_len]);
        to.put(self.fence.nonce.to_bytes());
        to.put(self.fence.epoch.to_le_bytes());
        to.put(self.version.get().to_le_bytes());
        to.put(self.deadline.to_le_bytes());
        // At most 30 days: 2³¹·³ milliseconds.
        to.put(
            u32::try_from(self.ttl.as_millis())
                .unwrap_or(u32::MAX)
                .to_le_bytes(),
        );
        for number in [
            self.owner,
            self.next,
            self.extra,
            self.armed,
            self.armed_at,
            self.data_len,
        ] {
            to.put(number.to_le_bytes());
        }
    }

    /// Writes its place in the expiry index alone.
    pub(crate) fn write_armed_at(bytes: &mut [u8], armed_at: u32) {
        if let Some((number, _)) = bytes[ARMED_AT..].split_first_chunk_mut() {
            *number = armed_at.to_le_bytes();
        }
    }

    /// Whether readers see it.
    pub(crate) fn is_live(&self, now: Duration) -> bool {
        nanos(now) < self.deadline
    }

    /// How long it still lives.
    pub(crate) fn remaining(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.deadline.saturating_sub(nanos(now)))
    }
}

/// A time of a partition's clock, which starts at zero and gets nowhere near 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    #[inline]
    fn next<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => [0; N],
        }
    }

    #[inline]
    fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.next())
    }

    #[inline]
    fn number(&mut self) -> u32 {
        u32::from_le_bytes(self.next())
    }
}

struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    #[inline]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((first, rest)) = std::mem::take(&mut self.0).split_first_chunk_mut() {
            *first = bytes;
            self.0 = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use ringhold_core::Partition;

    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let head = Head {
            id: SessionId::new(Partition::new(0x35a).unwrap(), [1; 16]),
            fence: Fence {
                epoch: u64::MAX - 2,
                nonce: Nonce::from_bytes([2; 16]),
            },
            version: Version::new(3),
            ttl: Ttl::MAX,
            deadline: u64::MAX - 4,
            owner: 5,
            next: 6,
            extra: 7,
            armed: 8,
            armed_at: 9,
            data_len: 10,
            player_len: 128,
            flags: Flags::TAKEN,
        };
        let mut bytes = [0xee; HEAD + 1];
        head.write(&mut bytes);
        assert_eq!(Head::read(&bytes), head);
        assert_eq!((bytes[HEAD], bytes[PLAYER_LEN_AT]), (0xee, 128));
        assert_eq!(bytes[..ID], head.id.to_bytes());
        Head::write_armed_at(&mut bytes, 99);
        assert_eq!(Head::read(&bytes), Head { armed_at: 99, ..head });
    }
}
