//! `ringhold nodes`: who is in the fleet.

use std::collections::BTreeMap;

use ringhold::{ExpiryMode, Membership, Observer, Ring};
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{Output, grouped, lines, millis, percent, shown, table};

/// The fleet at one revision.
#[derive(Debug, Serialize)]
pub struct FleetReport {
    /// Its name.
    pub fleet: String,
    /// The membership revision.
    pub revision: u64,
    /// How long nobody had renewed a lease when this was read.
    pub clock_lag_ms: u64,
    /// The nodes by id.
    pub nodes: Vec<NodeRow>,
    /// Nodes whose records this build cannot read.
    pub unreadable: Vec<UnreadableRow>,
    /// A fault of the fleet as a whole.
    pub warning: Option<&'static str>,
}

/// Expired sessions stay in the store where each member leaves them to another one.
const NO_SWEEPER: &str = "no node handles or discards expired sessions, so they stay in the store; join a node with \
                          on_expired(…), or with expired(Discard)";

/// One node.
#[derive(Debug, Serialize)]
pub struct NodeRow {
    /// Its id.
    pub node: String,
    /// Which run of it.
    pub incarnation: u64,
    /// What it is ready for: `joining`, `ready`, `draining`.
    pub state: &'static str,
    /// Its lease has lapsed, and nobody has reaped it yet.
    pub lapsed: bool,
    /// Sessions as of its last heartbeat.
    pub sessions: u32,
    /// The most that it takes.
    pub capacity: Option<u32>,
    /// Its weight on the ring.
    pub weight: u16,
    /// Its part of the keys, 0 to 1.
    pub ring_share: f64,
    /// Its failure domain.
    pub zone: String,
    /// Its addresses by name.
    pub endpoints: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The build of the application.
    pub build: String,
    /// Its part in the expiry of sessions: `handle`, `discard`, `leave`.
    pub expiry: &'static str,
}

/// A node whose record this build cannot read.
#[derive(Debug, Serialize)]
pub struct UnreadableRow {
    /// Its id.
    pub node: String,
    /// The kind of error.
    pub kind: &'static str,
    /// The same in words.
    pub message: String,
}

/// Prints the nodes.
///
/// # Errors
/// Those of the backend.
pub async fn run(observer: &Observer, output: &mut Output<'_>) -> Result<(), Failure> {
    let membership = observer.members().await?;
    let report = FleetReport::new(observer.backend().fleet.as_str(), &membership);
    output.show(&report, words)
}

impl FleetReport {
    /// The report of a membership.
    pub fn new(fleet: &str, membership: &Membership) -> Self {
        let ring = Ring::new(
            membership
                .members
                .iter()
                .map(|member| (member.record.id.clone(), member.record.weight)),
        );
        // Members and ring are both sorted by id.
        let rows = membership
            .members
            .iter()
            .zip(ring.shares())
            .map(|(member, (_, ring_share))| {
                let record = &member.record;
                let owned =
                    |(key, value): (&dyn ToString, &dyn ToString)| (key.to_string(), value.to_string());
                NodeRow {
                    node: record.id.to_string(),
                    incarnation: record.incarnation.number,
                    state: record.state.as_str(),
                    lapsed: member.lapsed,
                    sessions: member.load.sessions,
                    capacity: record.capacity,
                    weight: record.weight.get(),
                    ring_share,
                    zone: record.zone.to_string(),
                    endpoints: record
                        .endpoints
                        .iter()
                        .map(|(key, value)| owned((key, value)))
                        .collect(),
                    labels: record
                        .labels
                        .iter()
                        .map(|(key, value)| owned((key, value)))
                        .collect(),
                    build: record.build.to_string(),
                    expiry: record.expiry.as_str(),
                }
            });
        let unreadable = membership.unreadable.iter().map(|member| UnreadableRow {
            node: member.id.to_string(),
            kind: member.kind.as_str(),
            message: member.context.clone(),
        });
        let members = &membership.members;
        let all_leave = members
            .iter()
            .all(|member| member.record.expiry == ExpiryMode::Leave);
        let warns = all_leave && !members.is_empty();
        Self {
            fleet: fleet.to_owned(),
            revision: membership.revision.number,
            clock_lag_ms: millis(membership.clock_lag),
            nodes: rows.collect(),
            unreadable: unreadable.collect(),
            warning: warns.then_some(NO_SWEEPER),
        }
    }
}

fn words(report: &FleetReport) -> String {
    let mut table = table(&[
        "NODE",
        ">RUN",
        "STATE",
        ">SESSIONS",
        ">RING",
        ">WEIGHT",
        "ZONE",
        "ENDPOINTS",
        "BUILD",
        "EXPIRY",
    ]);
    for node in &report.nodes {
        let state = if node.lapsed {
            format!("{}, silent", node.state)
        } else {
            node.state.to_owned()
        };
        let sessions = match node.capacity {
            Some(capacity) => format!("{}/{}", grouped(node.sessions.into()), grouped(capacity.into())),
            None => grouped(node.sessions.into()),
        };
        let endpoints: Vec<String> = node
            .endpoints
            .iter()
            .map(|(name, address)| format!("{name}={address}"))
            .collect();
        table.add_row([
            node.node.clone(),
            node.incarnation.to_string(),
            state,
            sessions,
            percent(node.ring_share),
            node.weight.to_string(),
            node.zone.clone(),
            endpoints.join(" "),
            shown(&node.build),
            node.expiry.to_owned(),
        ]);
    }
    for node in &report.unreadable {
        table.add_row([
            node.node.clone(),
            "?".to_owned(),
            format!("{}: {}", node.kind, shown(&node.message)),
        ]);
    }
    let nodes = report.nodes.len() + report.unreadable.len();
    let warning = report.warning.map(|warning| format!("\nwarning: {warning}"));
    let summary = format!(
        "fleet {}, revision {}, nodes: {nodes}{}",
        report.fleet,
        report.revision,
        warning.unwrap_or_default()
    );
    if nodes == 0 {
        summary
    } else {
        format!("{}\n\n{summary}", lines(&table))
    }
}
