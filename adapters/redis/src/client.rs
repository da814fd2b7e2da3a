//! The seam between the supervisor and a client library: one connection to one server.
//!
//! The supervisor owns topology, deadlines, retries and redirects; a client library brings bytes to
//! one server and its answers back. That is all that is asked of it, so that one library can stand
//! in for another, and none of them can jam what it does not own.

mod command;
#[cfg(feature = "fred")]
mod fred;
#[cfg(feature = "redis")]
mod redis_rs;
mod reply;
#[cfg(all(test, any(feature = "redis", feature = "fred")))]
mod tests;
#[cfg(all(feature = "tls", any(feature = "redis", feature = "fred")))]
mod tls;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use ringhold_access::TlsFiles;

pub(crate) use self::command::{Command, Words};
pub(crate) use self::reply::{Elements, Reply, ServerError, malformed};

/// A client library that can stand behind the seam, built in or not.
#[derive(Debug)]
pub(crate) struct Library {
    /// How a URL names it, and the feature that it needs.
    pub(crate) name: &'static str,
    /// Makes its connector; `None` where the feature is off.
    pub(crate) connector: Option<fn(Access) -> Arc<dyn Connector>>,
}

/// All of them. The first one is meant where a URL names none.
pub(crate) static LIBRARIES: [Library; 2] = [
    Library {
        name: "redis",
        #[cfg(feature = "redis")]
        connector: Some(redis_rs::connector),
        #[cfg(not(feature = "redis"))]
        connector: None,
    },
    Library {
        name: "fred",
        #[cfg(feature = "fred")]
        connector: Some(fred::connector),
        #[cfg(not(feature = "fred"))]
        connector: None,
    },
];

/// How the servers are to be approached.
#[cfg_attr(
    not(any(feature = "redis", feature = "fred")),
    expect(dead_code, reason = "for client libraries, and there is none")
)]
pub(crate) struct Access {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// Over TLS, with these files.
    pub(crate) tls: Option<TlsFiles>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug)]
#[cfg_attr(
    not(any(test, feature = "redis", feature = "fred")),
    expect(dead_code, reason = "from client libraries, and there is none")
)]
pub(crate) enum LinkError {
    /// The server could not be reached, or the connection broke: what was sent may have run.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The server refused the connection's user or password, or certificates here cannot be used; the words hold no
    /// secret.
    Denied(String),
    /// No TLS connection was made, for this reason. It passes when certificates change.
    #[cfg_attr(
        not(all(feature = "tls", any(feature = "redis", feature = "fred"))),
        expect(dead_code, reason = "of TLS connections, and there are none")
    )]
    Tls(String),
    /// The server said this, and with it the connection ended: what else was sent may have run.
    Refused(ServerError),
    /// What came back is not the protocol.
    Protocol(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Denied(why) | Self::Tls(why) => f.write_str(why),
            Self::Refused(error) => write!(f, "the server refused: {} {}", error.code, error.detail),
            Self::Protocol(what) => write!(f, "this is not the protocol: {what}"),
        }
    }
}

/// One connection to one server, shared by many callers at once.
#[async_trait]
pub(crate) trait Link: Send + Sync + fmt::Debug {
    /// Sends these commands back to back, with nothing of another caller in between, and answers
    /// each. An error that the server answered is a [`Reply::Error`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the connection in order; the commands may run nevertheless.
    async fn send(&self, commands: &[Command]) -> Result<Vec<Reply>, LinkError>;
}

/// Makes connections.
#[async_trait]
pub(crate) trait Connector: Send + Sync + fmt::Debug {
    /// Connects to one address of `host` and authenticates; over TLS, the certificate has to be for `host`. The caller
    /// brings the deadline.
    async fn connect(&self, host: &str, address: SocketAddr) -> Result<Arc<dyn Link>, LinkError>;
}
