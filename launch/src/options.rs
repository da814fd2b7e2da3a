//! How a server is set up.

use std::fmt::{self, Write as _};

use crate::{Error, ErrorKind, Result};

/// What a server takes for the time of day. Its monotonic clock, by which it runs its own timers, is
/// always the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerClock {
    /// The machine's.
    #[default]
    Real,
    /// A [`SettableClock`](crate::SettableClock): `TIME` stands still until somebody moves it. In a
    /// cluster no node ever takes another one for failed, so nothing is promoted by itself.
    Settable,
}

/// How a server is set up. Without further ado: no password, the real clock, nothing on disk.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RedisOptions {
    pub(crate) password: Option<String>,
    pub(crate) clock: ServerClock,
    pub(crate) append_only: bool,
    pub(crate) max_memory: Option<u64>,
    pub(crate) lines: Vec<String>,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("password", &self.password.as_ref().map(|_| ".."))
            .field("clock", &self.clock)
            .field("append_only", &self.append_only)
            .field("max_memory", &self.max_memory)
            .finish_non_exhaustive()
    }
}

impl RedisOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks clients, and in a cluster replicas, for this password of the user `default`.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Which time the server sees.
    #[must_use]
    pub fn clock(mut self, clock: ServerClock) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps every write in an append-only file, synced each second, so that a restart finds it.
    #[must_use]
    pub fn append_only(mut self, append_only: bool) -> Self {
        self.append_only = append_only;
        self
    }

    /// The most memory in bytes; beyond it, writes are refused unless a
    /// [`config_line`](Self::config_line) sets another `maxmemory-policy`.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = Some(bytes);
        self
    }

    /// One more line of `redis.conf`, such as `maxclients 10`. It wins over what this crate writes.
    #[must_use]
    pub fn config_line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let bad = |line: &String| line.chars().any(char::is_control);
        if self.lines.iter().any(bad) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a configuration line is one line without control characters",
            ));
        }
        if self.password.as_ref().is_some_and(String::is_empty) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "an empty password lets everybody in",
            ));
        }
        Ok(())
    }

    /// Its part of `redis.conf`. What the caller adds has to stand before [`lines`](Self::lines).
    pub(crate) fn config(&self) -> String {
        let mut config = String::from(
            "daemonize no\nsave \"\"\nalways-show-logo no\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n",
        );
        config += if self.append_only {
            "appendonly yes\nappendfsync everysec\n"
        } else {
            "appendonly no\n"
        };
        if self.clock == ServerClock::Settable {
            // Time that jumps is no silence of a master; and it is noticed soon.
            config += "repl-timeout 2147483\nhz 100\n";
        }
        // Writing to a string cannot fail.
        if let Some(bytes) = self.max_memory {
            let _ = writeln!(config, "maxmemory {bytes}");
        }
        if let Some(password) = &self.password {
            let _ = writeln!(config, "requirepass {}", quoted(password));
        }
        config
    }
}

/// A text as `redis.conf` takes any text.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        let _ = write!(quoted, "\\x{byte:02x}");
    }
    quoted + "\""
}

/// A text for the password's place in a URL.
pub(crate) fn url_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown_and_survives_every_quoting() {
        let options = RedisOptions::new().password("a \"b@\n");
        assert!(!format!("{options:?}").contains("b@"));
        assert_eq!(quoted("a \""), r#""\x61\x20\x22""#);
        assert_eq!(url_encoded("a b@é"), "a%20b%40%C3%A9");
        assert!(options.check().is_ok());
    }

    #[test]
    fn lines_that_would_smuggle_others_are_refused() {
        for options in [
            RedisOptions::new().config_line("hz 10\nport 1"),
            RedisOptions::new().password(""),
        ] {
            assert_eq!(options.check().unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
