//! One node that is called: how much is under way to it, and over which connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Uri;
use ringhold_core::id::Address;
use ringhold_core::{Error, ErrorKind, Incarnation, NodeRecord, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::channel::Channel;
use super::line::{Dial, Line};
use crate::GrpcLimits;
use crate::security::Secured;

/// So many calls on one connection are enough for a second one.
const MANY: usize = 8;

/// A run of a node at an address.
pub(crate) struct Peer {
    address: Address,
    incarnation: Incarnation,
    /// What stands in the requests as their place.
    pub(crate) origin: Uri,
    /// Turns to call.
    turns: Semaphore,
    calls: Arc<Line>,
    /// What calls take beside that when there are many of them. One connection is one task on each side and
    /// one order of bytes: while it is written here, nothing of it is read there.
    more_calls: Arc<Line>,
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
            turns: Semaphore::new(limits.calls_max),
            calls: Arc::new(Line::new(dial.clone(), limits.calls_max)),
            more_calls: Arc::new(Line::new(dial, limits.calls_max)),
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
        [&self.calls, &self.more_calls].into_iter().chain(&self.streams)
    }

    /// A turn to call, as soon as one of those that are under way has ended.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        if self.queued.fetch_add(1, Ordering::Relaxed) >= self.queue_max {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(self.overloaded("calls"));
        }
        let _queued = Queued(&self.queued);
        // Never closed.
        self.turns.acquire().await.map_err(|_| self.overloaded("calls"))
    }

    /// A connection for one call of those that have their turn, and its place there.
    pub(crate) async fn channel(&self) -> Result<(Channel, Option<SemaphorePermit<'_>>)> {
        let under_way = self.calls.under_way();
        if under_way >= MANY
            && self.more_calls.under_way() < under_way
            && let Some(channel) = self.more_calls.open()
        {
            return Ok((channel, self.more_calls.place()));
        }
        let place = self.calls.place();
        if let Some(channel) = self.calls.open() {
            return Ok((channel, place));
        }
        // Where only this connection broke, it is made anew while the other takes the calls.
        if let Some(other) = self.more_calls.standing() {
            return Ok((other, self.more_calls.place()));
        }
        Ok((self.calls.channel().await?, place))
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

#[cfg(test)]
mod tests {
    use ringhold_core::{NodeId, Nonce};
    use tokio::net::TcpListener;

    use super::*;
    use crate::Security;

    fn peer(listener: &TcpListener) -> Peer {
        let address = listener.local_addr().unwrap();
        let incarnation = Incarnation {
            number: 1,
            nonce: Nonce::from_bytes([1; 16]),
        };
        let record = NodeRecord::new(NodeId::new("eu-1").unwrap(), incarnation);
        Peer::new(
            Arc::new(Secured::load(&Security::Plain, None).unwrap()),
            &GrpcLimits::default(),
            &record,
            &Address::new(address.to_string()).unwrap(),
            ("127.0.0.1", address.port()),
        )
        .unwrap()
    }

    #[tokio::test]
    async fn many_calls_are_spread_over_two_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = peer(&listener);
        let under_way = || (peer.calls.under_way(), peer.more_calls.under_way());
        let mut held = Vec::new();
        for _ in 0..MANY {
            held.push(peer.channel().await.unwrap());
        }
        assert_eq!(under_way(), (MANY, 0));
        // This begins to make the second one, and does not wait for it.
        held.push(peer.channel().await.unwrap());
        assert_eq!(under_way(), (MANY + 1, 0));
        ringhold_testkit::within("the second", peer.more_calls.channel())
            .await
            .unwrap();
        for _ in 0..3 * MANY {
            held.push(peer.channel().await.unwrap());
        }
        assert_eq!(under_way(), (2 * MANY + 1, 2 * MANY));
        drop(held);
        let _held = peer.channel().await.unwrap();
        assert_eq!(under_way(), (1, 0));
    }

    #[tokio::test]
    async fn where_one_connection_broke_the_other_takes_the_calls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = peer(&listener);
        peer.calls.channel().await.unwrap();
        let (broken, _) = listener.accept().await.unwrap();
        peer.more_calls.channel().await.unwrap();
        let (_stands, _) = listener.accept().await.unwrap();
        drop((broken, listener));
        let breaks = async {
            while peer.calls.channel().await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        ringhold_testkit::within("the first breaks", breaks).await;
        let (_channel, _place) = peer.channel().await.unwrap();
        assert_eq!((peer.calls.under_way(), peer.more_calls.under_way()), (0, 1));
    }
}
