//! From an address to a connection that can be used: resolve, connect, greet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::latency::timed;
use super::topology::Address;
use crate::client::{Command, Connector, Link, LinkError, Reply, ServerError};
use crate::resolver::Resolver;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;
/// An address that has not answered for so long may be unreachable: the next one is tried beside it.
const NEXT_ADDRESS: Duration = Duration::from_millis(100);

/// Makes connections to servers.
#[derive(Debug)]
pub(super) struct Dialer {
    connector: Arc<dyn Connector>,
    resolver: Arc<dyn Resolver>,
    /// Whether the servers are a cluster, which says itself which server is a master.
    cluster: bool,
    /// The runtime of connections that outlive the call that needs them first.
    pub(super) runtime: Handle,
}

/// A new connection.
#[derive(Debug)]
pub(super) struct Dialed {
    pub(super) link: Arc<dyn Link>,
    /// The time of its greeting, where that was measured.
    pub(super) round_trip: Option<Duration>,
}

impl Dialer {
    /// A dialer whose connections belong to the runtime that calls this.
    pub(super) fn new(connector: Arc<dyn Connector>, resolver: Arc<dyn Resolver>, cluster: bool) -> Self {
        Self {
            connector,
            resolver,
            cluster,
            runtime: Handle::current(),
        }
    }

    /// Resolves a name, and returns the connection to the first of its addresses that answers and is no replica of a
    /// single server. Scripts are not sent: all of them are more than a slow network carries in the time of an
    /// attempt. The caller brings the deadline.
    ///
    /// # Errors
    /// The error of the address that says most; `Refused` with `READONLY` where that is a replica.
    ///
    /// # Cancel safety
    /// Dropping the future ends all its connections.
    pub(super) async fn connect(&self, to: &Address) -> Result<Dialed, LinkError> {
        let resolved = self.resolver.resolve(&to.host, to.port).await;
        let resolved = resolved.map_err(|error| LinkError::Broken(Box::new(error)))?;
        let mut addresses = resolved.into_iter().take(ADDRESSES_MAX);
        let mut failed = LinkError::Broken(format!("{} has no address", to.host).into());
        let mut dials = FuturesUnordered::new();
        loop {
            let next = addresses.next();
            let last = next.is_none();
            dials.extend(next.map(|address| self.dial(&to.host, address)));
            let ended = dials.next();
            let ended = if last {
                ended.await
            } else {
                match timeout(NEXT_ADDRESS, ended).await {
                    Ok(ended) => ended,
                    Err(_) => continue,
                }
            };
            match ended {
                Some(Ok(made)) => return Ok(made),
                Some(Err(error)) if says(&error) >= says(&failed) => failed = error,
                Some(Err(_)) => {}
                None => return Err(failed),
            }
        }
    }

    async fn dial(&self, host: &str, address: SocketAddr) -> Result<Dialed, LinkError> {
        let link = self.connector.connect(host, address).await?;
        let mut greeting = vec![Command::of(&["PING"])];
        if !self.cluster {
            greeting.push(Command::of(&["INFO", "replication"]));
        }
        let (replies, round_trip) = timed(link.send(&greeting)).await;
        for reply in replies? {
            match reply {
                // It ends such a connection. Any other refusal is for the call itself.
                Reply::Error(error) if error.is_of_full_server() => return Err(LinkError::Refused(error)),
                Reply::Bytes(info) if is_replica(&info) => return Err(LinkError::Refused(read_only())),
                _ => {}
            }
        }
        Ok(Dialed { link, round_trip })
    }
}

/// The rank of an error by how much it explains.
fn says(error: &LinkError) -> u8 {
    match error {
        LinkError::Broken(_) => 0,
        LinkError::Protocol(_) | LinkError::Tls(_) => 1,
        LinkError::Refused(_) => 2,
        LinkError::Denied(_) => 3,
    }
}

/// Whether an answer to `INFO replication` is a replica's.
pub(super) fn is_replica(info: &[u8]) -> bool {
    info.split(|byte| *byte == b'\n')
        .any(|line| line.trim_ascii_end() == b"role:slave")
}

/// The refusal of a replica that was asked for its role, in the words in which it refuses a write.
pub(super) fn read_only() -> ServerError {
    ServerError {
        code: "READONLY".to_owned(),
        detail: "role:slave".to_owned(),
    }
}
