//! A player: a TCP client that logs in anywhere, goes where it is told, plays, comes back when its
//! connection ends, and checks each time that nothing it was told is forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ringhold::{Address, PlayerId};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::ledger::Ledger;
use super::protocol::{Entry, Reply, Request, Step};
use super::wire::{ANSWER_LIMIT, Wire};
use super::world::{Dice, Seat, Stage, World, count};

/// Longer than any pause.
const FOREVER: Duration = Duration::from_secs(3_600);
/// The pause between two moves of a game, in milliseconds.
const PAUSE_MS: (u64, u64) = (250, 500);
/// The pause before another try where none could log in, in milliseconds.
const BACKOFF_MS: (u64, u64) = (50, 250);
/// One in so many moves is followed by a dropped connection.
const RECONNECT_ODDS: u64 = 64;
/// How often a login follows `MOVED` before it starts over at some node.
const REDIRECTS_MAX: u32 = 4;

/// A player.
#[derive(Debug)]
pub(crate) struct Player {
    name: PlayerId,
    seat: usize,
    world: Arc<World>,
    stage: watch::Receiver<Stage>,
    dice: Dice,
    ledger: Ledger,
}

/// How a stay at a node ended.
enum Leave {
    /// The script is over.
    Stopped,
    /// The player dropped the connection, to come back.
    Dropped,
    /// The server, or the net, ended it.
    Ended(String),
}

impl Player {
    /// The player in this seat.
    pub(crate) fn new(name: PlayerId, seat: usize, world: Arc<World>, seed: u64) -> Self {
        let stage = world.stage();
        Self {
            name,
            seat,
            world,
            stage,
            dice: Dice::new(seed),
            ledger: Ledger::default(),
        }
    }

    /// Plays until the script stops; answers what was acknowledged.
    pub(crate) async fn run(mut self) -> (usize, PlayerId, Ledger) {
        while let Some((wire, address)) = self.log_in().await {
            match self.play(wire).await {
                Leave::Stopped => break,
                Leave::Dropped => count(&self.world.tally.reconnects, 1),
                Leave::Ended(why) => {
                    if !self.world.is_killed(&address) {
                        count(&self.world.tally.kicks, 1);
                        self.world
                            .note_trouble(format!("{address} ended a connection: {why}"));
                    }
                }
            }
        }
        (self.seat, self.name, self.ledger)
    }

    fn seat(&self) -> &Seat {
        &self.world.seats[self.seat]
    }

    fn stopped(&self) -> bool {
        *self.stage.borrow() == Stage::Stop
    }

    /// Tries one node after the other until one takes the player; `None` when the script stops.
    async fn log_in(&mut self) -> Option<(Wire, Address)> {
        while !self.stopped() {
            let mut next = self.world.address(self.dice.roll());
            for _ in 0..=REDIRECTS_MAX {
                let Some(address) = next.take() else { break };
                match self.knock(&address).await {
                    Ok((
                        wire,
                        Reply::Here {
                            session,
                            position,
                            version,
                            ..
                        },
                    )) => {
                        let loss = self.ledger.resume(session, position, version);
                        count(&self.world.tally.saves_lost, loss.saves);
                        if loss.session {
                            self.seat().session_lost.store(true, Ordering::Relaxed);
                        }
                        self.attached(&address);
                        return Some((wire, address));
                    }
                    Ok((_, Reply::Moved(to))) => {
                        count(&self.world.tally.redirects, 1);
                        next = Some(to);
                    }
                    Ok((_, Reply::Err(kind, words))) => {
                        self.world
                            .note_trouble(format!("{address} answered {kind}: {words}"));
                        if kind == "not_found" {
                            // The session has ended, which nobody asked for. Start anew.
                            self.session_gone();
                        }
                    }
                    Ok((_, other)) => self.world.note_trouble(format!("{address} answered {other}")),
                    Err(trouble) => self.world.note_trouble(format!("{address}: {trouble}")),
                }
            }
            let pause = Duration::from_millis(self.dice.between(BACKOFF_MS.0, BACKOFF_MS.1));
            let _ = timeout(pause, self.stage.wait_for(|stage| *stage == Stage::Stop)).await;
        }
        None
    }

    /// Connects and says who is there. Answers the connection with what the server said.
    async fn knock(&self, address: &Address) -> Result<(Wire, Reply), String> {
        let _door = self
            .world
            .doors
            .acquire()
            .await
            .map_err(|error| error.to_string())?;
        let mut wire = Wire::connect(address).await?;
        let entry = self.ledger.session.map_or(Entry::Ordinary, Entry::Resume);
        let login = Request::Login(self.name.clone(), entry);
        let reply = wire.ask(&login, ANSWER_LIMIT).await?;
        Ok((wire, reply))
    }

    fn attached(&self, address: &Address) {
        count(&self.world.tally.logins, 1);
        let before = self.seat().attach(address.clone());
        if before.is_some_and(|before| before != *address && !self.world.is_killed(&before)) {
            self.seat().moved.store(true, Ordering::Relaxed);
        }
    }

    fn session_gone(&mut self) {
        if self.ledger.session.is_some() {
            self.seat().session_lost.store(true, Ordering::Relaxed);
            // Every move is a version, and the session itself was the first.
            count(
                &self.world.tally.saves_lost,
                self.ledger.acknowledged.1.saturating_sub(1),
            );
            self.ledger = Ledger::default();
        }
    }

    /// Moves about until something ends it.
    async fn play(&mut self, mut wire: Wire) -> Leave {
        while !self.stopped() {
            let step = self.step();
            self.ledger.in_flight = Some(step);
            match wire.ask(&Request::Move(step), ANSWER_LIMIT).await {
                Ok(Reply::Pos(position, version)) => {
                    if !self.ledger.acknowledge(position, version) {
                        count(&self.world.tally.saves_lost, 1);
                    }
                    count(&self.world.tally.saves, 1);
                    self.seat().played();
                }
                Ok(other) => return Leave::Ended(other.to_string()),
                Err(trouble) => return Leave::Ended(trouble),
            }
            let racing = *self.stage.borrow() == Stage::Race;
            if !racing && self.dice.roll().is_multiple_of(RECONNECT_ODDS) {
                return Leave::Dropped;
            }
            if let Some(leave) = self.rest(&mut wire).await {
                return leave;
            }
        }
        Leave::Stopped
    }

    /// Pauses between two moves, as long as the stage wants it. Answers why the stay ends, if it does.
    async fn rest(&mut self, wire: &mut Wire) -> Option<Leave> {
        let pause = match *self.stage.borrow_and_update() {
            Stage::Stop => return Some(Leave::Stopped),
            Stage::Race => return None,
            Stage::Play => Duration::from_millis(self.dice.between(PAUSE_MS.0, PAUSE_MS.1)),
        };
        tokio::select! {
            () = sleep(pause) => None,
            _ = self.stage.changed() => self.stopped().then_some(Leave::Stopped),
            // Unless it brings messages, a server speaks first only to say goodbye.
            said = wire.answer(FOREVER) => Some(Leave::Ended(said.map_or_else(|trouble| trouble, |reply| reply.to_string()))),
        }
    }

    fn step(&mut self) -> Step {
        let mut way = || i32::try_from(self.dice.between(0, 21)).map_or(0, |way| way - 10);
        Step { dx: way(), dy: way() }
    }
}
