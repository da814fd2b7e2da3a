//! What the players and the script share: the addresses, what is going on, and what has happened.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use ringhold::Address;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

/// What the players do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// A move now and then, as in a game.
    Play,
    /// One move after the other, to see how many there can be.
    Race,
    /// Finish the move in flight, and stop.
    Stop,
}

/// Counts of what happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Logins that came out `HERE`.
    pub(crate) logins: AtomicU64,
    /// Logins that were told to go elsewhere.
    pub(crate) redirects: AtomicU64,
    /// Connections that a player dropped in order to come back.
    pub(crate) reconnects: AtomicU64,
    /// Moves whose save was acknowledged.
    pub(crate) saves: AtomicU64,
    /// Acknowledged moves that were gone at a login.
    pub(crate) saves_lost: AtomicU64,
    /// Connections that a live node ended.
    pub(crate) kicks: AtomicU64,
}

/// The counts of a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) logins: u64,
    pub(crate) redirects: u64,
    pub(crate) reconnects: u64,
    pub(crate) saves: u64,
    pub(crate) saves_lost: u64,
    pub(crate) kicks: u64,
}

impl Tally {
    /// Reads all counts.
    pub(crate) fn totals(&self) -> Totals {
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            logins: total(&self.logins),
            redirects: total(&self.redirects),
            reconnects: total(&self.reconnects),
            saves: total(&self.saves),
            saves_lost: total(&self.saves_lost),
            kicks: total(&self.kicks),
        }
    }
}

/// Adds to a count.
pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// One player as the script sees it.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    place: Mutex<Place>,
    /// Its session was gone at a login.
    pub(crate) session_lost: AtomicBool,
    /// It was moved away from a node that is alive.
    pub(crate) moved: AtomicBool,
}

#[derive(Debug, Default, Clone)]
struct Place {
    address: Option<Address>,
    settled: Option<Instant>,
    last: Option<Instant>,
}

impl Seat {
    /// The player is attached at an address; answers where it was before.
    pub(crate) fn attach(&self, address: Address) -> Option<Address> {
        let mut place = lock(&self.place);
        place.settled = None;
        place.address.replace(address)
    }

    /// A move of the player was acknowledged.
    pub(crate) fn played(&self) {
        let mut place = lock(&self.place);
        let now = Instant::now();
        place.settled.get_or_insert(now);
        place.last = Some(now);
    }

    /// Where the player was attached last.
    pub(crate) fn address(&self) -> Option<Address> {
        lock(&self.place).address.clone()
    }

    /// When the first move after the last login was acknowledged.
    pub(crate) fn settled(&self) -> Option<Instant> {
        lock(&self.place).settled
    }

    /// Whether a move was acknowledged after `moment`.
    pub(crate) fn played_since(&self, moment: Instant) -> bool {
        lock(&self.place).last.is_some_and(|last| last > moment)
    }
}

/// What all players of a demo share.
#[derive(Debug)]
pub(crate) struct World {
    /// How many may be at a door at a time, so that a crowd does not overrun the listeners.
    pub(crate) doors: Semaphore,
    /// Counts.
    pub(crate) tally: Tally,
    /// One for each player.
    pub(crate) seats: Vec<Seat>,
    addresses: RwLock<Vec<Address>>,
    killed: RwLock<HashSet<Address>>,
    stage: watch::Sender<Stage>,
    trouble: Mutex<String>,
}

/// Logins on their way at a time.
const DOORS: usize = 512;

impl World {
    /// A world for so many players, without nodes.
    pub(crate) fn new(players: usize) -> Arc<Self> {
        Arc::new(Self {
            doors: Semaphore::new(DOORS),
            tally: Tally::default(),
            seats: std::iter::repeat_with(Seat::default).take(players).collect(),
            addresses: RwLock::default(),
            killed: RwLock::default(),
            stage: watch::Sender::new(Stage::Play),
            trouble: Mutex::new("nothing".to_owned()),
        })
    }

    /// Tells the players of a node. They never forget one, dead or alive.
    pub(crate) fn add_address(&self, address: Address) {
        write(&self.addresses).push(address);
    }

    /// One of the addresses; `None` when there are none.
    pub(crate) fn address(&self, draw: u64) -> Option<Address> {
        let addresses = read(&self.addresses);
        let index = draw.checked_rem(addresses.len() as u64)?;
        addresses.get(usize::try_from(index).ok()?).cloned()
    }

    /// Notes that the nodes at these addresses are about to be killed. Players are not told.
    pub(crate) fn condemn(&self, addresses: impl IntoIterator<Item = Address>) {
        write(&self.killed).extend(addresses);
    }

    /// Whether the node at this address was killed.
    pub(crate) fn is_killed(&self, address: &Address) -> bool {
        read(&self.killed).contains(address)
    }

    /// Says what the players do from now on.
    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    /// What the players do, and news of it.
    pub(crate) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Notes the last thing that went wrong for a player.
    pub(crate) fn note_trouble(&self, trouble: String) {
        *lock(&self.trouble) = trouble;
    }

    /// The last thing that went wrong for a player.
    pub(crate) fn last_trouble(&self) -> String {
        lock(&self.trouble).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(shared: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}

/// Quick random numbers for pauses and choices: `SplitMix64` (Steele, Lea and Flood, 2014). Never a secret.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice that fall as `seed` says.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 bits.
    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to and without `high`.
    pub(crate) const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low)
    }
}
