//! One operation on its way: attempts, until one is answered or the time is up.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Txn, TxnResponse};
use ringhold_core::{Error, ErrorKind, Result};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Lane, Shared};
use crate::error::{Verdict, judge};
use crate::random;

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How long the loser of a race waits at first, and at most.
const RACE_MIN: Duration = Duration::from_millis(1);
const RACE_MAX: Duration = Duration::from_millis(500);

/// What an operation may still do.
#[derive(Debug)]
pub(crate) struct Effort {
    shared: Arc<Shared>,
    operation: &'static str,
    lane: Lane,
    deadline: Instant,
    pause: Duration,
    race: Duration,
    races: u32,
    /// The member that failed last.
    avoid: Option<usize>,
    last: Option<Error>,
    /// Whether something was sent that nobody answered.
    unanswered: bool,
    _permit: OwnedSemaphorePermit,
}

impl Effort {
    pub(super) fn new(
        shared: Arc<Shared>,
        operation: &'static str,
        lane: Lane,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let deadline = Instant::now() + shared.settings.overall;
        Self {
            shared,
            operation,
            lane,
            deadline,
            pause: PAUSE_MIN,
            race: RACE_MIN,
            races: 0,
            avoid: None,
            last: None,
            unanswered: false,
            _permit: permit,
        }
    }

    /// Sends a transaction once, to a member that serves, and waits for one where none does. `None` where
    /// it failed in a way that passes, and has been waited out; it may have happened nevertheless.
    ///
    /// # Errors
    /// At the deadline `Timeout` where something sent may have happened, else `Unavailable`; what
    /// `error.rs` makes of a refusal.
    pub(crate) async fn attempt(&mut self, txn: Txn) -> Result<Option<TxnResponse>> {
        let shared = Arc::clone(&self.shared);
        let Ok(turn) = timeout_at(self.deadline, shared.lane(self.lane).acquire()).await else {
            return Err(self.gave_up(None));
        };
        let serving = shared.serving(self.operation, self.avoid, self.deadline).await;
        let link = match serving {
            Ok(link) => link,
            Err(error) if error.is_retryable() => return Err(self.gave_up(Some(error))),
            Err(error) => return Err(error),
        };
        let address = &shared.settings.endpoints[link.index];
        let patience = Instant::now() + self.shared.settings.attempt;
        let limit = self.deadline.min(patience);
        let mut kv = link.kv.clone();
        // The futures of the client are large.
        let sent = Box::pin(kv.txn(txn));
        let verdict = match timeout_at(limit, sent).await {
            Ok(Ok(response)) => {
                self.avoid = None;
                return Ok(Some(response));
            }
            Ok(Err(error)) => judge(self.operation, &error, address),
            Err(_) => {
                let context = format!("{address} does not answer");
                let error = Error::new(ErrorKind::Timeout, self.operation, context);
                // A member that had less than a whole attempt may be well.
                if limit < patience {
                    Verdict::Again(error)
                } else {
                    Verdict::Down(error)
                }
            }
        };
        drop(turn);
        // Only a refusal says that it did not happen, and it is final.
        self.unanswered = true;
        let error = match verdict {
            Verdict::Final(error) => return Err(error),
            Verdict::Again(error) => error,
            Verdict::Down(error) => {
                self.shared.leave_out(&link, &error);
                error
            }
        };
        self.last = Some(error);
        if self.avoid.replace(link.index).is_some() {
            self.wait(self.pause).await?;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        Ok(None)
    }

    /// Waits after a race that was lost.
    ///
    /// # Errors
    /// At the deadline, `Unavailable`.
    pub(crate) async fn lost(&mut self) -> Result<()> {
        self.races += 1;
        self.wait(self.race).await?;
        self.race = (self.race * 2).min(RACE_MAX);
        Ok(())
    }

    async fn wait(&mut self, pause: Duration) -> Result<()> {
        if timeout_at(self.deadline, sleep(random::jittered(pause)))
            .await
            .is_err()
        {
            return Err(self.gave_up(None));
        }
        Ok(())
    }

    fn gave_up(&mut self, now: Option<Error>) -> Error {
        let overall = self.shared.settings.overall;
        let (kind, why) = if self.unanswered {
            (ErrorKind::Timeout, "it may have happened")
        } else {
            (ErrorKind::Unavailable, "it has not happened")
        };
        let last = now.or(self.last.take());
        let last = match &last {
            Some(error) => error.context().to_owned(),
            None if self.races > 0 => format!("others were faster {} times", self.races),
            None => "too much else is under way".to_owned(),
        };
        Error::new(
            kind,
            self.operation,
            format!("no answer in {overall:?}, {why}; last: {last}"),
        )
    }
}
