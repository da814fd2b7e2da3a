//! What a URL opens, and what is looked at before it is used.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::backend::Capabilities;
use ringhold_core::discovery::DiscoveryConnector;
use ringhold_core::{Backend, Discovery, Error, ErrorKind, Result};

use crate::client::{Access, Command, Reply};
use crate::schema::{self, Keys};
use crate::script;
use crate::supervisor::{Call, NODE_TIMEOUT, Supervisor};
use crate::{RedisConfig, RedisDiscovery, RedisSessions};

const OPEN: &str = "open";

/// The oldest server whose scripts say what they need before they run.
const VERSION_MIN: (u32, u32) = (7, 0);

/// A fleet's sessions and membership on Redis. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct RedisBackend {
    config: RedisConfig,
    sessions: Arc<RedisSessions>,
    discovery: Arc<RedisDiscovery>,
    connector: Arc<Connector>,
    replicas_max: u8,
}

impl RedisBackend {
    /// Connects, and looks whether this server and this schema can be worked with.
    ///
    /// It also looks at the settings of the servers, where it may, and warns (`tracing`, target
    /// `ringhold_redis`) of those that lose sessions: a `maxmemory-policy` that evicts, masters that come
    /// back empty, and a `cluster-node-timeout` that is not above the deadline of an attempt.
    ///
    /// # Errors
    /// - `Unavailable`: no server answers; the cluster is down.
    /// - `InvalidArgument`: wrong user or password; a cluster where one server was named, or the other
    ///   way round.
    /// - `Unsupported`: a server before 7.0; a fleet of another schema.
    pub async fn open(config: RedisConfig) -> Result<Self> {
        let members = Arc::default();
        let supervisor = connect(&config, &members).await?;
        let keys = Keys::new(config.fleet.clone());
        check_server(&supervisor, &config, &keys).await?;
        check_schema(&supervisor, &keys).await?;
        warn_of_settings(&supervisor, &config).await;
        let replicas_max = supervisor.replicas_min();
        let sessions = RedisSessions::new(Arc::clone(&supervisor), keys, config.limits, config.replicas);
        let discovery = discovery(&config, supervisor);
        Ok(Self {
            connector: Arc::new(Connector {
                config: config.clone(),
                members,
            }),
            config,
            sessions: Arc::new(sessions),
            discovery: Arc::new(discovery),
            replicas_max,
        })
    }

    /// Its sessions.
    pub fn sessions(&self) -> Arc<RedisSessions> {
        Arc::clone(&self.sessions)
    }

    /// Its membership.
    pub fn discovery(&self) -> Arc<RedisDiscovery> {
        Arc::clone(&self.discovery)
    }

    /// What it can do. Whether sessions survive a restart of every server is up to the servers' own
    /// settings, so it is not promised.
    pub fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::embedded();
        capabilities.shared = true;
        capabilities.replicas_max = self.replicas_max;
        capabilities
    }

    /// The trait objects, as a URL opens them. It brings no transport between nodes.
    pub fn backend(&self) -> Backend {
        let (sessions, discovery) = (self.sessions(), self.discovery());
        let (fleet, capabilities) = (self.config.fleet.clone(), self.capabilities());
        Backend::new(self.config.scheme, fleet, capabilities, sessions, discovery)
            .with_discovery_connector(Arc::clone(&self.connector) as Arc<dyn DiscoveryConnector>)
    }
}

/// Connects to the membership of a backend that was opened with these settings.
#[derive(Debug)]
struct Connector {
    config: RedisConfig,
    /// The number of nodes in the fleet, which renewals bring and the other connections need.
    members: Arc<AtomicUsize>,
}

#[async_trait]
impl DiscoveryConnector for Connector {
    async fn connect(&self) -> Result<Arc<dyn Discovery>> {
        let supervisor = connect(&self.config, &self.members).await?;
        Ok(Arc::new(discovery(&self.config, supervisor)))
    }
}

/// A supervisor whose tasks and connections belong to the runtime that polls this.
async fn connect(config: &RedisConfig, members: &Arc<AtomicUsize>) -> Result<Arc<Supervisor>> {
    let access = Access {
        user: config.user.clone(),
        password: config.password.clone(),
        tls: config.is_tls().then(|| config.tls.clone()),
    };
    let (connector, resolver) = ((config.connector)(access), Arc::clone(&config.resolver));
    let settings = config.settings(Arc::clone(members));
    Supervisor::connect(settings, connector, resolver).await
}

fn discovery(config: &RedisConfig, supervisor: Arc<Supervisor>) -> RedisDiscovery {
    RedisDiscovery::new(
        supervisor,
        Keys::new(config.fleet.clone()),
        config.poll,
        config.replicas,
    )
}

impl From<RedisBackend> for Backend {
    fn from(redis: RedisBackend) -> Self {
        redis.backend()
    }
}

async fn check_server(supervisor: &Supervisor, config: &RedisConfig, keys: &Keys) -> Result<()> {
    let info = Command::of(&["INFO", "server"]);
    let replies = supervisor.ask(keys.home(), &[info]).await?;
    let Some(Reply::Bytes(info)) = replies.first() else {
        tracing::debug!("the server does not tell its version");
        return Ok(());
    };
    let info = String::from_utf8_lossy(info);
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        fields
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    if let Some(version) = field("redis_version") {
        let mut numbers = version
            .split('.')
            .map(|number| number.parse::<u32>().unwrap_or(0));
        let has = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if has < VERSION_MIN {
            let (major, minor) = VERSION_MIN;
            let context = format!(
                "the server is Redis {}.{}, and {major}.{minor} or newer is needed",
                has.0, has.1
            );
            return Err(Error::new(ErrorKind::Unsupported, OPEN, context));
        }
    }
    // Valkey calls it `server_mode`, and `redis_version` is the version that it is compatible with.
    let mode = field("redis_mode").or_else(|| field("server_mode"));
    if !config.is_cluster() && mode.as_deref() == Some("cluster") {
        let scheme = config.scheme;
        let context =
            format!("the server belongs to a cluster; write {scheme}-cluster:// instead of {scheme}://");
        return Err(Error::new(ErrorKind::InvalidArgument, OPEN, context));
    }
    Ok(())
}

async fn check_schema(supervisor: &Supervisor, keys: &Keys) -> Result<()> {
    let mut words = keys.schema(&script::SCHEMA);
    words.decimal(u64::from(schema::SCHEMA));
    let call = Call {
        operation: OPEN,
        partition: keys.home(),
        script: &script::SCHEMA,
        command: words.finish(),
        about: None,
        replicas: 1,
    };
    let found = supervisor.run(call).await?.reply.into_bytes(OPEN)?;
    if found == schema::SCHEMA.to_string() {
        return Ok(());
    }
    let found: String = String::from_utf8_lossy(&found).chars().take(20).collect();
    let context = format!(
        "the fleet's data is of schema {found:?} and this build works with {}; use a build of that schema, or \
         another fleet name",
        schema::SCHEMA
    );
    Err(Error::new(ErrorKind::Unsupported, OPEN, context))
}

/// Looks at settings that lose sessions. A server that does not show them is left alone.
async fn warn_of_settings(supervisor: &Supervisor, config: &RedisConfig) {
    for (partition, address) in supervisor.masters() {
        let get = |name| Command::of(&["CONFIG", "GET", name]);
        let names = [
            "maxmemory",
            "maxmemory-policy",
            "save",
            "appendonly",
            NODE_TIMEOUT,
        ];
        let Ok(replies) = supervisor.ask_briefly(partition, &names.map(get)).await else {
            continue;
        };
        let values: Vec<Option<String>> = replies.into_iter().map(Reply::into_setting).collect();
        let is = |index: usize, text: &str| values.get(index).and_then(Option::as_deref) == Some(text);
        let Some(Some(policy)) = values.get(1) else {
            tracing::debug!(%address, "the server does not show its settings");
            continue;
        };
        if policy != "noeviction" {
            tracing::warn!(
                %address, policy,
                "the server may evict sessions when memory is short; set maxmemory-policy to noeviction"
            );
        }
        if is(2, "") && is(3, "no") {
            tracing::warn!(
                %address,
                "the server keeps nothing on disk: it must not be restarted by itself while it is a master, or it \
                 comes back empty and its replicas follow; set appendonly to yes, or restart it only after a failover"
            );
        }
        let node_timeout = values
            .get(4)
            .and_then(Option::as_deref)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_millis);
        if config.is_cluster() && node_timeout.is_some_and(|timeout| timeout <= config.attempt) {
            tracing::warn!(
                %address, ?node_timeout, attempt = ?config.attempt,
                "a server that was deposed could still acknowledge a write; set attempt_ms below cluster-node-timeout"
            );
        }
    }
}
