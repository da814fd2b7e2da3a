//! How an etcd is set up.

use std::fmt;
use std::time::Duration;

use crate::{Error, ErrorKind, Result, ServerTls};

/// How an etcd is set up. Without further ado: three members with etcd's own heartbeat of 100 ms and
/// election timeout of 1 s, no TLS, no password.
#[derive(Clone)]
#[non_exhaustive]
pub struct EtcdOptions {
    pub(crate) members: usize,
    pub(crate) heartbeat: Duration,
    pub(crate) election: Duration,
    pub(crate) tls: ServerTls,
    pub(crate) password: Option<String>,
    pub(crate) arguments: Vec<String>,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            members: 3,
            heartbeat: Duration::from_millis(100),
            election: Duration::from_secs(1),
            tls: ServerTls::Off,
            password: None,
            arguments: Vec::new(),
        }
    }
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdOptions")
            .field("members", &self.members)
            .field("heartbeat", &self.heartbeat)
            .field("election", &self.election)
            .field("tls", &self.tls)
            .field("password", &self.password.as_ref().map(|_| ".."))
            .field("arguments", &self.arguments)
            .finish()
    }
}

impl EtcdOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many members there are: 1, 3, 5 or 7.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// How often a leader tells that it lives, and after how long a silence another one is elected: in
    /// whole milliseconds, five heartbeats at least.
    #[must_use]
    pub fn election(mut self, heartbeat: Duration, timeout: Duration) -> Self {
        self.heartbeat = heartbeat;
        self.election = timeout;
        self
    }

    /// Whether members speak TLS with clients, with certificates of an authority that exists for this etcd. Members
    /// speak to each other in the clear.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = tls;
        self
    }

    /// Asks clients for a user: `root`, with this password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// One more argument of `etcd`, such as `--quota-backend-bytes=16777216`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let problem = if ![1, 3, 5, 7].contains(&self.members) {
            "an etcd has 1, 3, 5 or 7 members"
        } else if self.heartbeat < Duration::from_millis(1) || self.election < self.heartbeat * 5 {
            "an election timeout is five heartbeats or more, and a heartbeat a millisecond"
        } else if self.password.as_ref().is_some_and(String::is_empty) {
            "an empty password lets everybody in"
        } else if self.arguments.iter().any(|argument| !argument.starts_with("--")) {
            "an argument of etcd begins with --"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Invalid, problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(EtcdOptions::new().check().is_ok());
        let ms = Duration::from_millis;
        for options in [
            EtcdOptions::new().members(2),
            EtcdOptions::new().election(ms(100), ms(400)),
            EtcdOptions::new().password(""),
            EtcdOptions::new().argument("debug"),
        ] {
            assert_eq!(
                options.check().unwrap_err().kind(),
                ErrorKind::Invalid,
                "{options:?}"
            );
        }
        let secret = EtcdOptions::new().password("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
