//! The servers that suites run on: plain ones, or ones as people run them.

#[cfg(feature = "tls")]
use crate::ServerTls;
use crate::{Error, ErrorKind, EtcdOptions, RedisOptions, Result};

/// The environment variable that names the dimensions in which servers differ from plain ones.
const VARIABLE: &str = "RINGHOLD_REDIS_SERVERS";

/// All dimensions at once.
const AS_RUN: &str = "as-run";

/// A dimension, and what it changes; the text is the rights of the user.
type Dimension = (&'static str, fn(RedisOptions, &str) -> RedisOptions);

const DIMENSIONS: &[Dimension] = &[
    ("collation", |options, _| options.locale("en_US")),
    ("acl", |options, rules| options.user("ringhold", "s3cret", rules)),
    ("names", |options, _| options.host_name("localhost")),
    #[cfg(feature = "tls")]
    ("tls", |options, _| options.tls(ServerTls::On)),
    #[cfg(feature = "tls")]
    ("mtls", |options, _| options.tls(ServerTls::ClientCertificates)),
];

impl RedisOptions {
    /// The servers of a test suite. The environment variable `RINGHOLD_REDIS_SERVERS` says how they differ from plain
    /// ones: it is a list with commas of `collation` (`en_US`), `acl` (URLs name a user with the rights `rules`),
    /// `names` (host names instead of addresses), `tls` and `mtls` (TLS without and with certificates of clients), or
    /// `as-run` for all of them. Without it they are plain.
    ///
    /// # Errors
    /// `Invalid` for a variable with another word.
    pub fn for_suite(rules: &str) -> Result<Self> {
        let wanted = std::env::var(VARIABLE).unwrap_or_default();
        Self::with_dimensions(&wanted, rules)
    }

    fn with_dimensions(wanted: &str, rules: &str) -> Result<Self> {
        let words = wanted.split(',').filter(|word| !word.is_empty());
        let mut options = Self::new();
        for word in words {
            let mut found = false;
            for (name, change) in DIMENSIONS {
                if word == *name || word == AS_RUN {
                    options = change(options, rules);
                    found = true;
                }
            }
            if !found {
                let names: Vec<&str> = DIMENSIONS.iter().map(|(name, _)| *name).collect();
                let message = format!(
                    "{VARIABLE}: expected {AS_RUN} or some of {}, got {word:?}",
                    names.join(", ")
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(options)
    }
}

/// The environment variable that says how the members of an etcd differ from plain ones.
const ETCD_VARIABLE: &str = "RINGHOLD_ETCD_SERVERS";

impl EtcdOptions {
    /// The members of a test suite. The environment variable `RINGHOLD_ETCD_SERVERS` says how they differ from plain
    /// ones: `tls` and `mtls` are TLS without and with certificates of clients.
    ///
    /// # Errors
    /// `Invalid` for a variable with another word.
    pub fn for_suite() -> Result<Self> {
        Self::of_kind(&std::env::var(ETCD_VARIABLE).unwrap_or_default())
    }

    fn of_kind(wanted: &str) -> Result<Self> {
        match wanted {
            "" => Ok(Self::new()),
            #[cfg(feature = "tls")]
            "tls" => Ok(Self::new().tls(ServerTls::On)),
            #[cfg(feature = "tls")]
            "mtls" => Ok(Self::new().tls(ServerTls::ClientCertificates)),
            _ => {
                let message = format!("{ETCD_VARIABLE}: expected tls or mtls, got {wanted:?}");
                Err(Error::new(ErrorKind::Invalid, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dimension_changes_the_options_and_all_are_in_as_run() {
        let with =
            |wanted| RedisOptions::with_dimensions(wanted, "+ping").map(|options| format!("{options:?}"));
        let plain = with("").unwrap();
        let names: Vec<&str> = DIMENSIONS.iter().map(|(name, _)| *name).collect();
        for name in &names {
            assert_ne!(with(name).unwrap(), plain, "{name}");
        }
        let all = names.join(",");
        assert_eq!(with(&all).unwrap(), with(AS_RUN).unwrap());
        assert_eq!(with("acl,other").unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn each_kind_of_etcd_differs_from_plain_members() {
        let of_kind = |wanted| EtcdOptions::of_kind(wanted).map(|options| format!("{options:?}"));
        let plain = of_kind("").unwrap();
        assert_ne!(of_kind("tls").unwrap(), plain);
        assert_ne!(of_kind("mtls").unwrap(), of_kind("tls").unwrap());
        assert_eq!(of_kind("other").unwrap_err().kind(), ErrorKind::Invalid);
    }
}
