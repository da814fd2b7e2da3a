//! Up, down and status.

use std::path::PathBuf;

use ringhold_launch::{ClusterOptions, DevCluster, DevNode, DevRole, Error, ErrorKind};
use serde::Serialize;

use super::folder::folder;
use super::{FolderArgs, UpArgs};
use crate::exit::Failure;
use crate::output::{Output, counted, grouped, lines, shown, table};

/// What `up` came to.
#[derive(Debug, Serialize)]
struct UpReport {
    /// For `--backend` and `RINGHOLD_BACKEND`.
    url: String,
    folder: String,
    nodes: usize,
    /// How many of them this call started.
    started: usize,
}

/// What `down` came to.
#[derive(Debug, Serialize)]
struct DownReport {
    folder: String,
    /// How many servers still ran.
    stopped: usize,
}

/// What `status` sees.
#[derive(Debug, Serialize)]
struct StatusReport {
    url: String,
    folder: String,
    /// All nodes run and find the cluster in order.
    ok: bool,
    nodes: Vec<NodeRow>,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    node: String,
    id: String,
    /// `master`, `replica`, or nothing of a node that does not answer.
    role: Option<&'static str>,
    /// The address of a replica's master.
    replica_of: Option<String>,
    pid: Option<u32>,
    memory_bytes: Option<u64>,
    slots: Option<u16>,
    /// `ok`; `failing`: it finds the cluster out of order or has lost its master; `silent`; `down`.
    state: &'static str,
}

pub(super) fn up(args: &UpArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let folder = folder(&args.folder)?;
    let (cluster, started) = if let Some(mut cluster) = DevCluster::load(&folder)? {
        let started = cluster.revive()?;
        (cluster, started)
    } else {
        let options = ClusterOptions::new()
            .masters(args.masters.into())
            .replicas_per_master(args.replicas.into())
            .node_timeout(args.node_timeout);
        let nodes = usize::from(args.masters) * (1 + usize::from(args.replicas));
        (DevCluster::start(&folder, &options)?, nodes)
    };
    let report = UpReport {
        url: cluster.url(None),
        folder: cluster.folder().display().to_string(),
        nodes: cluster.nodes()?.len(),
        started,
    };
    let dir = args.folder.dir.is_some();
    output.show(&report, |report| up_words(report, dir))
}

fn up_words(report: &UpReport, dir: bool) -> String {
    let UpReport {
        url,
        folder,
        nodes,
        started,
    } = report;
    let folder = shown(folder);
    let news = match started {
        0 => format!("the cluster of {nodes} in {folder} runs already"),
        started if started == nodes => format!("a cluster of {nodes} runs in {folder}"),
        started => format!("the cluster of {nodes} in {folder} runs, {started} of them started again"),
    };
    let dir = if dir {
        format!(" --dir '{folder}'")
    } else {
        String::new()
    };
    format!(
        "{news}\n\n  --backend '{url}'\n\n\
         next:  ringhold --backend '{url}' demo\n\
         look:  ringhold dev-cluster status{dir}\n\
         end:   ringhold dev-cluster down{dir}"
    )
}

pub(super) fn down(args: &FolderArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let cluster = running(args)?;
    let folder = cluster.folder().display().to_string();
    let stopped = cluster.stop()?;
    let report = DownReport { folder, stopped };
    output.show(&report, |report| {
        let servers = counted(u64::try_from(report.stopped).unwrap_or(u64::MAX), "server");
        format!("{servers} stopped, {} removed", shown(&report.folder))
    })
}

pub(super) fn status(args: &FolderArgs, output: &mut Output<'_>) -> Result<(), Failure> {
    let cluster = running(args)?;
    let nodes = cluster.nodes()?;
    let report = StatusReport {
        url: cluster.url(None),
        folder: cluster.folder().display().to_string(),
        ok: nodes.iter().all(|node| node.ok),
        nodes: nodes.iter().map(|node| row(node, &nodes)).collect(),
    };
    output.show(&report, status_words)?;
    if report.ok {
        return Ok(());
    }
    let well = nodes.iter().filter(|node| node.ok).count();
    Err(Failure::not_found(format!(
        "{well} of {} nodes are well; `ringhold dev-cluster up` starts those that are down",
        nodes.len()
    )))
}

fn row(node: &DevNode, all: &[DevNode]) -> NodeRow {
    let (role, replica_of, slots) = match &node.role {
        Some(DevRole::Master { slots }) => (Some("master"), None, Some(*slots)),
        Some(DevRole::Replica { of }) => {
            let master = all.iter().find(|other| &other.id == of);
            (
                Some("replica"),
                master.map(|master| master.address.to_string()),
                Some(0),
            )
        }
        _ => (None, None, None),
    };
    NodeRow {
        node: node.address.to_string(),
        id: node.id.clone(),
        role,
        replica_of,
        pid: node.pid,
        memory_bytes: node.memory,
        slots,
        state: match (node.ok, role, node.pid) {
            (true, ..) => "ok",
            (false, Some(_), _) => "failing",
            (false, None, Some(_)) => "silent",
            (false, None, None) => "down",
        },
    }
}

fn status_words(report: &StatusReport) -> String {
    let mut table = table(&["NODE", "ROLE", ">PID", ">MEMORY", ">SLOTS", "STATE"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for node in &report.nodes {
        let role = match &node.replica_of {
            Some(master) => format!("replica of {master}"),
            None => node.role.unwrap_or("-").to_owned(),
        };
        table.add_row([
            node.node.clone(),
            role,
            or_dash(node.pid.map(|pid| pid.to_string())),
            or_dash(
                node.memory_bytes
                    .map(|bytes| format!("{} KiB", grouped(bytes / 1_024))),
            ),
            or_dash(node.slots.map(|slots| grouped(slots.into()))),
            node.state.to_owned(),
        ]);
    }
    format!(
        "{}\n\n--backend '{}', in {}",
        lines(&table),
        report.url,
        shown(&report.folder)
    )
}

/// The cluster that was started there.
fn running(args: &FolderArgs) -> Result<DevCluster, Failure> {
    let folder: PathBuf = folder(args)?;
    DevCluster::load(&folder)?.ok_or_else(|| {
        Failure::not_found(format!(
            "no cluster was started in {}; `ringhold dev-cluster up` starts one",
            shown(&folder.display().to_string())
        ))
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.message();
        match error.kind() {
            ErrorKind::Invalid => Self::usage(message),
            ErrorKind::Missing => Self::unsupported(message),
            ErrorKind::Timeout | ErrorKind::Unreachable => Self::unavailable(message),
            _ => Self::failed(message),
        }
    }
}
