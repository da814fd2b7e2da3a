//! Who may call, and how that is known.

mod files;
mod identity;
mod io;
mod loaded;
#[cfg(test)]
pub(crate) mod tests;
mod token;
mod verifier;
mod words;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use ringhold_core::{Error, ErrorKind, FleetName, NodeId, Result};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::files::Stamp;
pub(crate) use self::identity::Caller;
use self::identity::Names;
pub(crate) use self::io::Io;
use self::loaded::Loaded;
use self::words::{ACCEPT, CONNECT, SERVE};

/// The files are looked at no more often than this.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// How the nodes of a fleet know each other: the same for all of them.
///
/// Files are PEM of at most 1 MiB. They are read when the transport is made. Each handshake, and with a token
/// each request, has a look whether they have changed, at most once a second, and then they are read again.
/// Files that cannot be used stop a transport from being made; later, what was read before them stays in use
/// and a warning is logged. What is open stays open, and nobody is asked whether a certificate was revoked:
/// give them short lives. While two processes have different tokens, they refuse each other's calls.
///
/// # Which node a certificate is
/// One with the DNS name `N`, in any case, is node `N`'s, and one with the URI `ringhold://FLEET/N` too. One
/// with the URI `ringhold://FLEET/*` is any node of that fleet, for machines that share a certificate. An id
/// that is no DNS name needs a URI. The names are those among the subject's alternative names; addresses and
/// the common name do not count. A client's certificate that names no node is an observer's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// None: between processes of one machine, over loopback, and refused elsewhere.
    Plain,
    /// TLS, and both sides show a certificate that says which node they are.
    MutualTls {
        /// The authorities that sign the certificates of the fleet; nobody else's are trusted.
        ca: PathBuf,
        /// This process' certificate, and those between it and an authority.
        certificate: PathBuf,
        /// The private key of the certificate.
        key: PathBuf,
    },
    /// TLS, and callers show a secret instead of a certificate. Whoever has it may be any node.
    Token {
        /// The authorities that sign the certificates of the servers; nobody else's are trusted.
        ca: PathBuf,
        /// The certificate of this process where it serves, and those between it and an authority.
        certificate: Option<PathBuf>,
        /// The private key of the certificate.
        key: Option<PathBuf>,
        /// The secret: 16 to 4096 visible ASCII characters. Blanks and line ends around it do not count.
        token: PathBuf,
    },
}

/// A [`Security`] with what its files hold.
pub(crate) struct Secured {
    security: Arc<Security>,
    fleet: Option<FleetName>,
    current: Arc<Mutex<Current>>,
}

/// What is in use, and what is known of the files.
struct Current {
    loaded: Arc<Loaded>,
    /// How the files looked when they were last read, whether that went well or not.
    stamps: Vec<Option<Stamp>>,
    /// Whether they were of no use then.
    failed: bool,
    looked: Instant,
}

impl Secured {
    /// Reads the files, which blocks. A process that serves nobody may leave the fleet out.
    ///
    /// # Errors
    /// `InvalidArgument` for whatever has to be put right on this side.
    pub(crate) fn load(security: &Security, fleet: Option<&FleetName>) -> Result<Self> {
        let stamps = stamps(security);
        let loaded = Loaded::read(security)?;
        files::warn_of_exposed(security);
        let current = Current {
            loaded: Arc::new(loaded),
            stamps,
            failed: false,
            looked: Instant::now(),
        };
        Ok(Self {
            security: Arc::new(security.clone()),
            fleet: fleet.cloned(),
            current: Arc::new(Mutex::new(current)),
        })
    }

    /// Whether this process may serve `node` at `address`.
    ///
    /// # Errors
    /// `InvalidArgument` where it must not, and where callers would refuse its certificate.
    pub(crate) fn may_serve(&self, node: &NodeId, address: SocketAddr) -> Result<()> {
        if *self.security == Security::Plain {
            return if is_loopback(address) {
                Ok(())
            } else {
                Err(words::plain(SERVE, address))
            };
        }
        let loaded = self.loaded();
        let own = loaded.serving()?;
        let names = Names::of(own, self.fleet.as_ref());
        if names.hold(node) {
            return Ok(());
        }
        let context = format!(
            "this side's certificate is for {names}; to serve node {node}, it needs that as a DNS name, or the URI \
             ringhold://{}/{node}",
            self.fleet.as_ref().map_or("FLEET", FleetName::as_str)
        );
        Err(Error::new(ErrorKind::InvalidArgument, SERVE, context))
    }

    /// The server's side of a handshake. How long it may take is the caller's to say.
    ///
    /// # Errors
    /// `Unavailable`, which ends this connection and nothing else.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> Result<(Io, Caller)> {
        let address = tcp.peer_addr().map_err(|error| words::gone(ACCEPT, error))?;
        if *self.security == Security::Plain {
            on_loopback(ACCEPT, &tcp)?;
            return Ok((Io::Plain(tcp), Caller::anyone(address)));
        }
        let loaded = self.refresh().await;
        let tls = loaded.acceptor()?.accept(tcp).await;
        let tls = tls.map_err(|error| words::handshake(ACCEPT, error))?;
        let caller = match tls.get_ref().1.peer_certificates() {
            Some([certificate, ..]) => Caller::named(address, Names::of(certificate, self.fleet.as_ref())),
            // Whether one is demanded is the acceptor's; here, the token says enough.
            _ => Caller::anyone(address),
        };
        Ok((Io::Server(Box::new(tls)), caller))
    }

    /// The client's side of a handshake with a server at `host` that has to be `target`.
    ///
    /// A server that refuses this side's certificate may say so only later: reading then fails with an
    /// [`io::Error`](std::io::Error) that has the [`Error`] in it.
    ///
    /// # Errors
    /// `Unavailable` where the server is not trusted or is another one, `InvalidArgument` for a host that is
    /// none.
    pub(crate) async fn connect(&self, tcp: TcpStream, host: &str, target: &NodeId) -> Result<Io> {
        if *self.security == Security::Plain {
            on_loopback(CONNECT, &tcp)?;
            return Ok(Io::Plain(tcp));
        }
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|error| {
            let context = format!("{host:?} is neither a host's name nor its address");
            Error::new(ErrorKind::InvalidArgument, CONNECT, context).with_source(error)
        })?;
        let loaded = self.refresh().await;
        let tls = loaded.connector()?.connect(name, tcp).await;
        let tls = tls.map_err(|error| words::handshake(CONNECT, error))?;
        let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = shown.map_or_else(Names::none, |shown| Names::of(shown, self.fleet.as_ref()));
        if !names.hold(target) {
            return Err(words::another_node(&names, target));
        }
        Ok(Io::Client(Box::new(tls)))
    }

    /// Adds to a request what the server wants to see. Only for connections of [`connect`](Self::connect).
    pub(crate) fn authorize(&self, headers: &mut HeaderMap) {
        self.look_aside();
        if let Some(token) = self.loaded().token() {
            headers.insert(http::header::AUTHORIZATION, token.header());
        }
    }

    /// Looks at what a request shows.
    ///
    /// # Errors
    /// `Unavailable` for a token that is missing or wrong.
    pub(crate) fn admit(&self, caller: &Caller, headers: &HeaderMap) -> Result<()> {
        self.look_aside();
        match self.loaded().token() {
            Some(token) => token.admit(caller.address(), headers),
            None => Ok(()),
        }
    }

    /// Looks at the files where that is due, and answers what is in use then.
    async fn refresh(&self) -> Arc<Loaded> {
        if let Some(looking) = self.look_if_due() {
            // It has stored what it found when it ends. A panic or a runtime that stops leaves all as it was.
            let _ = looking.await;
        }
        self.loaded()
    }

    /// Looks at the files where that is due, and waits for nothing: a connection may live longer than a token.
    fn look_aside(&self) {
        if matches!(*self.security, Security::Token { .. }) {
            // It ends by itself, and holds nothing but what is read.
            drop(self.look_if_due());
        }
    }

    /// Looks beside the threads that requests run on: files may be far away.
    fn look_if_due(&self) -> Option<JoinHandle<()>> {
        if !self.is_due() {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let (security, current) = (Arc::clone(&self.security), Arc::clone(&self.current));
        Some(runtime.spawn_blocking(move || look(&security, &current)))
    }

    /// Whether it is the caller's turn to look.
    fn is_due(&self) -> bool {
        if *self.security == Security::Plain {
            return false;
        }
        let mut current = lock(&self.current);
        let due = current.looked.elapsed() >= LOOK_PERIOD;
        if due {
            current.looked = Instant::now();
        }
        due
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&lock(&self.current).loaded)
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured")
            .field("security", &self.security)
            .field("fleet", &self.fleet)
            .finish_non_exhaustive()
    }
}

/// Reads the files anew where they have changed, or were of no use the last time.
fn look(security: &Security, current: &Mutex<Current>) {
    // Before they are read: what changes meanwhile is seen the next time.
    let stamps = stamps(security);
    let (changed, failed) = {
        let current = lock(current);
        (current.stamps != stamps, current.failed)
    };
    if !changed && !failed {
        return;
    }
    let read = Loaded::read(security);
    match &read {
        Ok(_) => {
            tracing::info!("certificates, keys and tokens were read anew");
            files::warn_of_exposed(security);
        }
        Err(error) if changed => {
            tracing::warn!(%error, "the new certificates, keys or tokens are of no use; the old ones stay in use");
        }
        Err(_) => {}
    }
    let mut current = lock(current);
    current.stamps = stamps;
    current.failed = read.is_err();
    if let Ok(loaded) = read {
        current.loaded = Arc::new(loaded);
    }
}

fn stamps(security: &Security) -> Vec<Option<Stamp>> {
    files::paths(security).map(Stamp::of).collect()
}

fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    // Nothing under the lock can panic half-way.
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Refuses a connection that has an end elsewhere.
fn on_loopback(operation: &'static str, tcp: &TcpStream) -> Result<()> {
    let gone = |error| words::gone(operation, error);
    let ends = [tcp.peer_addr().map_err(gone)?, tcp.local_addr().map_err(gone)?];
    match ends.into_iter().find(|end| !is_loopback(*end)) {
        Some(end) => Err(words::plain(operation, end)),
        None => Ok(()),
    }
}
