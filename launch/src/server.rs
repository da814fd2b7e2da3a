//! One server.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::certificates::Certificates;
use crate::client::Access;
use crate::clock::SettableClock;
use crate::daemon::{StartError, start_anew};
use crate::keeper::Keeper;
use crate::node::{Node, REDIS};
use crate::options::{RedisOptions, ServerClock, ServerTls, url_encoded};
use crate::reply::Reply;
use crate::{Error, Result, ports};

/// A running `redis-server` on a free port of 127.0.0.1. Dropping it kills it.
pub struct RedisServer {
    node: Node,
    config: String,
    clock: Option<SettableClock>,
    /// The port that URLs name.
    client_port: u16,
    certificates: Option<Certificates>,
    options: RedisOptions,
}

impl RedisServer {
    /// Starts a server, and returns when it answers.
    ///
    /// # Errors
    /// `Missing` without `redis-server`, or without `cc` for a settable clock; `Invalid` options;
    /// `Start` with the server's last words; `Io`.
    pub fn start(options: &RedisOptions) -> Result<Self> {
        options.check()?;
        REDIS.file()?;
        let keeper = Arc::new(Keeper::new()?);
        start_anew(|attempt| Self::attempt(options, &keeper, attempt))
    }

    fn attempt(options: &RedisOptions, keeper: &Arc<Keeper>, attempt: usize) -> Result<Self, StartError> {
        let folder = keeper.folder().join(format!("server-{attempt}"));
        std::fs::create_dir(&folder).map_err(Error::io("making a server's folder"))?;
        let clock = match options.clock {
            ServerClock::Real => None,
            ServerClock::Settable => Some(SettableClock::new(&folder)?),
        };
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        let tls = options.tls != ServerTls::Off;
        let ports = &ports::free(&[local], if tls { 2 } else { 1 })?[0];
        let (port, client_port) = (ports[0], *ports.last().unwrap_or(&ports[0]));
        let certificates = Certificates::of(options.tls, &folder, &[local], options.host_name.as_deref())?;
        let access = Access {
            address: SocketAddr::new(local, port),
            password: options.password.clone(),
        };
        let lines = options.lines.join("\n");
        let tls = certificates
            .as_ref()
            .map(|certificates| certificates.config(client_port));
        let tls = tls.unwrap_or_default();
        let config = format!("bind {local}\nport {port}\n{tls}{}{lines}\n", options.config());
        let clock_file = clock.as_ref().map(|clock| clock.file().to_owned());
        let node = Node::new(keeper, folder, access, clock_file, options.locale.as_deref());
        node.spawn(&config)?;
        node.ready()?;
        Ok(Self {
            node,
            config,
            clock,
            client_port,
            certificates,
            options: options.clone(),
        })
    }

    /// The address that clients without TLS connect to.
    pub fn address(&self) -> SocketAddr {
        self.node.access.address
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// The URL of a fleet on this server. Holds the password where there is one.
    pub fn url(&self, fleet: &str) -> String {
        let login = self.options.login();
        let place = self
            .options
            .place(SocketAddr::new(self.address().ip(), self.client_port));
        let (scheme, files) = match &self.certificates {
            Some(certificates) => ("rediss", certificates.url()),
            None => ("redis", String::new()),
        };
        format!("{scheme}://{login}{place}?fleet={}{files}", url_encoded(fleet))
    }

    /// Runs one command on a connection of its own. An error that the server answered is a
    /// [`Reply::Error`].
    ///
    /// # Errors
    /// `Unreachable` when there is no answer within 5 s.
    pub fn command<A: AsRef<[u8]>>(&self, words: &[A]) -> Result<Reply> {
        self.node.access.command(words)
    }

    /// The process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.node.pid()
    }

    /// SIGKILL; returns when the process is gone. Nothing happens to one that is killed already.
    pub fn kill(&self) {
        self.node.kill();
    }

    /// SIGSTOP: the server is silent, and its connections stay open.
    ///
    /// # Errors
    /// `Invalid` for one that is killed; `Io`.
    pub fn stop(&self) -> Result<()> {
        self.node.stop()
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// `Invalid` for one that is killed; `Io`.
    pub fn resume(&self) -> Result<()> {
        self.node.resume()
    }

    /// Starts it again on its port, after a SIGKILL where it still runs; returns when it answers.
    /// What was written is gone, unless [`RedisOptions::append_only`] keeps it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self) -> Result<()> {
        self.node.restart(&self.config)
    }

    /// The clock, with [`ServerClock::Settable`].
    pub const fn clock(&self) -> Option<&SettableClock> {
        self.clock.as_ref()
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer")
            .field("address", &self.address())
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}
