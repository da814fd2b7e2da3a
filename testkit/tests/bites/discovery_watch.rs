//! A watch with a fault.

use std::collections::VecDeque;
use std::sync::Arc;

use ringhold_core::discovery::Watch;
use ringhold_core::{Result, Update};
use ringhold_testkit::{async_trait, poll_once};
use tokio::sync::Mutex;

use super::discovery_faults::Fault;

/// Everything that a watch was ever told, until somebody reads it.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<(Box<dyn Watch>, VecDeque<Update>)>,
}

impl Queue {
    /// Takes in what there is.
    pub(crate) async fn fill(&self) {
        let (watch, updates) = &mut *self.inner.lock().await;
        while let Some(update) = poll_once(watch.next()).await {
            updates.push_back(update.expect("memory is there"));
        }
    }

    async fn next(&self) -> Result<Update> {
        let (watch, updates) = &mut *self.inner.lock().await;
        match updates.pop_front() {
            Some(update) => Ok(update),
            None => watch.next().await,
        }
    }
}

#[derive(Debug)]
pub(crate) struct BrokenWatch {
    fault: Fault,
    queue: Arc<Queue>,
    told: u32,
    held_back: Option<Update>,
    went_wrong: bool,
}

impl BrokenWatch {
    pub(crate) fn new(fault: Fault, inner: Box<dyn Watch>) -> Self {
        let queue = Arc::new(Queue {
            inner: Mutex::new((inner, VecDeque::new())),
        });
        Self {
            fault,
            queue,
            told: 0,
            held_back: None,
            went_wrong: false,
        }
    }

    /// What is to be filled whether this watch reads or not.
    pub(crate) fn queue(&self) -> Option<Arc<Queue>> {
        (self.fault == Fault::WatchQueuesForEver).then(|| Arc::clone(&self.queue))
    }
}

#[async_trait]
impl Watch for BrokenWatch {
    async fn next(&mut self) -> Result<Update> {
        if let Some(update) = self.held_back.take() {
            return Ok(update);
        }
        let update = self.queue.next().await?;
        self.told += 1;
        match self.fault {
            Fault::WatchStartsInTheMiddle if self.told == 1 => self.queue.next().await,
            Fault::WatchDropsAnUpdate | Fault::WatchSwapsUpdates if self.told >= 10 && !self.went_wrong => {
                // Once, as soon as one update waits behind another.
                let Some(later) = poll_once(self.queue.next()).await else {
                    return Ok(update);
                };
                self.went_wrong = true;
                self.held_back = (self.fault == Fault::WatchSwapsUpdates).then_some(update);
                later
            }
            Fault::WatchLosesWhatIsDropped => {
                tokio::task::yield_now().await;
                Ok(update)
            }
            _ => Ok(update),
        }
    }
}
