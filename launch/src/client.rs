//! Commands to one server, each on a connection of its own: nothing that happened to an earlier
//! connection (a kill, a restart, a partition) can spoil the next command.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use redis::{Client, Cmd, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

use crate::reply::Reply;
use crate::{Error, ErrorKind, Result};

/// How long a server may take to answer. One that is stopped never does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a server is and how to be let in.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) address: SocketAddr,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Runs one command. An error that the server answered is a [`Reply::Error`].
    pub(crate) fn command<A: AsRef<[u8]>>(&self, words: &[A]) -> Result<Reply> {
        self.command_within(words, PATIENCE)
    }

    /// The same, with a limit for the answer.
    pub(crate) fn command_within<A: AsRef<[u8]>>(&self, words: &[A], limit: Duration) -> Result<Reply> {
        if words.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a command has at least its name"));
        }
        let mut command = Cmd::new();
        for word in words {
            command.arg(word.as_ref());
        }
        let unreachable = |error: redis::RedisError| {
            let message = format!("redis-server at {} does not answer: {error}", self.address);
            Error::new(ErrorKind::Unreachable, message)
        };
        let address = ConnectionAddr::Tcp(self.address.ip().to_string(), self.address.port());
        let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let info = address
            .into_connection_info()
            .map_err(unreachable)?
            .set_redis_settings(settings);
        let client = Client::open(info).map_err(unreachable)?;
        let mut connection = client.get_connection_with_timeout(limit).map_err(unreachable)?;
        connection.set_read_timeout(Some(limit)).map_err(unreachable)?;
        connection.set_write_timeout(Some(limit)).map_err(unreachable)?;
        connection
            .send_packed_command(&command.get_packed_command())
            .map_err(unreachable)?;
        connection.recv_response().map_err(unreachable)?.try_into()
    }

    /// Runs a command that answers in text.
    pub(crate) fn text<A: AsRef<[u8]>>(&self, words: &[A]) -> Result<String> {
        let reply = self.command(words)?.check()?;
        reply.text().ok_or_else(|| {
            let message = format!("redis-server at {} answered {reply:?}, not text", self.address);
            Error::new(ErrorKind::Answer, message)
        })
    }

    /// Runs a command that has to succeed.
    pub(crate) fn run<A: AsRef<[u8]>>(&self, words: &[A]) -> Result<()> {
        self.command(words)?.check().map(drop)
    }

    /// A field of a section of `INFO`.
    pub(crate) fn info(&self, section: &str, field: &str) -> Result<String> {
        let text = self.text(&["INFO", section])?;
        field_of(&text, field).map(str::to_owned).ok_or_else(|| {
            let message = format!("INFO {section} of {} has no {field}", self.address);
            Error::new(ErrorKind::Answer, message)
        })
    }
}

/// The value of `field:` in a text of lines such as `INFO` and `CLUSTER INFO` give.
pub(crate) fn field_of<'t>(text: &'t str, field: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "# Server\r\nprocess_id_x:1\r\nprocess_id:42\r\n";
        assert_eq!(field_of(text, "process_id"), Some("42"));
        assert_eq!(field_of(text, "process"), None);
    }

    #[test]
    fn a_password_is_not_shown() {
        let access = Access {
            address: ([127, 0, 0, 1], 1).into(),
            password: Some("hunter2".into()),
        };
        assert!(!format!("{access:?}").contains("hunter2"));
    }
}
