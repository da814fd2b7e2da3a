//! The seam between the supervisor and a client library: one connection to one server.
//!
//! The supervisor owns topology, deadlines, retries and redirects; a client library brings bytes to
//! one server and its answers back. That is all that is asked of it, so that one library can stand
//! in for another, and none of them can jam what it does not own.

pub(crate) mod redis_rs;
mod reply;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use self::reply::{Elements, Reply, ServerError, malformed};

/// One command: its name and its arguments.
pub(crate) type Command = Vec<Bytes>;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// The server could not be reached, or the connection broke: what was sent may have run.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The server refused the connection's user or password; the words hold no secret.
    Denied(String),
    /// What came back is not the protocol.
    Protocol(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Denied(why) => f.write_str(why),
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
    async fn send(&self, commands: Vec<Command>) -> Result<Vec<Reply>, LinkError>;
}

/// Makes connections.
#[async_trait]
pub(crate) trait Connector: Send + Sync + fmt::Debug {
    /// Connects and authenticates. The caller brings the deadline.
    async fn connect(&self, host: &str, port: u16) -> Result<Arc<dyn Link>, LinkError>;
}
