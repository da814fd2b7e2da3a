//! Where a node's endpoints are reached.

use std::fmt;

use ringhold_core::id::Address;
use ringhold_core::{Error, ErrorKind, NodeRecord, Result};
use tokio::net::TcpStream;
use url::{Host, Url};

use super::{PROBE, unwell};

/// A host and a port, and the scheme where the address has one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scheme: Option<String>,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    /// Where the endpoint of the first of `names` that the node has is reached.
    pub(super) fn of(record: &NodeRecord, names: &[&str]) -> Result<Self> {
        let Some((name, address)) = names.iter().find_map(|name| Some((name, record.endpoint(name)?))) else {
            let context = format!("node {} has no endpoint `{}`", record.id, names.join("` or `"));
            return Err(Error::new(ErrorKind::NotFound, PROBE, context));
        };
        Self::parse(address).ok_or_else(|| {
            let context = format!(
                "the endpoint `{name}` of node {} is {address}, which is neither HOST:PORT nor a URL with both",
                record.id
            );
            Error::new(ErrorKind::InvalidArgument, PROBE, context)
        })
    }

    /// `HOST:PORT`, or a URL.
    fn parse(address: &Address) -> Option<Self> {
        let text = address.as_str();
        let (url, scheme) = if text.contains("://") {
            let url = Url::parse(text).ok()?;
            let scheme = url.scheme().to_owned();
            (url, Some(scheme))
        } else {
            // The scheme is one without a default port, so that a port has to be there.
            let url = Url::parse(&format!("tcp://{text}")).ok()?;
            let bare = url.path().is_empty() && url.query().is_none() && url.fragment().is_none();
            (bare && url.username().is_empty()).then_some((url, None))?
        };
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let port = url.port_or_known_default()?;
        Some(Self { scheme, host, port })
    }

    /// Connects, to whichever address of the host answers.
    pub(super) async fn connect(&self) -> Result<TcpStream> {
        TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| unwell(format!("{self} is not reached")).with_source(error))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_name_a_host_and_a_port() {
        let parse = |text: &str| Place::parse(&Address::new(text).unwrap());
        for (text, scheme, shown) in [
            ("10.0.0.7:4000", None, "10.0.0.7:4000"),
            ("eu-1.example:80", None, "eu-1.example:80"),
            ("[::1]:4000", None, "[::1]:4000"),
            ("http://h/x", Some("http"), "h:80"),
            ("wss://h/play?x", Some("wss"), "h:443"),
            ("tcp://[::1]:9", Some("tcp"), "[::1]:9"),
        ] {
            let place = parse(text).unwrap();
            assert_eq!(place.scheme.as_deref(), scheme, "{text}");
            assert_eq!(place.to_string(), shown, "{text}");
        }
        for bad in [
            "h", "h:", ":1", "h:70000", "::1:1", "h:1/x", "u@h:1", "tcp://h", "unix:/a", "[::1]",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
