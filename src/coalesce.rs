//! Saves that join each other: at most one per period, of the newest value.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::Error;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::shared::lock;

/// Changes of one session that wait to be stored together.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    pending: Mutex<Option<(u64, Bytes)>>,
    /// Held from taking what is pending until it is stored.
    pub(crate) flushing: tokio::sync::Mutex<()>,
    error: Mutex<Option<Error>>,
    wake: Notify,
    closed: CancellationToken,
}

impl Coalescer {
    /// The newest value; what was put before and is not yet stored need not be.
    pub(crate) fn put(&self, change: u64, data: Bytes) {
        *lock(&self.pending) = Some((change, data));
        self.wake.notify_one();
    }

    /// Puts back what could not be stored, unless there is something newer.
    pub(crate) fn put_back(&self, change: u64, data: Bytes) {
        lock(&self.pending).get_or_insert((change, data));
        self.wake.notify_one();
    }

    /// Takes back what was put and is not yet on its way.
    pub(crate) fn take(&self) -> Option<(u64, Bytes)> {
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

    /// Waits until something is put, or all is over.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Lets `period` pass, or less when all is over, so that what is pending is stored at once.
    pub(crate) async fn rest(&self, period: Duration) {
        self.closed.run_until_cancelled(sleep(period)).await;
    }
}
