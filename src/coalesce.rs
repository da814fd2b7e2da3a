//! Saves that join each other: at most one per period, of the newest value.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::Error;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::attached::Attached;
use crate::fleet::Node;
use crate::save;
use crate::shared::lock;

/// Changes of one session that wait to be stored together.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    pending: Mutex<Option<Bytes>>,
    error: Mutex<Option<Error>>,
    wake: Notify,
    closed: CancellationToken,
}

impl Coalescer {
    /// Stores what is put, at most once in `period`, until closed.
    pub(crate) fn start(node: &Arc<Node>, attached: &Arc<Attached>, period: Duration) -> Arc<Self> {
        let coalescer = Arc::new(Self::default());
        attached.set_coalescer(Arc::clone(&coalescer));
        let task = run(
            Arc::clone(node),
            Arc::clone(attached),
            Arc::clone(&coalescer),
            period,
        );
        node.shared.tasks.spawn(task);
        coalescer
    }

    /// The newest value; what was put before and is not yet stored need not be.
    pub(crate) fn put(&self, data: Bytes) {
        *lock(&self.pending) = Some(data);
        self.wake.notify_one();
    }

    /// Takes back what was put and is not yet on its way.
    pub(crate) fn take(&self) -> Option<Bytes> {
        lock(&self.pending).take()
    }

    pub(crate) fn put_error(&self, error: Error) {
        *lock(&self.error) = Some(error);
    }

    pub(crate) fn take_error(&self) -> Option<Error> {
        lock(&self.error).take()
    }

    /// Stores what is pending at once, and nothing afterwards.
    pub(crate) fn close(&self) {
        self.closed.cancel();
        self.wake.notify_one();
    }

    /// Stores what is pending now.
    pub(crate) async fn flush(&self, node: &Arc<Node>, attached: &Arc<Attached>) {
        if let Some(data) = self.take()
            && let Err(error) = save::save(node, attached, data).await
        {
            tracing::warn!(session = ?attached.id, %error, "a coalesced save failed");
            self.put_error(error);
        }
    }
}

async fn run(node: Arc<Node>, attached: Arc<Attached>, coalescer: Arc<Coalescer>, period: Duration) {
    loop {
        coalescer.wake.notified().await;
        if !coalescer.closed.is_cancelled() {
            // Ends early when the handle goes, so that what is pending is stored at once.
            coalescer.closed.run_until_cancelled(sleep(period)).await;
        }
        coalescer.flush(&node, &attached).await;
        if coalescer.closed.is_cancelled() || attached.ended().is_some() {
            return;
        }
    }
}
