//! Grace periods in which nothing is taken.

use std::collections::HashMap;
use std::time::Duration;

use ringhold_core::Partition;
use tokio::time::Instant;

/// After contact was lost, with the store or with one partition, owners get one period to touch sessions
/// that only seem to have expired.
#[derive(Debug)]
pub(super) struct Grace {
    pub(super) period: Duration,
    all_until: Instant,
    until: HashMap<Partition, Instant>,
}

impl Grace {
    /// No period runs at first.
    pub(super) fn new(period: Duration) -> Self {
        Self {
            period,
            all_until: Instant::now(),
            until: HashMap::new(),
        }
    }

    /// Begins a period for all partitions.
    pub(super) fn all(&mut self) {
        self.all_until = Instant::now() + self.period;
        self.until.clear();
    }

    /// Begins a period for one partition.
    pub(super) fn one(&mut self, partition: Partition) {
        self.until.insert(partition, Instant::now() + self.period);
    }

    /// Whether a period runs for `partition`.
    pub(super) fn holds(&self, partition: Partition) -> bool {
        let until = self.until.get(&partition).copied().unwrap_or(self.all_until);
        Instant::now() < until.max(self.all_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_period_runs_for_one_partition_or_for_all() {
        let [stuck, other] = [1, 2].map(|index| Partition::new(index).unwrap());
        let mut grace = Grace::new(Duration::from_secs(20));
        assert!(!grace.holds(stuck) && !grace.holds(other), "at first");
        grace.one(stuck);
        assert!(grace.holds(stuck) && !grace.holds(other));
        tokio::time::advance(Duration::from_secs(19)).await;
        assert!(grace.holds(stuck));
        grace.all();
        assert!(grace.holds(stuck) && grace.holds(other));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(!grace.holds(stuck) && !grace.holds(other));
    }
}
