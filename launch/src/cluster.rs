//! A cluster, and what can happen to its nodes.

mod options;
mod partition;
mod slots;
pub(crate) mod start;
pub(crate) mod table;
mod view;

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

pub use self::options::ClusterOptions;
pub use self::slots::SlotMove;

use self::partition::Partition;
use crate::certificates::Certificates;
use crate::clock::{ClockOffset, SettableClock};
use crate::node::Node;
use crate::options::url_encoded;
use crate::reply::Reply;
use crate::{Error, ErrorKind, Result};

/// A running Redis Cluster on loopback. Dropping it kills its servers.
///
/// Nodes are named by their index from 0 to [`len`](Self::len) - 1, which they keep whatever role
/// they take: at the start the first ones are the masters, then come a replica of each in turn.
///
/// # Panics
/// All methods that take an index panic where there is no such node.
pub struct RedisCluster {
    members: Vec<Member>,
    clock: Option<SettableClock>,
    /// The last to go: nodes are killed before their bus goes.
    partition: Option<Partition>,
    certificates: Option<Certificates>,
    options: Arc<ClusterOptions>,
}

/// One node.
struct Member {
    node: Node,
    id: String,
    /// The port that URLs name.
    client_port: u16,
    /// Its `redis.conf`, but for what a partition adds.
    config: String,
    offset: Option<ClockOffset>,
}

impl RedisCluster {
    /// Starts a cluster, and returns when every node finds it in order, is connected to all others and knows their
    /// host names, and every replica is in sync: about 2 s by the real clock, for which masters refuse writes after
    /// they started, and a fraction of a second by a settable one, which this call moves on.
    ///
    /// # Errors
    /// `Missing` without `redis-server`, or without `cc` for clocks; `Invalid` options; `Start` with
    /// a server's last words; `Timeout`; `Io`.
    pub fn start(options: ClusterOptions) -> Result<Self> {
        start::start(&Arc::new(options))
    }

    /// The URL of a fleet on this cluster, with all nodes. Holds the password where there is one.
    pub fn url(&self, fleet: &str) -> String {
        let login = self.options.server.login();
        let place = |index| self.options.server.place(self.client_address(index));
        let scheme = match &self.certificates {
            Some(_) => "rediss-cluster",
            None => "redis-cluster",
        };
        let mut url = format!("{scheme}://{login}{}?", place(0));
        for index in 1..self.len() {
            // Writing to a string cannot fail.
            let _ = write!(url, "node={}&", place(index));
        }
        url += "fleet=";
        url += &url_encoded(fleet);
        url + &self
            .certificates
            .as_ref()
            .map_or_else(String::new, Certificates::url)
    }

    /// How many nodes there are, dead or alive.
    #[expect(clippy::len_without_is_empty, reason = "a cluster has at least one node")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Where clients without TLS reach a node.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.members[index].node.access.address
    }

    /// Where the clients that URLs are for reach a node, and other nodes do: over TLS where it has that.
    pub(crate) fn client_address(&self, index: usize) -> SocketAddr {
        SocketAddr::new(self.address(index).ip(), self.members[index].client_port)
    }

    /// The id of a node in the cluster: 40 hexadecimal digits.
    pub fn id(&self, index: usize) -> &str {
        &self.members[index].id
    }

    /// The process of a node, while there is one.
    pub fn pid(&self, index: usize) -> Option<u32> {
        self.members[index].node.pid()
    }

    /// Runs one command on this very node, on a connection of its own; redirects are not followed.
    /// An error that the server answered is a [`Reply::Error`].
    ///
    /// # Errors
    /// `Unreachable` when there is no answer within 5 s.
    pub fn command<A: AsRef<[u8]>>(&self, index: usize, words: &[A]) -> Result<Reply> {
        self.members[index].node.access.command(words)
    }

    /// SIGKILL; returns when the process is gone. Nothing happens to one that is killed already.
    ///
    /// # Errors
    /// None today.
    pub fn kill(&self, index: usize) -> Result<()> {
        self.members[index].node.kill();
        Ok(())
    }

    /// SIGSTOP: the node is silent, and its connections stay open.
    ///
    /// # Errors
    /// `Invalid` for one that is killed; `Io`.
    pub fn stop(&self, index: usize) -> Result<()> {
        self.members[index].node.stop()
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// `Invalid` for one that is killed; `Io`.
    pub fn resume(&self, index: usize) -> Result<()> {
        self.members[index].node.resume()
    }

    /// Starts a node again on its port with its `nodes.conf`, after a SIGKILL where it still runs;
    /// returns when it answers. Its data is gone unless
    /// [`append_only`](crate::RedisOptions::append_only) keeps it: a master that is back before a
    /// replica was promoted comes back empty, and empties its replicas.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self, index: usize) -> Result<()> {
        let member = &self.members[index];
        let users = self.partition.as_ref().map(|partition| partition.users(index));
        let config = format!("{}{}", member.config, users.unwrap_or_default());
        member.node.restart(&config)
    }

    /// Closes all connections of clients to a node.
    ///
    /// # Errors
    /// `Unreachable`.
    pub fn kill_connections(&self, index: usize) -> Result<()> {
        self.members[index]
            .node
            .access
            .run(&["CLIENT", "KILL", "TYPE", "normal"])
    }

    /// The clock of all nodes, with [`ServerClock::Settable`](crate::ServerClock::Settable).
    pub const fn clock(&self) -> Option<&SettableClock> {
        self.clock.as_ref()
    }

    /// Sets the running clock of one node apart from the machine's, by so many milliseconds.
    ///
    /// # Errors
    /// `Invalid` unless the cluster is [`skewable`](ClusterOptions::skewable); `Io`.
    pub fn set_clock_offset(&self, index: usize, millis: i64) -> Result<()> {
        match &self.members[index].offset {
            Some(offset) => offset.set_millis(millis),
            None => Err(Error::new(
                ErrorKind::Invalid,
                "only nodes of a cluster with `ClusterOptions::skewable(true)` have clocks apart",
            )),
        }
    }

    /// Cuts a node off from all others: its cluster bus and its replication links break in both
    /// directions and stay broken, while clients reach it as before.
    ///
    /// # Errors
    /// `Invalid` unless the cluster is [`cuttable`](ClusterOptions::cuttable); `Unreachable` for a
    /// node that is stopped.
    pub fn cut_off(&self, index: usize) -> Result<()> {
        self.partition()?.cut_off(&self.members, index)
    }

    /// Ends what [`cut_off`](Self::cut_off) began.
    ///
    /// # Errors
    /// As [`cut_off`](Self::cut_off).
    pub fn heal(&self, index: usize) -> Result<()> {
        self.partition()?.heal(&self.members, index)
    }

    fn partition(&self) -> Result<&Partition> {
        self.partition.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "only nodes of a cluster with `ClusterOptions::cuttable(true)` can be cut off",
            )
        })
    }
}

impl fmt::Debug for RedisCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.members.iter().map(|member| member.node.access.address);
        f.debug_struct("RedisCluster")
            .field("nodes", &addresses.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
