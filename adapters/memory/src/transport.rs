//! Calls between the nodes of this process.

mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::transport::{
    BODY_BYTES_MAX, PeerHandler, PeerRequest, PeerStream, ServeGuard, TIME_LEFT_MAX,
};
use ringhold_core::{Error, ErrorKind, NodeIncarnation, NodeRecord, Result, Transport};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

const CALL: &str = "call";
const OPEN: &str = "open";
const SERVE: &str = "serve";

/// The [`Transport`] of this process. Nodes need no `peer` endpoint.
///
/// A handler runs in a task of the runtime that its node serves on, as if the call had come over a
/// network: the caller may go away, and the handler goes on until its time is over. Dropping the guard
/// stops the calls and streams that are under way too; their callers get `Unavailable`.
///
/// While the guard of a node lives, the node cannot serve a second time: `AlreadyExists`.
pub struct MemoryTransport {
    servers: Arc<Mutex<Servers>>,
}

type Servers = HashMap<NodeIncarnation, Server>;

#[derive(Clone)]
struct Server {
    handler: Arc<dyn PeerHandler>,
    runtime: Handle,
    /// Closed when the guard is dropped.
    stopped: watch::Receiver<()>,
}

/// Stops serving when it is dropped.
struct Stop {
    node: NodeIncarnation,
    servers: Weak<Mutex<Servers>>,
    // Its drop closes the channel that running calls look at.
    _running: watch::Sender<()>,
}

impl MemoryTransport {
    /// A transport that nobody serves on yet.
    pub fn new() -> Self {
        Self {
            servers: Arc::default(),
        }
    }
}

impl Default for MemoryTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport").finish_non_exhaustive()
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        let Some(servers) = self.servers.upgrade() else {
            return;
        };
        // It is this guard's: while that lives, no other server of the node comes in.
        let stopped = lock(&servers).remove(&self.node);
        // The handler may own anything, so it goes when the lock is free.
        drop(stopped);
    }
}

impl MemoryTransport {
    /// Who serves the node that is meant, for a request that may be sent.
    fn server(&self, operation: &'static str, record: &NodeRecord, request: &PeerRequest) -> Result<Server> {
        check_body(operation, "request", &request.body)?;
        let target = &request.target;
        if record.id != target.node {
            let context = format!(
                "the request is for {target}, and the record of node {}",
                record.id
            );
            return Err(Error::new(ErrorKind::InvalidArgument, operation, context));
        }
        let server = lock(&self.servers).get(target).cloned();
        server.ok_or_else(|| unavailable(operation, format!("{target} does not serve")))
    }
}

impl Server {
    /// Runs one piece of a handler's work where the node serves, until it is done, the caller's time is
    /// over, or the node stops.
    async fn run<T, Work>(
        self,
        operation: &'static str,
        request: PeerRequest,
        work: impl FnOnce(PeerRequest) -> Work,
    ) -> Result<T>
    where
        T: Send + 'static,
        Work: Future<Output = Result<T>> + Send + 'static,
    {
        let (target, time_left) = (request.target.clone(), request.time_left.min(TIME_LEFT_MAX));
        let gone = format!("{target} has stopped serving");
        let late = format!("{target} has not answered within {time_left:?}");
        let (mut stopped, work) = (self.stopped, work(request));
        let task = self.runtime.spawn(async move {
            tokio::select! {
                biased;
                // Nobody ever sends: it changes by being closed.
                _ = stopped.changed() => Err(unavailable(operation, gone)),
                answer = timeout(time_left, work) => {
                    answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, operation, late)))
                }
            }
        });
        match task.await {
            Ok(answer) => answer,
            // What it panicked with may hold anything; it is not sent to another node.
            Err(error) if error.is_panic() => {
                let context = format!("the handler of {target} panicked");
                Err(unavailable(operation, context))
            }
            Err(error) => {
                let context = format!("the runtime of {target} has stopped");
                Err(unavailable(operation, context).with_source(error))
            }
        }
    }
}

fn lock(servers: &Mutex<Servers>) -> MutexGuard<'_, Servers> {
    // Nothing under the lock runs foreign code.
    servers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn call(&self, record: &NodeRecord, request: PeerRequest) -> Result<Bytes> {
        let server = self.server(CALL, record, &request)?;
        let handler = Arc::clone(&server.handler);
        let reply = server
            .run(
                CALL,
                request,
                |request| async move { handler.handle(request).await },
            )
            .await?;
        check_body(CALL, "reply", &reply)?;
        Ok(reply)
    }

    async fn open(&self, record: &NodeRecord, request: PeerRequest) -> Result<PeerStream> {
        let server = self.server(OPEN, record, &request)?;
        let handler = Arc::clone(&server.handler);
        let (here, there) = stream::pair(&server.stopped);
        server
            .run(OPEN, request, |request| async move {
                handler.open(request, there).await
            })
            .await?;
        Ok(here)
    }

    async fn serve(&self, node: NodeIncarnation, handler: Arc<dyn PeerHandler>) -> Result<ServeGuard> {
        let runtime = Handle::try_current().map_err(|error| {
            let context = "handlers run in a tokio runtime, and this is called outside of one";
            Error::new(ErrorKind::InvalidArgument, SERVE, context).with_source(error)
        })?;
        let (running, stopped) = watch::channel(());
        let server = Server {
            handler,
            runtime,
            stopped,
        };
        match lock(&self.servers).entry(node.clone()) {
            Entry::Vacant(free) => {
                free.insert(server);
            }
            Entry::Occupied(_) => {
                let context = format!("{node} serves already; drop its guard first");
                return Err(Error::new(ErrorKind::AlreadyExists, SERVE, context));
            }
        }
        let servers = Arc::downgrade(&self.servers);
        Ok(ServeGuard::new(
            None,
            Stop {
                node,
                servers,
                _running: running,
            },
        ))
    }
}

fn check_body(operation: &'static str, what: &str, body: &Bytes) -> Result<()> {
    if body.len() <= BODY_BYTES_MAX {
        return Ok(());
    }
    let context = format!(
        "the {what} has {} bytes; at most {BODY_BYTES_MAX} can be sent",
        body.len()
    );
    Err(Error::new(ErrorKind::TooLarge, operation, context))
}

fn unavailable(operation: &'static str, context: String) -> Error {
    Error::new(ErrorKind::Unavailable, operation, context)
}
