//! Configuration, and its parser for URLs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use ringhold_access::{TlsFiles, UrlReader};
use ringhold_core::{Error, ErrorKind, FleetName, Limits, Result};
use url::Url;

use crate::client::{Access, Connector, LIBRARIES};
use crate::resolver::{Resolver, SystemResolver};
use crate::supervisor::{Address, Settings};

/// The schemes of its URLs. Those of Valkey open the same backend.
pub const SCHEMES: [&str; 8] = [
    "redis",
    "rediss",
    "redis-cluster",
    "rediss-cluster",
    "valkey",
    "valkeys",
    "valkey-cluster",
    "valkeys-cluster",
];

const CONFIG: &str = "redis url";
const PARAMETERS: &str = "attempt_ms, ca, cert, client, data_bytes_max, deadline_ms, durability, fleet, in_flight_max, key, node, poll_ms";
/// More seeds than this are a mistake.
const SEEDS_MAX: usize = 64;

/// The settings of a [`RedisBackend`](crate::RedisBackend).
///
/// | URL | |
/// |---|---|
/// | `redis-cluster://user:password@h1:7000?node=h2:7001&node=h3:7002&fleet=eu` | a Redis Cluster; one of the nodes is enough, more survive its absence |
/// | `redis://h1:6379?fleet=eu` | one Redis |
/// | `rediss-cluster://…`, `rediss://…` | the same over TLS; feature `tls` |
/// | `valkey-cluster://…`, `valkey://…`, `valkeys-cluster://…`, `valkeys://…` | the same on Valkey; either name opens either server |
///
/// | parameter | is | unless given |
/// |---|---|---|
/// | `fleet` | the fleet's name | `default` |
/// | `node` | another server to ask first, `host:port`; as often as wanted, at most 64 | |
/// | `durability` | `fast`, or `replicated:k`: so many replicas, 1 to 255, acknowledge a write | `fast` |
/// | `data_bytes_max` | the most bytes of data of one session, at most 1 MiB | 65,536 |
/// | `attempt_ms` | how long one attempt may take, 50 to 10,000; below cluster-node-timeout. Three measured round trips count instead where they are longer, on a cluster up to three quarters of cluster-node-timeout | 500 |
/// | `deadline_ms` | how long an operation may take, retries included, 500 to 45,000 | 20,000 |
/// | `in_flight_max` | calls under way on one shard, 1 to 1,000,000; more are `Overloaded` | 8,192 |
/// | `poll_ms` | how often a watch looks, 10 to 60,000 | the fleet's heartbeat |
/// | `ca` | over TLS: a PEM file with the authorities that are trusted | the system's |
/// | `cert`, `key` | over TLS: PEM files with a certificate to show and its private key | |
/// | `client` | the client library, `redis` or `fred`; each is a feature of its own | `redis` |
///
/// What is stored and what is promised is the same with both client libraries, and processes of one fleet
/// may differ in it. Three things are fred's own. It parses by recursion: something in the place of the
/// server that nests its answer a thousand deep or more overflows the stack, which ends the process. A connection
/// costs three round trips more. A password that the server does not ask for is ignored, not refused.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    pub(crate) scheme: &'static str,
    pub(crate) seeds: Vec<Address>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) tls: TlsFiles,
    pub(crate) fleet: FleetName,
    pub(crate) limits: Limits,
    pub(crate) replicas: u8,
    pub(crate) attempt: Duration,
    pub(crate) overall: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) poll: Option<Duration>,
    pub(crate) client: &'static str,
    pub(crate) connector: Connects,
    pub(crate) resolver: Arc<dyn Resolver>,
}

impl RedisConfig {
    /// Reads a URL.
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, a URL without a host or with an `@` after it, and a parameter that
    /// is unknown, duplicate or out of range; `Unsupported` for a client or TLS that is not compiled in. None
    /// of them repeats the user or the password.
    pub fn from_url(url: &Url) -> Result<Self> {
        let reader = UrlReader::new(CONFIG, url)?;
        let scheme = SCHEMES.into_iter().find(|scheme| *scheme == url.scheme());
        let scheme = scheme.ok_or_else(|| bad(format!("the scheme is not one of {}", SCHEMES.join(", "))))?;
        if is_tls(scheme) && !cfg!(feature = "tls") {
            let context = format!("{scheme}:// needs the feature \"tls\" of ringhold");
            return Err(Error::new(ErrorKind::Unsupported, CONFIG, context));
        }
        let host = reader.host()?;
        let host = host.ok_or_else(|| bad(format!("no host; write {scheme}://host:port?fleet=name")))?;
        if !matches!(url.path(), "" | "/" | "/0") || url.fragment().is_some() {
            return Err(bad(
                "there is no path but /0, since fleets have names, and no fragment".to_owned(),
            ));
        }
        let seed = Address::new(host, url.port().unwrap_or(6379));
        let client = url.query_pairs().find(|(key, _)| key == "client");
        let (client, connector) = library(client.as_ref().map(|(_, name)| &**name))?;
        let mut config = Self {
            scheme,
            seeds: vec![seed],
            user: reader.user()?,
            password: reader.password()?,
            tls: reader.tls_files(is_tls(scheme), "rediss:// or rediss-cluster://")?,
            fleet: FleetName::new("default")?,
            limits: Limits::default(),
            replicas: 0,
            attempt: Duration::from_millis(500),
            overall: Duration::from_secs(20),
            in_flight_max: 8_192,
            poll: None,
            client,
            connector,
            resolver: Arc::new(SystemResolver),
        };
        if config.user.is_some() && config.password.is_none() {
            return Err(bad(
                "a user without a password; write user:password@host".to_owned()
            ));
        }
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
                let address = Address::parse(value, &self.seeds[0]).filter(|_| !value.starts_with(':'));
                let address =
                    address.ok_or_else(|| bad("expected node=host:port, without a user".to_owned()))?;
                if self.seeds.len() == SEEDS_MAX {
                    return Err(bad(format!("more than {SEEDS_MAX} nodes; a few are enough")));
                }
                self.seeds.push(address);
            }
            "durability" => self.replicas = durability(value)?,
            "data_bytes_max" => {
                let bytes = reader.number(key, value, 0..=Limits::DATA_BYTES_CEILING as u64)?;
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
            // Looked at before everything else.
            "client" | "ca" | "cert" | "key" => {}
            _ => return Err(reader.unknown(key, PARAMETERS)),
        }
        Ok(())
    }

    /// The fleet.
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// Whether the URL names a cluster and not one server.
    pub fn is_cluster(&self) -> bool {
        self.scheme.ends_with("-cluster")
    }

    pub(crate) fn is_tls(&self) -> bool {
        is_tls(self.scheme)
    }

    /// The settings of a supervisor that shares what is known of the fleet's size.
    pub(crate) fn settings(&self, members: Arc<AtomicUsize>) -> Settings {
        Settings {
            cluster: self.is_cluster(),
            by_name: self.is_tls(),
            seeds: self.seeds.clone(),
            attempt: self.attempt,
            overall: self.overall,
            probe: (self.attempt * 3 / 5).max(Duration::from_millis(50)),
            in_flight_max: self.in_flight_max,
            members,
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("scheme", &self.scheme)
            .field("seeds", &self.seeds)
            .field("fleet", &self.fleet)
            .field("replicas", &self.replicas)
            .field("client", &self.client)
            .field("password", &self.password.as_ref().map(|_| ".."))
            .finish_non_exhaustive()
    }
}

fn is_tls(scheme: &str) -> bool {
    scheme.starts_with("rediss") || scheme.starts_with("valkeys")
}

fn bad(context: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, CONFIG, context)
}

type Connects = fn(Access) -> Arc<dyn Connector>;

/// The client library of this name, or the default one: its name, and what makes its connections.
fn library(client: Option<&str>) -> Result<(&'static str, Connects)> {
    let name = client.unwrap_or(LIBRARIES[0].name);
    let Some(library) = LIBRARIES.iter().find(|library| library.name == name) else {
        let known = LIBRARIES.each_ref().map(|library| library.name).join(", ");
        return Err(bad(format!("client={name:?} is not one of {known}")));
    };
    let connector = library.connector.ok_or_else(|| {
        let context = format!("client={name} is not compiled in; add the feature {name:?} of ringhold");
        Error::new(ErrorKind::Unsupported, CONFIG, context)
    })?;
    Ok((library.name, connector))
}

fn durability(value: &str) -> Result<u8> {
    let replicas = match value.split_once(':') {
        None if value == "fast" => return Ok(0),
        None if value == "replicated" => return Ok(1),
        Some(("replicated", replicas)) => replicas.parse().ok().filter(|replicas| *replicas > 0),
        _ => None,
    };
    replicas.ok_or_else(|| {
        bad(format!(
            "durability={value:?} is neither fast nor replicated:k with k from 1 to 255"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<RedisConfig> {
        RedisConfig::from_url(&Url::parse(url).unwrap())
    }

    #[cfg(feature = "redis")]
    #[test]
    fn a_url_says_everything() {
        let config = read(
            "redis-cluster://ada:p%40ss@h1:7000?node=h2:7001&node=%5B::1%5D:7002&fleet=eu&durability=replicated:2\
             &attempt_ms=400&deadline_ms=9000&in_flight_max=10&poll_ms=50&client=redis&data_bytes_max=9",
        )
        .unwrap();
        assert_eq!(
            (config.user.as_deref(), config.password.as_deref()),
            (Some("ada"), Some("p@ss"))
        );
        let seeds: Vec<String> = config.seeds.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, ["h1:7000", "h2:7001", "[::1]:7002"]);
        assert_eq!((config.fleet().as_str(), config.replicas), ("eu", 2));
        assert_eq!(
            config.settings(Arc::default()).attempt,
            Duration::from_millis(400)
        );
        assert!(config.is_cluster() && !config.is_tls());
        let config = read("redis://h").unwrap();
        assert_eq!(
            (config.seeds[0].port, config.replicas, config.is_cluster()),
            (6379, 0, false)
        );
    }

    #[cfg(feature = "redis")]
    #[test]
    fn what_cannot_work_is_refused() {
        for bad in [
            "redis://h?flet=a",
            "redis://h?fleet=a&fleet=b",
            "redis://h?fleet=a{b}",
            "redis://h/1",
            "redis://h#x",
            "redis://user@h",
            "redis://h?node=h2",
            "redis://h?node=:7",
            "redis://h?durability=replicated:0",
            "redis://h?durability=slow",
            "redis://h?attempt_ms=0",
            "redis://h?deadline_ms=500&attempt_ms=501",
            "redis://h?deadline_ms=45001",
            "redis://h?poll_ms=x",
            "redis://h?data_bytes_max=99999999",
            "redis://h?ca=/ca.pem",
            "redis://h?client=valkey",
            "redis://h?client=redis&client=redis",
            "redis:?fleet=a",
            "http://h",
        ] {
            assert_eq!(read(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn valkey_schemes_mean_what_those_of_redis_do() {
        for scheme in &SCHEMES[..4] {
            let same = scheme.replace("redis", "valkey");
            match (read(&format!("{scheme}://h")), read(&format!("{same}://h"))) {
                (Ok(redis), Ok(valkey)) => {
                    assert_eq!(valkey.scheme, same);
                    assert_eq!(
                        (redis.is_tls(), redis.is_cluster()),
                        (valkey.is_tls(), valkey.is_cluster()),
                        "{scheme}"
                    );
                }
                (Err(redis), Err(valkey)) => {
                    assert_eq!(
                        (redis.kind(), valkey.kind()),
                        (ErrorKind::Unsupported, ErrorKind::Unsupported)
                    );
                    assert!(valkey.context().contains(&same), "{valkey}");
                }
                other => panic!("{scheme}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_client_that_is_not_compiled_in_names_its_feature() {
        for library in &LIBRARIES {
            let name = library.name;
            match read(&format!("redis://u:hunter2@h?client={name}")) {
                Ok(config) => {
                    assert!(library.connector.is_some(), "{name}");
                    assert_eq!(config.client, name);
                }
                Err(error) => {
                    assert!(library.connector.is_none(), "{error}");
                    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                    let says = format!("add the feature {name:?}");
                    assert!(error.context().contains(&says), "{error}");
                    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
                }
            }
        }
        let default = read("redis://h").map(|config| config.client);
        assert_eq!(default.ok(), cfg!(feature = "redis").then_some("redis"));
    }

    #[cfg(feature = "redis")]
    #[test]
    fn a_password_is_shown_nowhere() {
        let config = read("redis://u:hunter2@h").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        for bad in [
            "redis://u:hunter2@h?x=1",
            "redis://u:hunter2@h/2",
            "redis://u:hunter2%ff@h",
            "redis://u:4711?hunter2@h",
            "redis://u:4711?hunter2%40h",
            "redis://h?node=u:hunter2%40h2:1",
        ] {
            let error = read(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
