//! A tokio runtime that may be dropped anywhere, also inside of another runtime.

use std::fmt;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime with threads of its own. Dropping it stops its tasks where they are, and what they
/// hold, sockets too, is closed. Nobody waits for that.
pub(crate) struct Engine {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Engine {
    /// Starts a runtime on so many threads.
    pub(crate) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// For spawning tasks on it.
    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}
