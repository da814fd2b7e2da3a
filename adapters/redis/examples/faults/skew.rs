//! Clocks that are wrong: a replica that is ahead is promoted, and a master's clock jumps. Sessions that
//! are touched live on, and those that are not end in time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringhold_core::session::{CreateSession, TakeExpired, Touch, Touched};
use ringhold_core::{Error, Nonce, Partition, PlayerId, SessionId, SessionRecord, SessionStore, Ttl};
use ringhold_testkit::launch::ClusterOptions;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::load::{Seen, bits, owner};
use crate::report::Row;
use crate::scenarios::{Bed, Failure, LIMIT, Outcome, Plan};

/// How far the clocks are off.
const AHEAD_MILLIS: i64 = 90_000;
const JUMP_MILLIS: i64 = 120_000;

/// Sessions of each time to live, touched and not.
const SESSIONS: usize = 100;
const TTLS: [Duration; 2] = [Duration::from_secs(12), Duration::from_secs(30)];
const TOUCH: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_secs(1);
/// What an outage may add to a life.
const CAP: Duration = Duration::from_secs(3);

/// When each session was taken by the sweeper.
type Taken = BTreeMap<SessionId, Instant>;

async fn log_in(store: &dyn SessionStore, ttl: Duration) -> Result<Vec<SessionRecord>, Error> {
    let (mut sessions, owner) = (Vec::new(), owner()?);
    for index in 0..SESSIONS {
        let player = PlayerId::new(format!("player-{index}-{:x}", u128::from_be_bytes(bits())))?;
        let id = SessionId::new(player.partition(), bits());
        let nonce = Nonce::from_bytes(bits());
        let login = CreateSession::new(id, player, owner.clone(), nonce, Ttl::new(ttl)?);
        sessions.push(store.create(login).await?.session);
    }
    Ok(sessions)
}

/// Touches all sessions again and again until it is told to stop, and tells which were lost on the way.
async fn touch(
    store: Arc<dyn SessionStore>,
    sessions: Vec<SessionRecord>,
    stop: Arc<AtomicBool>,
) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let mut ticks = interval(TOUCH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let touches: Vec<Touch> = sessions
        .iter()
        .map(|session| Touch::new(session.id, session.fence, session.ttl))
        .collect();
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let start = Instant::now();
        let answers = store.touch_many(&touches).await;
        seen.longest = seen.longest.max(start.elapsed());
        match answers {
            Ok(answered) => {
                for answer in answered.answers {
                    match answer {
                        Touched::Renewed => seen.acknowledged += 1,
                        Touched::Unanswered(_) => seen.errors += 1,
                        _ => seen.lost += 1,
                    }
                }
            }
            Err(error) => {
                eprintln!("  error: {error}");
                seen.errors += 1;
            }
        }
    }
    for session in sessions {
        seen.lost += u64::from(store.get(&session.id).await?.is_none());
    }
    Ok(seen)
}

/// Ticks all partitions each second, and notes when which session was taken. A partition that does not
/// answer holds up its own tick alone.
fn sweep(store: &Arc<dyn SessionStore>, stop: &Arc<AtomicBool>) -> JoinHandle<Result<Taken, Error>> {
    let (store, stop) = (Arc::clone(store), Arc::clone(stop));
    tokio::spawn(async move {
        let mut taken = Taken::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            let all = TakeExpired::new(Partition::all().collect(), 100, Nonce::from_bytes(bits()));
            for session in store.take_expired(all).await?.sessions {
                taken.entry(session.session.id).or_insert_with(Instant::now);
            }
        }
        Ok(taken)
    })
}

/// What happens to the clocks, once all runs; returns how long nobody served.
async fn fault(bed: &Bed, kind: &str, row: &mut Row, victim: usize) -> Result<Duration, Failure> {
    match kind {
        "promotion" => {
            let start = Instant::now();
            bed.with(move |cluster| cluster.kill(victim)).await?;
            bed.with(move |cluster| cluster.wait_until_promoted(victim, LIMIT))
                .await?;
            let outage = start.elapsed();
            row.promotion = row.promotion.max(Some(outage));
            Ok(outage)
        }
        jump => {
            let millis = if jump == "ahead" {
                JUMP_MILLIS
            } else {
                -JUMP_MILLIS
            };
            bed.with(move |cluster| cluster.set_clock_offset(victim, millis))
                .await?;
            Ok(Duration::ZERO)
        }
    }
}

async fn round(
    bed: &Bed,
    kind: &str,
    row: &mut Row,
    victim: usize,
    ttls: &[Duration],
) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let store = bed.store().await?;
    let mut touched = Vec::new();
    let mut left = Vec::new();
    for &ttl in ttls {
        touched.extend(log_in(&*store, ttl).await?);
    }
    let sweeper = sweep(&store, &stop);
    let holder = tokio::spawn(touch(bed.store().await?, touched.clone(), Arc::clone(&stop)));
    for &ttl in ttls {
        // Their lives begin between these two.
        let logins = log_in(&*store, ttl).await?;
        left.push((ttl, Instant::now(), logins));
    }
    // sleep: some touches before the fault.
    sleep(TOUCH).await;
    let outage = fault(bed, kind, row, victim).await?;
    let longest =
        ttls.iter().copied().max().unwrap_or_default() + TICK + CAP + outage + Duration::from_secs(2);
    // sleep: as long as what is not touched may live.
    sleep(longest).await;
    stop.store(true, Ordering::Relaxed);
    let seen = holder.await??;
    let taken = sweeper.await??;
    row.seen.add(&seen);
    row.rounds += 1;
    let wrong = touched
        .iter()
        .filter(|session| taken.contains_key(&session.id))
        .count();
    row.must(wrong == 0, format!("{wrong} live sessions were swept"));
    for (ttl, born, sessions) in left {
        let bound = ttl + TICK + CAP + outage;
        let mut latest = Duration::ZERO;
        for session in &sessions {
            match taken.get(&session.id) {
                Some(at) => latest = latest.max(at.saturating_duration_since(born)),
                None => row.must(false, format!("a session of {ttl:?} was never taken")),
            }
        }
        row.must(
            latest <= bound,
            format!("a session of {ttl:?} was taken after {latest:.1?}, bound {bound:.1?}"),
        );
        let _ = write!(
            row.note,
            "{ttl:?} taken after at most {:.1} s of {:.1} s; ",
            latest.as_secs_f64(),
            bound.as_secs_f64()
        );
    }
    Ok(())
}

/// A replica that is ahead is promoted; the clock of a running master jumps on and back.
pub(crate) async fn run(plan: Plan) -> Outcome {
    // The shortest time to live that survives an outage is the one that is at risk.
    let ttls = if plan.quick { &TTLS[..1] } else { &TTLS[..] };
    let mut rows = Vec::new();
    for (kind, name) in [
        ("promotion", "a replica 90 s ahead is promoted"),
        ("ahead", "a master's clock jumps by +120 s"),
        ("back", "a master's clock jumps by -120 s"),
    ] {
        let bed = Bed::new(plan, ClusterOptions::new().skewable(true)).await?;
        let mut row = Row::new(name);
        let victim = bed.master(0).await?;
        if kind == "promotion" {
            bed.with(move |cluster| {
                for index in 0..cluster.len() {
                    if cluster.replica_of(index)? == Some(victim) {
                        cluster.set_clock_offset(index, AHEAD_MILLIS)?;
                    }
                }
                Ok(())
            })
            .await?;
        }
        round(&bed, kind, &mut row, victim, ttls).await?;
        row.must_lose_nothing();
        rows.push(row);
    }
    Ok(rows)
}
