//! A login decodes the stored value before it changes anything: a value that cannot be read, or
//! whose `Deserialize` panics, leaves the session, its holder and its deadline as they were.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringhold::{Backend, ErrorKind, Fleet, Login, LoginOptions, Session, SessionRecord, Timing};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::hooks::Hooks;
use crate::support::{
    LONG, elsewhere, evict, fleet_of, here, join, login, login_until_here, memory, player, registered_again,
    sees,
};

/// Not what a `u64` of one byte decodes to.
type Other = (u8, String);

/// The whole record, and how long it lives from now on.
async fn record(backend: &Backend, id: ringhold::SessionId) -> SessionRecord {
    backend.sessions.get(&id).await.unwrap().expect("it lives")
}

/// A session of "ada" on `node` with the value 7, some seconds old and not touched since.
async fn ada(node: &Fleet) -> Session<u64> {
    let mut session = here(login(node, "ada").await);
    *session.value_mut() = 7;
    session.save().await.unwrap();
    // sleep: simulated time, so that an extended deadline shows
    sleep(Duration::from_secs(3)).await;
    session
}

/// Logs in with a type that cannot be read, and checks that nothing has changed.
async fn fails_and_changes_nothing(
    backend: &Backend,
    node: &Fleet,
    held: &Session<u64>,
    options: LoginOptions,
) {
    let (before, attached) = (record(backend, held.id()).await, node.attached());
    let failed = node.login::<Other>(&player("ada"), options).await;
    let error = failed.expect_err("the value is of another type");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{options:?}: {error}");
    assert_eq!(record(backend, held.id()).await, before, "{options:?}");
    assert_eq!(node.attached(), attached, "{options:?}");
}

async fn still_holds(mut held: Session<u64>) {
    // Longer than a displaced hold waits for its touch.
    let told = timeout(Duration::from_secs(21), held.event()).await;
    assert!(told.is_err(), "the holder was notified: {told:?}");
    *held.value_mut() += 1;
    held.save().await.expect("it holds the session");
}

#[tokio::test(start_paused = true)]
async fn undecodable_value_displaces_no_connection_on_the_same_node() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let held = ada(&node).await;
    let options = LoginOptions::new();
    for options in [options, options.displace(), options.resume(held.id())] {
        fails_and_changes_nothing(&backend, &node, &held, options).await;
    }
    still_holds(held).await;
}

#[tokio::test(start_paused = true)]
async fn undecodable_value_displaces_no_connection_on_a_live_node() {
    let backend = memory().await;
    let nodes = fleet_of(&backend, 2, Timing::default()).await;
    let held = ada(&nodes[0]).await;
    let options = LoginOptions::new().displace();
    for options in [options, options.resume(held.id())] {
        fails_and_changes_nothing(&backend, &nodes[1], &held, options).await;
    }
    let before = record(&backend, held.id()).await;
    let redirect = elsewhere(nodes[1].login::<Other>(&player("ada"), LoginOptions::new()).await);
    assert_eq!(
        redirect.node,
        nodes[0].node(),
        "a live owner needs no value to be read"
    );
    assert_eq!(record(&backend, held.id()).await, before);
    still_holds(held).await;
}

#[tokio::test(start_paused = true)]
async fn undecodable_value_of_a_node_that_left_is_not_claimed() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let gone = join(&hooks.wrap(&backend), "gone").await;
    let node = join(&backend, "a").await;
    sees(&[gone.clone(), node.clone()], 2).await;
    let held = ada(&gone).await;
    hooks.cut_off();
    let departed = gone.node();
    let left = node.wait_for(|view| view.incarnation(&departed).is_none());
    timeout(LONG, left).await.expect("its lease lapses");
    for options in [LoginOptions::new(), LoginOptions::new().resume(held.id())] {
        fails_and_changes_nothing(&backend, &node, &held, options).await;
    }
    // It expires as if there had been no login.
    let left = record(&backend, held.id()).await.remaining;
    // sleep: simulated time, up to the deadline
    sleep(left + Duration::from_secs(1)).await;
    assert!(backend.sessions.get(&held.id()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn undecodable_value_is_not_claimed_by_a_node_that_registered_again() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let held = ada(&node).await;
    // The node's own claim of the session fails for now, so the login meets the old incarnation.
    hooks.fail("claim");
    let before = evict(&backend, &node).await;
    registered_again(&node, &before).await;
    assert_eq!(record(&backend, held.id()).await.owner, before);
    for options in [LoginOptions::new(), LoginOptions::new().resume(held.id())] {
        fails_and_changes_nothing(&backend, &node, &held, options).await;
    }
    hooks.heal();
    let id = held.id();
    still_holds(held).await;
    assert_eq!(
        record(&backend, id).await.owner,
        node.node(),
        "its own claim came later"
    );
}

/// The value 7 makes its `Deserialize` panic.
#[derive(Debug, Default, Serialize)]
struct Explosive(u64);

impl<'de> Deserialize<'de> for Explosive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u64::deserialize(deserializer)?;
        assert_ne!(value, 7, "on purpose");
        Ok(Self(value))
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_deserialize_leaves_nothing_behind() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let held = ada(&node).await;
    let panics = async |options: LoginOptions| {
        let node = node.clone();
        let task =
            tokio::spawn(async move { node.login::<Explosive>(&player("ada"), options).await.map(drop) });
        assert!(task.await.unwrap_err().is_panic(), "{options:?}");
    };
    let options = LoginOptions::new();
    let before = record(&backend, held.id()).await;
    for options in [options, options.displace(), options.resume(held.id())] {
        panics(options).await;
        assert_eq!(record(&backend, held.id()).await, before, "{options:?}");
        assert_eq!(node.attached(), 1, "{options:?}");
    }
    // Without a connection, too, the session is touched no more and expires.
    let id = held.id();
    drop(held);
    panics(options).await;
    assert_eq!(node.attached(), 0);
    // sleep: simulated time, twice the time to live
    sleep(Duration::from_secs(120)).await;
    assert!(
        backend.sessions.get(&id).await.unwrap().is_none(),
        "it was touched"
    );
    assert!(
        here(login(&node, "ada").await).is_new(),
        "the player can log in again"
    );
}

/// Counts the calls to the store by method.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<&'static str, u32>>>);

impl Counted {
    fn of(hooks: &Hooks) -> Self {
        let counted = Self::default();
        let counts = counted.clone();
        hooks.before(move |call| {
            *counts.0.lock().unwrap().entry(call.method).or_default() += 1;
            async { Ok(()) }
        });
        counted
    }

    /// The calls since the last time, without those of the node's own tasks.
    fn take(&self) -> Vec<(&'static str, u32)> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap());
        let own = ["renew", "take_expired", "touch_many"];
        counts
            .into_iter()
            .filter(|(method, _)| !own.contains(method))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn login_costs_one_round_trip_for_a_new_player_and_two_for_a_returning_one() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let nodes = fleet_of(&hooks.wrap(&backend), 2, Timing::default()).await;
    let counted = Counted::of(&hooks);
    let (one, two) = (vec![("create", 1)], vec![("claim", 1), ("create", 1)]);
    let new = here(login(&nodes[0], "ada").await);
    assert!(new.is_new());
    assert_eq!(counted.take(), one, "a new player");
    elsewhere(login(&nodes[1], "ada").await);
    assert_eq!(counted.take(), one, "a player on a live node");
    let second = here(login(&nodes[0], "ada").await);
    assert_eq!(counted.take(), two, "a player with a connection here");
    let id = second.id();
    drop((new, second));
    let returning = here(login(&nodes[0], "ada").await);
    assert!(!returning.is_new());
    assert_eq!(counted.take(), two, "a player who comes back");
    let displaced = here(
        nodes[1]
            .login::<u64>(&player("ada"), LoginOptions::new().displace())
            .await,
    );
    assert_eq!(counted.take(), two, "a player taken from a live node");
    drop(displaced);
    let resumed = here(
        nodes[1]
            .login::<u64>(&player("ada"), LoginOptions::new().resume(id))
            .await,
    );
    assert_eq!(resumed.id(), id);
    assert_eq!(counted.take(), [("claim", 1), ("get", 1)], "a player who resumes");
}

/// Runs `then` before the first claim that a login sends.
fn before_the_first_claim<F>(hooks: &Hooks, then: impl FnOnce() -> F + Send + 'static) -> Arc<Mutex<u32>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let claims = Arc::new(Mutex::new(0));
    let (count, then) = (Arc::clone(&claims), Arc::new(Mutex::new(Some(then))));
    hooks.before(move |call| {
        let is_claim = call.method == "claim";
        *count.lock().unwrap() += u32::from(is_claim);
        let then = then.lock().unwrap().take_if(|_| is_claim);
        async move {
            if let Some(then) = then {
                then().await;
            }
            Ok(())
        }
    });
    claims
}

#[tokio::test(start_paused = true)]
async fn save_between_the_read_and_the_claim_makes_the_login_start_over() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let holder = join(&backend, "holder").await;
    let node = join(&hooks.wrap(&backend), "a").await;
    sees(&[holder.clone(), node.clone()], 2).await;
    let mut held = ada(&holder).await;
    let claims = before_the_first_claim(&hooks, move || async move {
        *held.value_mut() = 8;
        held.save().await.expect("it still holds the session");
    });
    let taken = here(
        node.login::<u64>(&player("ada"), LoginOptions::new().displace())
            .await,
    );
    assert_eq!(
        *taken.value(),
        8,
        "what was acknowledged is what the next holder reads"
    );
    assert_eq!(taken.version().get(), 3);
    assert_eq!(*claims.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn claim_by_another_node_between_the_read_and_the_claim_redirects() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let away = Hooks::default();
    let gone = join(&away.wrap(&backend), "gone").await;
    let (other, node) = (
        join(&backend, "other").await,
        join(&hooks.wrap(&backend), "a").await,
    );
    sees(&[gone.clone(), other.clone(), node.clone()], 3).await;
    let _held = ada(&gone).await;
    away.cut_off();
    sees(&[other.clone(), node.clone()], 2).await;
    let kept = Arc::new(Mutex::new(None));
    let (slot, faster) = (Arc::clone(&kept), other.clone());
    before_the_first_claim(&hooks, move || async move {
        let session = login_until_here(&faster, "ada").await;
        *slot.lock().unwrap() = Some(session);
    });
    let redirect = elsewhere(login(&node, "ada").await);
    assert_eq!(redirect.node, other.node());
    assert!(kept.lock().unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn login_that_loses_every_race_gives_up_and_changes_nothing() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let holder = join(&backend, "holder").await;
    let node = join(&hooks.wrap(&backend), "a").await;
    sees(&[holder.clone(), node.clone()], 2).await;
    let held = Arc::new(tokio::sync::Mutex::new(ada(&holder).await));
    let saving = Arc::clone(&held);
    hooks.before(move |call| {
        let saving = Arc::clone(&saving);
        async move {
            if call.method == "claim" {
                saving.lock().await.save().await.expect("it holds the session");
            }
            Ok(())
        }
    });
    let lost = node
        .login::<u64>(&player("ada"), LoginOptions::new().displace())
        .await;
    let error = lost.expect_err("a save was faster each time");
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    assert!(error.is_retryable(), "{error}");
    assert_eq!(node.attached(), 0);
    hooks.heal();
    let held = Arc::into_inner(held).expect("the hook is gone").into_inner();
    assert_eq!(
        held.version().get(),
        34,
        "32 attempts, after the two writes of the holder"
    );
    still_holds(held).await;
}

/// On the holder's own node a login waits for the save, so it does not lose to it.
#[tokio::test(start_paused = true)]
async fn login_on_the_same_node_waits_for_a_save_under_way() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut held = ada(&node).await;
    let (saving, claims) = (Arc::new(Notify::new()), Arc::new(Mutex::new(0)));
    let (sent, count) = (Arc::clone(&saving), Arc::clone(&claims));
    hooks.before(move |call| {
        *count.lock().unwrap() += u32::from(call.method == "claim");
        let sent = Arc::clone(&sent);
        async move {
            if call.method == "save" {
                sent.notify_one();
                // sleep: how long the save takes to reach the store, in simulated time
                sleep(Duration::from_millis(500)).await;
            }
            Ok(())
        }
    });
    *held.value_mut() = 9;
    let save = tokio::spawn(async move { held.save().await });
    saving.notified().await;
    assert_eq!(*here(login(&node, "ada").await).value(), 9);
    save.await.unwrap().expect("the save came first");
    assert_eq!(*claims.lock().unwrap(), 1);
}

/// A save that the store does not answer delays the next login on its node for a second, not for the
/// 20 s for which it is tried.
#[tokio::test(start_paused = true)]
async fn login_on_the_same_node_passes_a_save_that_is_stuck() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut held = ada(&node).await;
    let saving = Arc::new(Notify::new());
    let sent = Arc::clone(&saving);
    hooks.before(move |call| {
        let sent = Arc::clone(&sent);
        async move {
            if call.method == "save" {
                sent.notify_one();
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    });
    let save = tokio::spawn(async move { held.save().await });
    saving.notified().await;
    let logged_in = timeout(Duration::from_secs(2), login(&node, "ada")).await;
    assert_eq!(*here(logged_in.expect("within two seconds")).value(), 7);
    let error = save.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

/// 64 logins on one node at once, each of which has to claim: each is answered, and one holds.
#[tokio::test(start_paused = true)]
async fn simultaneous_logins_on_one_node_all_succeed() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let _held = ada(&node).await;
    hooks.delay("claim", Duration::from_millis(10));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let node = node.clone();
        tasks.spawn(async move { login(&node, "ada").await });
    }
    let mut sessions = Vec::new();
    for login in tasks.join_all().await {
        match login {
            Ok(Login::Here(session)) => sessions.push(session),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(node.attached(), 1);
    let stored = record(&backend, sessions[0].id()).await;
    assert_eq!(stored.fence.epoch, 65, "each took the session over once");
}
