//! A session store of the rules, and an account of what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ringhold_core::codec::{SessionHeader, decode_session_parts, decode_tombstone};
use ringhold_core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, ListSessions, RemoveSession, Removed,
    RepairSessions, RepairedSessions, RestoreSession, Restored, SaveSession, Saved, SessionPage, TakeExpired,
    TakenSessions, Touch, TouchedMany,
};
use ringhold_core::{Clock, Limits, Partition, PlayerId, Result, SessionId, SessionRecord, SessionStore};
use ringhold_kv::clock::{ClockKind, ObservedClock};
use ringhold_kv::sessions::{self, Count, Listing, SharedCursor, Sweep, SweepBytes};
use ringhold_testkit::SimulatedClock;

use super::{Cost, Reach, Stop, TestStore, TestTx};

/// The rules of sessions on a store in memory.
pub(crate) struct KvSessions {
    pub(crate) store: TestStore,
    clock: SimulatedClock,
    observed: Arc<ObservedClock>,
    cursor: Arc<SharedCursor>,
}

impl KvSessions {
    pub(crate) fn new(reach: Reach, clock: SimulatedClock) -> Self {
        let observed = ObservedClock::new(ClockKind::Sessions, Duration::from_millis(1));
        Self {
            store: TestStore::new(reach),
            clock,
            observed: Arc::new(observed),
            cursor: Arc::default(),
        }
    }

    /// The same, on a copy of what is stored.
    pub(crate) fn copied(&self) -> Self {
        Self {
            store: self.store.copied(),
            clock: self.clock.clone(),
            observed: Arc::clone(&self.observed),
            cursor: Arc::clone(&self.cursor),
        }
    }

    /// Runs a rule that writes, does `between` before it is committed, and tells what it cost.
    pub(crate) fn race<R>(
        &self,
        between: impl FnOnce(),
        mut rule: impl FnMut(&mut TestTx, u64) -> Result<R, Stop>,
    ) -> Result<(R, Cost)> {
        self.store.race(between, |tx| {
            let now = self.observed.advance(tx, self.clock.now())?;
            rule(tx, now)
        })
    }

    pub(crate) fn write<R>(&self, rule: impl FnMut(&mut TestTx, u64) -> Result<R, Stop>) -> Result<R> {
        self.race(|| {}, rule).map(|(answer, _)| answer)
    }

    fn read<R>(&self, mut rule: impl FnMut(&mut TestTx, u64) -> Result<R, Stop>) -> Result<R> {
        let rule = |tx: &mut TestTx| {
            let now = self.observed.read(tx, self.clock.now())?;
            rule(tx, now)
        };
        let (answer, cost) = self.store.race(|| {}, rule)?;
        assert_eq!(cost.written, 0, "a read writes nothing");
        Ok(answer)
    }
}

impl fmt::Debug for KvSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvSessions").finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for KvSessions {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    async fn create(&self, request: CreateSession) -> Result<Created> {
        request.check(&self.limits())?;
        self.write(|tx, now| sessions::create(tx, now, &request))
    }

    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>> {
        self.read(|tx, now| sessions::get(tx, now, id))
    }

    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>> {
        self.read(|tx, now| sessions::find(tx, now, player))
    }

    async fn save(&self, request: SaveSession) -> Result<Saved> {
        request.check(&self.limits())?;
        self.write(|tx, now| sessions::save(tx, now, &request))
    }

    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany> {
        self.write(|tx, now| sessions::touch_many(tx, now, touches))
            .map(TouchedMany::new)
    }

    async fn claim(&self, request: ClaimSession) -> Result<Claimed> {
        self.write(|tx, now| sessions::claim(tx, now, &request))
    }

    async fn remove(&self, request: RemoveSession) -> Result<Removed> {
        self.write(|tx, now| sessions::remove(tx, now, &request))
    }

    async fn restore(&self, request: RestoreSession) -> Result<Restored> {
        request.check(&self.limits())?;
        self.write(|tx, now| sessions::restore(tx, now, &request))
    }

    async fn list(&self, request: ListSessions) -> Result<SessionPage> {
        let mut listing = Listing::new(&request);
        while let Some(part) = listing.part(3) {
            listing.add(self.read(|tx, now| part.read(tx, now))?);
        }
        Ok(listing.page())
    }

    async fn count(&self, partition: Partition) -> Result<u64> {
        let mut count = Count::new(partition);
        while !count.is_whole() {
            count = self.read(|tx, now| count.clone().read(tx, now))?;
        }
        Ok(count.sessions())
    }

    async fn repair(&self, request: RepairSessions) -> Result<RepairedSessions> {
        if request.repair {
            self.write(|tx, _| sessions::repair(tx, &request, 12))
        } else {
            self.read(|tx, _| sessions::repair(tx, &request, 12))
        }
    }

    async fn take_expired(&self, request: TakeExpired) -> Result<TakenSessions> {
        let from = self.cursor.get();
        let sweep = self.write(|tx, now| Sweep::plan(tx, now, &request, &from))?;
        self.cursor.follow(&sweep);
        let (mut swept, mut bytes) = (Vec::new(), SweepBytes::new(&request));
        for steps in sweep.steps().chunks(100) {
            let rule = |tx: &mut TestTx, now| {
                let (mut swept, mut bytes) = (Vec::new(), bytes);
                for step in steps {
                    swept.push(step.run(tx, now, &request, &mut bytes)?);
                }
                Ok(swept)
            };
            let part = self.write(rule)?;
            bytes.spend(&part);
            swept.extend(part);
        }
        Ok(sweep.answer(swept))
    }

    async fn ack_expired(&self, request: AckExpired) -> Result<Acked> {
        self.write(|tx, now| sessions::ack_expired(tx, now, &request))
    }
}

/// Checks what always holds between two transactions; answers how many sessions there are.
pub(crate) fn account(store: &TestStore) -> usize {
    let mut by_kind: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for key in store.keys() {
        let text = String::from_utf8(key).expect("the players of these tests are text, too");
        let (kind, rest) = text.split_once('/').expect("each key has a kind");
        by_kind
            .entry(kind.to_owned())
            .or_default()
            .insert(rest.to_owned());
    }
    let of = |kind: &str| by_kind.get(kind).cloned().unwrap_or_default();
    let (sessions, mut listed, mut due) = (of("session"), BTreeSet::new(), BTreeSet::new());
    assert_eq!(
        sessions,
        of("body"),
        "each session has a body, and no other is there"
    );
    for player in of("player") {
        let ids = store
            .value(format!("player/{player}").as_bytes())
            .expect("it was listed");
        let (ids, rest) = ids.as_chunks::<18>();
        assert!(!ids.is_empty() && rest.is_empty(), "lists are never empty");
        for id in ids {
            let id = SessionId::from_bytes(*id).expect("an id").to_string();
            assert!(listed.insert(id), "a session is listed once");
        }
    }
    for id in &sessions {
        let value = store
            .value(format!("session/{id}").as_bytes())
            .expect("it was listed");
        let body = store.value(format!("body/{id}").as_bytes()).expect("it has one");
        let (armed, header) = value.split_at(8);
        let (header, player) = header.split_at(SessionHeader::LEN);
        let session = decode_session_parts(header, &body).expect("a session");
        assert_eq!(
            (session.id.to_string(), session.player.as_str().as_bytes()),
            (id.clone(), player)
        );
        assert_eq!(listed.remove(id), !session.unlinked, "linked is listed");
        let armed = u64::from_le_bytes(armed.try_into().expect("8 bytes"));
        assert!(
            armed <= session.header().due_ms(),
            "armed is never later than due"
        );
        due.insert(format!("{armed:016x}/{id}"));
    }
    assert_eq!(listed, BTreeSet::new(), "nothing is listed that is not there");
    assert_eq!(due, of("due"), "each session has its due key");
    let graves = of("grave");
    for id in of("tombstone") {
        let stored = store
            .value(format!("tombstone/{id}").as_bytes())
            .expect("it was listed");
        let deadline = decode_tombstone(&stored).expect("a tombstone").deadline_ms;
        assert!(
            graves.contains(&format!("{deadline:016x}/{id}")),
            "a tombstone has its grave"
        );
    }
    sessions.len()
}
