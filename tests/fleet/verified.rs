//! Every save is verified before it is sent: what no login could read is refused, and nothing is
//! written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringhold::{ErrorKind, LoginOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::sleep;

use crate::hooks::Hooks;
use crate::support::{here, join, login, memory, player, stored};

/// Can be stored while `note` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Hero {
    level: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Default for Hero {
    fn default() -> Self {
        let note = Some("new".to_owned());
        Self { level: 1, note }
    }
}

fn saves(hooks: &Hooks) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    hooks.before(move |call| {
        counting.fetch_add(usize::from(call.method == "save"), Ordering::SeqCst);
        async { Ok(()) }
    });
    count
}

#[tokio::test(start_paused = true)]
async fn refused_save_writes_nothing_and_the_next_one_succeeds() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut session = here(node.login::<Hero>(&player("ada"), LoginOptions::new()).await);
    let count = saves(&hooks);
    let before = backend.sessions.get(&session.id()).await.unwrap();
    session.value_mut().note = None;
    let error = session.save().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(!error.is_retryable(), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 0, "nothing was sent");
    assert_eq!(backend.sessions.get(&session.id()).await.unwrap(), before);
    session.value_mut().note = Some("back".to_owned());
    session.save().await.unwrap();
    let expected = session.value().clone();
    drop(session);
    let session = here(node.login::<Hero>(&player("ada"), LoginOptions::new()).await);
    assert_eq!(*session.value(), expected);
}

#[tokio::test(start_paused = true)]
async fn refused_change_leaves_the_pending_one_and_reports_its_error() {
    let (backend, hooks) = (memory().await, Hooks::default());
    let node = join(&hooks.wrap(&backend), "a").await;
    let mut session = here(node.login::<Hero>(&player("ada"), LoginOptions::new()).await);
    let count = saves(&hooks);
    session.save_every(Duration::from_secs(1));
    session.value_mut().level = 2;
    *session.value_mut() = Hero { level: 3, note: None };
    assert_eq!(
        session.take_save_error().map(|error| error.kind()),
        Some(ErrorKind::InvalidArgument)
    );
    // sleep: simulated time for the coalesced save
    sleep(Duration::from_secs(2)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // Dropping the handle stores what is pending: nothing that was refused.
    session.value_mut().level = 4;
    drop(session);
    // sleep: simulated time for the last save
    sleep(Duration::from_secs(2)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let session = here(node.login::<Hero>(&player("ada"), LoginOptions::new()).await);
    assert_eq!(session.value().level, 2, "the last change that could be stored");
    session.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn session_with_a_value_that_cannot_be_stored_can_be_closed() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(node.login::<Hero>(&player("ada"), LoginOptions::new()).await);
    session.save_every(Duration::from_secs(1));
    session.value_mut().note = None;
    let id = session.id();
    session.close().await.unwrap();
    assert!(backend.sessions.get(&id).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn login_whose_initial_value_cannot_be_stored_makes_no_session() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Empty {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    }
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let (ada, options) = (player("ada"), LoginOptions::new());
    let skipped = node.login::<Empty>(&ada, options).await.map(drop);
    let undescribed = node.login::<Value>(&ada, options).await.map(drop);
    for refused in [skipped, undescribed] {
        let error = refused.unwrap_err();
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::InvalidArgument, "login"),
            "{error}"
        );
    }
    assert_eq!(node.attached(), 0);
    assert_eq!(backend.sessions.find(&ada).await.unwrap(), []);
}

/// Half of a change, and a panic.
#[tokio::test(start_paused = true)]
async fn change_that_panics_is_not_stored() {
    let backend = memory().await;
    let node = join(&backend, "a").await;
    let mut session = here(login(&node, "ada").await);
    session.save_every(Duration::from_secs(1));
    *session.value_mut() = 5;
    let half_made = catch_unwind(AssertUnwindSafe(|| {
        let mut value = session.value_mut();
        *value = 99;
        panic!("on purpose");
    }));
    assert!(half_made.is_err());
    // sleep: simulated time for the coalesced save
    sleep(Duration::from_secs(3)).await;
    let id = session.id();
    assert_eq!(stored(&backend, &id).await, 5, "the last whole change");
    *session.value_mut() = 6;
    drop(session);
    // sleep: simulated time for the last save
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stored(&backend, &id).await, 6, "the session goes on");
}
