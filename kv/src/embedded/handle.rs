//! One fleet of one open file, as the stores of its traits use it.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle as Runtime;

use super::engine::Engine;
use super::fleet::{FleetState, Reading, Write};
use super::overlay::Overlay;
use crate::clock::ClockKind;

/// A fleet in an open file; a clone shares it.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) engine: Arc<Engine>,
    pub(super) fleet: Arc<FleetState>,
    /// How long after an answer it may take until a write is on the disk.
    pub(super) sync_within: Duration,
}

impl Handle {
    /// A write that is on the disk as soon as was asked for.
    pub(super) const fn firm(&self, clock: ClockKind) -> Write {
        Write::new(clock, self.sync_within)
    }

    /// Runs a rule in the writer. Dropping the future is ambiguous.
    pub(super) async fn write<R: Send + 'static>(
        &self,
        write: Write,
        rule: impl FnOnce(&mut Overlay<'_>, Reading) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let answer = self.fleet.write(&self.engine, write, rule)?;
        answer.await.unwrap_or_else(|_| Err(self.engine.unavailable()))
    }

    /// Runs a rule that only reads, beside the writer, with the reading of a clock.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        clock: ClockKind,
        rule: impl FnOnce(&mut Overlay<'_>, Reading) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let this = self.clone();
        let reading = move || {
            let now = this.fleet.read_clock(clock);
            this.engine.read(this.fleet.prefix(), |tx| rule(tx, now))
        };
        blocking("store", reading).await
    }
}

/// Runs what waits for a disk where no task waits behind it.
pub(super) async fn blocking<R: Send + 'static>(
    operation: &'static str,
    act: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<R> {
    let runtime = Runtime::try_current().map_err(|error| {
        let context = "it is read on threads of a tokio runtime, and this is called outside of one";
        Error::new(ErrorKind::InvalidArgument, operation, context).with_source(error)
    })?;
    runtime.spawn_blocking(act).await.unwrap_or_else(|error| {
        let context = "the runtime is stopping, or a bug stopped the request";
        Err(Error::new(ErrorKind::Unavailable, operation, context).with_source(error))
    })
}
