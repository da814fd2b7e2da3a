//! The players of a demo, all at once, on threads of their own.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ringhold::{Address, PlayerId};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::engine::Engine;
use super::ledger::Ledger;
use super::orders::{Answer, Ask, Seen, Stopped};
use super::player::Player;
use super::world::{Seat, World};
use crate::exit::Failure;
use crate::output::millis;

/// File descriptors that are not a player's: listeners, runtimes, files, connections that linger.
const FILES_RESERVED: u64 = 512;
/// Its own, those of both ends of its guests' connections, and of those to other nodes.
const FILES_PER_NODE: u64 = 64;
/// Raises the limit of open files as far as the players need it and the system allows it, and
/// answers for how many players that is enough. Children inherit the limit.
pub(crate) fn room_for(players: u64, nodes: u64, per_player: u64) -> u64 {
    // Where the limit cannot even be read, the connections will tell.
    match rlimit::increase_nofile_limit(needed(players, nodes, per_player)) {
        Ok(files) => players.min(files.saturating_sub(needed(0, nodes, per_player)) / per_player.max(1)),
        Err(_) => players,
    }
}

fn needed(players: u64, nodes: u64, per_player: u64) -> u64 {
    players * per_player + FILES_RESERVED + FILES_PER_NODE * nodes
}

/// How many files so many players need, and how many there may be.
pub(crate) fn files(players: u64, nodes: u64, per_player: u64) -> (u64, u64) {
    let limit = rlimit::Resource::NOFILE.get().map_or(0, |(soft, _)| soft);
    (needed(players, nodes, per_player), limit)
}

/// The players who have been let in so far.
#[derive(Debug)]
pub(crate) struct Crowd {
    world: Arc<World>,
    tag: String,
    tasks: JoinSet<(usize, PlayerId, Ledger)>,
    engine: Engine,
    /// Since when it counts who plays.
    mark: Instant,
    /// The seats of players of condemned nodes who do not play elsewhere yet.
    stranded: HashSet<usize>,
    condemned: Instant,
    recovered: Instant,
}

/// Players who are told of at once.
const PAGE: usize = 500;
/// How long a page waits to become full.
const COLLECTING: Duration = Duration::from_millis(200);

/// At the most so many threads move the players; more would take the nodes' time.
const THREADS_MAX: usize = 4;

impl Crowd {
    /// Nobody yet. Names will begin with `tag`.
    pub(crate) fn new(world: Arc<World>, tag: String) -> Result<Self, Failure> {
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS_MAX);
        let now = Instant::now();
        Ok(Self {
            world,
            tag,
            tasks: JoinSet::new(),
            engine: Engine::start("players", threads)?,
            mark: now,
            stranded: HashSet::new(),
            condemned: now,
            recovered: now,
        })
    }

    /// Does what is asked.
    ///
    /// # Errors
    /// `Failed` where a player's task broke.
    pub(crate) async fn answer(&mut self, ask: Ask) -> Result<Answer, Failure> {
        match ask {
            Ask::Node(address) => self.world.add_address(address),
            Ask::LetIn(seats) => self.let_in(seats.min(self.world.seats.len()))?,
            Ask::Stage(stage) => self.world.set_stage(stage),
            Ask::Mark => self.mark = Instant::now(),
            Ask::Condemn(addresses) => return Ok(Answer::Condemned(self.condemn(addresses))),
            Ask::Look => return Ok(Answer::Seen(self.look())),
            Ask::Collect => return self.collect().await,
        }
        Ok(Answer::Done)
    }

    /// Lets players in, until all seats up to `seats` are taken.
    fn let_in(&mut self, seats: usize) -> Result<(), Failure> {
        for seat in self.tasks.len()..seats {
            let name = PlayerId::new(format!("{}{seat}", self.tag))?;
            let player = Player::new(name, seat, Arc::clone(&self.world), seat as u64);
            self.tasks.spawn_on(player.run(), self.engine.handle());
        }
        Ok(())
    }

    fn condemn(&mut self, addresses: Vec<Address>) -> usize {
        self.world.condemn(addresses);
        let seats = self.world.seats.iter().enumerate();
        let on_killed = seats.filter(|(_, seat)| seat.address().is_some_and(|at| self.world.is_killed(&at)));
        self.stranded = on_killed.map(|(index, _)| index).collect();
        self.condemned = Instant::now();
        self.recovered = self.condemned;
        self.stranded.len()
    }

    fn look(&mut self) -> Seen {
        let (world, mark) = (&self.world, self.mark);
        let (condemned, recovered) = (self.condemned, &mut self.recovered);
        // Who was stranded plays again once a live node has acknowledged a move.
        self.stranded.retain(|index| {
            let seat = &world.seats[*index];
            let elsewhere = seat.address().is_some_and(|now| !world.is_killed(&now));
            let settled = seat.settled().filter(|_| elsewhere);
            *recovered = (*recovered).max(settled.unwrap_or(condemned));
            settled.is_none()
        });
        let count =
            |condition: &dyn Fn(&Seat) -> bool| world.seats.iter().filter(|seat| condition(seat)).count();
        Seen {
            inside: count(&|seat| seat.address().is_some()),
            idle: count(&|seat| !seat.played_since(mark)),
            stranded: self.stranded.len(),
            recovered_ms: millis(self.recovered.duration_since(condemned)),
            totals: world.tally.totals(),
            trouble: world.last_trouble(),
        }
    }

    /// A page of those who have stopped, as soon as there is one or some time has passed.
    async fn collect(&mut self) -> Result<Answer, Failure> {
        let mut players = Vec::new();
        let deadline = tokio::time::Instant::now() + COLLECTING;
        while players.len() < PAGE {
            let Ok(Some(ended)) = timeout_at(deadline, self.tasks.join_next()).await else {
                break;
            };
            let broken = |error| Failure::failed(format!("a player's task ended: {error}"));
            let (seat, player, ledger) = ended.map_err(broken)?;
            let seat = &self.world.seats[seat];
            players.push(Stopped {
                player,
                ledger,
                session_lost: seat.session_lost.load(Ordering::Relaxed),
                moved: seat.moved.load(Ordering::Relaxed),
            });
        }
        let all = self.tasks.is_empty();
        Ok(Answer::Stopped { players, all })
    }
}
