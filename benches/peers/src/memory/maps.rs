//! Pairs of concurrent maps: sessions by id, and the id of each player.
//!
//! They are given an advantage: ids are one number, owners are numbers, data has a fixed length, and nothing
//! of fences, versions or repetitions is kept or compared but one number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use ringhold_core::{PlayerId, SessionId};

use super::store::{DATA, Guest, Store, Time, nanos, sum};

/// A session as a user of a map would keep it.
pub(super) struct Stay {
    pub(super) player: PlayerId,
    owner: u64,
    epoch: u64,
    deadline: AtomicU64,
    data: [u8; DATA],
}

/// The key of a session: its random bits.
pub(super) fn key(id: &SessionId) -> u128 {
    let bytes = id.to_bytes();
    let random = bytes.last_chunk().expect("18 bytes hold 16");
    u128::from_le_bytes(*random)
}

impl Stay {
    pub(super) fn new(guest: &Guest, now: u64) -> Self {
        let mut data = [0; DATA];
        data.copy_from_slice(&guest.data);
        Self {
            player: guest.player.clone(),
            owner: 1,
            epoch: 1,
            deadline: AtomicU64::new(now + nanos(guest.ttl)),
            data,
        }
    }

    pub(super) fn lives(&self, now: u64) -> bool {
        now < self.deadline.load(Ordering::Relaxed)
    }

    pub(super) fn read(&self) -> u64 {
        sum(&self.data).wrapping_add(self.owner)
    }

    pub(super) fn extend(&self, guest: &Guest, now: u64) -> bool {
        if self.epoch != 1 {
            return false;
        }
        self.deadline.store(now + nanos(guest.ttl), Ordering::Relaxed);
        true
    }
}

/// Two of `dashmap`.
pub(super) struct Dash {
    time: Arc<Time>,
    sessions: DashMap<u128, Arc<Stay>>,
    players: DashMap<PlayerId, u128>,
}

impl Dash {
    pub(super) fn new(time: Arc<Time>) -> Self {
        Self {
            time,
            sessions: DashMap::new(),
            players: DashMap::new(),
        }
    }

    fn live(&self, id: u128) -> Option<Arc<Stay>> {
        let now = self.time.nanos();
        let stay = self.sessions.get(&id).map(|stay| Arc::clone(&stay));
        stay.filter(|stay| stay.lives(now))
    }
}

impl Store for Dash {
    fn create(&self, guest: &Guest) {
        let id = key(&guest.id);
        let stay = Arc::new(Stay::new(guest, self.time.nanos()));
        self.sessions.insert(id, stay);
        if let Some(old) = self.players.insert(guest.player.clone(), id) {
            self.sessions.remove(&old);
        }
    }

    fn get(&self, id: &SessionId) -> Option<u64> {
        self.live(key(id)).map(|stay| stay.read())
    }

    fn find(&self, player: &PlayerId) -> Option<u64> {
        let id = *self.players.get(player)?;
        self.live(id).map(|stay| stay.read())
    }

    fn touch(&self, guest: &Guest) -> bool {
        let now = self.time.nanos();
        let stay = self.sessions.get(&key(&guest.id));
        stay.is_some_and(|stay| stay.extend(guest, now))
    }

    fn expire(&self) -> usize {
        let (now, mut expired) = (self.time.nanos(), 0);
        self.sessions.retain(|id, stay| {
            let lives = stay.lives(now);
            if !lives {
                expired += 1;
                self.players.remove_if(&stay.player, |_, listed| listed == id);
            }
            lives
        });
        expired
    }
}

/// Two of `papaya`; values stay where they are, and readers read them there.
pub(super) struct Papaya {
    time: Arc<Time>,
    sessions: papaya::HashMap<u128, Stay>,
    players: papaya::HashMap<PlayerId, u128>,
}

impl Papaya {
    pub(super) fn new(time: Arc<Time>) -> Self {
        Self {
            time,
            sessions: papaya::HashMap::new(),
            players: papaya::HashMap::new(),
        }
    }

    fn read(&self, id: u128) -> Option<u64> {
        let now = self.time.nanos();
        let sessions = self.sessions.pin();
        let stay = sessions.get(&id).filter(|stay| stay.lives(now))?;
        Some(stay.read())
    }
}

impl Store for Papaya {
    fn create(&self, guest: &Guest) {
        let id = key(&guest.id);
        self.sessions
            .pin()
            .insert(id, Stay::new(guest, self.time.nanos()));
        if let Some(old) = self.players.pin().insert(guest.player.clone(), id) {
            self.sessions.pin().remove(old);
        }
    }

    fn get(&self, id: &SessionId) -> Option<u64> {
        self.read(key(id))
    }

    fn find(&self, player: &PlayerId) -> Option<u64> {
        let id = *self.players.pin().get(player)?;
        self.read(id)
    }

    fn touch(&self, guest: &Guest) -> bool {
        let now = self.time.nanos();
        let sessions = self.sessions.pin();
        let stay = sessions.get(&key(&guest.id));
        stay.is_some_and(|stay| stay.extend(guest, now))
    }

    fn expire(&self) -> usize {
        let (now, mut expired) = (self.time.nanos(), 0);
        let players = self.players.pin();
        self.sessions.pin().retain(|id, stay| {
            let lives = stay.lives(now);
            if !lives {
                expired += 1;
                let _ = players.remove_if(&stay.player, |_, listed| listed == id);
            }
            lives
        });
        expired
    }
}

/// Two of `scc`.
pub(super) struct Scc {
    time: Arc<Time>,
    sessions: scc::HashMap<u128, Arc<Stay>>,
    players: scc::HashMap<PlayerId, u128>,
}

impl Scc {
    pub(super) fn new(time: Arc<Time>) -> Self {
        Self {
            time,
            sessions: scc::HashMap::new(),
            players: scc::HashMap::new(),
        }
    }

    fn live(&self, id: u128) -> Option<Arc<Stay>> {
        let now = self.time.nanos();
        let stay = self.sessions.read_sync(&id, |_, stay| Arc::clone(stay));
        stay.filter(|stay| stay.lives(now))
    }
}

impl Store for Scc {
    fn create(&self, guest: &Guest) {
        let id = key(&guest.id);
        let stay = Arc::new(Stay::new(guest, self.time.nanos()));
        self.sessions.upsert_sync(id, stay);
        if let Some(old) = self.players.upsert_sync(guest.player.clone(), id) {
            self.sessions.remove_sync(&old);
        }
    }

    fn get(&self, id: &SessionId) -> Option<u64> {
        self.live(key(id)).map(|stay| stay.read())
    }

    fn find(&self, player: &PlayerId) -> Option<u64> {
        let id = self.players.read_sync(player, |_, id| *id)?;
        self.live(id).map(|stay| stay.read())
    }

    fn touch(&self, guest: &Guest) -> bool {
        let now = self.time.nanos();
        let touched = self
            .sessions
            .read_sync(&key(&guest.id), |_, stay| stay.extend(guest, now));
        touched.unwrap_or_default()
    }

    fn expire(&self) -> usize {
        let (now, mut expired) = (self.time.nanos(), 0);
        self.sessions.retain_sync(|id, stay| {
            let lives = stay.lives(now);
            if !lives {
                expired += 1;
                self.players.remove_if_sync(&stay.player, |listed| *listed == *id);
            }
            lives
        });
        expired
    }
}
