//! What a rule decides holds when it is committed: whatever another one does between its look and its
//! commit, both come to what they come to one after the other.

use std::time::Duration;

use crate::common::sessions::{KvSessions, account};
use crate::common::{Reach, Stop, TestTx};
use ringhold_core::session::{
    AckExpired, ClaimSession, CreateSession, OnExisting, RemoveSession, RestoreSession, SaveSession,
    TakeExpired, TakeoverFrom, Touch,
};
use ringhold_core::{SessionRecord, SessionStore, Ttl};
use ringhold_kv::sessions;
use ringhold_testkit::{Make, SimulatedClock};

/// A write to a session of one player.
#[derive(Debug, Clone)]
enum Write {
    Create(CreateSession),
    Save(SaveSession),
    Touch(Touch),
    Claim(ClaimSession),
    Remove(RemoveSession),
    Restore(RestoreSession),
    Take(TakeExpired),
    Ack(AckExpired),
}

/// What it came to, as text: errors by their kind.
fn run(write: &Write, tx: &mut TestTx, now: u64) -> Result<String, Stop> {
    let told = match write {
        Write::Create(request) => text(sessions::create(tx, now, request)),
        Write::Save(request) => text(sessions::save(tx, now, request)),
        Write::Touch(request) => text(sessions::touch(tx, now, request)),
        Write::Claim(request) => text(sessions::claim(tx, now, request)),
        Write::Remove(request) => text(sessions::remove(tx, now, request)),
        Write::Restore(request) => text(sessions::restore(tx, now, request)),
        Write::Ack(request) => text(sessions::ack_expired(tx, now, request)),
        Write::Take(request) => {
            let sweep = sessions::Sweep::plan(tx, now, request, &sessions::SweepCursor::default())?;
            let mut bytes = sessions::SweepBytes::new(request);
            let swept: Result<Vec<_>, Stop> = sweep
                .steps()
                .iter()
                .map(|step| step.run(tx, now, request, &mut bytes))
                .collect();
            text(swept.map(|swept| sweep.answer(swept)))
        }
    };
    match told {
        Told::Done(told) => Ok(told),
        Told::Stopped(stop) => Err(stop),
    }
}

enum Told {
    Done(String),
    Stopped(Stop),
}

fn text<R: std::fmt::Debug>(result: Result<R, Stop>) -> Told {
    match result {
        Ok(answer) => Told::Done(format!("{answer:?}")),
        // A refusal: what it was decided by has to stand at the commit as well.
        Err(Stop::Error(error)) => Told::Done(error.kind().as_str().to_owned()),
        Err(stop) => Told::Stopped(stop),
    }
}

/// All that can be asked of a player with two sessions, one of them expired and taken.
fn writes(make: &Make, sessions: &[SessionRecord], taken: AckExpired) -> Vec<Write> {
    let [old, live] = sessions else {
        panic!("two sessions")
    };
    let (ttl, other) = (Ttl::from_millis(9_000).expect("a time"), make.owner());
    let mut writes = Vec::new();
    for on_existing in [
        OnExisting::Existing,
        OnExisting::default(),
        OnExisting::Takeover {
            from: TakeoverFrom::Anyone,
        },
        OnExisting::Reject,
        OnExisting::Replace,
        OnExisting::Allow { max: 2 },
    ] {
        writes.push(Write::Create(make.login_with(
            &live.player,
            &other,
            ttl,
            on_existing,
        )));
    }
    for session in [old, live] {
        writes.push(Write::Save(make.save(session, b"saved")));
        writes.push(Write::Touch(Touch::new(session.id, session.fence, ttl)));
        writes.push(Write::Claim(ClaimSession::new(
            session.id,
            session.fence,
            make.owner(),
            make.nonce(),
            ttl,
        )));
        writes.push(Write::Remove(RemoveSession::new(
            session.id,
            session.fence,
            make.operation(),
        )));
        writes.push(Write::Restore(RestoreSession::new(session.clone(), make.nonce())));
    }
    let mut lost = live.clone();
    lost.id = make.session_id(&live.player);
    let mut restore = RestoreSession::new(lost, make.nonce());
    restore.live_max = 2;
    writes.push(Write::Restore(restore));
    writes.push(Write::Take(make.take(old.id.partition(), 5)));
    writes.push(Write::Ack(taken));
    let hide = AckExpired::hide(taken.id, taken.token, Duration::from_secs(5));
    writes.push(Write::Ack(hide));
    writes
}

/// A player with an expired session that was taken, and a live one.
async fn scene(make: &Make, clock: &SimulatedClock) -> (KvSessions, Vec<SessionRecord>, AckExpired) {
    let kv = KvSessions::new(Reach::Far, clock.clone());
    let (player, ttl) = (make.player(), Ttl::from_millis(30_000).expect("a time"));
    let allow = OnExisting::Allow { max: 3 };
    let short = make.login_with(&player, &make.owner(), Ttl::MIN, allow);
    let old = kv.create(short).await.expect("a login").session;
    let long = make.login_with(&player, &make.owner(), ttl, allow);
    let live = kv.create(long).await.expect("a login").session;
    clock.advance(Duration::from_millis(1_500));
    let take = make
        .take(player.partition(), 5)
        .with_visibility(Duration::from_secs(1));
    let ack = AckExpired::new(old.id, take.token);
    let taken = kv.take_expired(take).await.expect("a take");
    assert_eq!(taken.sessions.len(), 1);
    // The next sweeper may have it too.
    clock.advance(Duration::from_millis(1_100));
    (kv, vec![old, live], ack)
}

#[tokio::test]
async fn two_at_once_come_to_what_they_come_to_one_after_the_other() {
    let (make, clock) = (Make::new("races of sessions"), SimulatedClock::new());
    let (kv, sessions, ack) = scene(&make, &clock).await;
    let (mut met, mut lost) = (0, 0);
    let writes = writes(&make, &sessions, ack);
    for first in &writes {
        for second in &writes {
            let (raced, serial) = (kv.copied(), kv.copied());
            let mut between = String::new();
            let (told, cost) = raced
                .race(
                    || between = raced.write(|tx, now| run(second, tx, now)).expect("undisturbed"),
                    |tx, now| run(first, tx, now),
                )
                .expect("an answer");
            // It was committed after the other one, unless neither minds the order.
            let ahead = serial.write(|tx, now| run(second, tx, now)).expect("undisturbed");
            let behind = serial.write(|tx, now| run(first, tx, now)).expect("undisturbed");
            let what = format!("{first:?}\nagainst {second:?}");
            assert_eq!((&between, &told), (&ahead, &behind), "{what}");
            assert_eq!(raced.store.keys(), serial.store.keys(), "{what}");
            for key in raced.store.keys() {
                assert_eq!(raced.store.value(&key), serial.store.value(&key), "{what}");
            }
            account(&raced.store);
            met += 1;
            lost += usize::from(cost.attempts > 1);
        }
    }
    assert!(lost > met / 4, "of {met} races {lost} were lost: they hardly met");
}

#[tokio::test]
async fn a_write_asks_for_what_it_needs_at_once() {
    let (make, clock) = (Make::new("fetches"), SimulatedClock::new());
    let (kv, sessions, ack) = scene(&make, &clock).await;
    let [_, live] = &sessions[..] else {
        panic!("two sessions")
    };
    let new = Write::Create(make.login(&make.player(), &make.owner(), live.ttl));
    let writes = writes(&make, &sessions, ack);
    for write in writes.iter().chain([&new]) {
        let copy = kv.copied();
        let (_, cost) = copy
            .race(|| {}, |tx, now| run(write, tx, now))
            .expect("an answer");
        // One for the clock, which a client that looks ahead has beforehand; the player's list, and a
        // sweep's look, say what else to fetch.
        let fetches = match write {
            Write::Create(request) if request.player != live.player => 2,
            Write::Restore(restore) if sessions.iter().all(|known| known.id != restore.session.id) => 3,
            // What is due, its entries, its bodies.
            Write::Take(_) => 4,
            Write::Ack(ack) if ack.hidden_for().is_some() => 2,
            // Which sessions the player has stands in a list, and whose list it is in the entry.
            Write::Create(_) | Write::Ack(_) | Write::Remove(_) => 3,
            _ => 2,
        };
        assert_eq!(cost.fetches, fetches, "{write:?}: {cost:?}");
    }
}
