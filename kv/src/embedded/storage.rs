//! What the engine asks of a store.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use ringhold_core::Result;

/// What one commit writes, by key; `None` takes the key away.
pub type Writes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// Ordered keys in a file or a folder of this machine, in the hands of one writer.
///
/// The engine calls [`commit`](Self::commit) from one thread, one call after another; reads may run beside it
/// on any thread. Both may panic, where a library that reads a spoiled file does: the engine makes an error
/// of it.
pub trait Storage: Send + Sync + fmt::Debug {
    /// All keys as one commit left them.
    ///
    /// # Errors
    /// `Unavailable` and `Corrupt`.
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>>;

    /// Writes all of `writes` or nothing, also where the process dies half-way. Returns when they are on the
    /// disk, with all that was written before, or else when readers see them.
    ///
    /// # Errors
    /// `Unavailable` and `Corrupt`. Whether anything was written is then not known, and the store is not used
    /// again before it was opened anew.
    fn commit(&self, writes: &Writes, durable: bool) -> Result<()>;
}

/// All keys at one moment.
pub trait Snapshot {
    /// The value of a key.
    ///
    /// # Errors
    /// `Unavailable` and `Corrupt`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The first `limit` keys from `from` on and before `to`, with their values, in order.
    ///
    /// # Errors
    /// `Unavailable` and `Corrupt`.
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>>;
}
