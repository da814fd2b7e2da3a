//! One node that is called: how much is under way to it, and over which connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use ringhold_core::id::Address;
use ringhold_core::{Error, ErrorKind, Incarnation, NodeRecord, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::line::{Dial, Line};
use crate::GrpcLimits;
use crate::security::Secured;

/// A run of a node at an address.
pub(crate) struct Peer {
    address: Address,
    incarnation: Incarnation,
    /// What stands in the requests as their place.
    pub(crate) origin: Uri,
    calls: Arc<Line>,
    queued: AtomicUsize,
    queue_max: usize,
    /// Streams have connections of their own, so that one that nobody reads holds up no call.
    streams: Vec<Arc<Line>>,
}

/// One that waits for its turn.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Peer {
    pub(super) fn new(
        secured: Arc<Secured>,
        limits: &GrpcLimits,
        record: &NodeRecord,
        address: &Address,
        (host, port): (&str, u16),
    ) -> Result<Self> {
        let brackets = if host.contains(':') { ("[", "]") } else { ("", "") };
        let authority = format!("{}{host}{}:{port}", brackets.0, brackets.1);
        let origin = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query("/")
            .build();
        let origin = origin.map_err(|error| {
            let context = format!("the endpoint {address} of node {} is not host:port", record.id);
            Error::new(ErrorKind::Unavailable, "call", context).with_source(error)
        })?;
        let dial = Dial {
            secured,
            limits: limits.clone(),
            node: record.id.clone(),
            host: host.to_owned(),
            port,
        };
        let per_line = limits.streams_max as usize;
        let lines = limits.peer_streams_max.div_ceil(per_line);
        let streams = (0..lines).map(|index| {
            let rest = limits.peer_streams_max - index * per_line;
            Arc::new(Line::new(dial.clone(), rest.min(per_line)))
        });
        Ok(Self {
            address: address.clone(),
            incarnation: record.incarnation,
            origin,
            streams: streams.collect(),
            calls: Arc::new(Line::new(dial, limits.calls_max)),
            queued: AtomicUsize::new(0),
            queue_max: limits.queue_max,
        })
    }

    pub(super) fn is(&self, address: &Address, incarnation: Incarnation) -> bool {
        self.incarnation == incarnation && self.address == *address
    }

    pub(super) fn is_idle(&self, idle: Duration) -> bool {
        self.lines().all(|line| line.is_idle(idle))
    }

    fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        std::iter::once(&self.calls).chain(&self.streams)
    }

    /// A turn to call, as soon as one of those that are under way has ended.
    pub(crate) async fn turn(&self) -> Result<(Arc<Line>, OwnedSemaphorePermit)> {
        let line = Arc::clone(&self.calls);
        if let Ok(permit) = Arc::clone(&line.places).try_acquire_owned() {
            return Ok((line, permit));
        }
        if self.queued.fetch_add(1, Ordering::Relaxed) >= self.queue_max {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(self.overloaded("calls"));
        }
        let _queued = Queued(&self.queued);
        let places: Arc<Semaphore> = Arc::clone(&line.places);
        match places.acquire_owned().await {
            Ok(permit) => Ok((line, permit)),
            // Never closed.
            Err(_) => Err(self.overloaded("calls")),
        }
    }

    /// A place for one more stream, where there is one.
    pub(crate) fn stream(&self) -> Result<(Arc<Line>, OwnedSemaphorePermit)> {
        let mut lines = self.streams.iter();
        let found = lines.find_map(|line| {
            let permit = Arc::clone(&line.places).try_acquire_owned().ok()?;
            Some((Arc::clone(line), permit))
        });
        found.ok_or_else(|| self.overloaded("streams"))
    }

    fn overloaded(&self, what: &str) -> Error {
        let context = format!("too many {what} to {} are under way already", self.address);
        Error::new(ErrorKind::Overloaded, "call", context)
    }
}
