//! When the store was last heard of, and how to hear of it now.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold_core::{Error, ErrorKind, NodeRecord, Result};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::boottime::Moment;
use crate::shared::lock;

/// When the store was last heard of.
#[derive(Debug)]
pub(crate) struct Contact {
    /// When the last renewal was *sent* that was acknowledged.
    renewed: watch::Sender<Moment>,
    /// The record that was acknowledged last.
    record: Mutex<Option<Arc<NodeRecord>>>,
    poke: Notify,
}

impl Contact {
    pub(crate) fn new() -> Self {
        Self {
            renewed: watch::Sender::new(Moment::now()),
            record: Mutex::default(),
            poke: Notify::new(),
        }
    }

    pub(crate) fn age(&self) -> Duration {
        self.renewed.borrow().age()
    }

    /// The record that the store acknowledged last.
    pub(crate) fn acknowledged_record(&self) -> Option<Arc<NodeRecord>> {
        lock(&self.record).clone()
    }

    /// Waits until somebody wants a renewal now.
    pub(crate) async fn poked(&self) {
        self.poke.notified().await;
    }

    /// Notes that the store acknowledged a renewal of `record`, sent at `sent`.
    pub(crate) fn acknowledged(&self, sent: Moment, record: Arc<NodeRecord>) {
        *lock(&self.record) = Some(record);
        self.renewed.send_replace(sent);
    }

    /// Renews now, and waits for a renewal that was sent after the call.
    pub(crate) async fn renewed_from_now(&self, limit: Duration) -> Result<()> {
        let called = Moment::now();
        let mut renewed = self.renewed.subscribe();
        self.poke.notify_one();
        let acknowledged = renewed.wait_for(|sent| sent.is_after(&called));
        if let Ok(Ok(_)) = timeout(limit, acknowledged).await {
            return Ok(());
        }
        let context = format!("the lease could not be renewed within {limit:?}");
        Err(Error::new(ErrorKind::Unavailable, "renew", context))
    }
}
