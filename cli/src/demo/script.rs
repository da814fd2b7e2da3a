//! What happens in a demo, in order: everybody logs in and plays, a node joins, nodes are killed,
//! and in the end everything is counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ringhold::{Backend, NodeIncarnation, Ring, Timing};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::audit::{self, Owners};
use super::crowd::Crowd;
use super::lookups;
use super::node::Node;
use super::progress::Progress;
use super::report::{NodeReport, Report, rate, tenths};
use super::world::{Stage, World, count, total};
use crate::exit::Failure;
use crate::output::{grouped, millis};
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

/// A demo on its way.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    backend: &'a Backend,
    plan: Plan,
    progress: &'a Progress,
    world: Arc<World>,
    crowd: Crowd,
    nodes: Vec<Node>,
    report: Report,
}

impl<'a> Script<'a> {
    /// A demo that has not begun.
    ///
    /// # Errors
    /// Of the operating system.
    pub(crate) fn new(backend: &'a Backend, plan: Plan, progress: &'a Progress) -> Result<Self, Failure> {
        let world = World::new(plan.players);
        let tag = format!("player-{:06x}", u32::from_le_bytes(random::bytes()?) >> 8);
        let crowd = Crowd::new(Arc::clone(&world), tag)?;
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
            world,
            crowd,
            nodes: Vec::new(),
            report,
        })
    }

    /// Runs the demo to its end.
    ///
    /// # Errors
    /// Of the backend and the system, and `timeout` where something was waited for in vain.
    pub(crate) async fn run(&mut self) -> Result<(), Failure> {
        self.start_nodes().await?;
        self.log_in().await?;
        self.play().await?;
        let joined = self.join().await?;
        let before = audit::owners(self.backend).await?;
        let killed = self.kill(&before, &joined).await?;
        self.play_on().await?;
        self.account(&before, &killed).await
    }

    /// Stops everything and takes back what the demo left in the backend. Answers what was measured.
    pub(crate) async fn end(mut self) -> Report {
        self.progress.begin("cleaning up", None);
        self.world.set_stage(Stage::Stop);
        let leaving = async {
            // A player that is left out here ends with its thread.
            while self.crowd.next().await.is_some() {}
            let _ = audit::remove_all(self.backend).await;
            for node in &self.nodes {
                let _ = node.fleet().leave().await;
            }
        };
        let _ = timeout(Duration::from_secs(5), leaving).await;
        self.progress.end();
        self.report.saves_acknowledged = total(&self.world.tally.saves);
        self.report.saves_lost = self.report.saves_lost.max(total(&self.world.tally.saves_lost));
        self.report.reconnects = total(&self.world.tally.reconnects);
        self.report.redirects = total(&self.world.tally.redirects);
        self.report.kicked = total(&self.world.tally.kicks);
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
        let took = millis(started.elapsed());
        self.progress.done(format!(
            "{} nodes run, each a TCP game server; they took {took} ms",
            self.plan.nodes
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
        let fleets = || {
            self.nodes
                .iter()
                .map(|node| (node, node.fleet().view().nodes().len()))
        };
        until(&what, self.patience(), || {
            match fleets().find(|(_, seen)| *seen != nodes) {
                Some((node, seen)) => Err(format!("{} sees {seen}", node.name)),
                None => Ok(()),
            }
        })
        .await
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
        self.progress.done(format!(
            "{} players logged in within {} ms",
            grouped(early as u64),
            millis(took)
        ));
        Ok(())
    }

    async fn everyone_in(&self, players: usize) -> Result<(), Failure> {
        let what = format!("{players} players to log in");
        until(&what, self.patience(), || {
            let inside = self.world.seats[..players]
                .iter()
                .filter(|seat| seat.address().is_some())
                .count();
            self.progress.at(inside as u64);
            let seen = || {
                format!(
                    "{inside} are in; the last trouble was: {}",
                    self.world.last_trouble()
                )
            };
            if inside == players { Ok(()) } else { Err(seen()) }
        })
        .await
    }

    async fn play(&mut self) -> Result<(), Failure> {
        self.progress
            .begin("everybody plays", Some(self.plan.play.as_secs()));
        if let Some(node) = self.nodes.first() {
            let observer = ringhold::Observer::clone(node.fleet());
            let measured = tokio::task::spawn_blocking(move || lookups::median_ns(&observer));
            let median = measured
                .await
                .map_err(|error| Failure::failed(error.to_string()))?;
            self.report.owner_ns_p50 = tenths(median);
        }
        self.report.saves_per_s = self.saves_during(self.plan.play).await;
        self.world.set_stage(Stage::Race);
        self.report.saves_per_s_racing = self.saves_during(RACE).await;
        self.world.set_stage(Stage::Play);
        self.progress.done(format!(
            "they played: {:.0} saves/s at a game's pace, {:.0} without pauses",
            self.report.saves_per_s, self.report.saves_per_s_racing
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
        let before = audit::owners(self.backend).await?;
        let joined = self.add_node(self.plan.nodes + 1).await?;
        self.all_see(self.nodes.len()).await?;
        self.crowd.let_in(self.plan.players)?;
        self.everyone_in(self.crowd.len()).await?;
        sleep(CALM).await;
        let now = audit::owners(self.backend).await?;
        let moved = audit::moved(&before, &now, &[]).count();
        let new = now.values().filter(|owner| **owner == joined).count();
        self.progress.done(format!(
            "{joined} joined: it got {new} newcomers, and {moved} live players moved"
        ));
        Ok(joined)
    }

    /// Kills nodes, and waits until that was noticed and their players play again.
    async fn kill(
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
        self.report.by_node = before_the_kill(&ring, owners, joined, &killed);
        if condemned.is_empty() {
            return Ok(killed);
        }
        let names: Vec<&str> = condemned.iter().map(|node| node.name.as_str()).collect();
        let names = names.join(", ");
        self.progress.begin(&format!("killed {names}"), None);
        self.world
            .condemn(condemned.iter().map(|node| node.address.clone()));
        let mut victims = self.victims();
        let count = victims.len();
        let at = Instant::now();
        drop(condemned);
        let (noticed, recovered) = tokio::join!(self.noticed(&killed, at), self.recovered(&mut victims, at));
        (self.report.detect_ms, self.report.recovered_ms) = (Some(noticed?), Some(recovered?));
        self.report.players_recovered = count;
        self.progress.done(format!(
            "killed {names}: noticed after {} ms, all {count} players play again after {} ms",
            self.report.detect_ms.unwrap_or_default(),
            self.report.recovered_ms.unwrap_or_default()
        ));
        Ok(killed)
    }

    /// The seats of players whose node is to be killed.
    fn victims(&self) -> HashSet<usize> {
        let on_killed = |address| self.world.is_killed(&address);
        let seats = self.world.seats.iter().enumerate();
        seats
            .filter(|(_, seat)| seat.address().is_some_and(on_killed))
            .map(|(index, _)| index)
            .collect()
    }

    /// Waits until every node that is left has seen the killed ones leave.
    async fn noticed(&self, killed: &[NodeIncarnation], at: Instant) -> Result<u64, Failure> {
        let mut looking = JoinSet::new();
        for node in &self.nodes {
            let (fleet, killed) = (node.fleet().clone(), killed.to_vec());
            looking.spawn(async move {
                fleet
                    .wait_for(|view| killed.iter().all(|node| view.incarnation(node).is_none()))
                    .await;
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
        let seen = format!("{seen} of {} nodes have noticed", self.nodes.len());
        Err(Failure::timeout(
            "every node to see that the killed ones have left",
            limit,
            seen,
        ))
    }

    /// Waits until each of the victims had a move acknowledged by a live node.
    async fn recovered(&self, victims: &mut HashSet<usize>, at: Instant) -> Result<u64, Failure> {
        let mut last = at;
        let what = format!("{} players of killed nodes to play again", victims.len());
        until(&what, self.patience(), || {
            victims.retain(|index| {
                let seat = &self.world.seats[*index];
                let moved = seat
                    .address()
                    .is_some_and(|address| !self.world.is_killed(&address));
                let Some(settled) = seat.settled().filter(|_| moved) else {
                    return true;
                };
                last = last.max(settled);
                false
            });
            let seen = || {
                format!(
                    "{} do not; the last trouble was: {}",
                    victims.len(),
                    self.world.last_trouble()
                )
            };
            if victims.is_empty() { Ok(()) } else { Err(seen()) }
        })
        .await?;
        Ok(millis(last.duration_since(at)))
    }

    /// Lets everybody play on, and makes sure that everybody does.
    async fn play_on(&mut self) -> Result<(), Failure> {
        self.progress.begin("everybody plays on", None);
        let since = Instant::now();
        sleep(CALM).await;
        until("every player to play on", self.patience(), || {
            let idle = self
                .world
                .seats
                .iter()
                .filter(|seat| !seat.played_since(since))
                .count();
            let seen = || {
                format!(
                    "{idle} do not; the last trouble was: {}",
                    self.world.last_trouble()
                )
            };
            if idle == 0 { Ok(()) } else { Err(seen()) }
        })
        .await
    }

    /// Stops the players, and compares what they know with what the store has.
    async fn account(&mut self, before: &Owners, killed: &[NodeIncarnation]) -> Result<(), Failure> {
        self.progress.begin("counting", Some(self.plan.players as u64));
        self.world.set_stage(Stage::Stop);
        let mut ledgers = Vec::with_capacity(self.plan.players);
        let limit = self.patience();
        let all = self.crowd.len();
        let collecting = async {
            while let Some(stopped) = self.crowd.next().await {
                ledgers.push(stopped?);
            }
            Ok::<_, Failure>(())
        };
        let collected = timeout(limit, collecting).await;
        let seen = || format!("{} of {all} have", ledgers.len());
        collected.map_err(|_| Failure::timeout("every player to stop", limit, seen()))??;

        let now = audit::owners(self.backend).await?;
        let mut moved: HashSet<_> = audit::moved(before, &now, killed).collect();
        let mut lost: u64 = 0;
        for (done, (seat, player, ledger)) in ledgers.iter().enumerate() {
            self.progress.at(done as u64);
            let missing = audit::missing(self.backend, player, ledger).await?;
            count(&self.world.tally.saves_lost, missing.saves);
            let seat = &self.world.seats[*seat];
            lost += u64::from(missing.session || seat.session_lost.load(Ordering::Relaxed));
            if seat.moved.load(Ordering::Relaxed) {
                moved.extend(ledger.session);
            }
        }
        self.report.sessions_lost = lost;
        self.report.moved_needlessly = moved.len() as u64;
        self.report.sessions_after = now.len() as u64;
        self.after(&now);
        self.progress.done(format!(
            "{} ledgers compared with the store",
            grouped(ledgers.len() as u64)
        ));
        Ok(())
    }

    /// Notes how the nodes stand at the end.
    fn after(&mut self, owners: &Owners) {
        let Some(node) = self.nodes.first() else { return };
        let view = node.fleet().view();
        let shares: HashMap<String, f64> = view
            .ring()
            .shares()
            .map(|(node, share)| (node.to_string(), share))
            .collect();
        let counts: HashMap<String, u64> = audit::by_node(owners)
            .into_iter()
            .map(|(node, count)| (node.to_string(), count))
            .collect();
        for row in &mut self.report.by_node {
            row.ring_after = shares.get(&row.node).copied().unwrap_or_default();
            row.sessions_after = counts.get(&row.node).copied().unwrap_or_default();
        }
    }
}

fn before_the_kill(
    ring: &Ring,
    owners: &Owners,
    joined: &NodeIncarnation,
    killed: &[NodeIncarnation],
) -> Vec<NodeReport> {
    let counts = audit::by_node(owners);
    let rows = ring.shares().map(|(node, share)| NodeReport {
        node: node.to_string(),
        joined: *node == joined.node,
        killed: killed.iter().any(|killed| killed.node == *node),
        ring_before: share,
        sessions_before: counts.get(node).copied().unwrap_or_default(),
        ..NodeReport::default()
    });
    rows.collect()
}

/// Looks until `look` is content, or says what it saw last.
async fn until(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<(), String>,
) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        match look() {
            Ok(()) => return Ok(()),
            Err(seen) if started.elapsed() >= limit => return Err(Failure::timeout(what, limit, seen)),
            Err(_) => sleep(LOOK).await,
        }
    }
}
