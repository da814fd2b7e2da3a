//! Plain commands that ask for the servers' settings.

use std::future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use ringhold_core::{Partition, Result};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::failure::link_error;
use super::sizes::Size;
use super::topology::Address;
use super::{PAUSE_MAX, Shared, watchdog};
use crate::client::{Command, LinkError, Reply};
use crate::random;

/// The parameter of a server below which the deadline of an attempt has to be.
pub(crate) const NODE_TIMEOUT: &str = "cluster-node-timeout";
/// The deadline of inquiries that `open` can do without, to connect included.
pub(super) const ASK_MAX: Duration = Duration::from_secs(5);
/// How many masters are asked for the node timeout at once.
const MASTERS_AT_ONCE: usize = 16;
/// The period in which the node timeout is read while the masters stay the same.
const NODE_TIMEOUT_PERIOD: Duration = Duration::from_secs(60);
/// The shortest pause before the node timeout is read again.
const NODE_TIMEOUT_PAUSE: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) async fn ask(
        self: &Arc<Self>,
        partition: Partition,
        commands: &[Command],
        most: Duration,
    ) -> Result<Vec<Reply>> {
        let deadline = Instant::now() + most;
        let mut patience = self.settings.attempt * 2;
        loop {
            let node = self.owner(partition).ok_or_else(|| self.nobody("open"))?;
            let work = async {
                let link = node.connected(&self.dialer, Size::Small).await?;
                let replies = link.send(commands).await;
                if replies.is_err() {
                    node.forget(&link);
                }
                replies
            };
            let error = match timeout_at(deadline.min(Instant::now() + patience), work).await {
                Ok(Ok(replies)) => return Ok(replies),
                Ok(Err(error)) => error,
                Err(late) => LinkError::Broken(Box::new(late)),
            };
            let error = link_error("open", &node.address, error);
            if !error.is_retryable() || Instant::now() + PAUSE_MAX >= deadline {
                return Err(error);
            }
            watchdog::suspect(self, &node);
            sleep(random::jittered(PAUSE_MAX)).await;
            patience *= 2;
        }
    }

    pub(super) fn masters(&self) -> Vec<(Partition, Address)> {
        let owners = self.owners.borrow().clone();
        let mut masters: Vec<(Partition, Address)> = Vec::new();
        for (partition, node) in Partition::all().zip(owners.iter()) {
            if let Some(node) = node
                && masters.iter().all(|(_, known)| *known != node.address)
            {
                masters.push((partition, node.address.clone()));
            }
        }
        masters
    }

    /// Lets attempts on a slow network take longer where masters say for how long that is safe for all of them.
    async fn read_node_timeout(self: &Arc<Self>) {
        let read = self.masters().into_iter().map(|(partition, _)| async move {
            let get = Command::of(&["CONFIG", "GET", NODE_TIMEOUT]);
            let mut replies = self.ask(partition, &[get], ASK_MAX).await.ok()?;
            replies.pop()?.into_setting()?.parse::<u64>().ok()
        });
        let read = stream::iter(read).buffer_unordered(MASTERS_AT_ONCE);
        let read: Vec<u64> = read.filter_map(future::ready).collect().await;
        if let Some(millis) = read.into_iter().min() {
            self.bounds.below_node_timeout(Duration::from_millis(millis));
        } else {
            tracing::debug!("the servers do not show {NODE_TIMEOUT}; attempts keep their deadline");
        }
    }
}

/// Reads the node timeout of the masters now, when there are other masters, and periodically: an operator may change it.
pub(super) async fn follow_node_timeout(shared: Weak<Shared>) {
    let Some(mut owners) = shared.upgrade().map(|shared| shared.owners.subscribe()) else {
        return;
    };
    loop {
        let known = {
            let Some(shared) = shared.upgrade() else { return };
            owners.mark_unchanged();
            let known = shared.masters();
            shared.read_node_timeout().await;
            known
        };
        let others = async {
            while owners.changed().await.is_ok() {
                let Some(shared) = shared.upgrade() else { return };
                if shared
                    .masters()
                    .iter()
                    .any(|(_, master)| known.iter().all(|(_, known)| known != master))
                {
                    return;
                }
            }
        };
        // It ends early, or with the supervisor.
        let _ = timeout(random::jittered(NODE_TIMEOUT_PERIOD), others).await;
        // A failover of several masters is one change.
        sleep(random::jittered(NODE_TIMEOUT_PAUSE)).await;
    }
}
