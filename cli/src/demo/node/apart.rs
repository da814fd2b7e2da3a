//! A node in a process of its own, and what it tells.

use std::collections::HashSet;

use ringhold::{Address, NodeIncarnation, Timing};
use tokio::sync::watch;

use crate::demo::orders::{self, NodeNews, NodeOrder};
use crate::demo::process::{Lines, Process};
use crate::demo::script::PATIENCE;
use crate::exit::Failure;
use crate::target::BackendUrl;

/// A node that is a child process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Apart {
    pub(crate) process: Process,
    pub(crate) told: watch::Receiver<Told>,
}

/// What a node has told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// So many nodes are in its view.
    pub(crate) nodes: usize,
    /// Those that have left its view. None of them comes back: a node that does is another run.
    pub(crate) left: HashSet<NodeIncarnation>,
    /// What it said that cannot be understood.
    fault: Option<Failure>,
}

impl Apart {
    /// Starts a node; answers who it is, and where its players connect.
    pub(crate) async fn start(
        url: &BackendUrl,
        name: &str,
        timing: Timing,
    ) -> Result<(Self, NodeIncarnation, Address), Failure> {
        let order = NodeOrder {
            backend: url.expose().to_owned(),
            name: name.to_owned(),
            timing,
        };
        let (mut process, mut lines) = Process::start(name, "demo-node", &order)?;
        let NodeNews::Started { node, address } = process.next(&mut lines, PATIENCE).await? else {
            return Err(Failure::failed(format!(
                "{name} tells a view before it has joined"
            )));
        };
        let (sender, told) = watch::channel(Told::default());
        // It ends with the child's standard output.
        tokio::spawn(listen(lines, sender));
        Ok((Self { process, told }, node, address))
    }

    /// Why it has ended by itself, if it has.
    pub(crate) async fn fallen(&mut self) -> Option<Failure> {
        if self.told.has_changed().is_ok() {
            return None;
        }
        let fault = self
            .told
            .borrow()
            .fault
            .as_ref()
            .map(|fault| fault.message().to_owned());
        Some(match fault {
            Some(fault) => Failure::failed(fault),
            None => self.process.failure().await,
        })
    }
}

/// Takes in what a node tells, until it ends or cannot be understood.
async fn listen(mut lines: Lines, told: watch::Sender<Told>) {
    while let Some(line) = lines.recv().await {
        match line.and_then(|line| orders::parse(&line)) {
            Ok(NodeNews::View { nodes, left }) => told.send_modify(|told| {
                told.nodes = nodes;
                told.left.extend(left);
            }),
            Ok(NodeNews::Started { node, .. }) => {
                let fault = Failure::failed(format!("{node} tells twice that it has joined"));
                told.send_modify(|told| told.fault = Some(fault));
                return;
            }
            Err(failure) => {
                told.send_modify(|told| told.fault = Some(failure));
                return;
            }
        }
    }
}
