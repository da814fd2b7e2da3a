//! A watch: a position, and a look each period, or when the bell rings.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::discovery::Watch;
use ringhold_core::{Result, Revision, Update};
use ringhold_kv::discovery::{self as rules, Position};
use tokio::time::{Instant, sleep_until};

use super::Way;
use super::bell::Ring;
use crate::random;
use crate::transaction::EtcdTransaction;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Follows the membership.
///
/// What an answer brought is handed out one by one; nothing is fetched while something is left, so
/// that a watcher that does not read costs nothing.
#[derive(Debug)]
pub(super) struct EtcdWatch {
    way: Way,
    ring: Ring,
    poll: Option<Duration>,
    position: Position,
    fetched: VecDeque<Update>,
    /// When it looks again. Kept here, like the pause, so that a caller who drops a future at every error
    /// does not make it look without a pause.
    next_look: Instant,
    /// How long it waits after the next look that fails.
    pause: Duration,
    /// Whether the last look failed: the bell does not shorten a pause.
    failed: bool,
}

impl EtcdWatch {
    pub(super) fn new(way: Way, ring: Ring, poll: Option<Duration>, after: Option<Revision>) -> Self {
        Self {
            way,
            ring,
            poll,
            position: Position::new(after),
            fetched: VecDeque::new(),
            next_look: Instant::now(),
            pause: PAUSE_MIN,
            failed: false,
        }
    }

    /// Fetches what is new.
    async fn look(&mut self) -> Result<()> {
        let Way { runner, clock, .. } = &self.way;
        let position = &self.position;
        // What rings from here on may be seen or not, so it is looked at once more.
        self.ring.answered();
        // One that is dropped half-way is made up for at once.
        self.next_look = Instant::now();
        let rule = |tx: &mut EtcdTransaction, time| {
            clock.advance(tx, time, |tx, now_ms| {
                rules::poll(tx, now_ms, clock.lag(time), position)
            })
        };
        let polled = runner.run("watch", rule).await?;
        self.position = polled.position;
        self.fetched.extend(polled.updates);
        let heartbeat = polled.timing.unwrap_or_default().heartbeat();
        let period = self.poll.unwrap_or(heartbeat);
        let fifth = u64::try_from(period.as_millis() / 5).unwrap_or(0);
        let jitter = Duration::from_millis(random::below(fifth + 1));
        self.next_look = Instant::now()
            + if polled.more {
                Duration::ZERO
            } else {
                period * 9 / 10 + jitter
            };
        Ok(())
    }
}

#[async_trait]
impl Watch for EtcdWatch {
    async fn next(&mut self) -> Result<Update> {
        loop {
            if let Some(update) = self.fetched.pop_front() {
                return Ok(update);
            }
            tokio::select! {
                () = sleep_until(self.next_look) => {}
                () = self.ring.rung(), if !self.failed => {}
            }
            match self.look().await {
                Ok(()) => (self.pause, self.failed) = (PAUSE_MIN, false),
                Err(error) if error.is_retryable() => {
                    tracing::debug!(%error, "the watch looks again");
                    self.failed = true;
                    self.next_look = Instant::now() + random::jittered(self.pause);
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
