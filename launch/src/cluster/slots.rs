//! Slots that move from one master to another.

use std::ops::RangeInclusive;

use super::RedisCluster;
use super::table::SLOTS;
use crate::{Error, ErrorKind, Result};

/// How many keys [`RedisCluster::move_slots`] moves at a time.
const BATCH: u32 = 100;

/// How long `MIGRATE` may be silent, in milliseconds.
const MIGRATE_MILLIS: &str = "5000";

/// A slot on its way from one master to another, step by step. Nothing happens by itself: each step
/// is one call, in this order. One that is dropped leaves the slot as it is then.
#[derive(Debug)]
pub struct SlotMove<'c> {
    cluster: &'c RedisCluster,
    slot: u16,
    from: usize,
    to: usize,
}

impl RedisCluster {
    /// A move of one slot between two masters, of which no step is done yet.
    ///
    /// # Errors
    /// `Invalid` beyond slot 16383, or from a node to itself.
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) -> Result<SlotMove<'_>> {
        check(slot)?;
        if from == to || from.max(to) >= self.len() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a slot moves between two nodes of the cluster",
            ));
        }
        Ok(SlotMove {
            cluster: self,
            slot,
            from,
            to,
        })
    }

    /// Moves these slots with all their keys to one master, as `redis-cli --cluster reshard` does:
    /// while clients read and write. Slots that it owns already stay.
    ///
    /// # Errors
    /// `Invalid` beyond slot 16383; `Answer` of a step; `Unreachable`.
    pub fn move_slots(&self, slots: RangeInclusive<u16>, to: usize) -> Result<()> {
        for slot in slots {
            let from = self.master_of_slot(slot)?;
            if from == to {
                continue;
            }
            let step = self.begin_move(slot, from, to)?;
            step.set_importing()?;
            step.set_migrating()?;
            loop {
                let keys = step.keys(BATCH)?;
                if keys.is_empty() {
                    break;
                }
                step.migrate(&keys)?;
            }
            step.finish()?;
        }
        Ok(())
    }
}

impl SlotMove<'_> {
    /// The slot.
    pub const fn slot(&self) -> u16 {
        self.slot
    }

    /// First: the target takes single keys of the slot, from clients that say `ASKING`.
    ///
    /// # Errors
    /// `Answer`, `Unreachable`.
    pub fn set_importing(&self) -> Result<()> {
        self.set(self.to, "IMPORTING", self.from)
    }

    /// Second: the source answers `ASK` for keys that it no longer has.
    ///
    /// # Errors
    /// `Answer`, `Unreachable`.
    pub fn set_migrating(&self) -> Result<()> {
        self.set(self.from, "MIGRATING", self.to)
    }

    /// At most `count` keys of the slot that are still at the source.
    ///
    /// # Errors
    /// `Answer`, `Unreachable`.
    pub fn keys(&self, count: u32) -> Result<Vec<Vec<u8>>> {
        let (slot, count) = (self.slot.to_string(), count.to_string());
        let words = ["CLUSTER", "GETKEYSINSLOT", &slot, &count];
        match self.cluster.command(self.from, &words)?.check()? {
            crate::Reply::Array(keys) => Ok(keys
                .into_iter()
                .filter_map(|key| match key {
                    crate::Reply::Bytes(key) => Some(key),
                    _ => None,
                })
                .collect()),
            other => Err(Error::new(ErrorKind::Answer, format!("keys are {other:?}"))),
        }
    }

    /// Third, for each key: it goes to the target. Returns how many keys of the slot are left at the
    /// source.
    ///
    /// # Errors
    /// `Answer`, also for a key that is not at the source; `Unreachable`.
    pub fn migrate_key(&self, key: impl AsRef<[u8]>) -> Result<u64> {
        let key = key.as_ref();
        let reply = self.migrate(&[key])?;
        if !reply.is_ok() {
            let message = format!("`{}` is not at node {}", key.escape_ascii(), self.from);
            return Err(Error::new(ErrorKind::Answer, message));
        }
        self.left()
    }

    /// Last: target, source and then all other masters that run learn the new owner.
    ///
    /// # Errors
    /// `Answer`, for example while keys are left at the source; `Unreachable`.
    pub fn finish(&self) -> Result<()> {
        // The source would refuse by itself, unless it hears of the new owner first: then it throws
        // the keys away.
        let left = self.left()?;
        if left > 0 {
            let message = format!("slot {} still has {left} keys at node {}", self.slot, self.from);
            return Err(Error::new(ErrorKind::Answer, message));
        }
        self.set(self.to, "NODE", self.to)?;
        self.set(self.from, "NODE", self.to)?;
        for index in self.cluster.masters()? {
            let running = self.cluster.members[index].node.is_running();
            if running && index != self.to && index != self.from {
                self.set(index, "NODE", self.to)?;
            }
        }
        Ok(())
    }

    fn left(&self) -> Result<u64> {
        let words = ["CLUSTER", "COUNTKEYSINSLOT", &self.slot.to_string()];
        let reply = self.cluster.command(self.from, &words)?.check()?;
        let left = reply.integer().and_then(|left| left.try_into().ok());
        left.ok_or_else(|| Error::new(ErrorKind::Answer, format!("a count of keys is {reply:?}")))
    }

    fn set(&self, at: usize, what: &str, node: usize) -> Result<()> {
        let slot = self.slot.to_string();
        let words = ["CLUSTER", "SETSLOT", &slot, what, self.cluster.id(node)];
        self.cluster.members[at].node.access.run(&words)
    }

    fn migrate<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<crate::Reply> {
        let target = self.cluster.client_address(self.to);
        let (host, port) = (target.ip().to_string(), target.port().to_string());
        let mut words: Vec<&[u8]> = ["MIGRATE", &host, &port, "", "0", MIGRATE_MILLIS]
            .iter()
            .map(|word| word.as_bytes())
            .collect();
        if let Some(password) = &self.cluster.options.server.password {
            words.extend([b"AUTH".as_slice(), password.as_bytes()]);
        }
        words.push(b"KEYS");
        words.extend(keys.iter().map(AsRef::as_ref));
        self.cluster.command(self.from, &words)?.check()
    }
}

pub(super) fn check(slot: u16) -> Result<()> {
    if slot < SLOTS {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("slots are 0 to 16383, not {slot}"),
    ))
}
