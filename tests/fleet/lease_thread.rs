//! The thread that renews leases, on a backend that brings a connector.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ringhold::{
    CallOptions, Fleet, Login, LoginOptions, NodeStatus, PeerHandler, PeerRequest, Result, async_trait,
};
use ringhold_testkit::{Log, wait_for};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hooks::Hooks;
use crate::support::{LONG, evict, is_now, join, memory, player, registered_again};

const LEASE_THREAD: &str = "ringhold-lease";

/// The names of threads.
#[derive(Default)]
struct Threads(Mutex<BTreeSet<String>>);

impl Threads {
    fn note(&self) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    fn names(&self) -> BTreeSet<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where code of the application has run.
static APPLICATION: Threads = Threads(Mutex::new(BTreeSet::new()));

/// A value whose codec notes its thread.
#[derive(Default)]
struct Noted(u64);

impl Serialize for Noted {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        APPLICATION.note();
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Noted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        APPLICATION.note();
        u64::deserialize(deserializer).map(Self)
    }
}

struct Handler;

#[async_trait]
impl PeerHandler for Handler {
    async fn handle(&self, _: PeerRequest) -> Result<Bytes> {
        APPLICATION.note();
        Ok(Bytes::new())
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        APPLICATION.note();
    }
}

#[tokio::test]
async fn membership_runs_on_the_lease_thread_and_the_application_never_does() {
    let (backend, hooks, membership) = (memory().await, Hooks::default(), Arc::new(Threads::default()));
    let noting = Arc::clone(&membership);
    hooks.before(move |call| {
        let noting = Arc::clone(&noting);
        async move {
            if matches!(call.method, "register" | "renew" | "members" | "evict") {
                noting.note();
            }
            Ok(())
        }
    });
    let builder = Fleet::builder(hooks.wrap_shared(&backend)).node("a");
    let node = builder.peer_handler(Handler).join().await.unwrap();
    let (registered, mut heard) = tokio::sync::mpsc::unbounded_channel();
    node.on_event(move |event| {
        APPLICATION.note();
        if let ringhold::FleetEvent::Registered(node) = event {
            registered.send(node).unwrap();
        }
    });
    let Ok(Login::Here(mut session)) = node.login::<Noted>(&player("ada"), LoginOptions::new()).await else {
        panic!("a new player is here");
    };
    let caller = join(&backend, "b").await;
    caller.wait_for(|view| view.nodes().len() == 2).await;
    let before = evict(&backend, &node).await;
    registered_again(&node, &before).await;
    let told = heard.recv().await.expect("an event");
    assert_eq!(told, node.node());
    is_now(&node, NodeStatus::Attached).await;
    wait_for("a call to the new incarnation", LONG, async || {
        caller.call(&told, "", CallOptions::new()).await.map(drop)
    })
    .await;
    session.value_mut().0 = 7;
    session.save().await.unwrap();
    drop(session);
    let again = node.login::<Noted>(&player("ada"), LoginOptions::new()).await;
    assert!(matches!(again, Ok(Login::Here(session)) if session.value().0 == 7));
    node.leave().await.unwrap();
    drop(node);

    assert_eq!(membership.names(), BTreeSet::from([LEASE_THREAD.to_owned()]));
    let application = APPLICATION.names();
    assert!(
        !application.is_empty() && !application.contains(LEASE_THREAD),
        "{application:?}"
    );
}

#[tokio::test]
async fn panic_on_the_lease_thread_is_logged() {
    let log = Log::default();
    let _listening = log.listen();
    let (backend, hooks) = (memory().await, Hooks::default());
    hooks.before(|call| async move {
        assert_ne!(call.method, "renew", "on purpose");
        Ok(())
    });
    let node = join(&hooks.wrap_shared(&backend), "a").await;
    wait_for("the panic to be logged", LONG, async || {
        let text = log.text();
        if text.contains("a task of the fleet runtime panicked") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    // Without renewals the node does not stay active.
    wait_for("the node to be detached", LONG, async || match node.status() {
        NodeStatus::Detached => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
