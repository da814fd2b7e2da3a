//! `open(url)`: from a URL to a backend.

use std::fmt;
use std::pin::Pin;

use ringhold_core::{Backend, Error, ErrorKind, Result};
#[cfg(feature = "memory")]
use ringhold_core::{FleetName, Limits};
use url::Url;

/// A backend on its way: a server has to be asked before it can be told what it is.
type Opening = Pin<Box<dyn Future<Output = Result<Backend>> + Send>>;

/// One scheme that Ringhold knows, built in or not.
#[derive(Clone, Copy)]
pub struct Scheme {
    name: &'static str,
    feature: &'static str,
    shared: bool,
    open: Open,
}

impl Scheme {
    const fn new(name: &'static str, feature: &'static str, shared: bool, open: Open) -> Self {
        Self {
            name,
            feature,
            shared,
            open,
        }
    }

    /// The scheme itself, such as `redis-cluster`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The feature of ringhold that brings its backend.
    pub const fn feature(&self) -> &'static str {
        self.feature
    }

    /// Whether several processes can share its backend. An embedded one belongs to the process that has it open.
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether its feature is on in this build.
    pub const fn is_enabled(&self) -> bool {
        self.open.is_some()
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheme")
            .field("name", &self.name)
            .field("feature", &self.feature)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// All schemes that [`open`] knows, also those that this build cannot open.
///
/// ```
/// let memory = ringhold::schemes().iter().find(|scheme| scheme.name() == "memory").unwrap();
/// assert!(!memory.is_shared());
/// ```
pub const fn schemes() -> &'static [Scheme] {
    SCHEMES
}

type Open = Option<fn(Url) -> Opening>;

/// Constants that are `None` where their feature is off.
macro_rules! openers {
    ($($name:ident = $function:ident if $feature:literal;)+) => {
        $(
            #[cfg(feature = $feature)]
            const $name: Open = Some($function);
            #[cfg(not(feature = $feature))]
            const $name: Open = None;
        )+
    };
}

openers! {
    MEMORY = memory if "memory";
    REDB = redb if "redb";
    REDIS = redis if "redis";
    REDIS_CLUSTER = redis if "redis-cluster";
    ETCD = etcd if "etcd";
    SLED = sled if "sled";
}

const SCHEMES: &[Scheme] = &[
    Scheme::new("memory", "memory", false, MEMORY),
    Scheme::new("redb", "redb", false, REDB),
    Scheme::new("redis", "redis", true, REDIS),
    Scheme::new("rediss", "redis", true, REDIS),
    Scheme::new("redis-cluster", "redis-cluster", true, REDIS_CLUSTER),
    Scheme::new("rediss-cluster", "redis-cluster", true, REDIS_CLUSTER),
    Scheme::new("valkey", "redis", true, REDIS),
    Scheme::new("valkeys", "redis", true, REDIS),
    Scheme::new("valkey-cluster", "redis-cluster", true, REDIS_CLUSTER),
    Scheme::new("valkeys-cluster", "redis-cluster", true, REDIS_CLUSTER),
    Scheme::new("etcd", "etcd", true, ETCD),
    Scheme::new("etcds", "etcd", true, ETCD),
    Scheme::new("sled", "sled", false, SLED),
];

/// Opens the backend that `url` names.
///
/// | URL | backend | feature |
/// |---|---|---|
/// | `memory:?fleet=arena` | in this process, gone with it | `memory` |
/// | `redb:///var/lib/arena.redb?fleet=arena` | one file, for one process at a time | `redb` |
/// | `sled:///var/lib/arena?fleet=arena` | one folder, for one process at a time | `sled` |
/// | `redis-cluster://user:password@h1:7000?node=h2:7001&fleet=eu` | a Redis Cluster | `redis-cluster` |
/// | `redis://user:password@h1:6379?fleet=eu` | one Redis | `redis` |
/// | `rediss-cluster://…`, `rediss://…` | the same over TLS | and `tls` |
/// | `valkey-cluster://…`, `valkey://…`, `valkeys-cluster://…`, `valkeys://…` | Valkey, as for Redis | as for Redis |
/// | `etcd://user:password@h1:2379?node=h2:2379&node=h3:2379&fleet=eu` | an etcd | `etcd` |
/// | `etcds://…` | the same over TLS | and `tls` |
///
/// Parameters: `fleet`, the fleet's name (`default` unless given); `data_bytes_max`, the most bytes
/// of data of one session (65,536 unless given); the schemes of servers have more, which
/// `ringhold::redis::RedisConfig` and `ringhold::etcd::EtcdConfig` list, and so have those of files and
/// folders: `ringhold::redb::EmbeddedConfig`. Each call opens its own backend: share one by cloning it.
/// What is on the disk, however, is there once, and two backends on one path share it.
///
/// The user and the password are percent-encoded: `%23` for `#`, `%2F` for `/`, `%3A` for `:`, `%3F` for `?`, `%40` for
/// `@`. No error repeats them.
///
/// # Errors
/// - `InvalidArgument`: no URL, an `@` after the host, an unknown scheme or parameter, or a value out of range.
/// - `Unsupported`: a scheme whose feature is not compiled in; the message names the feature.
///
/// ```
/// # async fn run() -> ringhold::Result<()> {
/// let backend = ringhold::open("memory:?fleet=arena").await?;
/// assert_eq!(backend.fleet.as_str(), "arena");
///
/// let error = ringhold::open("memry:").await.unwrap_err();
/// assert_eq!(error.kind(), ringhold::ErrorKind::InvalidArgument);
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
pub async fn open(url: &str) -> Result<Backend> {
    let url = ringhold_access::parse(OPEN, url)?;
    let scheme = SCHEMES
        .iter()
        .find(|scheme| scheme.name == url.scheme())
        .ok_or_else(|| {
            let known = SCHEMES
                .iter()
                .map(|scheme| scheme.name)
                .collect::<Vec<_>>()
                .join(", ");
            let context = format!("unknown scheme {:?}; known are: {known}", url.scheme());
            Error::new(ErrorKind::InvalidArgument, OPEN, context)
        })?;
    let Some(open) = scheme.open else {
        let context = format!(
            "the scheme {:?} is not compiled in; add the feature {:?} of ringhold",
            scheme.name, scheme.feature
        );
        return Err(Error::new(ErrorKind::Unsupported, OPEN, context));
    };
    open(url).await
}

const OPEN: &str = "open";

/// The parameters of the backend in memory. The other adapters read their own URLs.
#[cfg(feature = "memory")]
struct Common {
    fleet: FleetName,
    limits: Limits,
}

#[cfg(feature = "memory")]
impl Common {
    fn parse(url: &Url) -> Result<Self> {
        let mut common = Self {
            fleet: FleetName::new("default")?,
            limits: Limits::default(),
        };
        let reader = ringhold_access::UrlReader::new(OPEN, url)?;
        for (key, value) in reader.parameters(&[])? {
            match &*key {
                "fleet" => common.fleet = FleetName::new(&*value)?,
                "data_bytes_max" => {
                    let bytes = reader.number(&key, &value, 0..=Limits::DATA_BYTES_CEILING as u64)?;
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                    common.limits = common.limits.with_data_bytes_max(bytes)?;
                }
                _ => return Err(reader.unknown(&key, "data_bytes_max, fleet")),
            }
        }
        Ok(common)
    }
}

#[cfg(feature = "memory")]
fn bad(context: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, OPEN, context)
}

#[cfg(any(feature = "redis", feature = "redis-cluster"))]
fn redis(url: Url) -> Opening {
    Box::pin(async move {
        let config = ringhold_redis::RedisConfig::from_url(&url)?;
        Ok(ringhold_redis::RedisBackend::open(config).await?.backend())
    })
}

#[cfg(feature = "etcd")]
fn etcd(url: Url) -> Opening {
    Box::pin(async move {
        let config = ringhold_etcd::EtcdConfig::from_url(&url)?;
        Ok(ringhold_etcd::EtcdBackend::open(config).await?.backend())
    })
}

#[cfg(feature = "redb")]
fn redb(url: Url) -> Opening {
    Box::pin(async move { Ok(ringhold_redb::RedbBackend::open_url(&url).await?.backend()) })
}

#[cfg(feature = "sled")]
fn sled(url: Url) -> Opening {
    Box::pin(async move { Ok(ringhold_sled::SledBackend::open_url(&url).await?.backend()) })
}

#[cfg(feature = "memory")]
fn memory(url: Url) -> Opening {
    Box::pin(async move { open_memory(&url) })
}

#[cfg(feature = "memory")]
fn open_memory(url: &Url) -> Result<Backend> {
    if url.has_host() || !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(bad(
            "memory: takes no host, no path and no fragment; write memory:?fleet=arena".to_owned(),
        ));
    }
    let Common { fleet, limits } = Common::parse(url)?;
    Ok(ringhold_memory::MemoryBackend::builder(fleet)
        .limits(limits)
        .build()
        .backend())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kind(url: &str) -> ErrorKind {
        open(url).await.unwrap_err().kind()
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        assert_eq!(kind("").await, ErrorKind::InvalidArgument);
        assert_eq!(kind("arena").await, ErrorKind::InvalidArgument);
        assert_eq!(kind("memry:").await, ErrorKind::InvalidArgument);
        let secret = open("postgres://user:hunter2@host/db").await.unwrap_err();
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn separator_in_user_password_or_host_shows_no_secret() {
        let mut urls = Vec::new();
        for scheme in SCHEMES.iter().filter(|scheme| scheme.is_enabled()) {
            let soon = if scheme.is_shared() {
                "&attempt_ms=50&deadline_ms=500"
            } else {
                ""
            };
            for (separator, start) in ["#", "/", "?", "@", ":"]
                .iter()
                .flat_map(|one| [(one, "4711"), (one, "p")])
            {
                let text = format!("{start}{separator}s3cret");
                for authority in [
                    format!("{text}:s3cret@127.0.0.1:1"),
                    format!("ada:{text}@127.0.0.1:1"),
                    format!("ada:s3cret@127.0.0.1{separator}127.0.0.1:1"),
                ] {
                    urls.push(format!("{}://{authority}?fleet=a{soon}", scheme.name));
                }
            }
        }
        let log = ringhold_testkit::Log::default();
        let listening = log.listen_to_all();
        // All at once, since each waits for a server in vain.
        let opened = futures_util::future::join_all(urls.iter().map(|url| open(url))).await;
        drop(listening);
        for (url, opened) in urls.iter().zip(opened) {
            let error = opened.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{url}: {error}");
        }
        assert!(!log.text().contains("s3cret"), "{}", log.text());
    }

    #[tokio::test]
    async fn at_sign_after_the_host_is_refused_with_advice() {
        for scheme in SCHEMES {
            for rest in [
                "ada:4711?s3cret@h",
                "ada:4711/s3cret@h",
                "ada:4711#s3cret@h",
                "ada:p?s3cret@h",
            ] {
                let url = format!("{}://{rest}", scheme.name);
                let error = open(&url).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
                let shown = format!("{error} {error:?}");
                assert!(
                    shown.contains("percent-encode") && !shown.contains("s3cret"),
                    "{shown}"
                );
            }
        }
    }

    #[cfg(feature = "memory")]
    #[tokio::test]
    async fn the_table_says_what_the_backend_says() {
        let scheme = schemes().iter().find(|scheme| scheme.name() == "memory").unwrap();
        assert!(scheme.is_enabled() && scheme.feature() == "memory");
        let backend = open("memory:").await.unwrap();
        assert_eq!(backend.capabilities.shared, scheme.is_shared());
        let shown = "Scheme { name: \"memory\", feature: \"memory\", shared: false, .. }";
        assert_eq!(format!("{scheme:?}"), shown);
    }

    #[cfg(feature = "memory")]
    #[tokio::test]
    async fn memory_takes_its_parameters() {
        let backend = open("memory:?fleet=arena&data_bytes_max=10").await.unwrap();
        assert_eq!((backend.scheme, backend.fleet.as_str()), ("memory", "arena"));
        assert_eq!(backend.sessions.limits().data_bytes_max(), 10);
        assert_eq!(open("memory:").await.unwrap().fleet.as_str(), "default");
        for bad in [
            "memory:?fleet=",
            "memory:?fleet=a{b}",
            "memory:?flet=a",
            "memory:?fleet=a&fleet=b",
            "memory:?data_bytes_max=-1",
            "memory:?data_bytes_max=99999999",
            "memory://host?fleet=a",
            "memory:/path",
            "memory:#fleet=arena",
        ] {
            assert_eq!(kind(bad).await, ErrorKind::InvalidArgument, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_scheme_that_is_not_compiled_in_names_its_feature() {
        for scheme in SCHEMES.iter().filter(|scheme| scheme.open.is_none()) {
            let url = format!("{}://user:hunter2@127.0.0.1:1", scheme.name);
            let error = open(&url).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let feature = format!("add the feature {:?}", scheme.feature);
            assert!(error.context().contains(&feature), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn each_scheme_stands_once_with_its_feature() {
        let table: Vec<_> = SCHEMES
            .iter()
            .map(|scheme| (scheme.name, scheme.feature, scheme.shared))
            .collect();
        let expected = [
            ("memory", "memory", false),
            ("redb", "redb", false),
            ("redis", "redis", true),
            ("rediss", "redis", true),
            ("redis-cluster", "redis-cluster", true),
            ("rediss-cluster", "redis-cluster", true),
            ("valkey", "redis", true),
            ("valkeys", "redis", true),
            ("valkey-cluster", "redis-cluster", true),
            ("valkeys-cluster", "redis-cluster", true),
            ("etcd", "etcd", true),
            ("etcds", "etcd", true),
            ("sled", "sled", false),
        ];
        assert_eq!(table, expected);
    }
}
