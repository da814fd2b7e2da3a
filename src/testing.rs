//! Every enabled backend, for the tests of whoever builds on Ringhold (feature `testing`).
//!
//! A test is written once and runs on each backend that the build has. What a backend needs is started
//! for it, on free loopback ports or in a temporary folder, and goes with the values: nothing is
//! configured, nothing is shared between tests, and nothing is skipped.
//!
//! ```toml
//! [dev-dependencies]
//! ringhold = { version = "0.1", features = ["testing", "redis-cluster"] }
//! ```
//!
//! ```
//! use ringhold::{Fleet, Login, LoginOptions, PlayerId};
//!
//! # async fn run() -> ringhold::Result<()> {
//! for backend in ringhold::testing::backends().await? {
//!     let fleet = Fleet::builder(backend.backend().await?).node("arena-1").join().await?;
//!     let ada = PlayerId::new("ada")?;
//!     let Login::Here(mut session) = fleet.login::<u32>(&ada, LoginOptions::new()).await? else {
//!         panic!("on {backend}, a new player is elsewhere");
//!     };
//!     *session.value_mut() = 7;
//!     session.save().await?;
//! }
//! # Ok(()) }
//! # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
//! ```
//!
//! `examples/any_backend.rs` is a whole test of this kind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ringhold_core::{Backend, Error, ErrorKind, Result};
#[cfg(any(feature = "redis", feature = "redis-cluster", feature = "etcd"))]
use ringhold_launch as launch;

/// Makes the URL of a fleet, and keeps alive what it leads to.
type Urls = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What is started once, and what is tested on it.
struct Kind {
    /// Starts it; may block.
    start: fn() -> Result<Urls>,
    /// A name for each, and what its URLs say beside the fleet.
    backends: &'static [(&'static str, &'static str)],
}

const KINDS: &[Kind] = &[
    #[cfg(feature = "memory")]
    Kind {
        start: memory,
        backends: &[("memory", "")],
    },
    #[cfg(feature = "redb")]
    Kind {
        start: redb,
        backends: &[("redb", "")],
    },
    #[cfg(feature = "sled")]
    Kind {
        start: sled,
        backends: &[("sled", "")],
    },
    #[cfg(feature = "redis")]
    Kind {
        start: redis,
        backends: &[
            ("redis", ""),
            #[cfg(feature = "fred")]
            ("redis-fred", "&client=fred"),
        ],
    },
    #[cfg(feature = "redis-cluster")]
    Kind {
        start: redis_cluster,
        backends: &[
            ("redis-cluster", ""),
            #[cfg(feature = "fred")]
            ("redis-cluster-fred", "&client=fred"),
        ],
    },
    #[cfg(feature = "etcd")]
    Kind {
        start: etcd,
        backends: &[("etcd", "")],
    },
];

/// Starts every backend whose feature is on; all at once, which takes about two seconds.
///
/// | feature | backends | on |
/// |---|---|---|
/// | `memory` | `memory` | nothing |
/// | `redb`, `sled` | `redb`, `sled` | a file or a folder in a temporary folder, which all fleets of the test share |
/// | `redis` | `redis` | one `redis-server` |
/// | `redis-cluster` | `redis-cluster` | three masters without replicas: keys are spread and clients redirected as in production, but no failover and no acknowledgement by replicas is there to be tested |
/// | and `fred` | `redis-fred`, `redis-cluster-fred` | the same servers, spoken to by the other client library |
/// | `etcd` | `etcd` | one member: no leader changes |
///
/// Servers listen on 127.0.0.1 alone. They end when the last [`TestBackend`] on them is dropped, and also
/// when the test is killed.
///
/// # Errors
/// `Unsupported` when a program is missing: the message says what to install. `Unavailable` or `Timeout`
/// when a server does not start, with its last words. One backend that cannot be had fails the call:
/// a test that passes on what happens to be installed shows little.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn backends() -> Result<Vec<TestBackend>> {
    let starting: Vec<_> = KINDS
        .iter()
        .map(|kind| (tokio::task::spawn_blocking(kind.start), kind.backends))
        .collect();
    let mut started = Vec::new();
    for (start, backends) in starting {
        let urls = start.await.map_err(|error| {
            let context = "the runtime ended while servers were started";
            Error::new(ErrorKind::Unavailable, TESTING, context).with_source(error)
        })?;
        started.push((urls, backends));
    }
    let mut found = Vec::new();
    for (urls, backends) in started {
        let urls = urls?;
        found.extend(backends.iter().map(|(name, parameters)| TestBackend {
            name,
            parameters,
            urls: Arc::clone(&urls),
        }));
    }
    Ok(found)
}

const TESTING: &str = "testing";

/// A backend that runs for a test. What it runs on ends with the last clone of this value: keep it for as
/// long as anything that it made is in use.
#[derive(Clone)]
pub struct TestBackend {
    name: &'static str,
    parameters: &'static str,
    urls: Urls,
}

impl TestBackend {
    /// Its name, such as `memory` or `redis-cluster`: what to put into a test's messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether several processes can open it at once. An embedded backend belongs to one.
    pub fn is_shared(&self) -> bool {
        let url = (self.urls)("any");
        let scheme = url.split(':').next().unwrap_or_default();
        crate::schemes()
            .iter()
            .any(|known| known.name() == scheme && known.is_shared())
    }

    /// The URL of a fleet that nobody was in yet, another one with each call: for the program under test,
    /// or for whatever opens it several times. On `memory:` each opening is empty; another embedded backend
    /// belongs to one process, in which all openings share what is there.
    pub fn url(&self) -> String {
        static FLEETS: AtomicU32 = AtomicU32::new(1);
        let fleet = format!("test-{}", FLEETS.fetch_add(1, Ordering::Relaxed));
        (self.urls)(&fleet) + self.parameters
    }

    /// Opens a fleet that nobody was in yet, another one with each call.
    ///
    /// # Errors
    /// Those of [`open`](crate::open).
    pub async fn backend(&self) -> Result<Backend> {
        crate::open(&self.url()).await
    }

    /// Opens one new fleet for so many nodes. On a shared backend each node has connections of its own, as
    /// in a process of its own; on an embedded one they share the one opening that there can be.
    ///
    /// # Errors
    /// Those of [`open`](crate::open).
    pub async fn nodes(&self, count: usize) -> Result<Vec<Backend>> {
        let url = self.url();
        let first = crate::open(&url).await?;
        let mut nodes = vec![first; count.min(1)];
        while nodes.len() < count {
            let next = if nodes[0].capabilities.shared {
                crate::open(&url).await?
            } else {
                nodes[0].clone()
            };
            nodes.push(next);
        }
        Ok(nodes)
    }
}

impl fmt::Display for TestBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for TestBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestBackend")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "memory")]
#[expect(clippy::unnecessary_wraps, reason = "others have something to start")]
fn memory() -> Result<Urls> {
    Ok(Arc::new(|fleet| format!("memory:?fleet={fleet}")))
}

#[cfg(feature = "redb")]
fn redb() -> Result<Urls> {
    in_folder(|folder, fleet| format!("redb://{folder}/test.redb?fleet={fleet}"))
}

#[cfg(feature = "sled")]
fn sled() -> Result<Urls> {
    in_folder(|folder, fleet| format!("sled://{folder}/test?fleet={fleet}"))
}

/// Makes a temporary folder, which goes with the URLs. What they open there may be open for longer.
#[cfg(any(feature = "redb", feature = "sled"))]
fn in_folder(url: fn(&str, &str) -> String) -> Result<Urls> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, TESTING, "no temporary folder").with_source(error)
    };
    let folder = tempfile::Builder::new()
        .prefix("ringhold-")
        .tempdir()
        .map_err(failed)?;
    // A URL's own encoding of a path, whatever is in it.
    let path = url::Url::from_directory_path(folder.path()).map_err(|()| {
        Error::new(
            ErrorKind::InvalidArgument,
            TESTING,
            "the temporary folder has no absolute path",
        )
    })?;
    let path = path.path().trim_end_matches('/').to_owned();
    Ok(Arc::new(move |fleet| {
        let _kept = &folder;
        url(&path, fleet)
    }))
}

#[cfg(feature = "redis")]
fn redis() -> Result<Urls> {
    let server = launch::RedisServer::start(&launch::RedisOptions::new()).map_err(not_started)?;
    Ok(Arc::new(move |fleet| server.url(fleet)))
}

#[cfg(feature = "redis-cluster")]
fn redis_cluster() -> Result<Urls> {
    // A machine that is busy for a while must not make masters give each other up.
    let options = launch::ClusterOptions::new()
        .replicas_per_master(0)
        .node_timeout(std::time::Duration::from_secs(10));
    let cluster = launch::RedisCluster::start(options).map_err(not_started)?;
    Ok(Arc::new(move |fleet| cluster.url(fleet)))
}

#[cfg(feature = "etcd")]
fn etcd() -> Result<Urls> {
    let cluster = launch::EtcdCluster::start(&launch::EtcdOptions::new().members(1)).map_err(not_started)?;
    Ok(Arc::new(move |fleet| cluster.url(fleet)))
}

#[cfg(any(feature = "redis", feature = "redis-cluster", feature = "etcd"))]
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn not_started(error: launch::Error) -> Error {
    let kind = match error.kind() {
        launch::ErrorKind::Missing => ErrorKind::Unsupported,
        launch::ErrorKind::Timeout => ErrorKind::Timeout,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, TESTING, error.message().to_owned()).with_retryable(false)
}
