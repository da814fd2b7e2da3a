//! One node of the demo's fleet, in this process or in one of its own.

mod apart;
mod here;

use ringhold::{Address, Fleet, NodeIncarnation, Timing};
use tokio::sync::watch;

pub(crate) use here::{Here, Source};

use super::GOODBYE;
use super::process::Process;
use crate::exit::Failure;
use crate::target::BackendUrl;
use apart::{Apart, Told};

/// Where nodes and players run.
#[derive(Debug, Clone)]
pub(crate) enum Setting {
    /// All in this process; the nodes get their backend from there.
    Here(Source),
    /// Each node, and the players together, in a process of its own, which opens this URL.
    Apart(BackendUrl),
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// Where its players connect.
    pub(crate) address: Address,
    /// Which run of the node this is.
    pub(crate) incarnation: NodeIncarnation,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Here(Here),
    Apart(Apart),
}

/// What a node sees of its fleet.
#[derive(Debug, Clone)]
pub(crate) enum Sight {
    Here(Fleet),
    Apart(watch::Receiver<Told>),
}

impl Node {
    /// Starts a node and waits until it has joined its fleet.
    ///
    /// # Errors
    /// Of the operating system and of joining.
    pub(crate) async fn start(setting: &Setting, name: &str, timing: Timing) -> Result<Self, Failure> {
        let (address, incarnation, kind) = match setting {
            Setting::Here(source) => {
                let node = Here::start(source.clone(), name, timing).await?;
                (node.address.clone(), node.incarnation(), Kind::Here(node))
            }
            Setting::Apart(url) => {
                let (node, incarnation, address) = Apart::start(url, name, timing).await?;
                (address, incarnation, Kind::Apart(node))
            }
        };
        Ok(Self {
            name: name.to_owned(),
            address,
            incarnation,
            kind,
        })
    }

    /// The id of its process, where it has one of its own.
    pub(crate) const fn pid(&self) -> Option<u32> {
        match &self.kind {
            Kind::Here(_) => None,
            Kind::Apart(node) => Some(node.process.pid()),
        }
    }

    /// What it sees.
    pub(crate) fn sight(&self) -> Sight {
        match &self.kind {
            Kind::Here(node) => Sight::Here(node.fleet().clone()),
            Kind::Apart(node) => Sight::Apart(node.told.clone()),
        }
    }

    /// Why it has ended by itself, if it has.
    pub(crate) async fn fallen(&mut self) -> Option<Failure> {
        match &mut self.kind {
            Kind::Here(_) => None,
            Kind::Apart(node) => node.fallen().await,
        }
    }

    /// Ends nodes at one moment as `kill -9` ends processes. Answers what is left to be waited for.
    ///
    /// # Errors
    /// `Failed` where the system kills no process.
    pub(crate) fn kill(nodes: Vec<Self>) -> Result<Vec<Process>, Failure> {
        let mut processes = Vec::new();
        for node in nodes {
            match node.kind {
                // Dropped, it ends where it is.
                Kind::Here(_) => {}
                Kind::Apart(mut node) => {
                    node.process.kill()?;
                    processes.push(node.process);
                }
            }
        }
        Ok(processes)
    }

    /// Leaves the fleet, and ends.
    pub(crate) async fn leave(self) {
        match self.kind {
            // What stays behind expires.
            Kind::Here(node) => drop(node.fleet().leave().await),
            // It needs a moment for its own goodbye.
            Kind::Apart(node) => node.process.end(GOODBYE * 2).await,
        }
    }
}

impl Sight {
    /// How many nodes it sees.
    pub(crate) fn nodes(&self) -> usize {
        match self {
            Self::Here(fleet) => fleet.view().nodes().len(),
            Self::Apart(told) => told.borrow().nodes,
        }
    }

    /// Waits until none of these is seen any more; `false` where that will not be told.
    pub(crate) async fn all_gone(&mut self, nodes: &[NodeIncarnation]) -> bool {
        match self {
            Self::Here(fleet) => {
                fleet
                    .wait_for(|view| nodes.iter().all(|node| view.incarnation(node).is_none()))
                    .await;
                true
            }
            Self::Apart(told) => {
                let gone = told.wait_for(|told| nodes.iter().all(|node| told.left.contains(node)));
                gone.await.is_ok()
            }
        }
    }
}
