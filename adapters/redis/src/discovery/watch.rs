//! A watch: a position, and a look each period.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::discovery::{Changes, Watch};
use ringhold_core::{Membership, Result, Revision, Timing, Update};
use tokio::time::{Instant, sleep_until};

use super::{Way, answer, resume_point};
use crate::client::malformed;
use crate::{random, script};

const WATCH: &str = "watch";
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Follows the membership.
///
/// What an answer brought is handed out one by one; nothing is fetched while something is left, so
/// that a watcher that does not read costs nothing.
#[derive(Debug)]
pub(super) struct RedisWatch {
    way: Way,
    poll: Option<Duration>,
    /// The revision up to which it has fetched; none before its first reset.
    at: Option<Revision>,
    /// The version of the load table that it has fetched.
    loads: Option<u64>,
    fetched: VecDeque<Update>,
    /// When it looks again. Kept here, like the pause, so that a caller who drops a future at every error
    /// does not make it look without a pause.
    next_look: Instant,
    /// How long it waits after the next look that fails.
    pause: Duration,
}

impl RedisWatch {
    pub(super) fn new(way: Way, poll: Option<Duration>, after: Option<Revision>) -> Self {
        Self {
            way,
            poll,
            at: after,
            loads: None,
            fetched: VecDeque::new(),
            next_look: Instant::now(),
            pause: PAUSE_MIN,
        }
    }

    /// Fetches what is new.
    async fn look(&mut self) -> Result<()> {
        let [number, tag] = self.at.map_or_else(Default::default, resume_point);
        let loads = self.loads.map_or_else(String::new, |version| version.to_string());
        let arguments = [&number, &tag, &loads].map(String::as_bytes);
        let (status, mut elements, _) = self.way.run(WATCH, &script::POLL, 0, &arguments).await?;
        let heartbeat = Duration::from_millis(elements.number()?);
        let version = elements.number()?;
        let reset = match &status[..] {
            b"reset" => true,
            b"done" => false,
            _ => return Err(malformed(WATCH, "an unknown status")),
        };
        let mut full = false;
        if reset {
            let membership = answer::membership(WATCH, elements.elements()?)?;
            self.reset(self.way.whole(membership));
        } else {
            match answer::updates(WATCH, elements.elements()?) {
                Ok(updates) => {
                    full = updates.len() >= Changes::MAX;
                    self.at = updates.last().and_then(Update::revision).or(self.at);
                    self.fetched.extend(updates);
                }
                Err(error) => {
                    // A whole membership shows what a change could not.
                    tracing::debug!(%error, "a change of the membership cannot be read; starting over");
                    self.at = None;
                    full = true;
                }
            }
            let mut table = elements.elements()?;
            if !table.is_empty() {
                let loads = answer::loads(WATCH, table.elements()?)?;
                self.way.supervisor.has_members(loads.len());
                self.fetched.push_back(Update::Loads(loads));
                self.loads = Some(version);
            }
        }
        // Where changes came, the table was not asked for: the next look brings it.
        if reset || self.loads.is_none() {
            self.loads = Some(version);
        }
        let period = self.poll.unwrap_or(if heartbeat.is_zero() {
            Timing::default().heartbeat()
        } else {
            heartbeat
        });
        let tenth = u64::try_from(period.as_millis() / 5).unwrap_or(0);
        let jitter = Duration::from_millis(random::below(tenth + 1));
        self.next_look = Instant::now()
            + if full {
                Duration::ZERO
            } else {
                period * 9 / 10 + jitter
            };
        Ok(())
    }

    fn reset(&mut self, membership: Membership) {
        self.at = Some(membership.revision);
        self.fetched.push_back(Update::Reset(membership));
    }
}

#[async_trait]
impl Watch for RedisWatch {
    async fn next(&mut self) -> Result<Update> {
        loop {
            if let Some(update) = self.fetched.pop_front() {
                return Ok(update);
            }
            sleep_until(self.next_look).await;
            match self.look().await {
                Ok(()) => self.pause = PAUSE_MIN,
                Err(error) if error.is_retryable() => {
                    tracing::debug!(%error, "the watch looks again");
                    self.next_look = Instant::now() + random::jittered(self.pause);
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
