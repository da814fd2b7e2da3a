//! The players of a demo, all at once, on threads of their own.

use std::sync::Arc;
use std::thread;

use ringhold::PlayerId;
use tokio::task::JoinSet;

use super::engine::Engine;
use super::ledger::Ledger;
use super::player::Player;
use super::world::World;
use crate::exit::Failure;

/// File descriptors that are not a player's: listeners, runtimes, files, connections that linger.
const FILES_RESERVED: u64 = 512;
const FILES_PER_NODE: u64 = 16;
/// Both ends of a connection are in this process.
const FILES_PER_PLAYER: u64 = 2;

/// Raises the limit of open files as far as the players need it and the system allows it, and
/// answers for how many players that is enough.
pub(crate) fn room_for(players: u64, nodes: u64) -> u64 {
    // Where the limit cannot even be read, the connections will tell.
    match rlimit::increase_nofile_limit(needed(players, nodes)) {
        Ok(files) => players.min(files.saturating_sub(needed(0, nodes)) / FILES_PER_PLAYER),
        Err(_) => players,
    }
}

fn needed(players: u64, nodes: u64) -> u64 {
    players * FILES_PER_PLAYER + FILES_RESERVED + FILES_PER_NODE * nodes
}

/// How many files so many players need, and how many there may be.
pub(crate) fn files(players: u64, nodes: u64) -> (u64, u64) {
    let limit = rlimit::Resource::NOFILE.get().map_or(0, |(soft, _)| soft);
    (needed(players, nodes), limit)
}

/// A player who has stopped: its seat, its name, and what it knows.
pub(crate) type Stopped = (usize, PlayerId, Ledger);

/// The players who have been let in so far.
#[derive(Debug)]
pub(crate) struct Crowd {
    world: Arc<World>,
    tag: String,
    tasks: JoinSet<Stopped>,
    engine: Engine,
}

/// At the most so many threads move the players; more would take the nodes' time.
const THREADS_MAX: usize = 4;

impl Crowd {
    /// Nobody yet. Names will begin with `tag`.
    pub(crate) fn new(world: Arc<World>, tag: String) -> Result<Self, Failure> {
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS_MAX);
        Ok(Self {
            world,
            tag,
            tasks: JoinSet::new(),
            engine: Engine::start("players", threads)?,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Lets players in, until all seats up to `seats` are taken.
    pub(crate) fn let_in(&mut self, seats: usize) -> Result<(), Failure> {
        for seat in self.tasks.len()..seats {
            let name = PlayerId::new(format!("{}{seat}", self.tag))?;
            let player = Player::new(name, seat, Arc::clone(&self.world), seat as u64);
            self.tasks.spawn_on(player.run(), self.engine.handle());
        }
        Ok(())
    }

    /// Waits for one player to stop; `None` when all have.
    pub(crate) async fn next(&mut self) -> Option<Result<Stopped, Failure>> {
        let ended = self.tasks.join_next().await?;
        Some(ended.map_err(|error| Failure::failed(format!("a player's task ended: {error}"))))
    }
}
