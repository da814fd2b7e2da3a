//! The checker of histories bites: stores with a race or a lapse of memory are caught under a load under
//! which the sound store passes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringhold_core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateSession, Created, ListSessions, RemoveSession, Removed,
    RestoreSession, Restored, SaveSession, Saved, SessionPage, TakeExpired, TakenSessions, Touch,
    TouchedMany,
};
use ringhold_core::{
    Error, ErrorKind, Fence, FleetName, Limits, Partition, PlayerId, Result, SessionId, SessionRecord,
    SessionStore,
};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::history::{ComplaintKind, History, Load, check};
use ringhold_testkit::{Make, SimulatedClock, async_trait};

/// What a store does wrong, now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// It compares and then sets: two savers of one version both succeed.
    LostCompareAndSet,
    /// It shows what stood before the last save.
    StaleRead,
    /// It acknowledges a save that it forgets.
    ForgottenWrite,
    /// It tells two claims on one fence that they won.
    TwoOwners,
    /// It refuses a save that it makes.
    RefusesWhatItDid,
    /// It forgets a removal.
    ComesBack,
}

#[derive(Debug)]
struct Flawed {
    flaw: Flaw,
    inner: Arc<dyn SessionStore>,
    make: Make,
    turns: AtomicU64,
    before: Mutex<HashMap<SessionId, SessionRecord>>,
}

impl Flawed {
    fn new(flaw: Flaw, seed: u64) -> Self {
        let fleet = FleetName::new("history").expect("a word");
        let clock = Arc::new(SimulatedClock::new());
        Self {
            flaw,
            inner: MemoryBackend::with_clock(fleet, Limits::default(), clock).sessions(),
            make: Make::with_seed("a flawed store", seed),
            turns: AtomicU64::new(0),
            before: Mutex::default(),
        }
    }

    /// Whether the flaw shows this time: one of `often`.
    fn shows(&self, flaw: Flaw, often: u64) -> bool {
        self.flaw == flaw && self.turns.fetch_add(1, Ordering::Relaxed).is_multiple_of(often)
    }

    /// The way to the store and back, on which requests overtake each other.
    async fn way(&self) {
        // sleep: requests take a while, some longer than others.
        tokio::time::sleep(Duration::from_micros(self.make.below(1_500) as u64)).await;
    }

    /// What stands, where this save may be made.
    async fn fitting(&self, request: &SaveSession) -> Result<Option<SessionRecord>> {
        let stands = self.inner.get(&request.id).await?;
        Ok(stands.filter(|stands| (stands.fence, stands.version) == (request.fence, request.version)))
    }

    fn remember(&self, stands: SessionRecord) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        before.insert(stands.id, stands);
    }

    async fn save_flawed(&self, mut request: SaveSession) -> Result<Saved> {
        let Some(stands) = self.fitting(&request).await? else {
            return self.inner.save(request).await;
        };
        let saved = Saved::new(request.version.next()?, 0);
        match self.flaw {
            Flaw::ForgottenWrite if self.shows(Flaw::ForgottenWrite, 8) => return Ok(saved),
            Flaw::RefusesWhatItDid if self.shows(Flaw::RefusesWhatItDid, 8) => {
                self.inner.save(request).await?;
                return Err(Error::new(ErrorKind::VersionConflict, "save", "so it says"));
            }
            Flaw::LostCompareAndSet if self.shows(Flaw::LostCompareAndSet, 2) => {
                self.way().await;
                // Whatever stands by now.
                if let Some(now) = self.inner.get(&request.id).await? {
                    request.version = now.version;
                    self.inner.save(request).await?;
                }
                return Ok(saved);
            }
            _ => {}
        }
        self.remember(stands);
        self.inner.save(request).await
    }

    async fn claim_flawed(&self, request: ClaimSession) -> Result<Claimed> {
        let refused = match self.inner.claim(request.clone()).await {
            Err(error) if error.kind() == ErrorKind::Fenced => error,
            answered => return answered,
        };
        let epoch = request.seen.epoch + 1;
        match self.inner.get(&request.id).await? {
            Some(mut other) if other.fence.epoch == epoch && self.shows(Flaw::TwoOwners, 1) => {
                other.owner = request.owner;
                other.fence = Fence {
                    epoch,
                    nonce: request.nonce,
                };
                Ok(Claimed::new(other))
            }
            _ => Err(refused),
        }
    }
}

#[async_trait]
impl SessionStore for Flawed {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn create(&self, request: CreateSession) -> Result<Created> {
        self.way().await;
        let answer = self.inner.create(request).await;
        self.way().await;
        answer
    }

    async fn get(&self, id: &SessionId) -> Result<Option<SessionRecord>> {
        self.way().await;
        let mut answer = self.inner.get(id).await;
        if self.shows(Flaw::StaleRead, 8) {
            let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            answer = answer.map(|stands| stands.map(|stands| before.get(id).cloned().unwrap_or(stands)));
        }
        self.way().await;
        answer
    }

    async fn find(&self, player: &PlayerId) -> Result<Vec<SessionRecord>> {
        self.way().await;
        let answer = self.inner.find(player).await;
        self.way().await;
        answer
    }

    async fn save(&self, request: SaveSession) -> Result<Saved> {
        self.way().await;
        let answer = self.save_flawed(request).await;
        self.way().await;
        answer
    }

    async fn touch_many(&self, touches: &[Touch]) -> Result<TouchedMany> {
        self.way().await;
        let answer = self.inner.touch_many(touches).await;
        self.way().await;
        answer
    }

    async fn claim(&self, request: ClaimSession) -> Result<Claimed> {
        self.way().await;
        let answer = self.claim_flawed(request).await;
        self.way().await;
        answer
    }

    async fn remove(&self, request: RemoveSession) -> Result<Removed> {
        self.way().await;
        let answer = if self.shows(Flaw::ComesBack, 2) && self.inner.get(&request.id).await?.is_some() {
            Ok(Removed::default())
        } else {
            self.inner.remove(request).await
        };
        self.way().await;
        answer
    }

    async fn restore(&self, request: RestoreSession) -> Result<Restored> {
        self.way().await;
        let answer = self.inner.restore(request).await;
        self.way().await;
        answer
    }

    async fn list(&self, request: ListSessions) -> Result<SessionPage> {
        self.inner.list(request).await
    }

    async fn count(&self, partition: Partition) -> Result<u64> {
        self.inner.count(partition).await
    }

    async fn take_expired(&self, request: TakeExpired) -> Result<TakenSessions> {
        self.inner.take_expired(request).await
    }

    async fn ack_expired(&self, request: AckExpired) -> Result<Acked> {
        self.inner.ack_expired(request).await
    }
}

/// What was told about 100 players, each played by three clients with twelve calls.
async fn history_of(flaw: Flaw) -> History {
    const SEED: u64 = 4;
    let mut load = Load::new("a flawed store", SEED);
    load.players = Some(100);
    load.tables = 25;
    load.pause = Duration::from_millis(1);
    load.patience = Duration::from_millis(4);
    let store: Arc<dyn SessionStore> = Arc::new(Flawed::new(flaw, SEED));
    load.start(&[store]).finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_store_passes_the_checker() {
    let verdict = check(&history_of(Flaw::None).await);
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.players, 100);
    assert!(verdict.operations >= 3_600, "{verdict}");
    assert!(verdict.ambiguous > 20, "some writes are given up: {verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_stores_with_a_flaw_are_caught() {
    for (flaw, words) in [
        (Flaw::LostCompareAndSet, "two texts in version"),
        (Flaw::StaleRead, "went back from version"),
        (Flaw::ForgottenWrite, "no order explains"),
        (Flaw::TwoOwners, "two owners in epoch"),
        (Flaw::RefusesWhatItDid, "no order explains"),
        (Flaw::ComesBack, "no order explains"),
    ] {
        let mut history = history_of(flaw).await;
        // Clients of servers repeat by themselves, which excuses more: they are what real runs are made of.
        for repeats in [false, true] {
            history.origin.repeats = repeats;
            let verdict = check(&history);
            let complaints = &verdict.complaints;
            assert!(
                complaints.iter().any(|one| one.text.contains(words)),
                "{flaw:?} is caught as such, repeats {repeats}: {verdict}"
            );
            assert!(
                complaints.iter().all(|one| one.kind != ComplaintKind::Undecided),
                "{flaw:?} is decided, repeats {repeats}: {verdict}"
            );
            // Not one player in a hundred, by luck.
            let count = complaints.len();
            assert!(count >= 5, "{flaw:?}: {count} of 100, repeats {repeats}");
            println!("{flaw:?}: {count} of 100 players, repeats {repeats}");
        }
    }
}
