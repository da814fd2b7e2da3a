//! Name resolution.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::RedisConfig;

/// Name resolution for the connections of a backend.
///
/// It runs for each new connection, so a name that leads to another server after a failover is followed as soon as the
/// old connection ends. Nothing is cached here.
#[async_trait]
pub trait Resolver: Send + Sync + fmt::Debug {
    /// Returns the addresses of `host`, the preferred one first.
    ///
    /// The backend tries the first 16 in this order, each at once after the failure of the one before or 100 ms after
    /// it was tried, and uses the first that answers. With `redis://` and `rediss://` a replica counts as a failure.
    /// `host` may be an IP address.
    ///
    /// # Errors
    /// Any error counts as a failed connection, which is retried.
    ///
    /// # Cancel safety
    /// The future is dropped at the deadline of a connection; nothing may depend on its end.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The name resolution of the operating system.
#[derive(Debug)]
pub(crate) struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

impl RedisConfig {
    /// Resolves the names of servers with `resolver` instead of the operating system.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }
}
