//! The nodes that are called, and the connections to them.

mod channel;
mod line;
mod peer;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringhold_core::{Error, ErrorKind, NodeId, NodeRecord, Result};

pub(crate) use self::channel::{NotSent, client};
pub(crate) use self::line::jittered;
pub(crate) use self::peer::Peer;
use crate::GrpcLimits;
use crate::bucket::Bucket;
use crate::config::host_and_port;
use crate::security::Secured;

/// The endpoint of a node that other nodes call.
const ENDPOINT: &str = "peer";
/// Calls that were repeated, beside those that each call earns.
const RETRIES_MAX: f64 = 10.0;
const RETRIES_PER_SECOND: f64 = 3.0;
const RETRIES_PER_CALL: f64 = 0.1;

/// Everything that one transport calls.
pub(crate) struct Pool {
    secured: Arc<Secured>,
    limits: GrpcLimits,
    peers: Mutex<HashMap<NodeId, Arc<Peer>>>,
    retries: Mutex<Bucket>,
}

impl Pool {
    pub(crate) fn new(secured: Arc<Secured>, limits: GrpcLimits) -> Self {
        Self {
            secured,
            limits,
            peers: Mutex::default(),
            retries: Mutex::new(Bucket::new(RETRIES_MAX, RETRIES_PER_SECOND)),
        }
    }

    /// The way to the node of `record`. A new run of it, or a new address, is nothing that an old
    /// connection says anything of.
    pub(crate) fn peer(&self, record: &NodeRecord) -> Result<Arc<Peer>> {
        let unavailable = |context| Error::new(ErrorKind::Unavailable, "call", context);
        let address = record
            .endpoints
            .get(ENDPOINT)
            .ok_or_else(|| unavailable(format!("node {} has no endpoint `{ENDPOINT}`", record.id)))?;
        let mut peers = lock(&self.peers);
        if let Some(known) = peers.get(&record.id)
            && known.is(address, record.incarnation)
        {
            return Ok(Arc::clone(known));
        }
        let (host, port) = host_and_port(address).ok_or_else(|| {
            unavailable(format!(
                "the endpoint {address} of node {} is not host:port",
                record.id
            ))
        })?;
        let peer = Arc::new(Peer::new(
            Arc::clone(&self.secured),
            &self.limits,
            record,
            address,
            (host, port),
        )?);
        let old = peers.insert(record.id.clone(), Arc::clone(&peer));
        // A time to look for those that nobody calls any more.
        let idle: Vec<_> = peers
            .extract_if(|_, peer| peer.is_idle(self.limits.idle))
            .collect();
        drop(peers);
        // What ends with them ends outside of the lock.
        drop((old, idle));
        Ok(peer)
    }

    /// Counts a call, which earns a part of a repetition.
    pub(crate) fn called(&self) {
        lock(&self.retries).put(RETRIES_PER_CALL);
    }

    /// Whether one more call may be repeated.
    pub(crate) fn may_repeat(&self) -> bool {
        lock(&self.retries).take()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers = lock(&self.peers).len();
        f.debug_struct("Pool")
            .field("peers", &peers)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under the lock runs foreign code.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
