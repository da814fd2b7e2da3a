//! What a node says of itself.

use std::net::SocketAddr;

use super::state::Entry;
use crate::client::field_of;
use crate::cluster::table::{Row, rows};
use crate::{Error, ErrorKind, Result};

/// What a node is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DevRole {
    /// It serves this many slots.
    Master {
        /// 0 to 16384.
        slots: u16,
    },
    /// It follows the master of this id.
    Replica {
        /// 40 hexadecimal digits.
        of: String,
    },
}

/// A node of a [`DevCluster`](super::DevCluster) at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DevNode {
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Its id in the cluster: 40 hexadecimal digits.
    pub id: String,
    /// Its process; `None` when that has ended.
    pub pid: Option<u32>,
    /// What it is for; `None` when it does not answer.
    pub role: Option<DevRole>,
    /// The memory of its data, in bytes; `None` when it does not answer.
    pub memory: Option<u64>,
    /// Whether it runs, answers, and finds the cluster in order.
    pub ok: bool,
}

/// Asks a node.
pub(super) fn of(entry: &Entry) -> Result<DevNode> {
    let mut node = DevNode {
        address: entry.address,
        id: entry.id.clone(),
        pid: None,
        role: None,
        memory: None,
        ok: false,
    };
    if entry.is_alive()? {
        node.pid = entry.process.map(|process| process.pid);
        node.role = role(entry).ok();
    }
    // One that is stopped runs and does not answer; it is not asked again.
    if node.role.is_some() {
        let memory = entry.access().info("memory", "used_memory");
        node.memory = memory.ok().and_then(|bytes| bytes.parse().ok());
        node.ok = in_order(entry).is_ok();
    }
    Ok(node)
}

fn role(entry: &Entry) -> Result<DevRole> {
    let table = rows(&entry.access().text(&["CLUSTER", "NODES"])?);
    let own = table.into_iter().find(|row| row.myself);
    let own = own.ok_or_else(|| Error::new(ErrorKind::Answer, "a node that does not know itself"))?;
    Ok(match own {
        Row {
            replica_of: Some(of), ..
        } => DevRole::Replica { of },
        row => DevRole::Master { slots: row.count() },
    })
}

/// Whether a node finds the cluster in order and has its master, where it follows one.
pub(super) fn in_order(entry: &Entry) -> Result<(), String> {
    let at = |seen: String| format!("node at {}: {seen}", entry.address);
    let access = entry.access();
    let info = access
        .text(&["CLUSTER", "INFO"])
        .map_err(|error| error.to_string())?;
    let state = field_of(&info, "cluster_state").unwrap_or("unknown");
    if state != "ok" {
        return Err(at(format!("cluster_state:{state}")));
    }
    let info = access
        .text(&["INFO", "replication"])
        .map_err(|error| error.to_string())?;
    match field_of(&info, "master_link_status") {
        None | Some("up") => Ok(()),
        Some(link) => Err(at(format!("master_link_status:{link}"))),
    }
}
