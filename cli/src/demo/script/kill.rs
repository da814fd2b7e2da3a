//! Nodes die without a goodbye; the others notice, and the players go on elsewhere.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ringhold::{NodeId, NodeIncarnation, Observer, Ring};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{CALM, Script};
use crate::demo::audit::{Owners, by_node};
use crate::demo::node::{Node, Sight};
use crate::demo::orders::{Ask, Seen};
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
        let view = self.observer.as_ref().map(Observer::view);
        let ring = view.map_or_else(Ring::default, |view| Ring::clone(view.ring()));
        let pids: HashMap<NodeId, u32> = self
            .nodes
            .iter()
            .filter_map(|node| Some((node.incarnation.node.clone(), node.pid()?)))
            .collect();
        let condemned: Vec<Node> = self.nodes.drain(..usize::from(self.plan.kill)).collect();
        let killed: Vec<NodeIncarnation> = condemned.iter().map(|node| node.incarnation.clone()).collect();
        self.report.killed = self.plan.kill;
        self.report.sessions_before = owners.len() as u64;
        self.report.by_node = node_reports(&ring, owners, joined, &killed, &pids);
        if condemned.is_empty() {
            return Ok(killed);
        }
        let names = condemned
            .iter()
            .map(|node| node.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let addresses = condemned.iter().map(|node| node.address.clone()).collect();
        let players = self.players.condemn(addresses).await?;
        let doing = format!("killed {names}: their players look for another node");
        self.progress.begin(&doing, Some(players as u64));
        let at = Instant::now();
        let ended = Node::kill(condemned)?;
        let sights = self.nodes.iter().map(Node::sight).collect();
        let noticed = noticed(sights, killed.clone(), at, self.patience());
        let (noticed, recovered) = tokio::try_join!(noticed, self.recovered(players))?;
        for process in ended {
            process.gone().await;
        }
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

    /// Waits until each of the killed nodes' players had a move acknowledged by a live node.
    async fn recovered(&mut self, players: usize) -> Result<u64, Failure> {
        let what = format!("{players} players of killed nodes to play again");
        let recovered = self.until(
            &what,
            |script,
             Seen {
                 stranded, trouble, ..
             }| {
                script.progress.at(players.saturating_sub(*stranded) as u64);
                if *stranded == 0 {
                    return Ok(());
                }
                Err(format!("{stranded} do not; the last trouble was: {trouble}"))
            },
        );
        Ok(recovered.await?.recovered_ms)
    }

    /// Lets everybody play on, and makes sure that everybody does.
    pub(super) async fn play_on(&mut self) -> Result<(), Failure> {
        self.progress.begin("everybody plays on", None);
        self.players.tell(Ask::Mark).await?;
        sleep(CALM).await;
        let playing = self.until("every player to play on", |_, Seen { idle, trouble, .. }| {
            if *idle == 0 {
                return Ok(());
            }
            Err(format!("{idle} do not; the last trouble was: {trouble}"))
        });
        playing.await.map(drop)
    }
}

/// Waits until every node that is left has seen the killed ones leave.
async fn noticed(
    sights: Vec<Sight>,
    killed: Vec<NodeIncarnation>,
    at: Instant,
    limit: Duration,
) -> Result<u64, Failure> {
    let all = sights.len();
    let mut looking = JoinSet::new();
    for mut sight in sights {
        let killed = killed.clone();
        looking.spawn(async move { sight.all_gone(&killed).await });
    }
    let mut seen = 0;
    while let Ok(Some(looked)) = timeout(limit.saturating_sub(at.elapsed()), looking.join_next()).await {
        seen += usize::from(looked.unwrap_or_default());
    }
    if seen == all {
        return Ok(millis(at.elapsed()));
    }
    let what = "every node to see that the killed ones have left";
    Err(Failure::timeout(
        what,
        limit,
        format!("{seen} of {all} nodes have"),
    ))
}

/// The nodes as they stand before the kill.
fn node_reports(
    ring: &Ring,
    owners: &Owners,
    joined: &NodeIncarnation,
    killed: &[NodeIncarnation],
    pids: &HashMap<NodeId, u32>,
) -> Vec<NodeReport> {
    let counts = by_node(owners);
    let reports = ring.shares().map(|(node, share)| NodeReport {
        node: node.to_string(),
        pid: pids.get(node).copied(),
        joined: *node == joined.node,
        killed: killed.iter().any(|killed| killed.node == *node),
        ring_before: share,
        sessions_before: counts.get(node).copied().unwrap_or_default(),
        ..NodeReport::default()
    });
    reports.collect()
}
