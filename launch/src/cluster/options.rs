//! How a cluster is set up.

use std::time::Duration;

use crate::options::{RedisOptions, ServerClock};
use crate::{Error, ErrorKind, Result};

/// How a cluster is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterOptions {
    pub(crate) masters: usize,
    pub(crate) replicas_per_master: usize,
    pub(crate) node_timeout: Duration,
    pub(crate) full_coverage: bool,
    pub(crate) skewable: bool,
    pub(crate) cuttable: bool,
    pub(crate) server: RedisOptions,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            masters: 3,
            replicas_per_master: 1,
            node_timeout: Duration::from_secs(2),
            full_coverage: false,
            skewable: false,
            cuttable: false,
            server: RedisOptions::new(),
        }
    }
}

impl ClusterOptions {
    /// Three masters with a replica each, a node timeout of 2 s, slots served while others are lost,
    /// the real clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many masters share the slots; at least one. Nobody is promoted with fewer than three.
    #[must_use]
    pub fn masters(mut self, masters: usize) -> Self {
        self.masters = masters;
        self
    }

    /// How many replicas each master has.
    #[must_use]
    pub fn replicas_per_master(mut self, replicas: usize) -> Self {
        self.replicas_per_master = replicas;
        self
    }

    /// After how long a silence a node counts as failed: 100 ms to an hour, in whole milliseconds.
    /// With a settable clock there is no such silence.
    #[must_use]
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.node_timeout = timeout;
        self
    }

    /// Whether all slots are refused while one is lost.
    #[must_use]
    pub fn full_coverage(mut self, full: bool) -> Self {
        self.full_coverage = full;
        self
    }

    /// Whether the clocks of single nodes can be set apart with
    /// [`set_clock_offset`](crate::RedisCluster::set_clock_offset). They run on; it is not for a
    /// settable clock.
    #[must_use]
    pub fn skewable(mut self, skewable: bool) -> Self {
        self.skewable = skewable;
        self
    }

    /// Whether nodes can be [`cut_off`](crate::RedisCluster::cut_off). Each node has an address of
    /// its own then, from 127.0.0.11 on.
    #[must_use]
    pub fn cuttable(mut self, cuttable: bool) -> Self {
        self.cuttable = cuttable;
        self
    }

    /// How each server is set up.
    #[must_use]
    pub fn server(mut self, options: RedisOptions) -> Self {
        self.server = options;
        self
    }

    pub(crate) fn nodes(&self) -> usize {
        self.masters * (1 + self.replicas_per_master)
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.server.check()?;
        let limit = Duration::from_millis(100)..=Duration::from_secs(3_600);
        let problem = if self.masters == 0 || self.masters > 100 || self.replicas_per_master > 10 {
            "a cluster has 1 to 100 masters with 0 to 10 replicas each"
        } else if self.nodes() > 200 {
            "a cluster has at most 200 nodes"
        } else if !limit.contains(&self.node_timeout) {
            "a node timeout is between 100 ms and an hour"
        } else if self.skewable && self.server.clock == ServerClock::Settable {
            "a cluster has a settable clock for all nodes or skewable ones, not both"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Invalid, problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(ClusterOptions::new().check().is_ok());
        let settable = RedisOptions::new().clock(ServerClock::Settable);
        for options in [
            ClusterOptions::new().masters(0),
            ClusterOptions::new().masters(100).replicas_per_master(3),
            ClusterOptions::new().node_timeout(Duration::ZERO),
            ClusterOptions::new().skewable(true).server(settable),
        ] {
            assert_eq!(
                options.check().unwrap_err().kind(),
                ErrorKind::Invalid,
                "{options:?}"
            );
        }
    }
}
