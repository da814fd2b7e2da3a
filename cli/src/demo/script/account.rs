//! In the end everybody stops, and what the players know is compared with what the store has.

use std::collections::HashMap;
use std::time::Instant;

use ringhold::NodeIncarnation;

use super::Script;
use crate::demo::audit::{Owners, by_node, moved};
use crate::demo::orders::{Ask, Stopped};
use crate::demo::world::Stage;
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
        let compared = self.audit.compare(stopped, |done| self.progress.at(done)).await?;
        for (player, missing) in &compared {
            self.report.saves_lost += missing.saves;
            self.report.sessions_lost += u64::from(missing.session || player.session_lost);
            if player.moved {
                self.moved.extend(player.ledger.session);
            }
        }
        self.report.moved_needlessly = self.moved.len() as u64;
        self.report.sessions_after = now.len() as u64;
        self.note_nodes(&now);
        let players = counted(compared.len() as u64, "player");
        self.progress.done(format!("{players} compared with the store"));
        Ok(())
    }

    async fn stop_players(&mut self) -> Result<Vec<Stopped>, Failure> {
        self.players.tell(Ask::Stage(Stage::Stop)).await?;
        let (started, limit, all) = (Instant::now(), self.patience(), self.come);
        let mut stopped = Vec::with_capacity(all);
        loop {
            let (page, last) = self.players.collect().await?;
            stopped.extend(page);
            if last {
                return Ok(stopped);
            }
            if started.elapsed() >= limit {
                let seen = format!("{} of {all} have", stopped.len());
                return Err(Failure::timeout(
                    "every player to finish its last move",
                    limit,
                    seen,
                ));
            }
        }
    }

    /// Notes how the nodes stand at the end.
    fn note_nodes(&mut self, owners: &Owners) {
        let Some(observer) = &self.observer else { return };
        let view = observer.view();
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
