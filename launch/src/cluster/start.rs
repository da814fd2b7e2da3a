//! From options to a cluster that is in order.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::partition::{Partition, Wiring};
use super::table::{Identity, nodes_conf};
use super::{ClusterOptions, Member, RedisCluster};
use crate::certificates::Certificates;
use crate::client::Access;
use crate::clock::{ClockOffset, SettableClock};
use crate::daemon::{StartError, start_anew};
use crate::keeper::Keeper;
use crate::node::{Node, REDIS};
use crate::options::{ServerClock, ServerTls, quoted};
use crate::{Error, ErrorKind, Result, ports};

/// How long a cluster may take to be in order.
const OK_MAX: Duration = Duration::from_secs(60);

/// The node timeout where time jumps: 30 days.
const NEVER: Duration = Duration::from_secs(30 * 24 * 3_600);

pub(super) fn start(options: &Arc<ClusterOptions>) -> Result<RedisCluster> {
    options.check()?;
    REDIS.file()?;
    let keeper = Arc::new(Keeper::new()?);
    let cluster = start_anew(|attempt| launch(options, &keeper, attempt))?;
    cluster.wait_until_ok(OK_MAX)?;
    cluster.wait_until_met(OK_MAX)?;
    cluster.wait_until_in_sync(OK_MAX)?;
    Ok(cluster)
}

/// Starts all servers at once; they know each other from their files.
fn launch(
    options: &Arc<ClusterOptions>,
    keeper: &Arc<Keeper>,
    attempt: usize,
) -> Result<RedisCluster, StartError> {
    let folder = keeper.folder().join(format!("cluster-{attempt}"));
    fs::create_dir(&folder).map_err(Error::io("making a cluster's folder"))?;
    let clock = match options.server.clock {
        ServerClock::Real => None,
        ServerClock::Settable => Some(SettableClock::new(&folder)?),
    };
    let count = options.nodes();
    let ips: Vec<IpAddr> = (0..count).map(|index| address(options, index)).collect();
    let tls = options.server.tls != ServerTls::Off;
    let ports = ports::free(&ips, if tls { 3 } else { 2 })?;
    let certificates = Certificates::of(
        options.server.tls,
        &folder,
        &ips,
        options.server.host_name.as_deref(),
    )?;
    let ids = (0..count).map(|_| random_hex(20)).collect::<Result<Vec<_>>>()?;
    let partition = if options.cuttable {
        let wiring = Wiring {
            ips: ips.clone(),
            buses: ports.iter().map(|pair| pair[1]).collect(),
            secret: random_hex(16)?,
        };
        Some(Partition::new(wiring)?)
    } else {
        None
    };
    let identities: Vec<Identity> = (0..count)
        .map(|index| Identity {
            id: ids[index].clone(),
            ip: ips[index],
            port: ports[index][0],
            tls_port: ports[index].get(2).copied(),
            bus: partition
                .as_ref()
                .map_or(ports[index][1], |partition| partition.announced(index)),
        })
        .collect();
    let mut members = Vec::new();
    for (index, identity) in identities.iter().enumerate() {
        let own = folder.join(format!("node-{index}"));
        let doing = "making a node's folder";
        fs::create_dir(&own).map_err(Error::io(doing))?;
        let table = nodes_conf(&identities, options.masters, index);
        fs::write(own.join("nodes.conf"), table).map_err(Error::io(doing))?;
        let offset = if options.skewable {
            Some(ClockOffset::new(&own)?)
        } else {
            None
        };
        let clock_file = match (&clock, &offset) {
            (Some(clock), _) => Some(clock.file().to_owned()),
            (None, Some(offset)) => Some(offset.file().to_owned()),
            (None, None) => None,
        };
        let access = Access {
            address: SocketAddr::new(identity.ip, identity.port),
            password: options.server.password.clone(),
        };
        let mut config = config(options, identity, ports[index][1]);
        if let (Some(certificates), Some(port)) = (&certificates, identity.tls_port) {
            config += &certificates.config(port);
            let _ = writeln!(config, "cluster-announce-tls-port {port}");
        }
        if let Some(partition) = &partition {
            config += &partition.config(index);
        } else if let Some(password) = &options.server.password {
            let _ = writeln!(config, "masterauth {}", quoted(password));
        }
        for line in &options.server.lines {
            let _ = writeln!(config, "{line}");
        }
        members.push(Member {
            node: Node::new(keeper, own, access, clock_file, options.server.locale.as_deref()),
            id: identity.id.clone(),
            client_port: identity.tls_port.unwrap_or(identity.port),
            config,
            offset,
        });
    }
    let cluster = RedisCluster {
        members,
        clock,
        partition,
        certificates,
        options: Arc::clone(options),
    };
    for (index, member) in cluster.members.iter().enumerate() {
        let users = cluster.partition.as_ref().map(|partition| partition.users(index));
        member
            .node
            .spawn(&format!("{}{}", member.config, users.unwrap_or_default()))?;
    }
    for member in &cluster.members {
        member.node.ready()?;
    }
    Ok(cluster)
}

fn address(options: &ClusterOptions, index: usize) -> IpAddr {
    // A node is known by its address where somebody has to tell who calls; options limit the index.
    let last = if options.cuttable {
        u8::try_from(11 + index).unwrap_or(u8::MAX)
    } else {
        1
    };
    Ipv4Addr::new(127, 0, 0, last).into()
}

pub(crate) fn config(options: &ClusterOptions, identity: &Identity, bus: u16) -> String {
    let Identity {
        ip,
        port,
        bus: announced,
        ..
    } = identity;
    let timeout = match options.server.clock {
        ServerClock::Real => options.node_timeout,
        ServerClock::Settable => NEVER,
    };
    let yes = |yes| if yes { "yes" } else { "no" };
    let names = options
        .server
        .host_name
        .as_ref()
        .map_or_else(String::new, |name| {
            format!("cluster-announce-hostname {name}\ncluster-preferred-endpoint-type hostname\n")
        });
    format!(
        "bind {ip}\nbind-source-addr {ip}\nport {port}\n\
         cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {bus}\n\
         cluster-announce-ip {ip}\ncluster-announce-port {port}\ncluster-announce-bus-port {announced}\n\
         cluster-node-timeout {}\ncluster-require-full-coverage {}\n\
         cluster-allow-replica-migration no\n{names}{}",
        timeout.as_millis(),
        yes(options.full_coverage),
        options.server.config(),
    )
}

/// So many random bytes in hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(ErrorKind::Io, format!("no random bytes: {error}")))?;
    let mut text = String::new();
    for byte in random {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
