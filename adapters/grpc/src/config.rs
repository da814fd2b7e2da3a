//! Configuration, and its parser for URLs.

use std::net::IpAddr;
use std::path::PathBuf;

use ringhold_access::UrlReader;
use ringhold_core::id::Address;
use ringhold_core::{Error, ErrorKind, FleetName, Result};
use url::Url;

use crate::{GrpcLimits, Security};

const CONFIG: &str = "grpc url";
const PARAMETERS: &str = "advertise, ca, cert, fleet, key, token_file";

/// The settings of a [`GrpcTransport`](crate::GrpcTransport).
///
/// | URL | |
/// |---|---|
/// | `grpc://127.0.0.1:0` | without security: on loopback only; port 0 is any that is free |
/// | `grpcs://0.0.0.0:7700?advertise=h1:7700&fleet=eu&ca=/ca.pem&cert=/h1.pem&key=/h1.key` | certificates on both sides |
/// | the same with `&token_file=/token` | a secret that callers send; certificates of servers only |
/// | `grpc://`, `grpcs://?ca=…` | the same, for a process that calls and serves nobody |
///
/// | parameter | is |
/// |---|---|
/// | `advertise` | where others call this process, `host:port`; needed where it listens on every interface |
/// | `fleet` | the fleet that the certificates are of |
/// | `ca` | PEM: the authorities that are trusted |
/// | `cert`, `key` | PEM: this process' certificate and its private key |
/// | `token_file` | a file with the fleet's secret |
///
/// No secret stands in a URL or in this value; files are named.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GrpcConfig {
    pub(crate) listen: Option<Listen>,
    pub(crate) advertise: Option<Address>,
    pub(crate) security: Security,
    pub(crate) fleet: Option<FleetName>,
    pub(crate) limits: GrpcLimits,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Listen {
    /// The host with the port that a server got there.
    pub(crate) fn address(&self, port: u16) -> Result<Address> {
        let Self { host, .. } = self;
        if host.contains(':') {
            Address::new(format!("[{host}]:{port}"))
        } else {
            Address::new(format!("{host}:{port}"))
        }
    }
}

impl GrpcConfig {
    /// Calls nodes on this machine and serves nobody, without security.
    pub fn client() -> Self {
        Self {
            listen: None,
            advertise: None,
            security: Security::Plain,
            fleet: None,
            limits: GrpcLimits::default(),
        }
    }

    /// Reads a URL.
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, a path, a user, an `@` anywhere, a parameter that is unknown, duplicate
    /// or missing, and for `grpc://` on anything but loopback.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, host, port, url) = split(url)?;
        let mut config = Self::client();
        let mut files: [Option<PathBuf>; 4] = [None, None, None, None];
        let reader = UrlReader::new(CONFIG, &url)?;
        for (key, value) in reader.parameters(&[])? {
            let file = match &*key {
                "advertise" => {
                    config.advertise = Some(Address::new(&*value)?);
                    None
                }
                "fleet" => {
                    config.fleet = Some(FleetName::new(&*value)?);
                    None
                }
                "ca" => Some(0),
                "cert" => Some(1),
                "key" => Some(2),
                "token_file" => Some(3),
                _ => return Err(reader.unknown(&key, PARAMETERS)),
            };
            if let Some(file) = file {
                if value.is_empty() {
                    return Err(bad(format!("{key} names no file")));
                }
                files[file] = Some(PathBuf::from(&*value));
            }
        }
        let [ca, certificate, key, token] = files;
        let security = if scheme == "grpc" {
            if ca.or(certificate).or(key).or(token).is_some() {
                return Err(bad("grpc:// has no certificates and no token; write grpcs://"));
            }
            Security::Plain
        } else {
            secured(ca, certificate, key, token)?
        };
        config = config.secured(security);
        match host {
            Some(host) => config.listening(&host, port),
            None => config.checked(),
        }
    }

    /// The same, which serves at this host and port: the port 0 is any that is free.
    ///
    /// # Errors
    /// `InvalidArgument` where that is not loopback and nothing is secured.
    pub fn listening(mut self, host: &str, port: u16) -> Result<Self> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        self.listen = Some(Listen { host, port });
        self.checked()
    }

    /// The same, which others call at `address`.
    ///
    /// # Errors
    /// `InvalidArgument` where that is not `host:port`, or where others cannot reach it: see
    /// [`Address::ensure_reachable`].
    pub fn advertised(mut self, address: Address) -> Result<Self> {
        self.advertise = Some(address);
        self.checked()
    }

    /// The same with certificates or a token, or without; set before [`listening`](Self::listening).
    #[must_use]
    pub fn secured(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// The same with certificates of this fleet.
    #[must_use]
    pub fn of_fleet(mut self, fleet: FleetName) -> Self {
        self.fleet = Some(fleet);
        self
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// `InvalidArgument` where one is out of range.
    pub fn with_limits(mut self, limits: GrpcLimits) -> Result<Self> {
        limits.check()?;
        self.limits = limits;
        Ok(self)
    }

    pub(crate) fn checked(self) -> Result<Self> {
        if let Some(address) = &self.advertise {
            if host_and_port(address).is_none() {
                return Err(bad(format!("advertise={address} is not host:port")));
            }
            address.ensure_reachable()?;
            if self.listen.is_none() {
                return Err(bad("there is an address to advertise and none to listen at"));
            }
        }
        if let Some(listen @ Listen { host, .. }) = &self.listen {
            let ip = host.parse::<IpAddr>().ok();
            let loopback = ip.map_or(host == "localhost", |ip| ip.to_canonical().is_loopback());
            if self.security == Security::Plain && !loopback {
                return Err(bad(format!(
                    "without security a server listens on loopback only, and {host} is not: write \
                     grpcs://{host}:port with ca=, cert= and key=, or 127.0.0.1"
                )));
            }
            if self.advertise.is_none() {
                // A free port is known once the server listens.
                listen
                    .address(listen.port.max(1))?
                    .ensure_reachable()
                    .map_err(|error| {
                        bad("expected advertise=host:port, since the server listens on every interface")
                            .with_source(error)
                    })?;
            }
        }
        Ok(self)
    }
}

/// Scheme, host and port where it serves, and a URL that has the same parameters.
fn split(text: &str) -> Result<(&'static str, Option<String>, u16, Url)> {
    let known = ["grpc", "grpcs"]
        .into_iter()
        .find_map(|scheme| Some((scheme, text.strip_prefix(scheme)?.strip_prefix("://")?)));
    let (scheme, rest) = known.ok_or_else(|| bad("the scheme is neither grpc:// nor grpcs://"))?;
    // A URL without a host takes none of these parts.
    let client = rest.is_empty() || rest.starts_with('?');
    let whole = if client {
        format!("{scheme}://client:1{rest}")
    } else {
        text.to_owned()
    };
    let url = ringhold_access::parse(CONFIG, &whole)?;
    let extra = !matches!(url.path(), "" | "/") || url.fragment().is_some();
    if extra || !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "there is no user, path or fragment; a secret stands in token_file=",
        ));
    }
    if client {
        return Ok((scheme, None, 0, url));
    }
    let host = url.host_str().filter(|host| !host.is_empty());
    let (Some(host), Some(port)) = (host, url.port()) else {
        return Err(bad(format!("no host and port; write {scheme}://host:port")));
    };
    let host = host.to_owned();
    Ok((scheme, Some(host), port, url))
}

fn secured(
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    token: Option<PathBuf>,
) -> Result<Security> {
    let ca = ca.ok_or_else(|| bad("grpcs:// needs ca=, the authorities that are trusted"))?;
    match (token, certificate, key) {
        (Some(token), certificate, key) => Ok(Security::Token {
            ca,
            certificate,
            key,
            token,
        }),
        (None, Some(certificate), Some(key)) => Ok(Security::MutualTls { ca, certificate, key }),
        (None, ..) => Err(bad("grpcs:// needs cert= and key=, or token_file=")),
    }
}

/// The two parts of `host:port`; an IPv6 address stands in brackets.
pub(crate) fn host_and_port(address: &Address) -> Option<(&str, u16)> {
    let (host, port) = address.as_str().rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let port = port.parse().ok()?;
    (!host.is_empty()).then_some((host, port))
}

fn bad(context: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidArgument, CONFIG, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_what_is_served_and_how() {
        let config = GrpcConfig::parse("grpc://127.0.0.1:0").unwrap();
        assert_eq!(config.security, Security::Plain);
        let listen = |host: &str, port| {
            Some(Listen {
                host: host.into(),
                port,
            })
        };
        assert_eq!(config.listen, listen("127.0.0.1", 0));
        let config = GrpcConfig::parse("grpc://[::1]:7700/").unwrap();
        assert_eq!(config.listen, listen("::1", 7_700));
        assert_eq!(GrpcConfig::parse("grpc://").unwrap().listen, None);

        let url = "grpcs://0.0.0.0:7700?advertise=h1:7700&fleet=eu&ca=/a&cert=/b&key=/c";
        let config = GrpcConfig::parse(url).unwrap();
        let [ca, certificate, key] = ["/a", "/b", "/c"].map(PathBuf::from);
        assert_eq!(
            config.security,
            Security::MutualTls {
                ca: ca.clone(),
                certificate,
                key
            }
        );
        assert_eq!(config.advertise.unwrap().as_str(), "h1:7700");
        assert_eq!(config.fleet.unwrap().as_str(), "eu");

        let config = GrpcConfig::parse("grpcs://?ca=/a&token_file=/t").unwrap();
        let token = Security::Token {
            ca,
            certificate: None,
            key: None,
            token: "/t".into(),
        };
        assert_eq!((config.listen, config.security), (None, token));
    }

    #[test]
    fn what_cannot_work_is_refused_with_advice() {
        for (url, part) in [
            ("http://127.0.0.1:1", "grpcs://"),
            ("grpc:127.0.0.1:1", "grpcs://"),
            ("grpc://0.0.0.0:7700", "127.0.0.1"),
            ("grpc://game-1:7700", "ca="),
            ("grpc://[::ffff:1.2.3.4]:1", "loopback"),
            ("grpc://127.0.0.1", "host:port"),
            ("grpc://127.0.0.1:1/x", "path"),
            ("grpc://user:pw@127.0.0.1:1", "token_file"),
            ("grpc://user:4711?pw@127.0.0.1:1", "percent-encode"),
            ("grpc://user:4711/pw@127.0.0.1:1", "percent-encode"),
            ("grpc://user:4711#pw@127.0.0.1:1", "percent-encode"),
            ("grpc://user:p#pw@127.0.0.1:1", "percent-encode"),
            ("grpc://?pw@h=1", "percent-encode"),
            ("grpc://127.0.0.1:1?ca=/a", "grpcs://"),
            ("grpc://127.0.0.1:1?colour=red", "colour"),
            ("grpc://?advertise=a:1", "listen"),
            ("grpcs://h:1", "ca="),
            ("grpcs://h:1?ca=/a", "token_file="),
            ("grpcs://h:1?ca=/a&cert=/b", "key="),
            ("grpcs://h:1?ca=&cert=/b&key=/c", "names no file"),
            ("grpcs://h:1?ca=/a&ca=/a", "duplicate"),
            ("grpcs://0.0.0.0:1?ca=/a&cert=/b&key=/c", "advertise="),
            ("grpcs://h:1?ca=/a&cert=/b&key=/c&advertise=h", "host:port"),
            ("grpcs://h:1?ca=/a&cert=/b&key=/c&advertise=h:0", "any free port"),
            (
                "grpcs://h:1?ca=/a&cert=/b&key=/c&advertise=0.0.0.0:1",
                "every interface",
            ),
            (
                "grpcs://h:1?ca=/a&cert=/b&key=/c&advertise=[::ffff:0:0]:1",
                "every interface",
            ),
            ("grpcs://[::ffff:0.0.0.0]:1?ca=/a&cert=/b&key=/c", "advertise="),
            ("grpcs://[::]:1?ca=/a&cert=/b&key=/c", "advertise="),
            ("grpcs://0:0?ca=/a&cert=/b&key=/c", "advertise="),
        ] {
            let error = GrpcConfig::parse(url).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(part), "{url}: {error}");
            assert!(!error.to_string().contains("pw"), "{error}");
        }
        let limits = GrpcLimits {
            calls_max: 0,
            ..GrpcLimits::default()
        };
        let error = GrpcConfig::client().with_limits(limits).unwrap_err();
        assert!(error.to_string().contains("calls_max"), "{error}");
    }

    #[test]
    fn addresses_have_two_parts() {
        let parts = |text: &str| {
            let address = Address::new(text).unwrap();
            host_and_port(&address).map(|(host, port)| (host.to_owned(), port))
        };
        assert_eq!(parts("h1:7"), Some(("h1".into(), 7)));
        assert_eq!(parts("[::1]:7"), Some(("::1".into(), 7)));
        for bad in ["h1", ":7", "h1:x", "::1:7", "[::1:7", "h1:70000"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
