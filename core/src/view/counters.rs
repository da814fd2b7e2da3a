//! Sessions, reservations and expected logins of one node.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts about one incarnation. They outlive the views that show them, so that what was taken
/// from a counter goes back to the same one.
///
/// A reservation that is dropped becomes an *expected login*: it counts on, since its player is on the way. A
/// report of more sessions takes back as many expected logins, the oldest first, since these players have
/// arrived; [`View::expire_expected`](super::View::expire_expected) takes back those whose players did not come.
///
/// `place` and a dropped reservation change one counter each and never wait. What takes expected logins back holds a
/// lock, moves `dropped` into `expected`, and lowers `reserved` by what it took from there: every reservation
/// is taken back once. `dropped` is released and acquired, so that a reservation is added to `reserved` before it
/// is taken from there.
#[derive(Debug, Default)]
pub struct NodeCounters {
    sessions: AtomicU32,
    /// Reservations that are held, and expected logins.
    reserved: AtomicU32,
    /// Expected logins that are not in `expected` yet.
    dropped: AtomicU32,
    expected: Mutex<Expected>,
    /// The virtual finish time of its last turn, for fair turns that are found by looking at all nodes.
    pub(crate) finish: AtomicU64,
}

impl NodeCounters {
    /// Sessions on the node, as far as is known here.
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Reservations that were made here and count: those that are held, and expected logins.
    pub fn reserved(&self) -> u32 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Sessions and reservations together.
    pub fn total(&self) -> u32 {
        self.sessions().saturating_add(self.reserved())
    }

    /// Sets the number of sessions, as the node told it or counted it. Where it grew, as many expected logins
    /// have arrived.
    pub fn set_sessions(&self, sessions: u32) {
        let before = self.sessions.swap(sessions, Ordering::Relaxed);
        let arrived = sessions.saturating_sub(before);
        if arrived > 0 && self.reserved() > 0 {
            self.take_back(|expected| expected.arrived(arrived));
        }
    }

    pub(super) fn reserve(&self) {
        self.reserved.fetch_add(1, Ordering::Relaxed);
    }

    /// A reservation is dropped: from here on it is an expected login.
    pub(super) fn expect(&self) {
        self.dropped.fetch_add(1, Ordering::Release);
    }

    pub(super) fn release(&self, reservations: u32) {
        self.reserved.fetch_sub(reservations, Ordering::Relaxed);
    }

    /// Takes back expected logins that have waited for `limit` at `now`.
    pub(super) fn expire_expected(&self, now: Duration, limit: Duration) {
        if self.reserved() > 0 {
            self.take_back(|expected| expected.expired(now, limit));
        }
    }

    /// Takes back the expected logins that `taken` counts, after those that were dropped since the last time were
    /// added.
    fn take_back(&self, taken: impl FnOnce(&mut Expected) -> u32) {
        // Nothing under the lock can panic.
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.add(self.dropped.swap(0, Ordering::Acquire));
        let taken = taken(&mut expected);
        self.release(taken);
    }
}

/// The expected logins of one node, the oldest first, in groups of those that began to wait together.
#[derive(Debug, Default)]
struct Expected {
    groups: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    logins: u32,
    /// When it was first seen by [`View::expire_expected`]; `None` until then.
    since: Option<Duration>,
}

impl Expected {
    fn add(&mut self, logins: u32) {
        if logins == 0 {
            return;
        }
        match self.groups.back_mut() {
            Some(last) if last.since.is_none() => last.logins = last.logins.saturating_add(logins),
            _ => self.groups.push_back(Waiting { logins, since: None }),
        }
    }

    /// Takes out up to so many, and returns how many.
    fn arrived(&mut self, most: u32) -> u32 {
        let mut left = most;
        while left > 0
            && let Some(first) = self.groups.front_mut()
        {
            let taken = first.logins.min(left);
            (first.logins, left) = (first.logins - taken, left - taken);
            if first.logins == 0 {
                self.groups.pop_front();
            }
        }
        most - left
    }

    /// Takes out those that have waited for `limit` at `now`, and returns how many.
    fn expired(&mut self, now: Duration, limit: Duration) -> u32 {
        if let Some(last) = self.groups.back_mut() {
            last.since.get_or_insert(now);
        }
        let mut taken = 0_u32;
        while let Some(first) = self.groups.front()
            && first
                .since
                .is_some_and(|since| now.saturating_sub(since) >= limit)
        {
            taken = taken.saturating_add(first.logins);
            self.groups.pop_front();
        }
        taken
    }
}
