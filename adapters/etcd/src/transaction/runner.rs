//! Running rules: fetch, decide, commit; and again where somebody else was faster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::{Clock, Result};

use super::fetch::fetch;
use super::{Asked, EtcdTransaction, Stop};
use crate::supervisor::{Lane, Supervisor};

/// What comes of one try.
pub(crate) enum Tried<R> {
    Done(R),
    /// Somebody else has written what it held: nothing has happened.
    Lost,
}

/// Runs rules on the keys of one fleet. A clone shares the way to them.
#[derive(Clone)]
pub(crate) struct Runner {
    supervisor: Arc<Supervisor>,
    lane: Lane,
    prefix: Arc<[u8]>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("prefix", &String::from_utf8_lossy(&self.prefix))
            .finish_non_exhaustive()
    }
}

impl Runner {
    pub(crate) fn new(supervisor: Arc<Supervisor>, prefix: Vec<u8>, clock: Arc<dyn Clock>) -> Self {
        Self {
            supervisor,
            lane: Lane::Sessions,
            prefix: prefix.into(),
            clock,
        }
    }

    /// The same, for rules of membership.
    pub(crate) fn of_membership(&self) -> Self {
        Self {
            lane: Lane::Membership,
            ..self.clone()
        }
    }

    pub(crate) fn supervisor(&self) -> &Arc<Supervisor> {
        &self.supervisor
    }

    /// A key of the fleet as etcd knows it.
    pub(crate) fn key(&self, relative: &[u8]) -> Vec<u8> {
        [&self.prefix, relative].concat()
    }

    /// Runs a rule until what it wants written is written. It is given what the monotonic clock reads after
    /// everything that it sees was fetched.
    ///
    /// # Errors
    /// The rule's own; `Overloaded`, `Timeout`, `Unavailable`; what `error.rs` makes of a refusal.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether what it wants written is written.
    pub(crate) async fn run<R>(
        &self,
        operation: &'static str,
        mut rule: impl FnMut(&mut EtcdTransaction, Duration) -> Result<R, Stop>,
    ) -> Result<R> {
        loop {
            if let Tried::Done(answer) = self.work(operation, true, &mut rule).await? {
                return Ok(answer);
            }
        }
    }

    /// The same, until it has lost a race.
    pub(crate) async fn try_once<R>(
        &self,
        operation: &'static str,
        rule: impl FnMut(&mut EtcdTransaction, Duration) -> Result<R, Stop>,
    ) -> Result<Tried<R>> {
        self.work(operation, false, rule).await
    }

    async fn work<R>(
        &self,
        operation: &'static str,
        again: bool,
        mut rule: impl FnMut(&mut EtcdTransaction, Duration) -> Result<R, Stop>,
    ) -> Result<Tried<R>> {
        let mut effort = self.supervisor.begin(operation, self.lane)?;
        let mut tx = EtcdTransaction::default();
        // What the run before a race or a failure had asked for: it is fetched at once then.
        let mut known = Asked::default();
        loop {
            tx.restart();
            let answer = match rule(&mut tx, self.clock.now()) {
                Ok(answer) => answer,
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Missing) => {
                    let mut asked = std::mem::take(&mut tx.asked);
                    asked.keys.append(&mut known.keys);
                    asked.spans.append(&mut known.spans);
                    let snapshot = std::mem::take(&mut tx.snapshot);
                    tx.snapshot = fetch(&mut effort, operation, &self.prefix, asked, snapshot).await?;
                    continue;
                }
            };
            let only_ticks = tx.writes_nothing();
            if only_ticks && tx.ticks_nothing() {
                return Ok(Tried::Done(answer));
            }
            match effort.attempt(tx.commit(operation, &self.prefix)?).await? {
                Some(response) if response.succeeded() => return Ok(Tried::Done(answer)),
                // The clock is moved on by the next one who looks.
                _ if only_ticks => return Ok(Tried::Done(answer)),
                Some(_) if !again => return Ok(Tried::Lost),
                Some(_) => effort.lost().await?,
                // Whether it has happened shows when the rule is run again: rules know what they have done.
                None => {}
            }
            known = std::mem::take(&mut tx.asked);
            tx.snapshot = super::Snapshot::default();
        }
    }
}
