//! Writers that count what was acknowledged to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::session::{CreateSession, SaveSession};
use ringhold_core::{
    Error, ErrorKind, Incarnation, NodeId, NodeIncarnation, Nonce, OperationId, PlayerId, Result, SessionId,
    SessionRecord, SessionStore, Ttl,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How many sessions are written to, and how often each: together 100 writes a second.
const SESSIONS: u32 = 50;
const PERIOD: Duration = Duration::from_millis(500);

/// What writers saw.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) acknowledged: u64,
    /// Errors that reached the caller.
    pub(crate) errors: u64,
    /// Acknowledged writes that are not there any more.
    pub(crate) lost: u64,
    /// The longest operation.
    pub(crate) longest: Duration,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.errors += other.errors;
        self.lost += other.lost;
        self.longest = self.longest.max(other.longest);
    }

    /// Counts what an operation that began at `start` came to; answers what it answered.
    pub(crate) fn count<T>(&mut self, start: Instant, answer: Result<T>) -> Option<T> {
        self.longest = self.longest.max(start.elapsed());
        match answer {
            Ok(answer) => {
                self.acknowledged += 1;
                Some(answer)
            }
            Err(error) => {
                self.errors += 1;
                eprintln!("  error: {error}");
                None
            }
        }
    }
}

/// Writers that run until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    writers: JoinSet<Result<Seen>>,
}

impl Load {
    /// Logs players in and starts a writer for each.
    pub(crate) async fn start(store: Arc<dyn SessionStore>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for index in 0..SESSIONS {
            let session = log_in(&*store).await?;
            writers.spawn(write(
                Arc::clone(&store),
                session,
                Arc::clone(&stop),
                PERIOD * index / SESSIONS,
            ));
        }
        Ok(Self { stop, writers })
    }

    /// Stops the writers, looks for what was acknowledged to them, and sums up.
    pub(crate) async fn finish(mut self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        while let Some(writer) = self.writers.join_next().await {
            let writer = writer.map_err(|error| Error::new(ErrorKind::Corrupt, "load", error.to_string()))?;
            seen.add(&writer?);
        }
        Ok(seen)
    }
}

/// 16 bytes that nobody else draws.
pub(crate) fn bits() -> [u8; 16] {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the machine has random bits");
    bits
}

/// Logs in a player who was never there, for a node that the store does not ask about.
pub(crate) async fn log_in(store: &dyn SessionStore) -> Result<SessionRecord> {
    let incarnation = Incarnation {
        number: 1,
        nonce: Nonce::from_bytes(bits()),
    };
    let owner = NodeIncarnation::new(NodeId::new("load")?, incarnation);
    let player = PlayerId::new(format!("player-{:x}", u128::from_be_bytes(bits())))?;
    let id = SessionId::new(player.partition(), bits());
    let login = CreateSession::new(id, player, owner, Nonce::from_bytes(bits()), Ttl::MAX);
    Ok(store.create(login.with_data(&b"0"[..])).await?.session)
}

async fn write(
    store: Arc<dyn SessionStore>,
    session: SessionRecord,
    stop: Arc<AtomicBool>,
    offset: Duration,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let (mut version, mut number, mut last) = (session.version, 0_u64, 0);
    // sleep: writers do not all write at the same moment.
    sleep(offset).await;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        number += 1;
        let data = Bytes::from(number.to_string());
        let operation = OperationId::from_bytes(bits());
        let save = SaveSession::new(session.id, session.fence, version, session.ttl, data, operation);
        let start = Instant::now();
        if let Some(saved) = seen.count(start, store.save(save).await) {
            (version, last) = (saved.version, number);
        }
    }
    // Only this writer writes to it, so what was acknowledged last is what stands.
    let stands = store.get(&session.id).await?;
    let stands = stands.map_or(0, |record| {
        String::from_utf8_lossy(&record.data).parse().unwrap_or(0)
    });
    seen.lost += last.saturating_sub(stands);
    Ok(seen)
}
