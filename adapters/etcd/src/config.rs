//! Configuration, and its parser for URLs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ringhold_access::{TlsFiles, UrlReader};
use ringhold_core::{Clock, Error, ErrorKind, FleetName, Limits, Result};
use url::Url;

use crate::clock::MonotonicClock;
use crate::supervisor::Settings;

/// The schemes of its URLs.
pub const SCHEMES: [&str; 2] = ["etcd", "etcds"];

const CONFIG: &str = "etcd url";
const PARAMETERS: &str =
    "attempt_ms, ca, cert, data_bytes_max, deadline_ms, fleet, in_flight_max, key, node, poll_ms";
/// An etcd has no more members than this.
const ENDPOINTS_MAX: usize = 16;

/// The most bytes of data of one session: with all else that one transaction writes they stay below 1 MiB,
/// and so below the 1.5 MiB that an etcd takes in one request.
const DATA_BYTES_MAX: usize = 896 * 1_024;

/// The settings of an [`EtcdBackend`](crate::EtcdBackend).
///
/// | URL | |
/// |---|---|
/// | `etcd://user:password@h1:2379?node=h2:2379&node=h3:2379&fleet=eu` | an etcd; all of its members are named, since those that are not are never asked |
/// | `etcds://…` | the same over TLS; feature `tls` |
///
/// | parameter | is | unless given |
/// |---|---|---|
/// | `fleet` | the fleet's name | `default` |
/// | `node` | another member, `host:port`; as often as there are members, at most 16 in all | |
/// | `data_bytes_max` | the most bytes of data of one session, at most 917,504 | 65,536 |
/// | `attempt_ms` | how long one attempt may take, 50 to 10,000 | 800 |
/// | `deadline_ms` | how long an operation may take, retries included, 500 to 45,000 | 20,000 |
/// | `in_flight_max` | operations under way, 1 to 1,000,000; more are `Overloaded` | 8,192 |
/// | `poll_ms` | how often a watch looks, 10 to 60,000 | the fleet's heartbeat |
/// | `ca` | over TLS: a PEM file with the authorities that are trusted | the system's |
/// | `cert`, `key` | over TLS: PEM files with a certificate to show, which `--client-cert-auth` demands, and its private key | |
///
/// The files of certificates are read at each connect, so that new ones need no restart.
#[derive(Clone)]
#[non_exhaustive]
pub struct EtcdConfig {
    pub(crate) scheme: &'static str,
    pub(crate) endpoints: Vec<Address>,
    pub(crate) login: Option<(String, String)>,
    pub(crate) tls: TlsFiles,
    pub(crate) fleet: FleetName,
    pub(crate) limits: Limits,
    pub(crate) attempt: Duration,
    pub(crate) overall: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) poll: Option<Duration>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl EtcdConfig {
    /// Reads a URL.
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, a URL without a host or with an `@` after it, and a parameter that
    /// is unknown, duplicate or out of range; `Unsupported` for TLS that is not compiled in. None of them repeats
    /// the user or the password.
    pub fn from_url(url: &Url) -> Result<Self> {
        let reader = UrlReader::new(CONFIG, url)?;
        let scheme = SCHEMES.into_iter().find(|scheme| *scheme == url.scheme());
        let scheme = scheme.ok_or_else(|| bad(format!("the scheme is not one of {}", SCHEMES.join(", "))))?;
        if scheme == "etcds" && !cfg!(feature = "tls") {
            let context = format!("{scheme}:// needs the feature \"tls\" of ringhold");
            return Err(Error::new(ErrorKind::Unsupported, CONFIG, context));
        }
        let host = reader.host()?;
        let host = host.ok_or_else(|| bad(format!("no host; write {scheme}://host:port?fleet=name")))?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(bad(
                "there is no path, since fleets have names, and no fragment".to_owned()
            ));
        }
        let first = Address::new(host, url.port().unwrap_or(2379));
        let mut config = Self {
            scheme,
            endpoints: vec![first.ok_or_else(|| bad("expected a port above 0".to_owned()))?],
            login: login(&reader)?,
            tls: reader.tls_files(scheme == "etcds", "etcds://")?,
            fleet: FleetName::new("default")?,
            limits: Limits::default(),
            attempt: Duration::from_millis(800),
            overall: Duration::from_secs(20),
            in_flight_max: 8_192,
            poll: None,
            clock: Arc::new(MonotonicClock::new()),
        };
        for (key, value) in reader.parameters(&["node"])? {
            config.set(&reader, &key, &value)?;
        }
        if config.overall < config.attempt {
            return Err(bad("deadline_ms is below attempt_ms".to_owned()));
        }
        Ok(config)
    }

    fn set(&mut self, reader: &UrlReader<'_>, key: &str, value: &str) -> Result<()> {
        let millis = |range| reader.number(key, value, range).map(Duration::from_millis);
        match key {
            "fleet" => self.fleet = FleetName::new(value)?,
            "node" => {
                let address = Address::parse(value);
                let address =
                    address.ok_or_else(|| bad("expected node=host:port, without a user".to_owned()))?;
                if self.endpoints.len() == ENDPOINTS_MAX {
                    return Err(bad(format!("more than {ENDPOINTS_MAX} members")));
                }
                if !self.endpoints.contains(&address) {
                    self.endpoints.push(address);
                }
            }
            "data_bytes_max" => {
                let bytes = reader.number(key, value, 0..=DATA_BYTES_MAX as u64)?;
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                self.limits = self.limits.with_data_bytes_max(bytes)?;
            }
            "attempt_ms" => self.attempt = millis(50..=10_000)?,
            // Less than the 60 s for which a store remembers what has ended, so that no late retry makes it anew.
            "deadline_ms" => self.overall = millis(500..=45_000)?,
            "in_flight_max" => {
                let calls = reader.number(key, value, 1..=1_000_000)?;
                self.in_flight_max = usize::try_from(calls).unwrap_or(usize::MAX);
            }
            "poll_ms" => self.poll = Some(millis(10..=60_000)?),
            // Read before everything else.
            "ca" | "cert" | "key" => {}
            _ => return Err(reader.unknown(key, PARAMETERS)),
        }
        Ok(())
    }

    /// Another clock than the operating system's monotonic one, such as one that a test moves by hand. The
    /// fleet's clocks move on as it does.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The fleet.
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            #[cfg(feature = "tls")]
            certificates: (self.scheme == "etcds")
                .then(|| Arc::new(ringhold_access::ClientCertificates::new(self.tls.clone()))),
            endpoints: self.endpoints.clone(),
            login: self.login.clone(),
            attempt: self.attempt,
            overall: self.overall,
            in_flight_max: self.in_flight_max,
        }
    }
}

impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("scheme", &self.scheme)
            .field("endpoints", &self.endpoints)
            .field("fleet", &self.fleet)
            .field("login", &self.login.as_ref().map(|_| ".."))
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    fn new(host: impl Into<String>, port: u16) -> Option<Self> {
        let host = host.into();
        // It stands in errors, logs and URLs, and is looked up.
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        ((1..=255).contains(&host.len()) && host.bytes().all(known) && port > 0)
            .then_some(Self { host, port })
    }

    /// Reads `host:port`, also with an IPv6 address in brackets.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if inner.is_none() && host.contains(':') {
            return None;
        }
        Self::new(inner.unwrap_or(host), port.parse().ok()?)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn bad(context: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, CONFIG, context)
}

/// User and password, which come together or not at all.
fn login(reader: &UrlReader<'_>) -> Result<Option<(String, String)>> {
    match (reader.user()?, reader.password()?) {
        (Some(user), Some(password)) => Ok(Some((user, password))),
        (None, None) => Ok(None),
        _ => Err(bad(
            "a user without a password, or a password without a user; write user:password@host".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<EtcdConfig> {
        EtcdConfig::from_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_url_says_everything() {
        let config = read(
            "etcd://ada:p%40ss@h1:7000?node=h2:7001&node=%5B::1%5D:7002&node=h2:7001&fleet=eu&attempt_ms=400\
             &deadline_ms=9000&in_flight_max=10&poll_ms=50&data_bytes_max=917504",
        )
        .unwrap();
        assert_eq!(config.login, Some(("ada".to_owned(), "p@ss".to_owned())));
        let endpoints: Vec<String> = config.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["h1:7000", "h2:7001", "[::1]:7002"]);
        assert_eq!(config.fleet().as_str(), "eu");
        assert_eq!(config.limits.data_bytes_max(), 917_504);
        assert_eq!(config.settings().attempt, Duration::from_millis(400));
        let config = read("etcd://h").unwrap();
        assert_eq!(config.endpoints[0].to_string(), "h:2379");
        assert_eq!(config.login, None);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for bad in [
            "etcd://h?flet=a",
            "etcd://h?fleet=a&fleet=b",
            "etcd://h?fleet=a{b}",
            "etcd://h/1",
            "etcd://h#x",
            "etcd://user@h",
            "etcd://:secret@h",
            "etcd://h:0",
            "etcd://h?node=h2",
            "etcd://h?node=:7",
            "etcd://h?node=a:b:7",
            "etcd://h?node=a/b:7",
            "etcd://h?attempt_ms=0",
            "etcd://h?deadline_ms=500&attempt_ms=501",
            "etcd://h?deadline_ms=45001",
            "etcd://h?in_flight_max=0",
            "etcd://h?poll_ms=x",
            "etcd://h?data_bytes_max=917505",
            "etcd://h?durability=fast",
            "etcd://h?ca=/ca.pem",
            "etcd:?fleet=a",
            "http://h",
        ] {
            assert_eq!(read(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
        }
        let many = (0..16).fold("etcd://h?fleet=a".to_owned(), |url, index| {
            format!("{url}&node=h{index}:1")
        });
        assert_eq!(read(&many).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let config = read("etcd://u:hunter2@h").unwrap();
        assert!(!format!("{config:?} {:?}", config.settings()).contains("hunter2"));
        for bad in [
            "etcd://u:hunter2@h?x=1",
            "etcd://u:hunter2@h/2",
            "etcd://u:hunter2%ff@h",
            "etcd://u:4711?hunter2@h",
            "etcd://u:4711?hunter2%40h",
            "etcd://h?node=u:hunter2%40h2:1",
            "etcd://:hunter2@h",
        ] {
            let error = read(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
