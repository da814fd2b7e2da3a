//! What is asked of each store, and who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_core::{Clock, Nonce, PlayerId, SessionId};

/// The bytes of one session's data.
pub(super) const DATA: usize = 200;

/// One player with one session. Made before anything is timed.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) id: SessionId,
    pub(super) player: PlayerId,
    pub(super) nonce: Nonce,
    pub(super) ttl: Duration,
    /// A part of one large buffer, as of what was read from a connection.
    pub(super) data: Bytes,
}

/// One of the stores.
pub(super) trait Store: Send + Sync {
    /// Logs a guest in.
    fn create(&self, guest: &Guest);
    /// Reads all the data of a live session: the sum of its words.
    fn get(&self, id: &SessionId) -> Option<u64>;
    /// The same of a player's session.
    fn find(&self, player: &PlayerId) -> Option<u64>;
    /// Lets a session live for another time to live; whether there was one.
    fn touch(&self, guest: &Guest) -> bool;
    /// Ends everything that has expired, and answers how much that was.
    fn expire(&self) -> usize;
    /// The longest hold of a lock since this was last asked, where that is measured.
    fn longest_hold(&self) -> Option<Duration> {
        None
    }
}

/// Reads what a store answered, so that nobody gets away with answering a pointer.
pub(super) fn sum(data: &[u8]) -> u64 {
    let words = data.as_chunks().0.iter();
    words.fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

/// The time of all stores: real until it is stopped, and then moved on by hand.
#[derive(Debug)]
pub(super) struct Time {
    origin: Instant,
    stopped: AtomicU64,
}

impl Time {
    /// Real time.
    pub(super) fn running() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            stopped: AtomicU64::new(0),
        })
    }

    /// Stands still until `set`.
    pub(super) fn stopped() -> Arc<Self> {
        let time = Self::running();
        time.set(Duration::from_secs(1));
        time
    }

    pub(super) fn set(&self, time: Duration) {
        self.stopped.store(nanos(time), Ordering::Release);
    }

    /// Nanoseconds.
    pub(super) fn nanos(&self) -> u64 {
        nanos(self.now())
    }
}

impl Clock for Time {
    fn now(&self) -> Duration {
        match self.stopped.load(Ordering::Acquire) {
            0 => self.origin.elapsed(),
            stopped => Duration::from_nanos(stopped),
        }
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("no run takes centuries")
}
