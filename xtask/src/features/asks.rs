//! What each feature asks for, written by hand: the manifests are what is checked against it.

/// Crates that speak to servers or keep files. Whoever did not ask for one must not build it.
pub(super) const CLIENTS: &[&str] = &["etcd-client", "fred", "redb", "redis", "rustls", "sled", "tonic"];

/// Features of a member that, together, bring packages.
pub(super) struct Asks {
    pub(super) package: &'static str,
    /// All of these.
    pub(super) features: &'static [&'static str],
    /// Members beside core, and clients.
    pub(super) brings: &'static [&'static str],
}

impl Asks {
    pub(super) const fn new(
        package: &'static str,
        features: &'static [&'static str],
        brings: &'static [&'static str],
    ) -> Self {
        Self {
            package,
            features,
            brings,
        }
    }
}

const REDIS: &[&str] = &["ringhold-redis", "redis"];

const REDB: &[&str] = &["ringhold-redb", "ringhold-kv", "redb"];

const SLED: &[&str] = &["ringhold-sled", "ringhold-kv", "sled"];

const ETCD: &[&str] = &["ringhold-etcd", "ringhold-kv", "etcd-client", "tonic"];

const GRPC: &[&str] = &["ringhold-grpc", "rustls", "tonic"];

/// Starting servers is done over their own protocol.
const LAUNCH: &[&str] = &["ringhold-launch", "redis"];

/// A line for each feature, and one for each two that bring more than both alone.
pub(super) const ASKS: &[Asks] = &[
    Asks::new("ringhold", &["memory"], &["ringhold-memory"]),
    Asks::new("ringhold", &["redis"], REDIS),
    Asks::new("ringhold", &["redis-cluster"], REDIS),
    // A second client beside the first; alone it has nothing to be a client of.
    Asks::new("ringhold", &["fred"], &[]),
    Asks::new("ringhold", &["fred", "redis"], &["fred"]),
    Asks::new("ringhold", &["fred", "redis-cluster"], &["fred"]),
    Asks::new("ringhold", &["etcd"], ETCD),
    Asks::new("ringhold", &["redb"], REDB),
    Asks::new("ringhold", &["sled"], SLED),
    Asks::new("ringhold", &["grpc"], GRPC),
    Asks::new("ringhold", &["tls"], &[]),
    Asks::new("ringhold", &["tls", "etcd"], &["rustls"]),
    Asks::new("ringhold", &["tls", "redis"], &["rustls"]),
    Asks::new("ringhold", &["tls", "redis-cluster"], &["rustls"]),
    Asks::new("ringhold", &["testing"], LAUNCH),
    Asks::new("ringhold-cli", &["memory"], &["ringhold-memory"]),
    Asks::new("ringhold-cli", &["redis"], REDIS),
    Asks::new("ringhold-cli", &["redis-cluster"], REDIS),
    // `dev-cluster`.
    Asks::new("ringhold-cli", &["redis-cluster"], LAUNCH),
    // A second client beside the first; alone it has nothing to be a client of.
    Asks::new("ringhold-cli", &["fred"], &[]),
    Asks::new("ringhold-cli", &["fred", "redis"], &["fred"]),
    Asks::new("ringhold-cli", &["fred", "redis-cluster"], &["fred"]),
    Asks::new("ringhold-cli", &["etcd"], ETCD),
    Asks::new("ringhold-cli", &["redb"], REDB),
    Asks::new("ringhold-cli", &["sled"], SLED),
    Asks::new("ringhold-cli", &["grpc"], GRPC),
    Asks::new("ringhold-cli", &["tls"], &[]),
    Asks::new("ringhold-cli", &["tls", "etcd"], &["rustls"]),
    Asks::new("ringhold-cli", &["tls", "redis"], &["rustls"]),
    Asks::new("ringhold-cli", &["tls", "redis-cluster"], &["rustls"]),
];
