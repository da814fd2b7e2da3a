//! Writes that replicas are to acknowledge: a connection of their own to each master, and one `WAIT`
//! for all that were written together.
//!
//! On a connection that others share, a `WAIT` for a replica that is gone holds up everything behind
//! it; as the first command of a connection it waits for nothing and answers that all is well. So it
//! runs behind its scripts, in one pipeline, where only other such writes can wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::dial::Dialer;
use super::latency::Latency;
use super::topology::Address;
use crate::client::{Command, Link, LinkError, Reply};

/// How many writes share a `WAIT`: what comes while a replica that is gone is waited for must fit.
const BATCH_MAX: usize = 1_024;
/// With so many bytes no further write joins, so that a pipeline is sent well within its deadline.
const BATCH_BYTES: usize = 1 << 20;

/// One write, with the commands that belong in front of its script.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) commands: Vec<Command>,
    pub(super) replicas: u8,
    /// Gets the script's answer and how many replicas have acknowledged it.
    pub(super) done: oneshot::Sender<Result<(Reply, u8), LinkError>>,
}

impl Write {
    fn bytes(&self) -> usize {
        self.commands.iter().map(Command::bytes).sum()
    }
}

/// The writes to one master that replicas are to acknowledge.
#[derive(Debug)]
pub(super) struct Lane {
    writes: mpsc::Sender<Write>,
}

impl Lane {
    /// Starts the lane's task; it ends when the lane is dropped. A pipeline takes no longer than an attempt. Two fifths
    /// of it are left to `WAIT`, which a server ends up to 100 ms late.
    pub(super) fn start(dialer: Arc<Dialer>, address: Address, latency: Arc<Latency>, room: usize) -> Self {
        let (writes, mut queue) = mpsc::channel::<Write>(room);
        let runtime = dialer.runtime.clone();
        runtime.spawn(async move {
            let mut link = None;
            let mut batch = Vec::new();
            while let Some(first) = queue.recv().await {
                let connected = connect(&dialer, &address, &latency, &mut link).await;
                let mut bytes = first.bytes();
                batch.push(first);
                while batch.len() < BATCH_MAX
                    && bytes < BATCH_BYTES
                    && let Ok(next) = queue.try_recv()
                {
                    bytes += next.bytes();
                    batch.push(next);
                }
                // Whoever gave up is not written for: it may have been told another answer meanwhile.
                batch.retain(|write| !write.done.is_closed());
                let deadline = latency.attempt();
                let outcome = match connected {
                    Ok(used) => timeout(deadline, run(&used, &mut link, &mut batch, deadline * 2 / 5)).await,
                    Err(error) => Ok(Err(error)),
                };
                let mut refusal = None;
                let failure = match outcome {
                    Ok(Ok(answers)) => {
                        for (write, answer) in batch.drain(..).zip(answers) {
                            // A caller that is gone needs no answer.
                            let _ = write.done.send(Ok(answer));
                        }
                        continue;
                    }
                    Ok(Err(error)) => {
                        let failure = error.to_string();
                        if let LinkError::Refused(error) = error {
                            refusal = Some(error);
                        }
                        failure
                    }
                    Err(late) => late.to_string(),
                };
                link = None;
                // Whoever queues behind it would only be late as well: sent back, it goes where an answer is.
                while let Ok(write) = queue.try_recv() {
                    batch.push(write);
                }
                for write in batch.drain(..) {
                    let _ = write.done.send(Err(match &refusal {
                        Some(error) => LinkError::Refused(error.clone()),
                        None => LinkError::Broken(failure.clone().into()),
                    }));
                }
            }
        });
        Self { writes }
    }

    /// Queues a write.
    ///
    /// # Errors
    /// The write itself, when the queue is full.
    pub(super) fn push(&self, write: Write) -> Result<(), ()> {
        self.writes.try_send(write).map_err(|_| ())
    }
}

/// The link of a lane, or a new one.
async fn connect(
    dialer: &Dialer,
    address: &Address,
    latency: &Latency,
    link: &mut Option<Arc<dyn Link>>,
) -> Result<Arc<dyn Link>, LinkError> {
    if let Some(link) = link {
        return Ok(Arc::clone(link));
    }
    let made = timeout(latency.connect(), dialer.connect(address)).await;
    let made = made.unwrap_or_else(|late| Err(LinkError::Broken(Box::new(late))))?;
    latency.measured(made.round_trip);
    Ok(Arc::clone(link.insert(made.link)))
}

/// Sends a batch and a `WAIT` over a link, which is dropped where it leads to a replica.
async fn run(
    used: &Arc<dyn Link>,
    link: &mut Option<Arc<dyn Link>>,
    batch: &mut [Write],
    patience: Duration,
) -> Result<Vec<(Reply, u8)>, LinkError> {
    let Some(replicas) = batch.iter().map(|write| write.replicas).max() else {
        return Ok(Vec::new());
    };
    let counts: Vec<usize> = batch.iter().map(|write| write.commands.len()).collect();
    let mut commands: Vec<Command> = batch
        .iter_mut()
        .flat_map(|write| write.commands.drain(..))
        .collect();
    commands.push(Command::of(&[
        "WAIT",
        &replicas.to_string(),
        &patience.as_millis().to_string(),
    ]));
    let mut replies = used.send(&commands).await?;
    let acknowledged = match replies.pop() {
        Some(Reply::Integer(count)) => u8::try_from(count.max(0)).unwrap_or(u8::MAX),
        // A server that became a replica drops what it did not replicate.
        Some(Reply::Error(error)) if error.is_of_demoted_server() => return Err(LinkError::Refused(error)),
        // A server that refuses WAIT, as a replica does, has refused the scripts too; they say why.
        _ => 0,
    };
    let demoted = |reply: &Reply| matches!(reply, Reply::Error(error) if error.is_of_demoted_server());
    if replies.iter().any(demoted) {
        *link = None;
    }
    let mut replies = replies.into_iter();
    Ok(counts
        .into_iter()
        .map(|count| {
            let replies = replies.by_ref().take(count);
            (super::outcome(replies), acknowledged)
        })
        .collect())
}
