//! What a URL opens, and what is looked at before it is used.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{AlarmAction, AlarmType, Client, GetOptions};
use ringhold_core::backend::{Capabilities, ClockScope};
use ringhold_core::discovery::DiscoveryConnector;
use ringhold_core::{Backend, Discovery, Error, ErrorKind, Result};
use ringhold_kv::{Transaction, schema};
use tokio::time::timeout;

use crate::supervisor::Supervisor;
use crate::transaction::{EtcdTransaction, Runner};
use crate::{EtcdConfig, EtcdDiscovery, EtcdSessions};

const OPEN: &str = "open";

/// The oldest etcd that this was tried with.
const VERSION_MIN: (u32, u32) = (3, 4);

/// How long one look at a member's settings may take.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// What an etcd keeps unless told otherwise, and how much of it is nearly all.
const QUOTA_BYTES: i64 = 2 << 30;
const NEARLY_FULL_PERCENT: i64 = 80;

/// After so many revisions an etcd that compacts by itself has done so.
const REVISIONS_MAX: i64 = 100_000;

/// A fleet's sessions and membership on etcd. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct EtcdBackend {
    config: EtcdConfig,
    sessions: Arc<EtcdSessions>,
    discovery: Arc<EtcdDiscovery>,
    connector: Arc<Connector>,
    replicated: u8,
}

impl EtcdBackend {
    /// Connects, and looks whether this etcd and this schema can be worked with.
    ///
    /// It also warns (`tracing`, target `ringhold_etcd`) of what will stop an etcd: one that is nearly full,
    /// one that has an alarm, and one that never compacts.
    ///
    /// # Errors
    /// - `Unavailable`, `Timeout`: no member serves; a certificate is not trusted.
    /// - `InvalidArgument`: wrong user or password; a user who may not; members of different etcds.
    /// - `Unsupported`: an etcd before 3.4; a fleet of another schema.
    pub async fn open(config: EtcdConfig) -> Result<Self> {
        let runner = connect(&config).await?;
        let client = runner.supervisor().link(OPEN).await?.client;
        // The futures of the client are large.
        let members = Box::pin(look(&client)).await?;
        check_schema(&runner).await?;
        // A majority has what is acknowledged: the leader, and so many beside it.
        let replicated = u8::try_from(members.max(1) / 2).unwrap_or(u8::MAX);
        Ok(Self {
            sessions: Arc::new(EtcdSessions::new(runner.clone(), config.limits, replicated)),
            discovery: Arc::new(discovery(&config, &runner, replicated)),
            connector: Arc::new(Connector {
                config: config.clone(),
                replicated,
            }),
            config,
            replicated,
        })
    }

    /// Its sessions.
    pub fn sessions(&self) -> Arc<EtcdSessions> {
        Arc::clone(&self.sessions)
    }

    /// Its membership.
    pub fn discovery(&self) -> Arc<EtcdDiscovery> {
        Arc::clone(&self.discovery)
    }

    /// What it can do. What is acknowledged is on the disks of a majority, so `replicated` is the same in
    /// every answer: the members of that majority beside the leader, by how many members there were when
    /// this was opened.
    pub fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::embedded();
        capabilities.shared = true;
        capabilities.durable = true;
        capabilities.replicas_max = self.replicated;
        // Processes count from when they saw what is stored, and somebody stores each half second.
        capabilities.ttl_resolution = Duration::from_secs(1);
        capabilities.session_clocks = ClockScope::Fleet;
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
    config: EtcdConfig,
    replicated: u8,
}

#[async_trait]
impl DiscoveryConnector for Connector {
    async fn connect(&self) -> Result<Arc<dyn Discovery>> {
        let runner = connect(&self.config).await?;
        Ok(Arc::new(discovery(&self.config, &runner, self.replicated)))
    }
}

/// A way to etcd whose tasks and connections belong to the runtime that polls this.
async fn connect(config: &EtcdConfig) -> Result<Runner> {
    let prefix = format!("/ringhold/{}/", config.fleet).into_bytes();
    let probe = [&prefix, schema::SCHEMA_KEY].concat();
    let supervisor = Supervisor::connect(config.settings(), probe).await?;
    Ok(Runner::new(supervisor, prefix, Arc::clone(&config.clock)))
}

fn discovery(config: &EtcdConfig, runner: &Runner, replicated: u8) -> EtcdDiscovery {
    EtcdDiscovery::new(runner.of_membership(), config.poll, replicated)
}

impl From<EtcdBackend> for Backend {
    fn from(etcd: EtcdBackend) -> Self {
        etcd.backend()
    }
}

/// Looks at the version and at what will stop this etcd. Answers how many members vote.
async fn look(client: &Client) -> Result<usize> {
    match timeout(LOOK_MAX, client.maintenance_client().status()).await {
        Ok(Ok(status)) => {
            check_version(status.version())?;
            let quota = match status.db_size_quota() {
                // Before 3.6 it is not told.
                0 => QUOTA_BYTES,
                quota => quota,
            };
            if status.db_size() > quota / 100 * NEARLY_FULL_PERCENT {
                tracing::warn!(
                    bytes = status.db_size(),
                    quota,
                    "etcd is nearly full: compact and defragment it, or raise quota-backend-bytes; full, it takes \
                     no writes"
                );
            }
            let revision = status.header().map_or(0, etcd_client::ResponseHeader::revision);
            if revision > REVISIONS_MAX && keeps_all(client).await {
                tracing::warn!(
                    revision,
                    "etcd has compacted nothing yet; without auto-compaction it fills up and then takes no writes: \
                     start it with --auto-compaction-mode=periodic --auto-compaction-retention=5m"
                );
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "etcd does not tell its version"),
        Err(_) => tracing::debug!("etcd does not tell its version in time"),
    }
    let mut maintenance = client.maintenance_client();
    let alarms = maintenance.alarm(AlarmAction::Get, AlarmType::None, None);
    if let Ok(Ok(alarms)) = timeout(LOOK_MAX, alarms).await {
        for alarm in alarms.alarms() {
            tracing::warn!(member = alarm.member_id(), alarm = ?alarm.alarm(), "etcd has an alarm");
        }
    }
    let members = timeout(LOOK_MAX, client.cluster_client().member_list()).await;
    match members {
        Ok(Ok(members)) => Ok(members
            .members()
            .iter()
            .filter(|member| !member.is_learner())
            .count()),
        Ok(Err(error)) => {
            tracing::debug!(%error, "etcd does not tell its members");
            Ok(1)
        }
        Err(_) => Ok(1),
    }
}

fn check_version(version: &str) -> Result<()> {
    let mut numbers = version
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let has = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if has >= VERSION_MIN {
        return Ok(());
    }
    let (major, minor) = VERSION_MIN;
    let context = format!(
        "this is etcd {}.{}, and {major}.{minor} or newer is needed",
        has.0, has.1
    );
    Err(Error::new(ErrorKind::Unsupported, OPEN, context))
}

/// Whether even the first revision can still be read.
async fn keeps_all(client: &Client) -> bool {
    let first = GetOptions::new()
        .with_revision(2)
        .with_serializable()
        .with_count_only();
    let read = timeout(LOOK_MAX, client.kv_client().get("/ringhold/", Some(first))).await;
    matches!(read, Ok(Ok(_)))
}

/// Writes down which schema the fleet's data is of, or looks whether it is this one.
async fn check_schema(runner: &Runner) -> Result<()> {
    let own = schema::SCHEMA.to_string();
    let rule = |tx: &mut EtcdTransaction, _: Duration| {
        let found = tx.get(schema::SCHEMA_KEY)?;
        if found.is_none() {
            tx.put(schema::SCHEMA_KEY.to_vec(), own.clone().into_bytes());
        }
        Ok(found)
    };
    let Some(found) = runner.run(OPEN, rule).await?.filter(|found| *found != own) else {
        return Ok(());
    };
    let found: String = String::from_utf8_lossy(&found).chars().take(20).collect();
    let context = format!(
        "the fleet's data is of schema {found:?} and this build works with {own}; use a build of that schema, or \
         another fleet name"
    );
    Err(Error::new(ErrorKind::Unsupported, OPEN, context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_etcd_is_refused() {
        for good in ["3.4.0", "3.4.23", "3.6.0-rc.1", "4.0.0", "10.0"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["3.3.27", "2.3.8", "", "new"] {
            assert_eq!(
                check_version(bad).unwrap_err().kind(),
                ErrorKind::Unsupported,
                "{bad}"
            );
        }
    }
}
