//! A watch: a position in the log, and a bell.

use std::sync::Arc;

use async_trait::async_trait;
use ringhold_core::discovery::Watch;
use ringhold_core::{Error, ErrorKind, Result, Update};
use tokio::sync::watch;

use super::Shared;
use super::read::Position;

/// Follows the membership.
///
/// It holds a position, never an update, so a watcher that does not read costs nothing, and one
/// that is too far behind is told `Reset`.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    shared: Arc<Shared>,
    bell: watch::Receiver<()>,
    position: Position,
}

impl MemoryWatch {
    pub(super) fn new(shared: Arc<Shared>, position: Position) -> Self {
        let bell = shared.bell.subscribe();
        Self {
            shared,
            bell,
            position,
        }
    }
}

#[async_trait]
impl Watch for MemoryWatch {
    async fn next(&mut self) -> Result<Update> {
        loop {
            // Marked before the look, so that what rings after it ends the wait.
            self.bell.mark_unchanged();
            let (shared, position) = (&self.shared, &mut self.position);
            if let Some(update) = shared.with(|leases, time| leases.follow(time, position)) {
                return Ok(update);
            }
            // The bell lives in what this watch holds, so it is never gone.
            self.bell.changed().await.map_err(|gone| {
                Error::new(ErrorKind::Unavailable, "watch", "the backend is gone").with_source(gone)
            })?;
        }
    }
}
