//! Expiries are delivered at least once, to the members with a handler.

mod modes;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold::core::session::{CreateSession, TakeExpired};
use ringhold::{
    Backend, ErrorKind, ExpiryOptions, Fence, Fleet, FleetBuilder, Partition, PlayerId, SessionId,
    SessionRecord, Ttl,
};
use ringhold_testkit::Make;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::hooks::Hooks;
use crate::support::{here, join, login, memory, player, sees};

const SECOND: Duration = Duration::from_secs(1);
/// Far longer than a backoff after some failures.
const LIMIT: Duration = Duration::from_secs(600);

/// The calls of a handler, by session.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<Mutex<HashMap<SessionId, Vec<Instant>>>>);

impl Calls {
    /// Notes a call; returns how many there are for this session.
    fn note(&self, session: &SessionRecord) -> usize {
        let mut calls = self.0.lock().unwrap();
        let calls = calls.entry(session.id).or_default();
        calls.push(Instant::now());
        calls.len()
    }

    fn of(&self, id: SessionId) -> Vec<Instant> {
        self.0.lock().unwrap().get(&id).cloned().unwrap_or_default()
    }

    fn sessions(&self) -> BTreeSet<SessionId> {
        self.0.lock().unwrap().keys().copied().collect()
    }

    /// How many of `ids` were not delivered.
    fn missing(&self, ids: &BTreeSet<SessionId>) -> usize {
        let calls = self.0.lock().unwrap();
        ids.iter().filter(|id| !calls.contains_key(id)).count()
    }

    /// How many sessions were delivered more often than `times`.
    fn above(&self, times: usize) -> usize {
        let calls = self.0.lock().unwrap();
        calls.values().filter(|calls| calls.len() > times).count()
    }
}

fn node(backend: &Backend, id: &str) -> FleetBuilder {
    Fleet::builder(backend.clone()).node(id)
}

/// A login request of a new player by an owner that is no member.
fn request(make: &Make, player: &PlayerId, ttl: Ttl) -> CreateSession {
    make.login(player, &make.owner(), ttl)
}

/// So many sessions of different players, which expire after a second.
async fn short_sessions(backend: &Backend, make: &Make, count: usize) -> BTreeSet<SessionId> {
    let mut ids = BTreeSet::new();
    for _ in 0..count {
        let request = request(make, &make.player(), Ttl::MIN);
        ids.insert(backend.sessions.create(request).await.unwrap().session.id);
    }
    ids
}

/// Waits until `done` holds.
async fn until(what: &str, mut done: impl FnMut() -> Result<(), String>) {
    let mut last = String::new();
    let waiting = async {
        while let Err(state) = done() {
            last = state;
            // sleep: between two looks, in simulated time
            sleep(SECOND / 2).await;
        }
    };
    let ended = timeout(LIMIT, waiting).await.is_ok();
    assert!(ended, "{what}: {last}");
}

/// Waits until each of `ids` was delivered, and acknowledged by one of `nodes`.
async fn all_handled(nodes: &[&Fleet], calls: &Calls, ids: &BTreeSet<SessionId>) {
    until("every expiry is handled", || {
        let handled: u64 = nodes.iter().map(|node| node.expiry_counts().handled).sum();
        let lost = calls.missing(ids);
        if lost == 0 && handled >= ids.len() as u64 {
            Ok(())
        } else {
            Err(format!("{lost} of {} lost, {handled} handled", ids.len()))
        }
    })
    .await;
}

/// Takes what is left in the store, once every visibility timeout is over.
async fn left(backend: &Backend, make: &Make) -> usize {
    let mut count = 0;
    for _ in 0..40 {
        // sleep: simulated time, within the cap of a partition's clock
        sleep(SECOND).await;
        let take = TakeExpired::new(Partition::all().collect(), 1_000, make.nonce())
            .with_visibility(TakeExpired::VISIBILITY_MAX);
        count += backend.sessions.take_expired(take).await.unwrap().sessions.len();
    }
    count
}

#[tokio::test(start_paused = true)]
async fn slow_handler_gets_each_of_5000_expiries_once() {
    let (backend, make, calls) = (memory().await, Make::new("slow handler"), Calls::default());
    let ids = short_sessions(&backend, &make, 5_000).await;
    let noted = calls.clone();
    let node = node(&backend, "a").on_expired(move |session| {
        noted.note(&session);
        async {
            // sleep: the handler is slow, in simulated time
            sleep(Duration::from_millis(2)).await;
            Ok::<(), &str>(())
        }
    });
    let node = node.join().await.unwrap();
    all_handled(&[&node], &calls, &ids).await;
    node.leave().await.unwrap();
    assert_eq!((calls.sessions().len(), calls.above(1)), (5_000, 0));
    assert_eq!(left(&backend, &make).await, 0);
}

#[tokio::test(start_paused = true)]
async fn handler_that_panics_gets_each_of_5000_expiries_again() {
    let (backend, make, calls) = (memory().await, Make::new("panics"), Calls::default());
    let ids = short_sessions(&backend, &make, 5_000).await;
    let noted = calls.clone();
    let number = AtomicUsize::new(0);
    let node = node(&backend, "a").on_expired(move |session| {
        let is_first = noted.note(&session) == 1;
        // Before the first `.await`, and behind one.
        let panics = number.fetch_add(1, Ordering::Relaxed) % 25;
        assert!(!(is_first && panics == 0), "on purpose");
        async move {
            // sleep: a handler that waits before it panics, in simulated time
            sleep(Duration::from_millis(1)).await;
            assert!(!(is_first && panics == 1), "on purpose");
            Ok::<(), &str>(())
        }
    });
    let node = node.join().await.unwrap();
    all_handled(&[&node], &calls, &ids).await;
    assert_eq!(node.expiry_counts().failed, calls.above(1) as u64);
    assert!((350..=450).contains(&calls.above(1)), "{}", calls.above(1));
}

#[tokio::test(start_paused = true)]
async fn sessions_that_expired_while_no_node_ran_are_handled_after_join() {
    let (backend, make, calls) = (memory().await, Make::new("no node"), Calls::default());
    let ids = short_sessions(&backend, &make, 5_000).await;
    // sleep: simulated time in which all expire
    sleep(LIMIT).await;
    let mut nodes = Vec::new();
    for id in ["a", "b"] {
        let noted = calls.clone();
        let node = node(&backend, id).on_expired(move |session| {
            noted.note(&session);
            async { Ok::<(), &str>(()) }
        });
        nodes.push(node.join().await.unwrap());
    }
    all_handled(&[&nodes[0], &nodes[1]], &calls, &ids).await;
    assert_eq!(calls.above(1), 0);
}

#[tokio::test(start_paused = true)]
async fn gateway_of_weight_0_handles_all_expiries_of_nodes_without_a_handler() {
    let (backend, make, calls) = (memory().await, Make::new("gateway"), Calls::default());
    let ids = short_sessions(&backend, &make, 5_000).await;
    let servers = [join(&backend, "a").await, join(&backend, "b").await];
    let noted = calls.clone();
    // It joins last, within the grace period of those that discard.
    let gateway = node(&backend, "gateway").weight(0).on_expired(move |session| {
        noted.note(&session);
        async { Ok::<(), &str>(()) }
    });
    let gateway = gateway.join().await.unwrap();
    all_handled(&[&gateway], &calls, &ids).await;
    assert_eq!(calls.above(1), 0);
    assert_eq!(servers.map(|node| node.expiry_counts().discarded), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn observer_refuses_an_expiry_handler() {
    let builder = Fleet::builder(memory().await).on_expired(|_| async { Ok::<(), &str>(()) });
    let error = builder.observe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.context().contains("weight 0"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn handler_that_fails_three_times_gets_each_of_5000_expiries_with_backoff() {
    let (backend, make, calls) = (memory().await, Make::new("fails"), Calls::default());
    let ids = short_sessions(&backend, &make, 5_000).await;
    let noted = calls.clone();
    let node = node(&backend, "a").on_expired(move |session| {
        let call = noted.note(&session);
        async move { if call <= 3 { Err("on purpose") } else { Ok(()) } }
    });
    let node = node.join().await.unwrap();
    all_handled(&[&node], &calls, &ids).await;
    let counts = node.expiry_counts();
    assert_eq!(
        (counts.handled, counts.failed, counts.discarded),
        (5_000, 15_000, 0)
    );
    for id in &ids {
        let pauses: Vec<_> = calls.of(*id).windows(2).map(|two| two[1] - two[0]).collect();
        let [first, second, third] = pauses[..] else {
            panic!("{pauses:?}")
        };
        assert!(
            first >= SECOND && second >= SECOND * 2 && third >= SECOND * 4,
            "{pauses:?}"
        );
        // The pause with its jitter, a tick, and the others that are due.
        assert!(third <= SECOND * 12, "{pauses:?}");
    }
}

/// Counts the calls that were dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn handler_that_times_out_is_dropped_and_called_again() {
    let (backend, make, calls) = (memory().await, Make::new("times out"), Calls::default());
    let ids = short_sessions(&backend, &make, 20).await;
    let (noted, dropped) = (calls.clone(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&dropped);
    let node = node(&backend, "a")
        .expiry_options(ExpiryOptions::new().timeout(SECOND * 5))
        .on_expired(move |session| {
            let hangs = noted.note(&session) == 1;
            let dropped = Dropped(Arc::clone(&count));
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                std::mem::forget(dropped);
                Ok::<(), &str>(())
            }
        });
    let node = node.join().await.unwrap();
    all_handled(&[&node], &calls, &ids).await;
    assert_eq!(dropped.load(Ordering::Relaxed), 20);
    assert_eq!(node.expiry_counts().failed, 20);
}

#[tokio::test(start_paused = true)]
async fn session_stays_hidden_while_its_handler_runs() {
    let (backend, make, calls) = (memory().await, Make::new("extended"), Calls::default());
    let ids = short_sessions(&backend, &make, 40).await;
    let mut nodes = Vec::new();
    for id in ["a", "b"] {
        let noted = calls.clone();
        let options = ExpiryOptions::new().visibility(SECOND * 2);
        let node = node(&backend, id)
            .expiry_options(options)
            .on_expired(move |session| {
                noted.note(&session);
                async {
                    // sleep: longer than the visibility timeout, in simulated time
                    sleep(SECOND * 15).await;
                    Ok::<(), &str>(())
                }
            });
        nodes.push(node.join().await.unwrap());
    }
    sees(&nodes, 2).await;
    all_handled(&[&nodes[0], &nodes[1]], &calls, &ids).await;
    assert_eq!(
        calls.above(1),
        0,
        "another sweeper got a session whose handler ran"
    );
}

#[tokio::test(start_paused = true)]
async fn node_takes_no_more_sessions_than_it_has_permits() {
    let (backend, make) = (memory().await, Make::new("permits"));
    short_sessions(&backend, &make, 50).await;
    let permits = Arc::new(Semaphore::new(0));
    let (running, waits) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&permits));
    let started = Arc::clone(&running);
    let node = node(&backend, "a")
        .expiry_options(ExpiryOptions::new().permits(3))
        .on_expired(move |_| {
            started.fetch_add(1, Ordering::Relaxed);
            let waits = Arc::clone(&waits);
            async move {
                waits.acquire().await.unwrap().forget();
                Ok::<(), &str>(())
            }
        });
    let node = node.join().await.unwrap();
    // Time in which all could be taken.
    pass(10).await;
    assert_eq!(running.load(Ordering::Relaxed), 3);
    let take = TakeExpired::new(Partition::all().collect(), 100, make.nonce());
    let others = backend.sessions.take_expired(take).await.unwrap().sessions;
    assert_eq!(
        others.len(),
        47,
        "another sweeper gets all that wait for a permit"
    );
    permits.add_permits(50);
    until("those that come again are handled", || {
        match node.expiry_counts().handled {
            50 => Ok(()),
            handled => Err(format!("{handled} handled")),
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn clocks_advance_while_all_handlers_hang() {
    let (backend, make) = (memory().await, Make::new("clocks"));
    short_sessions(&backend, &make, 100).await;
    let long = request(&make, &make.player(), Ttl::new(SECOND * 30).unwrap());
    let id = backend.sessions.create(long).await.unwrap().session.id;
    let _node = node(&backend, "a")
        .on_expired(|_| std::future::pending::<Result<(), String>>())
        .join()
        .await
        .unwrap();
    pass(28).await;
    assert!(backend.sessions.get(&id).await.unwrap().is_some());
    pass(4).await;
    assert!(
        backend.sessions.get(&id).await.unwrap().is_none(),
        "its clock stood still"
    );
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_that_hang_hold_up_no_handler() {
    let (backend, make, calls) = (memory().await, Make::new("acks"), Calls::default());
    let ids = short_sessions(&backend, &make, 100).await;
    let hooks = Hooks::default();
    hooks.hang("ack_expired");
    let noted = calls.clone();
    let node = node(&hooks.wrap(&backend), "a").on_expired(move |session| {
        noted.note(&session);
        async { Ok::<(), &str>(()) }
    });
    let _node = node.join().await.unwrap();
    // Less than the visibility timeout.
    pass(10).await;
    assert_eq!(calls.sessions(), ids);
    hooks.heal();
}

#[tokio::test(start_paused = true)]
async fn expiry_is_delivered_again_where_its_acknowledgement_was_lost() {
    let (backend, make, calls) = (memory().await, Make::new("lost ack"), Calls::default());
    let ids = short_sessions(&backend, &make, 1).await;
    let hooks = Hooks::default();
    hooks.fail("ack_expired");
    let noted = calls.clone();
    let node = node(&hooks.wrap(&backend), "a").on_expired(move |session| {
        noted.note(&session);
        async { Ok::<(), &str>(()) }
    });
    let _node = node.join().await.unwrap();
    let id = *ids.first().unwrap();
    until("the session comes again", || match calls.of(id).len() {
        0 | 1 => Err("not again".to_owned()),
        _ => Ok(()),
    })
    .await;
    hooks.heal();
    let calls_before = calls.of(id).len();
    assert_eq!(left(&backend, &make).await, 0);
    assert!(calls.of(id).len() <= calls_before + 1, "{:?}", calls.of(id));
}

/// A handler that says when it begins, and runs for `length`.
fn lasting(backend: &Backend, id: &str, calls: &Calls, length: Duration) -> FleetBuilder {
    let calls = calls.clone();
    node(backend, id).on_expired(move |session| {
        calls.note(&session);
        async move {
            // sleep: the handler's work, in simulated time
            sleep(length).await;
            Ok::<(), &str>(())
        }
    })
}

/// Lets so many seconds pass.
async fn pass(seconds: u32) {
    // sleep: simulated time, in which only time can pass
    sleep(SECOND * seconds).await;
}

async fn handlers_run(calls: &Calls, count: usize) {
    until("handlers run", || match calls.sessions().len() {
        running if running == count => Ok(()),
        running => Err(format!("{running} run")),
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn leave_waits_for_running_handlers_and_starts_no_other() {
    let (backend, make, calls) = (memory().await, Make::new("leave"), Calls::default());
    short_sessions(&backend, &make, 50).await;
    let node = lasting(&backend, "a", &calls, SECOND * 12).join().await.unwrap();
    handlers_run(&calls, 16).await;
    let left_at = Instant::now();
    node.leave().await.unwrap();
    let took = left_at.elapsed();
    assert!(took > SECOND * 10 && took < SECOND * 14, "{took:?}");
    assert_eq!((calls.sessions().len(), node.expiry_counts().handled), (16, 16));
    assert_eq!(left(&backend, &make).await, 34);
}

#[tokio::test(start_paused = true)]
async fn leave_gives_up_handlers_after_20_seconds_and_another_node_handles_their_sessions() {
    let (backend, make, calls) = (memory().await, Make::new("late"), Calls::default());
    let ids = short_sessions(&backend, &make, 10).await;
    let (late, first_calls) = (SECOND * 1_000, calls.clone());
    let options = ExpiryOptions::new().timeout(late * 2);
    let leaving = lasting(&backend, "a", &first_calls, late).expiry_options(options);
    let leaving = leaving.join().await.unwrap();
    handlers_run(&calls, 10).await;
    let other = lasting(&backend, "b", &calls, SECOND).join().await.unwrap();
    let left_at = Instant::now();
    leaving.leave().await.unwrap();
    assert!(left_at.elapsed() < SECOND * 21, "{:?}", left_at.elapsed());
    all_handled(&[&other], &calls, &ids).await;
}

#[tokio::test(start_paused = true)]
async fn dropped_fleet_ends_its_handlers_and_another_node_handles_their_sessions() {
    let (backend, make, calls) = (memory().await, Make::new("dropped"), Calls::default());
    let ids = short_sessions(&backend, &make, 10).await;
    let dropped = lasting(&backend, "a", &calls, SECOND * 50).join().await.unwrap();
    handlers_run(&calls, 10).await;
    let counts = dropped.downgrade();
    drop(dropped);
    let other = lasting(&backend, "b", &calls, SECOND).join().await.unwrap();
    all_handled(&[&other], &calls, &ids).await;
    assert!(counts.upgrade().is_none());
}

/// A row of an application's own database.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    fence: Fence,
    value: u64,
}

/// A handler may run before a later session of the player, or at the same time: a write that compares the
/// fence never overwrites what the later session wrote.
#[tokio::test(start_paused = true)]
async fn write_that_compares_the_fence_is_refused_after_a_later_login() {
    for handler_first in [true, false] {
        let backend = memory().await;
        let rows: Arc<Mutex<HashMap<PlayerId, Row>>> = Arc::default();
        let may_write = Arc::new(Semaphore::new(usize::from(handler_first)));
        let (table, gate) = (Arc::clone(&rows), Arc::clone(&may_write));
        let node = node(&backend, "a").on_expired(move |session: SessionRecord| {
            let (table, gate) = (Arc::clone(&table), Arc::clone(&gate));
            async move {
                gate.acquire().await.unwrap().forget();
                let value = postcard::from_bytes(&session.data).map_err(|error| error.to_string())?;
                // UPDATE players SET value = $1 WHERE player = $2 AND fence = $3
                if let Some(row) = table.lock().unwrap().get_mut(&session.player)
                    && row.fence == session.fence
                {
                    row.value = value;
                }
                Ok::<(), String>(())
            }
        });
        let node = node.join().await.unwrap();
        let stored = || rows.lock().unwrap().get(&player("ada")).cloned().unwrap();
        let mut first = here(login(&node, "ada").await);
        let row = Row {
            fence: first.fence(),
            value: 0,
        };
        rows.lock().unwrap().insert(player("ada"), row);
        *first.value_mut() = 3;
        first.save().await.unwrap();
        drop(first);
        // It expires, and its handler runs or waits.
        pass(75).await;
        assert_eq!(stored().value, if handler_first { 3 } else { 0 });
        let later = here(login(&node, "ada").await);
        assert!(later.is_new());
        let row = Row {
            fence: later.fence(),
            value: stored().value + 10,
        };
        rows.lock().unwrap().insert(player("ada"), row.clone());
        may_write.add_permits(1);
        until("the handler ends", || match node.expiry_counts().handled {
            0 => Err("it runs".to_owned()),
            _ => Ok(()),
        })
        .await;
        assert_eq!(stored(), row, "the handler overwrote the later session");
    }
}
