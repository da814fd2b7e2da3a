//! When the table of loads is worth telling.

use std::time::Duration;

use ringhold_core::discovery::Renewed;

/// Counts the states of the load table that watchers are to see.
///
/// A table has an entry per node, and every node changes its load about once a heartbeat. Telling
/// each change to everybody is quadratic in the nodes, so a large fleet's watchers see one table
/// per heartbeat, and its nodes one per [`Renewed::RENEWALS_PER_TABLE`] heartbeats.
#[derive(Debug, Default)]
pub(crate) struct LoadTable {
    version: u64,
    published: Option<Duration>,
    /// A load has changed that no version counts yet.
    pending: bool,
}

impl LoadTable {
    /// Grows when watchers are to be told.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// A load has changed at `now` on the lease clock. In a large fleet this counts when the last
    /// one that counted is a heartbeat ago; until then it waits for [`Self::publish`].
    pub(crate) fn changed(&mut self, fleet_len: usize, now: Duration, heartbeat: Duration) {
        self.pending = true;
        self.publish(fleet_len, now, heartbeat);
    }

    /// Counts the changes that wait, once their time has come. Every renewal asks, so that the last
    /// change is told too.
    pub(crate) fn publish(&mut self, fleet_len: usize, now: Duration, heartbeat: Duration) {
        let quiet = self
            .published
            .is_none_or(|last| now.saturating_sub(last) >= heartbeat);
        if self.pending && (quiet || fleet_len <= Renewed::SMALL_FLEET) {
            self.pending = false;
            self.version = self.version.wrapping_add(1);
            self.published = Some(now);
        }
    }

    /// Whether a node's renewal of this number is answered with the table.
    pub(crate) fn answers(fleet_len: usize, renewals: u64) -> bool {
        fleet_len <= Renewed::SMALL_FLEET || renewals.is_multiple_of(Renewed::RENEWALS_PER_TABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_fleet_hears_everything_and_a_large_one_the_newest() {
        let heartbeat = Duration::from_secs(1);
        let mut loads = LoadTable::default();
        loads.changed(2, Duration::ZERO, heartbeat);
        loads.changed(2, Duration::ZERO, heartbeat);
        assert_eq!(loads.version(), 2);
        for millis in [999, 1_000, 1_001, 1_999, 2_000] {
            loads.changed(1_000, Duration::from_millis(millis), heartbeat);
        }
        assert_eq!(loads.version(), 4, "once per heartbeat");
        loads.changed(1_000, Duration::from_millis(2_500), heartbeat);
        for millis in [2_999, 3_000, 3_001, 9_000] {
            loads.publish(1_000, Duration::from_millis(millis), heartbeat);
        }
        assert_eq!(
            loads.version(),
            5,
            "the last change, and nothing where nothing changed"
        );
        assert_eq!((1..=16).filter(|n| LoadTable::answers(1_000, *n)).count(), 2);
        assert_eq!((1..=16).filter(|n| LoadTable::answers(5, *n)).count(), 16);
    }
}
