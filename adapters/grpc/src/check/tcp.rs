//! Whether a node takes connections.

use async_trait::async_trait;
use ringhold_core::id::EndpointName;
use ringhold_core::{HealthCheck, NodeRecord, Result};

use super::address::Place;

/// A node is well that takes a connection.
///
/// # Errors
/// `Unavailable` where it does not; `NotFound` where it has no such endpoint, and `InvalidArgument` where
/// that is neither `HOST:PORT` nor a URL with both.
#[derive(Debug, Clone, Default)]
pub struct TcpCheck {
    endpoint: Option<EndpointName>,
}

impl TcpCheck {
    /// Connects to the endpoint `health`, or to `player` where a node has no such.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects to another endpoint.
    #[must_use]
    pub fn on(mut self, endpoint: EndpointName) -> Self {
        self.endpoint = Some(endpoint);
        self
    }
}

#[async_trait]
impl HealthCheck for TcpCheck {
    async fn probe(&self, record: &NodeRecord) -> Result<()> {
        let place = match &self.endpoint {
            Some(endpoint) => Place::of(record, &[endpoint.as_str()])?,
            None => Place::of(record, &["health", "player"])?,
        };
        place.connect().await.map(drop)
    }
}
