//! What happens in a demo, in order: everybody logs in and plays, guests talk across nodes, a node joins,
//! nodes are killed, and in the end everything is counted.

mod account;
mod kill;
mod talk;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ringhold::{Backend, Fleet, NodeIncarnation, Observer, SessionId, Timing};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::audit::{Audit, moved};
use super::node::{Node, Setting};
use super::orders::{Ask, Seen};
use super::players::Players;
use super::report::{Report, rate, tenths};
use super::world::{Stage, Totals};
use super::{GOODBYE, lookups};
use crate::exit::Failure;
use crate::output::{counted, millis};
use crate::progress::Progress;
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
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A demo on its way.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    backend: &'a Backend,
    setting: Setting,
    plan: Plan,
    progress: &'a Progress,
    audit: Audit,
    players: Players,
    /// Players who have been let in.
    come: usize,
    nodes: Vec<Node>,
    /// Sees the fleet from here, once there is one.
    observer: Option<Observer>,
    /// Sessions that a live owner lost, as far as the store was looked at.
    moved: HashSet<SessionId>,
    /// What the players have counted, as far as they were looked at.
    totals: Totals,
    report: Report,
}

impl<'a> Script<'a> {
    /// A demo that has not begun.
    pub(crate) fn new(
        backend: &'a Backend,
        setting: Setting,
        plan: Plan,
        progress: &'a Progress,
    ) -> Result<Self, Failure> {
        // Sets the players of this demo apart from any others in the fleet.
        let tag = format!("player-{:08x}-", u32::from_le_bytes(random::bytes()?));
        let report = Report {
            backend: backend.scheme,
            fleet: backend.fleet.to_string(),
            nodes: plan.nodes,
            players: plan.players,
            heartbeat_ms: millis(plan.timing.heartbeat()),
            lease_ms: millis(plan.timing.lease()),
            ..Report::default()
        };
        Ok(Self {
            backend,
            plan,
            progress,
            players: Players::start(&setting, plan.players, &tag)?,
            setting,
            audit: Audit::new(backend.clone(), tag),
            come: 0,
            nodes: Vec::new(),
            observer: None,
            moved: HashSet::new(),
            totals: Totals::default(),
            report,
        })
    }

    /// Runs the demo to its end; `timeout` where something was waited for in vain.
    pub(crate) async fn run(&mut self) -> Result<(), Failure> {
        self.start_nodes().await?;
        self.log_in().await?;
        self.play().await?;
        self.talk().await?;
        let joined = self.join().await?;
        let before = self.audit.owners().await?;
        let killed = self.kill(&before, &joined).await?;
        self.play_on().await?;
        self.account(&before, &killed).await
    }

    /// Stops everything and takes back what the demo left in the backend. Answers what was measured.
    pub(crate) async fn end(mut self) -> Report {
        self.progress.begin("cleaning up", None);
        // A player who does not stop in time ends with its thread, or its process.
        let _ = timeout(GOODBYE, async {
            self.players.tell(Ask::Stage(Stage::Stop)).await?;
            while !self.players.collect().await?.1 {}
            self.totals = self.players.look().await?.totals;
            Ok::<_, Failure>(())
        })
        .await;
        self.report.pids.extend(self.players.pid());
        // What stays behind expires.
        let _ = timeout(GOODBYE, self.audit.remove_all()).await;
        let mut leaving = JoinSet::new();
        for node in self.nodes {
            leaving.spawn(node.leave());
        }
        leaving.spawn(self.players.end(GOODBYE));
        // Whoever is not gone by then is killed as its handle is dropped.
        let _ = timeout(GOODBYE * 3, async {
            while leaving.join_next().await.is_some() {}
        })
        .await;
        self.progress.end();
        let totals = &self.totals;
        self.report.saves_acknowledged = totals.saves;
        self.report.saves_lost += totals.saves_lost;
        self.report.reconnects = totals.reconnects;
        self.report.redirects = totals.redirects;
        self.report.kicked = totals.kicks;
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
        let observing = Fleet::builder(self.backend.clone()).timing(self.plan.timing);
        self.observer = Some(observing.observe().await?);
        self.all_see(usize::from(self.plan.nodes)).await?;
        let nodes = counted(self.plan.nodes.into(), "node");
        let took = millis(started.elapsed());
        let what = match self.setting {
            Setting::Here(_) => "a TCP game server",
            Setting::Apart(_) => "a TCP game server and a process",
        };
        self.progress
            .done(format!("{nodes} started within {took} ms, each {what}"));
        Ok(())
    }

    async fn add_node(&mut self, number: u16) -> Result<NodeIncarnation, Failure> {
        let name = format!("node-{number}");
        let node = Node::start(&self.setting, &name, self.plan.timing).await?;
        self.players.tell(Ask::Node(node.address.clone())).await?;
        let incarnation = node.incarnation.clone();
        if let Some(pid) = node.pid() {
            self.report.processes += 1;
            self.report.pids.push(pid);
        }
        self.nodes.push(node);
        Ok(incarnation)
    }

    /// Waits until every node, and the demo itself, sees so many nodes.
    async fn all_see(&mut self, nodes: usize) -> Result<(), Failure> {
        let what = format!("every node to see {nodes} nodes");
        self.until(&what, |script, _| {
            let sights = script
                .nodes
                .iter()
                .map(|node| (&*node.name, node.sight().nodes()));
            let own = script.observer.iter();
            let own = own.map(|observer| ("the demo", observer.view().nodes().len()));
            match sights.chain(own).find(|(_, seen)| *seen != nodes) {
                Some((name, seen)) => Err(format!("{name} sees {seen}")),
                None => Ok(()),
            }
        })
        .await
        .map(drop)
    }

    /// Looks until `look` is content, and answers what was seen then, or says what it saw last.
    async fn until(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Self, &Seen) -> Result<(), String>,
    ) -> Result<Seen, Failure> {
        let (started, limit) = (Instant::now(), self.patience());
        loop {
            let seen = self.look().await?;
            match look(self, &seen) {
                Ok(()) => return Ok(seen),
                Err(seen) if started.elapsed() >= limit => return Err(Failure::timeout(what, limit, seen)),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Looks at the players, and whether all nodes are there that should be.
    async fn look(&mut self) -> Result<Seen, Failure> {
        for node in &mut self.nodes {
            if let Some(failure) = node.fallen().await {
                return Err(failure);
            }
        }
        let seen = self.players.look().await?;
        self.totals = seen.totals;
        Ok(seen)
    }

    /// How long a step may take: some seconds, and the time in which a dead node is noticed.
    fn patience(&self) -> Duration {
        PATIENCE + self.plan.timing.lease() * 2 + Duration::from_millis(self.plan.players as u64 * 5)
    }

    async fn log_in(&mut self) -> Result<(), Failure> {
        let early = self.plan.players - self.plan.players / NEWCOMERS;
        self.progress.begin("players log in", Some(early as u64));
        let started = Instant::now();
        self.let_in(early).await?;
        let took = started.elapsed();
        self.report.logins_per_s = rate(early as u64, took.as_secs_f64());
        let (players, took) = (counted(early as u64, "player"), millis(took));
        self.progress
            .done(format!("{players} logged in within {took} ms"));
        Ok(())
    }

    /// Lets players in, and waits until so many have logged in.
    async fn let_in(&mut self, players: usize) -> Result<(), Failure> {
        self.players.tell(Ask::LetIn(players)).await?;
        self.come = players;
        let what = format!("{players} players to log in");
        let inside = self.until(&what, |script, Seen { inside, trouble, .. }| {
            script.progress.at(*inside as u64);
            if *inside == players {
                return Ok(());
            }
            Err(format!("{inside} are in; the last trouble was: {trouble}"))
        });
        inside.await.map(drop)
    }

    async fn play(&mut self) -> Result<(), Failure> {
        self.progress
            .begin("everybody plays", Some(self.plan.play.as_secs()));
        if let Some(observer) = self.observer.clone() {
            let measured = tokio::task::spawn_blocking(move || lookups::median_ns(&observer));
            let median = measured
                .await
                .map_err(|error| Failure::failed(error.to_string()))?;
            self.report.owner_ns_p50 = tenths(median);
        }
        self.report.saves_per_s = self.saves_during(self.plan.play).await?;
        self.progress.begin("everybody plays without pauses", None);
        self.players.tell(Ask::Stage(Stage::Race)).await?;
        self.report.saves_per_s_racing = self.saves_during(RACE).await?;
        self.players.tell(Ask::Stage(Stage::Play)).await?;
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
    async fn saves_during(&mut self, period: Duration) -> Result<f64, Failure> {
        let (started, before) = (Instant::now(), self.look().await?.totals.saves);
        loop {
            let left = period.saturating_sub(started.elapsed());
            if left.is_zero() {
                let saves = self.look().await?.totals.saves - before;
                return Ok(rate(saves, started.elapsed().as_secs_f64()));
            }
            sleep(left.min(LOOK * 5)).await;
            self.look().await?;
            self.progress.at(started.elapsed().as_secs());
        }
    }

    /// A node joins while everybody plays, and newcomers arrive. Answers who joined.
    async fn join(&mut self) -> Result<NodeIncarnation, Failure> {
        self.progress
            .begin("a node joins", Some(self.plan.players as u64));
        let before = self.audit.owners().await?;
        let joined = self.add_node(self.plan.nodes + 1).await?;
        self.all_see(self.nodes.len()).await?;
        self.let_in(self.plan.players).await?;
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
