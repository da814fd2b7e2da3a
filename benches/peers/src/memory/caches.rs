//! `moka`, which expires by itself, and the memory store of `tower-sessions`, which never does.
//!
//! Both look at clocks of their own.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use moka::Expiry;
use moka::sync::Cache;
use ringhold_core::{PlayerId, SessionId};
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_memory_store::MemoryStore;

use super::maps::{Stay, key};
use super::store::{Guest, Store, sum};

/// Each entry lives as long as its guest asked for.
struct ByEntry;

type Entry = (Duration, Arc<Stay>);

impl Expiry<u128, Entry> for ByEntry {
    fn expire_after_create(&self, _: &u128, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.0)
    }

    fn expire_after_update(
        &self,
        _: &u128,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.0)
    }
}

pub(super) struct Moka {
    sessions: Cache<u128, Entry>,
    players: Arc<DashMap<PlayerId, u128>>,
}

impl Moka {
    pub(super) fn new() -> Self {
        let players = Arc::new(DashMap::new());
        let index: Arc<DashMap<PlayerId, u128>> = Arc::clone(&players);
        let sessions = Cache::builder()
            .expire_after(ByEntry)
            .eviction_listener(move |id, (_, stay): Entry, cause| {
                if cause.was_evicted() {
                    index.remove_if(&stay.player, |_, listed| *listed == *id);
                }
            })
            .build();
        Self { sessions, players }
    }
}

impl Store for Moka {
    fn create(&self, guest: &Guest) {
        let id = key(&guest.id);
        self.sessions
            .insert(id, (guest.ttl, Arc::new(Stay::new(guest, 0))));
        if let Some(old) = self.players.insert(guest.player.clone(), id) {
            self.sessions.invalidate(&old);
        }
    }

    fn get(&self, id: &SessionId) -> Option<u64> {
        self.sessions.get(&key(id)).map(|(_, stay)| stay.read())
    }

    fn find(&self, player: &PlayerId) -> Option<u64> {
        let id = *self.players.get(player)?;
        self.sessions.get(&id).map(|(_, stay)| stay.read())
    }

    /// An entry lives anew when it is written anew.
    fn touch(&self, guest: &Guest) -> bool {
        let id = key(&guest.id);
        let stay = self.sessions.get(&id);
        let found = stay.is_some();
        if let Some((_, stay)) = stay {
            self.sessions.insert(id, (guest.ttl, stay));
        }
        found
    }

    fn expire(&self) -> usize {
        let mut expired = 0;
        loop {
            let before = self.players.len();
            self.sessions.run_pending_tasks();
            let gone = before - self.players.len();
            if gone == 0 {
                return expired;
            }
            expired += gone;
        }
    }
}

/// The store, and the index of players that it has not.
#[derive(Default)]
pub(super) struct Tower {
    sessions: MemoryStore,
    players: Mutex<HashMap<PlayerId, Id>>,
}

const DATA_KEY: &str = "data";

/// Unparks the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread: its lock is tokio's, and another thread may have it.
fn wait<T>(future: impl Future<Output = tower_sessions_core::session_store::Result<T>>) -> T {
    let mut future = pin!(future);
    if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return answer.expect("an answer");
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer.expect("an answer"),
            Poll::Pending => thread::park(),
        }
    }
}

fn id(session: &SessionId) -> Id {
    Id(key(session).cast_signed())
}

impl Tower {
    fn read(&self, id: Id) -> Option<u64> {
        let record = wait(self.sessions.load(&id))?;
        match record.data.get(DATA_KEY) {
            Some(Value::String(data)) => Some(sum(data.as_bytes())),
            _ => None,
        }
    }
}

impl Store for Tower {
    fn create(&self, guest: &Guest) {
        let data = str::from_utf8(&guest.data).expect("letters");
        let id = id(&guest.id);
        let mut record = Record {
            id,
            data: HashMap::from([(DATA_KEY.to_owned(), Value::from(data))]),
            expiry_date: OffsetDateTime::now_utc() + guest.ttl,
        };
        wait(self.sessions.create(&mut record));
        let mut players = self.players.lock().expect("no panic");
        let old = players.insert(guest.player.clone(), id);
        drop(players);
        if let Some(old) = old {
            wait(self.sessions.delete(&old));
        }
    }

    fn get(&self, session: &SessionId) -> Option<u64> {
        self.read(id(session))
    }

    fn find(&self, player: &PlayerId) -> Option<u64> {
        let id = *self.players.lock().expect("no panic").get(player)?;
        self.read(id)
    }

    fn touch(&self, guest: &Guest) -> bool {
        let Some(mut record) = wait(self.sessions.load(&id(&guest.id))) else {
            return false;
        };
        record.expiry_date = OffsetDateTime::now_utc() + guest.ttl;
        wait(self.sessions.save(&record));
        true
    }

    /// It never removes anything.
    fn expire(&self) -> usize {
        0
    }
}
