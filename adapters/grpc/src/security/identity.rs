//! Which node the other side of a connection is, as far as its certificate says.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use ringhold_core::{FleetName, NodeId};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// So many names are told in a message.
const TOLD_MAX: usize = 4;
const SCHEME: &str = "ringhold://";

/// Who opened a connection to a server.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    address: SocketAddr,
    /// `None` where no certificate is asked for.
    names: Option<Arc<Names>>,
}

impl Caller {
    /// One whose certificate is not asked for: it may be anyone.
    pub(super) fn anyone(address: SocketAddr) -> Self {
        Self { address, names: None }
    }

    /// One that is what its certificate says.
    pub(super) fn named(address: SocketAddr, names: Names) -> Self {
        let names = Some(Arc::new(names));
        Self { address, names }
    }

    /// Whether it may speak for `node`.
    pub(crate) fn may_be(&self, node: &NodeId) -> bool {
        self.names.as_ref().is_none_or(|names| names.hold(node))
    }

    /// Where it connected from.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The names of a certificate that can be a node's.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Compared in any case.
    dns: Vec<String>,
    /// What stands behind the fleet in a URI; `*` for every node.
    nodes: Vec<String>,
}

impl Names {
    /// No name at all.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// The names of a certificate. Of URIs, those of `fleet` count, or of any where that is `None`.
    pub(super) fn of(certificate: &CertificateDer<'_>, fleet: Option<&FleetName>) -> Self {
        // The handshake has parsed it already, so it does not fail; and who fails here has no name.
        let Ok(certificate) = EndEntityCert::try_from(certificate) else {
            return Self::none();
        };
        Self {
            dns: certificate.valid_dns_names().map(str::to_owned).collect(),
            nodes: certificate
                .valid_uri_names()
                .filter_map(|uri| node_of(uri, fleet))
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Whether one of them is `node`'s.
    pub(super) fn hold(&self, node: &NodeId) -> bool {
        let node = node.as_str();
        self.nodes.iter().any(|name| name == "*" || name == node)
            || self.dns.iter().any(|name| name.eq_ignore_ascii_case(node))
    }
}

/// The node in `ringhold://FLEET/NODE`, which stands for itself: neither name needs an escape.
fn node_of<'a>(uri: &'a str, fleet: Option<&FleetName>) -> Option<&'a str> {
    let (theirs, node) = uri.strip_prefix(SCHEME)?.split_once('/')?;
    let ours = fleet.is_none_or(|fleet| fleet.as_str() == theirs);
    (ours && (node == "*" || NodeId::new(node).is_ok())).then_some(node)
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.dns.len() + self.nodes.len();
        if all == 0 {
            return f.write_str("no node of this fleet");
        }
        let names = self.nodes.iter().chain(&self.dns);
        for (i, name) in names.take(TOLD_MAX).enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        if all > TOLD_MAX {
            write!(f, " and {} more", all - TOLD_MAX)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_node_of_its_fleet() {
        let arena = FleetName::new("arena").unwrap();
        for (uri, of_arena, of_any) in [
            ("ringhold://arena/eu-1", Some("eu-1"), Some("eu-1")),
            ("ringhold://arena/*", Some("*"), Some("*")),
            ("ringhold://arenas/eu-1", None, Some("eu-1")),
            ("ringhold://Arena/eu-1", None, Some("eu-1")),
            ("ringhold://arena/eu-1/x", None, None),
            ("ringhold://arena/", None, None),
            ("ringhold://arena", None, None),
            ("https://arena/eu-1", None, None),
            ("", None, None),
        ] {
            assert_eq!(node_of(uri, Some(&arena)), of_arena, "{uri}");
            assert_eq!(node_of(uri, None), of_any, "{uri}");
        }
    }
}
