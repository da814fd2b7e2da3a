//! Who the other side of a connection is, as far as its certificate says.

use std::net::SocketAddr;

use ringhold_core::NodeId;

/// Who opened a connection to a server.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    address: SocketAddr,
}

impl Caller {
    /// One whose certificate is not asked for: it may be anyone.
    pub(crate) fn anyone(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Whether it may speak for `node`.
    pub(crate) fn may_be(&self, node: &NodeId) -> bool {
        let _ = node;
        true
    }

    /// Where it connected from.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
