//! Plain commands that ask for the servers' settings at the start.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::{Partition, Result};
use tokio::time::{Instant, sleep, timeout_at};

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

    /// Lets attempts on a slow network take longer where a master says for how long that is safe.
    pub(super) async fn read_node_timeout(self: Arc<Self>) {
        for (partition, _) in self.masters() {
            let get = Command::of(&["CONFIG", "GET", NODE_TIMEOUT]);
            let Ok(mut replies) = self.ask(partition, &[get], ASK_MAX).await else {
                continue;
            };
            let text = replies.pop().and_then(Reply::into_setting);
            if let Some(Ok(millis)) = text.map(|text| text.parse()) {
                self.bounds.below_node_timeout(Duration::from_millis(millis));
            } else {
                tracing::debug!("the servers do not show {NODE_TIMEOUT}; attempts keep their deadline");
            }
            return;
        }
    }
}
