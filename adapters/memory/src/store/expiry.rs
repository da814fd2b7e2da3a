//! Which session comes up next, found without looking at the others.

use std::collections::{BTreeMap, BTreeSet};

use ringhold_core::SessionId;

use super::head::Head;
use super::pages::{NOWHERE, Place};
use super::records::Records;

/// Nanoseconds of a tick of the index, as a power of two: 1.07 s.
const TICK_BITS: u32 = 30;

/// Stands where a session is among those whose tick has come, which are in order.
const IN_ORDER: u32 = NOWHERE;

/// An index of times at which sessions have to be looked at: a wheel without a rim.
///
/// Every session has exactly one entry, in the tick at which it is *armed*, which is never later than that in
/// which it is due. What is due in n ticks is armed up to n / 8 of them early, so that ticks in use are few and their
/// lists are not short; each time that it comes up it gets eight times nearer. A touch moves the due time later, so
/// it leaves the entry alone and is free; the entry is moved when its tick comes, at most once per time to live. Only a due time that moves to an earlier
/// tick is written through. Entries of a tick have no order until it comes; then they go, some at a time, to a set in
/// the order of due times, and of ids where these are the same, as in the other adapters. An ended session takes its entry with it, so the index never holds more entries than
/// there are sessions, however often these are touched.
///
/// With t ticks in use: O(log t) for each operation, and O(log d) among the d whose tick has come.
#[derive(Debug, Default)]
pub(crate) struct ExpiryIndex {
    ticks: BTreeMap<u32, Vec<Place>>,
    in_order: BTreeSet<(u64, SessionId, Place)>,
}

/// The tick of a time in nanoseconds.
pub(crate) fn tick(due: u64) -> u32 {
    u32::try_from(due >> TICK_BITS).unwrap_or(u32::MAX)
}

/// The tick in which a session that is due at `due` is armed at `now`: after that of `now`, unless it is due in that.
fn armed(due: u64, now: u64) -> u32 {
    let (due, now) = (tick(due), tick(now));
    match due.saturating_sub(now).checked_ilog2() {
        Some(bits @ 4..) => due >> (bits - 3) << (bits - 3),
        _ => due,
    }
}

impl ExpiryIndex {
    /// Enters a session that is due at `due`; the caller writes `head`.
    pub(crate) fn insert(&mut self, place: Place, head: &mut Head, due: u64, now: u64) {
        head.armed = armed(due, now);
        let entries = self.ticks.entry(head.armed).or_default();
        // Below the number of sessions, which is below 2³².
        head.armed_at = u32::try_from(entries.len()).unwrap_or(NOWHERE);
        entries.push(place);
    }

    /// Takes out a session that is due at `due`.
    pub(crate) fn remove(&mut self, records: &mut Records, place: Place, head: &Head, due: u64) {
        if head.armed_at == IN_ORDER {
            self.in_order.remove(&(due, head.id, place));
            return;
        }
        let Some(entries) = self.ticks.get_mut(&head.armed) else {
            return;
        };
        let at = head.armed_at as usize;
        entries.swap_remove(at);
        match entries.get(at) {
            Some(moved) => records.set_armed_at(*moved, head.armed_at),
            None if entries.is_empty() => drop(self.ticks.remove(&head.armed)),
            None => {}
        }
    }

    /// Says that a session was due at `old` and now is at `new`; the caller writes `head`.
    pub(crate) fn moved(
        &mut self,
        records: &mut Records,
        (place, head): (Place, &mut Head),
        (old, new): (u64, u64),
        now: u64,
    ) {
        if head.armed_at == IN_ORDER || tick(new) < head.armed {
            self.remove(records, place, head, old);
            self.insert(place, head, new, now);
        }
    }

    /// Says that a session that is due at `due` is in another place now.
    pub(crate) fn replaced(&mut self, old: Place, new: Place, head: &Head, due: u64) {
        if head.armed_at == IN_ORDER {
            self.in_order.remove(&(due, head.id, old));
            self.in_order.insert((due, head.id, new));
        } else if let Some(entry) = self
            .ticks
            .get_mut(&head.armed)
            .and_then(|entries| entries.get_mut(head.armed_at as usize))
        {
            *entry = new;
        }
    }

    /// Puts sessions whose tick has come in order, and arms anew what is due in a later one: at most `limit` of
    /// both. Whether there are more.
    pub(crate) fn sort(&mut self, records: &mut Records, now: u64, limit: usize) -> bool {
        let mut looked_at = 0;
        while let Some(mut first) = self.ticks.first_entry()
            && *first.key() <= tick(now)
        {
            if looked_at == limit {
                return true;
            }
            looked_at += 1;
            let place = first.get_mut().pop();
            if first.get().is_empty() {
                first.remove();
            }
            let Some(place) = place else { continue };
            let mut head = records.head(place);
            let due = records.due(&head);
            if tick(due) > tick(now) {
                self.insert(place, &mut head, due, now);
            } else {
                self.in_order.insert((due, head.id, place));
                head.armed_at = IN_ORDER;
            }
            records.write(place, &head);
        }
        false
    }

    /// The session, of those that were put in order, that is due first, if it is by `now`.
    pub(crate) fn first(&self, now: u64) -> Option<Place> {
        let (due, _, place) = *self.in_order.first()?;
        (due <= now).then_some(place)
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.in_order.len() + self.ticks.values().map(Vec::len).sum::<usize>()
    }

    /// Whether a session has its entry where it says.
    #[cfg(test)]
    pub(crate) fn holds(&self, place: Place, head: &Head, due: u64) -> bool {
        if head.armed_at == IN_ORDER {
            return self.in_order.contains(&(due, head.id, place));
        }
        let entries = self.ticks.get(&head.armed);
        entries.and_then(|entries| entries.get(head.armed_at as usize)) == Some(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_is_armed_early_and_what_is_near_is_not() {
        let at = |ticks: u64| ticks << TICK_BITS;
        for (due, now, expected) in [
            (5, 5, 5),
            (5, 9, 5),
            (15, 0, 15),
            (17, 0, 16),
            (33, 0, 32),
            (1_000, 0, 960),
            (1_000, 872, 992),
        ] {
            assert_eq!(armed(at(due), at(now)), expected, "{due} at {now}");
        }
        // However far, it comes up a few times, and never late.
        for due in [100, 12_345, 2_592_000] {
            let (mut now, mut times) = (0, 0);
            while now < due {
                let next = u64::from(armed(at(due), at(now)));
                assert!(now < next && next <= due, "{next} for {due} at {now}");
                (now, times) = (next, times + 1);
            }
            assert!(times <= 8, "{times} times for {due}");
        }
    }
}
