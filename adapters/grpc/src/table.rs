//! Which nodes are served here, and how they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use futures_util::FutureExt as _;
use ringhold_core::transport::PeerHandler;
use ringhold_core::{Error, ErrorKind, NodeIncarnation, Result};
use tokio::sync::watch;

const CALL: &str = "call";

/// The nodes that are served by one transport.
pub(crate) struct Table {
    served: RwLock<HashMap<NodeIncarnation, Served>>,
    wells: watch::Sender<Wells>,
}

/// What is told of the nodes' health, the latest run last.
pub(crate) type Wells = Vec<(NodeIncarnation, bool)>;

/// One node that is served.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) handler: Arc<dyn PeerHandler>,
    /// Closed when the guard is dropped.
    pub(crate) stopped: watch::Receiver<()>,
}

/// Stops serving one node when it is dropped.
pub(crate) struct Stop {
    node: NodeIncarnation,
    table: Weak<Table>,
    // Its drop closes the channel that running calls look at.
    _running: watch::Sender<()>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            served: RwLock::default(),
            wells: watch::Sender::default(),
        }
    }

    /// Begins to serve a node.
    pub(crate) fn serve(
        self: &Arc<Self>,
        node: NodeIncarnation,
        handler: Arc<dyn PeerHandler>,
    ) -> Result<Stop> {
        let (running, stopped) = watch::channel(());
        match self
            .served
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(node.clone())
        {
            Entry::Vacant(free) => free.insert(Served { handler, stopped }),
            Entry::Occupied(_) => {
                let context = format!("{node} serves already; drop its guard first");
                return Err(Error::new(ErrorKind::AlreadyExists, "serve", context));
            }
        };
        self.wells.send_modify(|wells| {
            wells.push((node.clone(), true));
            wells.sort_by_key(|(node, _)| node.incarnation.number);
        });
        Ok(Stop {
            node,
            table: Arc::downgrade(self),
            _running: running,
        })
    }

    /// Who serves the run of a node that is meant.
    pub(crate) fn find(&self, target: &NodeIncarnation) -> Result<Served> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let found = served.get(target).cloned();
        found.ok_or_else(|| unavailable(format!("{target} does not serve here")))
    }

    /// Sets what probes of a node are answered.
    pub(crate) fn set_well(&self, node: &NodeIncarnation, well: bool) {
        self.wells.send_if_modified(|wells| {
            let found = wells.iter_mut().find(|(known, _)| known == node);
            found.is_some_and(|(_, is)| std::mem::replace(is, well) != well)
        });
    }

    pub(crate) fn wells(&self) -> watch::Receiver<Wells> {
        self.wells.subscribe()
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        let Some(table) = self.table.upgrade() else {
            return;
        };
        table
            .wells
            .send_modify(|wells| wells.retain(|(node, _)| *node != self.node));
        // The handler may own anything, so it goes when the lock is free.
        let stopped = table
            .served
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.node);
        drop(stopped);
    }
}

impl Served {
    /// Runs one piece of the handler's work, until it is done or the node stops. Who drops this drops the
    /// work.
    pub(crate) async fn run<T>(
        &self,
        target: &NodeIncarnation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            // Nobody ever sends: it changes by being closed.
            _ = stopped.changed() => Err(unavailable(format!("{target} has stopped serving"))),
            // A handler that has panicked is called again as one that has not: its state is its own matter.
            done = AssertUnwindSafe(work).catch_unwind() => {
                // What it panicked with may hold anything; it is not sent to another node.
                done.unwrap_or_else(|_| Err(unavailable(format!("the handler of {target} panicked"))))
            }
        }
    }
}

fn unavailable(context: String) -> Error {
    Error::new(ErrorKind::Unavailable, CALL, context)
}
