//! Kills: a process that writes to a store is killed again and again, and each time what it had been answered
//! is compared with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringhold_core::session::{OnExisting, RemoveSession, SaveSession, Touch};
use ringhold_core::{Backend, NodeIncarnation, PlayerId, Result, SessionRecord, Ttl};

use super::{EmbeddedHarness, EmbeddedOpening};
use crate::Make;

/// How many players write at once.
const PLAYERS: u64 = 48;

const PATH: &str = "RINGHOLD_KILL_PATH";
const FAST: &str = "RINGHOLD_KILL_FAST";
const LIFE: &str = "RINGHOLD_KILL_LIFE";

/// What kills came to.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Kills {
    /// How many there were.
    pub kills: usize,
    /// How many writes were acknowledged.
    pub acknowledged: usize,
    /// How many of these were missing.
    pub lost: usize,
    /// How long before its kill the oldest of the missing writes had been acknowledged.
    pub oldest_lost: Duration,
    /// The longest time in which the writes that one kill cost had been acknowledged.
    pub lost_span: Duration,
    /// The longest time that a killed store took to open.
    pub reopen_max: Duration,
    /// What did not fit together, after any of the kills.
    pub faults: Vec<String>,
}

/// How far a player has come: the number of the session, and of the write of its data; the greatest number
/// for its end.
type Progress = (u64, u64);

const ENDED: u64 = u64::MAX;
/// More sessions than a player has in one life.
const SESSIONS_MAX: u64 = 1_000_000;

/// Starts `command`, whose program calls [`child`], and kills it, `number` times.
pub async fn kills(
    harness: &dyn EmbeddedHarness,
    opening: &EmbeddedOpening,
    command: impl Fn() -> Command,
    number: usize,
) -> Kills {
    let make = Make::new("killer");
    let mut kills = Kills::default();
    let mut ends: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for life in 0..number {
        let mut command = command();
        command
            .env(PATH, &opening.path)
            .env(FAST, opening.fast.to_string())
            .env(LIFE, life.to_string());
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let reader = std::thread::spawn(move || read(lines, ready));
        let began = is_ready.await;
        // sleep: the kill comes at any moment of the writes
        tokio::time::sleep(Duration::from_millis(60 + make.bits() % 140)).await;
        let killed = Instant::now();
        child.kill().expect("a child that runs");
        child.wait().expect("a child that was killed");
        let told = reader.join().expect("no panic");
        assert!(
            began.is_ok() && told.wrong.is_empty(),
            "the child fails: {:?}",
            told.wrong
        );
        kills.kills += 1;
        kills.acknowledged += told.acknowledged.len();
        for (player, session) in told.ends {
            ends.entry(player).or_default().insert(session);
        }
        let reopening = Instant::now();
        let backend = harness.open(opening).await.expect("a killed store opens");
        kills.reopen_max = kills.reopen_max.max(reopening.elapsed());
        let mut there = BTreeMap::new();
        for number in 0..PLAYERS {
            let found = backend.sessions.find(&player(number)).await.expect("a look");
            let last_end = ends.get(&number).and_then(BTreeSet::last);
            let progress = match found.as_slice() {
                [one] => progress(one),
                // One that has no session has ended one, at least as far as was tried.
                [] => last_end.map_or((0, 0), |session| (*session, ENDED)),
                more => {
                    kills
                        .faults
                        .push(format!("player {number} has {} sessions", more.len()));
                    continue;
                }
            };
            there.insert(number, progress);
        }
        let mut lost: Option<(Instant, Instant)> = None;
        for (player, progress, at) in told.acknowledged {
            if there.get(&player).is_some_and(|there| *there < progress) {
                kills.lost += 1;
                lost = Some(lost.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
        }
        if let Some((first, last)) = lost {
            kills.oldest_lost = kills.oldest_lost.max(killed.saturating_duration_since(first));
            kills.lost_span = kills.lost_span.max(last.duration_since(first));
        }
        kills
            .faults
            .extend(harness.faults(opening).await.expect("a look at all keys"));
    }
    kills
}

/// What a child has said until it was killed.
#[derive(Debug, Default)]
struct Told {
    acknowledged: Vec<(u64, Progress, Instant)>,
    /// The sessions whose end was tried.
    ends: Vec<(u64, u64)>,
    wrong: Vec<String>,
}

fn read(
    lines: impl Iterator<Item = std::io::Result<String>>,
    ready: tokio::sync::oneshot::Sender<()>,
) -> Told {
    let (mut told, mut ready) = (Told::default(), Some(ready));
    // The last line may be half of one.
    for line in lines.map_while(Result::ok) {
        let at = Instant::now();
        let words: Vec<&str> = line.split(' ').collect();
        let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
        match (words.first(), numbers.as_slice()) {
            (Some(&"ready"), _) => drop(ready.take().map(|ready| ready.send(()))),
            (Some(&"ack"), [player, session, write, 7]) => {
                told.acknowledged.push((*player, (*session, *write), at));
            }
            (Some(&"end"), [player, session, 7]) => told.ends.push((*player, *session)),
            (Some(&"wrong"), _) => told.wrong.push(line),
            _ => {}
        }
    }
    told
}

fn player(number: u64) -> PlayerId {
    PlayerId::new(format!("player-{number}")).expect("a name")
}

fn progress(session: &SessionRecord) -> Progress {
    let (numbers, _) = session.data.as_chunks::<8>();
    match numbers {
        [session, write, ..] => (u64::from_le_bytes(*session), u64::from_le_bytes(*write)),
        _ => (0, 0),
    }
}

fn data((session, write): Progress, make: &Make) -> Bytes {
    let mut data = [session.to_le_bytes(), write.to_le_bytes()].concat();
    data.resize(16 + make.below(400), 0);
    data.into()
}

/// Writes until it is killed, where this process was started by [`kills`]; else it returns at once, with
/// `false`.
pub async fn child(harness: &dyn EmbeddedHarness) -> bool {
    let Ok(path) = std::env::var(PATH) else {
        return false;
    };
    let mut opening = EmbeddedOpening::new(Path::new(&path));
    opening.fast = std::env::var(FAST).is_ok_and(|fast| fast == "true");
    let make = Arc::new(Make::with_seed("life", life()));
    let backend = harness.open(&opening).await.expect("a store that opens");
    let owner = make.owner();
    say("ready\n");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..PLAYERS {
        let (backend, make, owner) = (backend.clone(), Arc::clone(&make), owner.clone());
        tasks.spawn(async move {
            if let Err(error) = play(&backend, &make, &owner, number).await {
                say(&format!("wrong {error:?}\n"));
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    true
}

/// One call, so that no line mixes with another. A parent that is gone ends the child.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .expect("a parent that listens");
}

async fn play(backend: &Backend, make: &Make, owner: &NodeIncarnation, number: u64) -> Result<()> {
    let sessions = &backend.sessions;
    let acknowledged = |(session, write)| say(&format!("ack {number} {session} {write} 7\n"));
    let mut held = sessions.find(&player(number)).await?.pop();
    // Numbers grow from life to life also where the player's last session has ended.
    let mut last = held.as_ref().map_or((life() * SESSIONS_MAX, 0), progress);
    loop {
        let Some(session) = &mut held else {
            last = (last.0 + 1, 0);
            let login = make
                .login_with(&player(number), owner, Ttl::MAX, OnExisting::Reject)
                .with_data(data(last, make));
            held = Some(sessions.create(login).await?.session);
            acknowledged(last);
            continue;
        };
        match make.below(12) {
            0 => {
                say(&format!("end {number} {} 7\n", last.0));
                let remove = RemoveSession::new(session.id, session.fence, make.operation());
                sessions.remove(remove).await?;
                acknowledged((last.0, ENDED));
                held = None;
            }
            1 => {
                let touches = [Touch::new(session.id, session.fence, Ttl::MAX)];
                sessions.touch_many(&touches).await?;
            }
            _ => {
                last.1 += 1;
                let save = SaveSession::new(
                    session.id,
                    session.fence,
                    session.version,
                    Ttl::MAX,
                    data(last, make),
                    make.operation(),
                );
                session.version = sessions.save(save).await?.version;
                acknowledged(last);
            }
        }
    }
}

/// Which of the lives this is.
fn life() -> u64 {
    let life = std::env::var(LIFE).ok();
    life.and_then(|life| life.parse().ok()).unwrap_or_default()
}
