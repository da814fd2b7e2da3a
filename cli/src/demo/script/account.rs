//! In the end everybody stops, and what the players know is compared with what the store has.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use ringhold::NodeIncarnation;
use tokio::time::timeout;

use super::Script;
use crate::demo::audit::{Owners, by_node, moved};
use crate::demo::crowd::Stopped;
use crate::demo::world::{Stage, count};
use crate::exit::Failure;
use crate::output::counted;

impl Script<'_> {
    /// Stops the players, and compares what they know with what the store has.
    pub(super) async fn account(
        &mut self,
        before: &Owners,
        killed: &[NodeIncarnation],
    ) -> Result<(), Failure> {
        self.progress.begin("counting", Some(self.plan.players as u64));
        let stopped = self.stop_players().await?;
        let now = self.audit.owners().await?;
        self.moved.extend(moved(before, &now, killed));
        for (done, (seat, player, ledger)) in stopped.iter().enumerate() {
            self.progress.at(done as u64);
            let missing = self.audit.missing(player, ledger).await?;
            count(&self.world.tally.saves_lost, missing.saves);
            let seat = &self.world.seats[*seat];
            let lost = missing.session || seat.session_lost.load(Ordering::Relaxed);
            self.report.sessions_lost += u64::from(lost);
            if seat.moved.load(Ordering::Relaxed) {
                self.moved.extend(ledger.session);
            }
        }
        self.report.moved_needlessly = self.moved.len() as u64;
        self.report.sessions_after = now.len() as u64;
        self.note_nodes(&now);
        let players = counted(stopped.len() as u64, "player");
        self.progress.done(format!("{players} compared with the store"));
        Ok(())
    }

    async fn stop_players(&mut self) -> Result<Vec<Stopped>, Failure> {
        self.world.set_stage(Stage::Stop);
        let (limit, all) = (self.patience(), self.crowd.len());
        let mut stopped = Vec::with_capacity(all);
        let collecting = async {
            while let Some(player) = self.crowd.next().await {
                stopped.push(player?);
            }
            Ok::<_, Failure>(())
        };
        let in_time = timeout(limit, collecting).await;
        let seen = || format!("{} of {all} have", stopped.len());
        in_time.map_err(|_| Failure::timeout("every player to finish its last move", limit, seen()))??;
        Ok(stopped)
    }

    /// Notes how the nodes stand at the end.
    fn note_nodes(&mut self, owners: &Owners) {
        let Some(node) = self.nodes.first() else { return };
        let view = node.fleet().view();
        let shares: HashMap<&str, f64> = view
            .ring()
            .shares()
            .map(|(node, share)| (node.as_str(), share))
            .collect();
        let counts = by_node(owners);
        let counts: HashMap<&str, u64> = counts
            .iter()
            .map(|(node, count)| (node.as_str(), *count))
            .collect();
        for report in &mut self.report.by_node {
            report.ring_after = shares.get(report.node.as_str()).copied().unwrap_or_default();
            report.sessions_after = counts.get(report.node.as_str()).copied().unwrap_or_default();
        }
    }
}
