//! How a server is set up.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use crate::{Error, ErrorKind, Result, locale};

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

/// Whether a server speaks TLS with the clients that URLs are for, and in a cluster with the other nodes. Commands of
/// this crate go to a port without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerTls {
    /// It does not.
    #[default]
    Off,
    /// It shows a certificate, whose authority URLs name.
    On,
    /// It demands one of clients as well, which URLs name.
    ClientCertificates,
}

/// How a server is set up. Without further ado: no password, the real clock, nothing on disk.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RedisOptions {
    pub(crate) password: Option<String>,
    pub(crate) clock: ServerClock,
    pub(crate) append_only: bool,
    pub(crate) max_memory: Option<u64>,
    pub(crate) locale: Option<String>,
    pub(crate) user: Option<User>,
    pub(crate) host_name: Option<String>,
    pub(crate) tls: ServerTls,
    pub(crate) lines: Vec<String>,
}

/// A user other than `default`.
#[derive(Clone)]
pub(crate) struct User {
    name: String,
    password: String,
    rules: String,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("password", &self.password.as_ref().map(|_| ".."))
            .field("clock", &self.clock)
            .field("append_only", &self.append_only)
            .field("max_memory", &self.max_memory)
            .field("locale", &self.locale)
            .field("host_name", &self.host_name)
            .field("tls", &self.tls)
            .field("user", &self.user.as_ref().map(|user| &user.name))
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

    /// Collates strings as this locale does in UTF-8, such as `en_US`; its source has to be installed. Without
    /// it a server has the locale `C`, whatever this process has.
    #[must_use]
    pub fn locale(mut self, name: impl Into<String>) -> Self {
        self.locale = Some(name.into());
        self
    }

    /// Adds a user with the rights that `rules` give, in the words of `ACL SETUSER`. URLs name this user;
    /// commands of this crate are still those of the user `default`.
    #[must_use]
    pub fn user(
        mut self,
        name: impl Into<String>,
        password: impl Into<String>,
        rules: impl Into<String>,
    ) -> Self {
        self.user = Some(User {
            name: name.into(),
            password: password.into(),
            rules: rules.into(),
        });
        self
    }

    /// The name of this machine in URLs, which a cluster announces as well, also in redirects: it has to lead to
    /// the servers' addresses.
    #[must_use]
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.host_name = Some(name.into());
        self
    }

    /// Whether the server speaks TLS, with certificates of an authority that exists for this server or cluster.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = tls;
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
        if let Some(name) = self.locale.as_ref().filter(|name| !locale::is_name(name)) {
            let message = format!("expected the name of a locale such as en_US, got {name:?}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if self.host_name.as_ref().is_some_and(|name| !is_host_name(name)) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a host name has letters, digits, dots and hyphens",
            ));
        }
        if self.user.as_ref().is_some_and(|user| !user.is_valid()) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a user has a name of letters and digits, a password, and rules on one line",
            ));
        }
        Ok(())
    }

    /// The part of a URL before the host.
    pub(crate) fn login(&self) -> String {
        match (&self.user, &self.password) {
            (Some(user), _) => format!("{}:{}@", user.name, url_encoded(&user.password)),
            (None, Some(password)) => format!(":{}@", url_encoded(password)),
            (None, None) => String::new(),
        }
    }

    /// How a URL names a server.
    pub(crate) fn place(&self, address: SocketAddr) -> String {
        match &self.host_name {
            Some(name) => format!("{name}:{}", address.port()),
            None => address.to_string(),
        }
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
        if let Some(user) = &self.user {
            let password = quoted(&format!(">{}", user.password));
            let _ = writeln!(config, "user {} on {password} {}", user.name, user.rules);
        }
        config
    }
}

impl User {
    fn is_valid(&self) -> bool {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !self.name.is_empty()
            && self.name.bytes().all(is_word)
            && !self.password.is_empty()
            && !self
                .rules
                .contains(|c: char| c.is_control() || "\"'\\".contains(c))
    }
}

fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
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
        let options = RedisOptions::new().user("app", "hunter2@", "~* +@all");
        assert!(!format!("{options:?}").contains("hunter2"));
        assert_eq!(options.login(), "app:hunter2%40@");
        assert!(options.check().is_ok());
    }

    #[test]
    fn lines_that_would_smuggle_others_are_refused() {
        for options in [
            RedisOptions::new().config_line("hz 10\nport 1"),
            RedisOptions::new().password(""),
            RedisOptions::new().locale("../en_US"),
            RedisOptions::new().user("app", "", "+@all"),
            RedisOptions::new().user("app", "secret", "+@all\nport 1"),
        ] {
            assert_eq!(options.check().unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
