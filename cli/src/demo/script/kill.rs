//! Nodes die without a goodbye; the others notice, and the players go on elsewhere.

use std::collections::HashSet;
use std::time::Instant;

use ringhold::{NodeIncarnation, Ring};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{CALM, Script};
use crate::demo::audit::{Owners, by_node};
use crate::demo::node::Node;
use crate::demo::report::NodeReport;
use crate::exit::Failure;
use crate::output::{counted, grouped, millis};

impl Script<'_> {
    /// Kills nodes, and waits until that was noticed and their players play again.
    pub(super) async fn kill(
        &mut self,
        owners: &Owners,
        joined: &NodeIncarnation,
    ) -> Result<Vec<NodeIncarnation>, Failure> {
        let ring = self
            .nodes
            .first()
            .map_or_else(Ring::default, |node| Ring::clone(node.fleet().view().ring()));
        let condemned: Vec<Node> = self.nodes.drain(..usize::from(self.plan.kill)).collect();
        let killed: Vec<NodeIncarnation> = condemned.iter().map(Node::incarnation).collect();
        self.report.killed = self.plan.kill;
        self.report.sessions_before = owners.len() as u64;
        self.report.by_node = node_reports(&ring, owners, joined, &killed);
        if condemned.is_empty() {
            return Ok(killed);
        }
        let names = condemned
            .iter()
            .map(|node| node.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        self.world
            .condemn(condemned.iter().map(|node| node.address.clone()));
        let victims = self.victims();
        let players = victims.len();
        let doing = format!("killed {names}: their players look for another node");
        self.progress.begin(&doing, Some(players as u64));
        let at = Instant::now();
        drop(condemned);
        let (noticed, recovered) = tokio::join!(self.noticed(&killed, at), self.recovered(victims, at));
        let (noticed, recovered) = (noticed?, recovered?);
        self.report.detect_ms = Some(noticed);
        self.report.recovered_ms = Some(recovered);
        self.report.players_recovered = players;
        self.progress.done(format!(
            "killed {names}: noticed after {} ms, {} of theirs again in play after {} ms",
            grouped(noticed),
            counted(players as u64, "player"),
            grouped(recovered)
        ));
        Ok(killed)
    }

    /// The seats of players whose node is to be killed.
    fn victims(&self) -> HashSet<usize> {
        let seats = self.world.seats.iter().enumerate();
        let on_killed = seats.filter(|(_, seat)| seat.address().is_some_and(|at| self.world.is_killed(&at)));
        on_killed.map(|(index, _)| index).collect()
    }

    /// Waits until every node that is left has seen the killed ones leave.
    async fn noticed(&self, killed: &[NodeIncarnation], at: Instant) -> Result<u64, Failure> {
        let mut looking = JoinSet::new();
        for node in &self.nodes {
            let (fleet, killed) = (node.fleet().clone(), killed.to_vec());
            looking.spawn(async move {
                fleet
                    .wait_for(|view| killed.iter().all(|node| view.incarnation(node).is_none()))
                    .await
            });
        }
        let limit = self.patience();
        let mut seen = 0;
        while let Ok(Some(_)) = timeout(limit.saturating_sub(at.elapsed()), looking.join_next()).await {
            seen += 1;
        }
        if seen == self.nodes.len() {
            return Ok(millis(at.elapsed()));
        }
        let seen = format!("{seen} of {} nodes have", self.nodes.len());
        Err(Failure::timeout(
            "every node to see that the killed ones have left",
            limit,
            seen,
        ))
    }

    /// Waits until each of the victims had a move acknowledged by a live node.
    async fn recovered(&self, mut victims: HashSet<usize>, at: Instant) -> Result<u64, Failure> {
        let (mut last, all) = (at, victims.len());
        let what = format!("{all} players of killed nodes to play again");
        self.until(&what, || {
            victims.retain(|index| {
                let seat = &self.world.seats[*index];
                let elsewhere = seat.address().is_some_and(|now| !self.world.is_killed(&now));
                let settled = seat.settled().filter(|_| elsewhere);
                last = last.max(settled.unwrap_or(at));
                settled.is_none()
            });
            self.progress.at((all - victims.len()) as u64);
            if victims.is_empty() {
                return Ok(());
            }
            Err(format!(
                "{} do not; the last trouble was: {}",
                victims.len(),
                self.world.last_trouble()
            ))
        })
        .await?;
        Ok(millis(last.duration_since(at)))
    }

    /// Lets everybody play on, and makes sure that everybody does.
    pub(super) async fn play_on(&mut self) -> Result<(), Failure> {
        self.progress.begin("everybody plays on", None);
        let since = Instant::now();
        sleep(CALM).await;
        self.until("every player to play on", || {
            let idle = self
                .world
                .seats
                .iter()
                .filter(|seat| !seat.played_since(since))
                .count();
            if idle == 0 {
                return Ok(());
            }
            Err(format!(
                "{idle} do not; the last trouble was: {}",
                self.world.last_trouble()
            ))
        })
        .await
    }
}

/// The nodes as they stand before the kill.
fn node_reports(
    ring: &Ring,
    owners: &Owners,
    joined: &NodeIncarnation,
    killed: &[NodeIncarnation],
) -> Vec<NodeReport> {
    let counts = by_node(owners);
    let reports = ring.shares().map(|(node, share)| NodeReport {
        node: node.to_string(),
        joined: *node == joined.node,
        killed: killed.iter().any(|killed| killed.node == *node),
        ring_before: share,
        sessions_before: counts.get(node).copied().unwrap_or_default(),
        ..NodeReport::default()
    });
    reports.collect()
}
