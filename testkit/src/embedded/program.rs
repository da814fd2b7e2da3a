//! The program behind `cargo xtask faults --backend …` for a store in one process: kills, and how fast it is.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_core::session::{SaveSession, Touch};
use ringhold_core::{Backend, ErrorKind, NodeIncarnation, SessionRecord, Ttl};

use super::{EmbeddedHarness, EmbeddedOpening, Kills, child, kills};
use crate::Make;

/// How many requests are under way at once.
const IN_FLIGHT: [usize; 3] = [1, 50, 500];
const DATA_BYTES: usize = 256;
const MODES: [(&str, bool); 2] = [("durable", false), ("fast", true)];

/// Runs it, in a folder of its own. `false` where a bound was broken.
pub async fn faults(harness: &dyn EmbeddedHarness, name: &str, folder: &std::path::Path) -> bool {
    if child(harness).await {
        return true;
    }
    let (mut quick, mut only) = (false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => quick = true,
            "--only" => only = arguments.next(),
            _ => {
                eprintln!("usage: faults [--quick] [--only kill|rate]");
                return false;
            }
        }
    }
    let is_asked_for = |what: &str| only.as_deref().is_none_or(|only| only == what);
    let mut holds = true;
    if is_asked_for("kill") {
        let number = if quick { 10 } else { 50 };
        println!(
            "| {name} | kill -9 | acknowledged | lost | acknowledged within | the oldest, before its kill | reopened within |"
        );
        println!("|---|---|---|---|---|---|---|");
        for (mode, fast) in MODES {
            let mut opening = EmbeddedOpening::new(folder.join(mode));
            opening.fast = fast;
            let this_program = || Command::new(std::env::current_exe().expect("this program"));
            let seen = kills(harness, &opening, this_program, number).await;
            holds &= kept(&seen, fast);
            let Kills {
                kills,
                acknowledged,
                lost,
                oldest_lost,
                lost_span,
                reopen_max,
                faults,
            } = seen;
            let of_lost = |duration| {
                if lost == 0 {
                    String::new()
                } else {
                    millis(duration)
                }
            };
            println!(
                "| `{mode}` | {kills} | {acknowledged} | {lost} | {} | {} | {} |",
                of_lost(lost_span),
                of_lost(oldest_lost),
                millis(reopen_max)
            );
            for fault in faults {
                println!("{fault}");
            }
        }
        println!();
    }
    if is_asked_for("rate") {
        let period = Duration::from_millis(if quick { 500 } else { 2_000 });
        println!("| {name} | in flight | creates /s | saves /s | touches /s | reads /s |");
        println!("|---|---|---|---|---|---|");
        for (mode, fast) in MODES {
            for in_flight in IN_FLIGHT {
                let mut opening = EmbeddedOpening::new(folder.join(format!("rate-{mode}-{in_flight}")));
                opening.fast = fast;
                let backend = harness.open(&opening).await.expect("a new store");
                let [creates, saves, touches, reads] = rates(&backend, in_flight, period).await;
                println!("| `{mode}` | {in_flight} | {creates} | {saves} | {touches} | {reads} |");
            }
        }
        println!();
        scale(harness, folder, if quick { 10_000 } else { 100_000 }).await;
    }
    holds
}

/// Whether what is promised held.
fn kept(seen: &Kills, fast: bool) -> bool {
    // What a fast store may lose, and as much again for a machine that others use too.
    let window = if fast {
        Duration::from_millis(200)
    } else {
        Duration::ZERO
    };
    let in_window = seen.lost == 0 || seen.lost_span <= window;
    seen.faults.is_empty() && in_window && seen.reopen_max < Duration::from_secs(1) && seen.acknowledged > 0
}

fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

/// How many requests of each kind are answered in a second.
async fn rates(backend: &Backend, in_flight: usize, period: Duration) -> [usize; 4] {
    let make = Arc::new(Make::new("rates"));
    let owner = make.owner();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..in_flight {
        let (backend, make, owner) = (backend.clone(), Arc::clone(&make), owner.clone());
        tasks.spawn(async move { rates_of_one(&backend, &make, &owner, period).await });
    }
    let mut sum = [0; 4];
    while let Some(one) = tasks.join_next().await {
        let one = one.expect("no panic");
        for (sum, one) in sum.iter_mut().zip(one) {
            *sum += one;
        }
    }
    sum.map(|count| count * 1_000 / usize::try_from(period.as_millis()).unwrap_or(1_000).max(1))
}

async fn rates_of_one(
    backend: &Backend,
    make: &Make,
    owner: &NodeIncarnation,
    period: Duration,
) -> [usize; 4] {
    let mut counts = [0; 4];
    let mut session = log_in(backend, make, owner).await;
    // All tasks are in the same of these at about the same time.
    let start = Instant::now();
    while start.elapsed() < period {
        session = log_in(backend, make, owner).await;
        counts[0] += 1;
    }
    while start.elapsed() < period * 2 {
        save(backend, make, &mut session).await;
        counts[1] += 1;
    }
    let touches = [Touch::new(session.id, session.fence, Ttl::MAX)];
    while start.elapsed() < period * 3 {
        backend
            .sessions
            .touch_many(&touches)
            .await
            .expect("its owner touches");
        counts[2] += 1;
    }
    while start.elapsed() < period * 4 {
        backend.sessions.get(&session.id).await.expect("a look");
        counts[3] += 1;
    }
    counts
}

async fn log_in(backend: &Backend, make: &Make, owner: &NodeIncarnation) -> SessionRecord {
    let name = format!("player-{:032x}", u128::from_le_bytes(make.bytes()));
    let player = ringhold_core::PlayerId::new(name).expect("a name");
    let login = make
        .login(&player, owner, Ttl::MAX)
        .with_data(vec![7; DATA_BYTES]);
    backend.sessions.create(login).await.expect("a login").session
}

async fn save(backend: &Backend, make: &Make, session: &mut SessionRecord) {
    let save = SaveSession::new(
        session.id,
        session.fence,
        session.version,
        Ttl::MAX,
        Bytes::from(vec![8; DATA_BYTES]),
        make.operation(),
    );
    session.version = backend
        .sessions
        .save(save)
        .await
        .expect("its owner saves")
        .version;
}

/// How long it takes to open a store of many sessions.
async fn scale(harness: &dyn EmbeddedHarness, folder: &std::path::Path, sessions: usize) {
    let mut opening = EmbeddedOpening::new(folder.join("scale"));
    opening.fast = true;
    let backend = harness.open(&opening).await.expect("a new store");
    let make = Arc::new(Make::new("scale"));
    let owner = make.owner();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (backend, make, owner) = (backend.clone(), Arc::clone(&make), owner.clone());
        tasks.spawn(async move {
            for _ in 0..sessions / 100 {
                log_in(&backend, &make, &owner).await;
            }
        });
    }
    while let Some(one) = tasks.join_next().await {
        one.expect("no panic");
    }
    let closing = Instant::now();
    drop(backend);
    let (closed, opening_again) = (closing.elapsed(), Instant::now());
    let backend = harness.open(&opening).await.expect("it opens");
    println!(
        "{sessions} sessions: closed in {}, opened in {}",
        millis(closed),
        millis(opening_again.elapsed())
    );
    let missing = backend
        .sessions
        .get(&make.session_id(&make.player()))
        .await
        .map_err(|error| error.kind());
    assert_eq!(missing, Ok::<_, ErrorKind>(None));
}
