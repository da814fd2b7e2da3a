//! What happens in a demo, in order: everybody logs in and plays, a node joins, nodes are killed,
//! and in the end everything is counted.

mod account;
mod kill;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold::{Backend, NodeIncarnation, Observer, SessionId, Timing};
use tokio::time::{sleep, timeout};

use super::audit::{Audit, moved};
use super::crowd::Crowd;
use super::lookups;
use super::node::Node;
use super::progress::Progress;
use super::report::{Report, rate, tenths};
use super::world::{Stage, World, total};
use crate::exit::Failure;
use crate::output::{counted, millis};
use crate::random;

/// What is asked of a demo.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Nodes at the start.
    pub(crate) nodes: u16,
    /// Players.
    pub(crate) players: usize,
    /// Nodes that are killed.
    pub(crate) kill: u16,
    /// How long everybody plays before anything happens.
    pub(crate) play: Duration,
    /// The periods of the fleet.
    pub(crate) timing: Timing,
}

/// How long is looked at what a join, or the end of a recovery, does to the players.
const CALM: Duration = Duration::from_secs(2);
const RACE: Duration = Duration::from_millis(1_500);
/// One player in so many comes only when a node has joined.
const NEWCOMERS: usize = 10;
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The least time that anything gets before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the players, and then the nodes, get for their goodbyes.
const GOODBYE: Duration = Duration::from_secs(3);

/// A demo on its way.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    backend: &'a Backend,
    plan: Plan,
    progress: &'a Progress,
    audit: Audit<'a>,
    world: Arc<World>,
    crowd: Crowd,
    nodes: Vec<Node>,
    /// Sessions that a live owner lost, as far as the store was looked at.
    moved: HashSet<SessionId>,
    report: Report,
}

impl<'a> Script<'a> {
    /// A demo that has not begun.
    pub(crate) fn new(backend: &'a Backend, plan: Plan, progress: &'a Progress) -> Result<Self, Failure> {
        let world = World::new(plan.players);
        // Sets the players of this demo apart from any others in the fleet.
        let tag = format!("player-{:08x}-", u32::from_le_bytes(random::bytes()?));
        let crowd = Crowd::new(Arc::clone(&world), tag.clone())?;
        let report = Report {
            backend: backend.scheme,
            fleet: backend.fleet.to_string(),
            nodes: plan.nodes,
            players: plan.players,
            heartbeat_ms: millis(plan.timing.heartbeat()),
            lease_ms: millis(plan.timing.lease()),
            ..Report::default()
        };
        let audit = Audit::new(backend, tag);
        let (nodes, moved) = (Vec::new(), HashSet::new());
        Ok(Self {
            backend,
            plan,
            progress,
            audit,
            world,
            crowd,
            nodes,
            moved,
            report,
        })
    }

    /// Runs the demo to its end; `timeout` where something was waited for in vain.
    pub(crate) async fn run(&mut self) -> Result<(), Failure> {
        self.start_nodes().await?;
        self.log_in().await?;
        self.play().await?;
        let joined = self.join().await?;
        let before = self.audit.owners().await?;
        let killed = self.kill(&before, &joined).await?;
        self.play_on().await?;
        self.account(&before, &killed).await
    }

    /// Stops everything and takes back what the demo left in the backend. Answers what was measured.
    pub(crate) async fn end(mut self) -> Report {
        self.progress.begin("cleaning up", None);
        self.world.set_stage(Stage::Stop);
        // A player who does not stop in time ends with its thread.
        let _ = timeout(GOODBYE, async { while self.crowd.next().await.is_some() {} }).await;
        let _ = timeout(GOODBYE, async {
            // What stays behind expires.
            let _ = self.audit.remove_all().await;
            for node in &self.nodes {
                let _ = node.fleet().leave().await;
            }
        })
        .await;
        self.progress.end();
        let tally = &self.world.tally;
        self.report.saves_acknowledged = total(&tally.saves);
        self.report.saves_lost = total(&tally.saves_lost);
        self.report.reconnects = total(&tally.reconnects);
        self.report.redirects = total(&tally.redirects);
        self.report.kicked = total(&tally.kicks);
        self.report
    }

    async fn start_nodes(&mut self) -> Result<(), Failure> {
        let present = self.backend.discovery.members().await?;
        if let Some(member) = present.members.first() {
            return Err(Failure::usage(format!(
                "the fleet {} has nodes already, such as {}: a demo needs a fleet of its own, which --fleet names",
                self.backend.fleet, member.record.id
            )));
        }
        self.progress.begin("starting nodes", None);
        let started = Instant::now();
        for number in 1..=self.plan.nodes {
            self.add_node(number).await?;
        }
        self.all_see(usize::from(self.plan.nodes)).await?;
        let nodes = counted(self.plan.nodes.into(), "node");
        let took = millis(started.elapsed());
        self.progress.done(format!(
            "{nodes} started within {took} ms, each a TCP game server"
        ));
        Ok(())
    }

    async fn add_node(&mut self, number: u16) -> Result<NodeIncarnation, Failure> {
        let node = Node::start(self.backend, &format!("node-{number}"), self.plan.timing).await?;
        self.world.add_address(node.address.clone());
        let incarnation = node.incarnation();
        self.nodes.push(node);
        Ok(incarnation)
    }

    /// Waits until every node sees so many nodes.
    async fn all_see(&self, nodes: usize) -> Result<(), Failure> {
        let what = format!("every node to see {nodes} nodes");
        self.until(&what, || {
            let mut fleets = self
                .nodes
                .iter()
                .map(|node| (node, node.fleet().view().nodes().len()));
            match fleets.find(|(_, seen)| *seen != nodes) {
                Some((node, seen)) => Err(format!("{} sees {seen}", node.name)),
                None => Ok(()),
            }
        })
        .await
    }

    /// Looks until `look` is content, or says what it saw last.
    async fn until(&self, what: &str, mut look: impl FnMut() -> Result<(), String>) -> Result<(), Failure> {
        let (started, limit) = (Instant::now(), self.patience());
        loop {
            match look() {
                Ok(()) => return Ok(()),
                Err(seen) if started.elapsed() >= limit => return Err(Failure::timeout(what, limit, seen)),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// How long a step may take: some seconds, and the time in which a dead node is noticed.
    fn patience(&self) -> Duration {
        PATIENCE + self.plan.timing.lease() * 2 + Duration::from_millis(self.plan.players as u64 * 5)
    }

    async fn log_in(&mut self) -> Result<(), Failure> {
        let early = self.plan.players - self.plan.players / NEWCOMERS;
        self.progress.begin("players log in", Some(early as u64));
        let started = Instant::now();
        self.crowd.let_in(early)?;
        self.everyone_in(early).await?;
        let took = started.elapsed();
        self.report.logins_per_s = rate(early as u64, took.as_secs_f64());
        let (players, took) = (counted(early as u64, "player"), millis(took));
        self.progress
            .done(format!("{players} logged in within {took} ms"));
        Ok(())
    }

    async fn everyone_in(&self, players: usize) -> Result<(), Failure> {
        self.until(&format!("{players} players to log in"), || {
            let inside = self.world.seats[..players]
                .iter()
                .filter(|seat| seat.address().is_some())
                .count();
            self.progress.at(inside as u64);
            if inside == players {
                return Ok(());
            }
            Err(format!(
                "{inside} are in; the last trouble was: {}",
                self.world.last_trouble()
            ))
        })
        .await
    }

    async fn play(&mut self) -> Result<(), Failure> {
        self.progress
            .begin("everybody plays", Some(self.plan.play.as_secs()));
        if let Some(node) = self.nodes.first() {
            let observer = Observer::clone(node.fleet());
            let measured = tokio::task::spawn_blocking(move || lookups::median_ns(&observer));
            let median = measured
                .await
                .map_err(|error| Failure::failed(error.to_string()))?;
            self.report.owner_ns_p50 = tenths(median);
        }
        self.report.saves_per_s = self.saves_during(self.plan.play).await;
        self.progress.begin("everybody plays without pauses", None);
        self.world.set_stage(Stage::Race);
        self.report.saves_per_s_racing = self.saves_during(RACE).await;
        self.world.set_stage(Stage::Play);
        let Report {
            saves_per_s: pace,
            saves_per_s_racing: racing,
            ..
        } = &self.report;
        self.progress.done(format!(
            "everybody played: {pace:.0} saves/s at a game's pace, {racing:.0} without pauses"
        ));
        Ok(())
    }

    /// Lets time pass, and answers how many moves were acknowledged in a second.
    async fn saves_during(&self, period: Duration) -> f64 {
        let (started, before) = (Instant::now(), total(&self.world.tally.saves));
        while started.elapsed() < period {
            sleep(period.saturating_sub(started.elapsed()).min(LOOK * 5)).await;
            self.progress.at(started.elapsed().as_secs());
        }
        rate(
            total(&self.world.tally.saves) - before,
            started.elapsed().as_secs_f64(),
        )
    }

    /// A node joins while everybody plays, and newcomers arrive. Answers who joined.
    async fn join(&mut self) -> Result<NodeIncarnation, Failure> {
        self.progress
            .begin("a node joins", Some(self.plan.players as u64));
        let before = self.audit.owners().await?;
        let joined = self.add_node(self.plan.nodes + 1).await?;
        self.all_see(self.nodes.len()).await?;
        self.crowd.let_in(self.plan.players)?;
        self.everyone_in(self.crowd.len()).await?;
        sleep(CALM).await;
        let now = self.audit.owners().await?;
        self.moved.extend(moved(&before, &now, &[]));
        let (gone, new) = (
            self.moved.len(),
            now.values().filter(|owner| **owner == joined).count(),
        );
        self.progress.done(format!(
            "{} joined: it got {}, and {} moved",
            joined.node,
            counted(new as u64, "newcomer"),
            counted(gone as u64, "live player")
        ));
        Ok(joined)
    }
}
