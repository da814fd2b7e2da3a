//! Writers that count what was acknowledged to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::session::{CreateSession, Durability, SaveSession};
use ringhold_core::{
    Error, ErrorKind, Incarnation, NodeId, NodeIncarnation, Nonce, OperationId, PlayerId, Result, SessionId,
    SessionRecord, SessionStore, Ttl,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How many sessions are written to, and how often each: together 500 writes a second.
pub(crate) const SESSIONS: usize = 250;
const PERIOD: Duration = Duration::from_millis(500);

/// What the writers saw, all together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    /// Writes that were acknowledged as durably as was asked for.
    pub(crate) acknowledged: u64,
    /// Writes that were acknowledged by fewer replicas than asked for.
    pub(crate) short: u64,
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
        self.short += other.short;
        self.errors += other.errors;
        self.lost += other.lost;
        self.longest = self.longest.max(other.longest);
    }
}

/// Writers that run until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    writers: JoinSet<Result<Seen>>,
}

impl Load {
    /// Logs players in and starts a writer for each, through `store`; what they wrote is looked for in `judge`.
    pub(crate) async fn start(
        store: Arc<dyn SessionStore>,
        judge: Arc<dyn SessionStore>,
        durability: Durability,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for index in 0..SESSIONS {
            let session = log_in(&*store, index).await?;
            let (store, judge, stop) = (Arc::clone(&store), Arc::clone(&judge), Arc::clone(&stop));
            writers.spawn(write(store, judge, session, durability, stop, index));
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

/// A node that was never registered, which the store does not mind.
pub(crate) fn owner() -> Result<NodeIncarnation> {
    let nonce = Nonce::from_bytes(bits());
    Ok(NodeIncarnation::new(
        NodeId::new("load")?,
        Incarnation { number: 1, nonce },
    ))
}

/// Logs the player of this number in.
pub(crate) async fn log_in(store: &dyn SessionStore, index: usize) -> Result<SessionRecord> {
    let player = PlayerId::new(format!("player-{index}-{:x}", u128::from_be_bytes(bits())))?;
    let id = SessionId::new(player.partition(), bits());
    let login = CreateSession::new(id, player, owner()?, Nonce::from_bytes(bits()), Ttl::MAX);
    Ok(store.create(login.with_data(&b"0"[..])).await?.session)
}

async fn write(
    store: Arc<dyn SessionStore>,
    judge: Arc<dyn SessionStore>,
    session: SessionRecord,
    durability: Durability,
    stop: Arc<AtomicBool>,
    index: usize,
) -> Result<Seen> {
    let wanted = match durability {
        Durability::Replicated(replicas) => replicas,
        _ => 0,
    };
    let mut seen = Seen::default();
    let mut version = session.version;
    // By number: which writes were acknowledged.
    let mut acknowledged: Vec<u64> = Vec::new();
    let offset = PERIOD * u32::try_from(index).unwrap_or(0) / u32::try_from(SESSIONS).unwrap_or(1);
    tokio::time::sleep(offset).await;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        number += 1;
        let data = Bytes::from(number.to_string());
        let operation = OperationId::from_bytes(bits());
        let mut save = SaveSession::new(session.id, session.fence, version, session.ttl, data, operation);
        save.durability = Some(durability);
        let start = Instant::now();
        let answer = store.save(save).await;
        seen.longest = seen.longest.max(start.elapsed());
        match answer {
            Ok(saved) => {
                version = saved.version;
                if saved.replicated >= wanted {
                    seen.acknowledged += 1;
                    acknowledged.push(number);
                } else {
                    seen.short += 1;
                }
            }
            // The store fell back to an older version: go on from what stands, and count below.
            Err(error) if error.kind() == ErrorKind::VersionConflict => {
                seen.lost += fallen_back(&*store, &session, &mut acknowledged, &mut version).await?;
            }
            Err(error) => {
                seen.errors += 1;
                eprintln!("  error: {error}{}", source_of(&error));
            }
        }
    }
    seen.lost += fallen_back(&*judge, &session, &mut acknowledged, &mut version).await?;
    Ok(seen)
}

/// Counts the acknowledged writes that came after what stands, and goes on from there.
async fn fallen_back(
    store: &dyn SessionStore,
    session: &SessionRecord,
    acknowledged: &mut Vec<u64>,
    version: &mut ringhold_core::Version,
) -> Result<u64> {
    let stands = store.get(&session.id).await?;
    let number: u64 = match &stands {
        Some(record) => String::from_utf8_lossy(&record.data).parse().unwrap_or(0),
        None => 0,
    };
    if let Some(record) = stands {
        *version = record.version;
    }
    let before = acknowledged.len();
    acknowledged.retain(|acknowledged| *acknowledged <= number);
    Ok((before - acknowledged.len()) as u64)
}

fn source_of(error: &Error) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str("; ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
