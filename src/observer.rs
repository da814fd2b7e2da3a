//! The read side of a fleet: who is there, who owns a key, where a player is. What it says to the nodes is in
//! `peers/`.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::policy::Candidates;
use ringhold_core::published::Reader;
use ringhold_core::view::{PlaceRequest, Reservation};
use ringhold_core::{
    Backend, Error, ErrorKind, Membership, NodeIncarnation, NodeRecord, PlayerId, Result, Revision,
    SessionRecord, Timing, Update, View,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::events::{Events, FleetEvent, call_with_each};
use crate::node::Node;
use crate::peers::Caller;
use crate::shared::{Shared, record_of};
use crate::{random, retry};

/// Sees a fleet without being a node of it, and talks to its nodes: for gateways, matchmakers and
/// commands.
///
/// A clone is cheap and shares everything. When the last clone is dropped, its tasks stop. A
/// [`Fleet`](crate::Fleet) dereferences to one.
///
/// An observer holds no lease, so its watch runs on the application's runtime: while a task blocks that runtime, its
/// view stands still.
///
/// ```
/// # async fn run() -> ringhold::Result<()> {
/// use ringhold::Fleet;
///
/// let backend = ringhold::open("memory:").await?;
/// let _eu = Fleet::builder(backend.clone()).node("eu-1").join().await?;
/// let fleet = Fleet::builder(backend).observe().await?;
/// fleet.wait_for(|view| view.nodes().len() == 1).await;
/// assert_eq!(fleet.owner("ada").unwrap().id.as_str(), "eu-1");
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Observer {
    shared: Arc<Shared>,
    /// In whose name it calls, where it is that of a node.
    node: Option<Arc<Node>>,
    stop: Arc<DropGuard>,
}

/// Where a player's live session is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Located {
    /// The session.
    pub session: SessionRecord,
    /// The record of its owner; `None` when that is no member, so that the session can be claimed.
    pub node: Option<Arc<NodeRecord>>,
}

impl Observer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let stop = Arc::new(shared.stop.clone().drop_guard());
        Self {
            shared,
            node: None,
            stop,
        }
    }

    /// The read side of a node whose tasks end with the last holder of `stop`.
    pub(crate) fn of(node: &Arc<Node>, stop: Arc<DropGuard>) -> Self {
        Self {
            shared: Arc::clone(&node.shared),
            node: Some(Arc::clone(node)),
            stop,
        }
    }

    /// What ends the tasks when nobody holds it any more.
    pub(crate) fn stop(&self) -> &Arc<DropGuard> {
        &self.stop
    }

    /// Who makes calls for this handle.
    pub(crate) fn caller(&self) -> Caller {
        Caller::new(Arc::clone(&self.shared), self.node.clone())
    }

    /// The backend, for its session store and its discovery.
    pub fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    /// What is seen of the fleet now. Never waits.
    pub fn view(&self) -> Arc<View> {
        self.shared.view.load()
    }

    /// A reader for one thread or task, the fastest way to ask often.
    pub fn router(&self) -> Router {
        Router {
            reader: self.shared.view.reader(),
        }
    }

    /// What the ring of this revision says of a key; `None` in an empty fleet. It is not a lock:
    /// nodes at one revision agree, and revisions differ for a moment. O(1), never waits.
    pub fn owner(&self, key: impl AsRef<[u8]>) -> Option<Arc<NodeRecord>> {
        self.shared
            .view
            .with(|view| view.owner(key.as_ref()).map(|node| Arc::clone(&node.record)))
    }

    /// The policy's choice of a node for a new session of `key`, with a reservation there.
    ///
    /// The reservation counts for later choices of this process. Drop it once the player was sent to the node: it
    /// goes on as an expected login until the node reports that the player has arrived; where the player does not
    /// come, for two load periods, and at least 3 s. [`Reservation::release`] takes it back at once. The loads
    /// of all nodes are reported with each heartbeat; to a node of more than 128 with every eighth.
    ///
    /// # Errors
    /// - `Unavailable` in an empty fleet.
    /// - `Overloaded` when no node takes it: all are full, draining, suspect or of weight 0.
    pub fn place(&self, key: impl AsRef<[u8]>) -> Result<Reservation> {
        self.place_with(&PlaceRequest::new(key.as_ref(), random::quick()))
    }

    /// The same with conditions: a zone, labels.
    ///
    /// # Errors
    /// As [`place`](Self::place); `Overloaded` too when no node meets the conditions.
    pub fn place_with(&self, request: &PlaceRequest<'_>) -> Result<Reservation> {
        self.shared.view.with(|view| {
            // The first is all that is asked for, and finding more costs more.
            let mut candidates = Candidates::with_limit(1);
            self.shared.policy.rank(view, request, &mut candidates);
            if let Some(first) = candidates.first() {
                return Ok(view.reserve(first));
            }
            Err(if view.nodes().is_empty() {
                Error::new(ErrorKind::Unavailable, "place", "the fleet has no nodes")
            } else {
                let context = "no node takes it: each is full, draining, suspect, of weight 0, or does not \
                               meet the conditions";
                Error::new(ErrorKind::Overloaded, "place", context)
            })
        })
    }

    /// Who holds the live session of `player`: the sticky truth, asked of the store. With several
    /// sessions, the newest.
    ///
    /// # Errors
    /// `Unavailable` after 20 s without an answer; `Corrupt` or `Unsupported` when the record
    /// cannot be read.
    pub async fn locate(&self, player: &PlayerId) -> Result<Option<Located>> {
        let store = &self.shared.backend.sessions;
        let found = retry::until_deadline("locate", || store.find(player)).await?;
        Ok(found.into_iter().last().map(|session| {
            let node = self.shared.view.with(|view| record_of(view, &session.owner));
            Located { session, node }
        }))
    }

    /// The events from now on, in order.
    pub fn events(&self) -> Events {
        self.shared.events.subscribe(self.shared.stop.clone())
    }

    /// Calls `callback` with every event from now on, in order, one at a time, on a thread that
    /// may block. It never holds up the fleet: one that is too slow is told what it missed. A
    /// panic ends that call alone.
    ///
    /// What the callback captures lives as long as the fleet runs: a clone of this handle, or of
    /// the fleet's, in there keeps it running for ever.
    pub fn on_event(&self, callback: impl FnMut(FleetEvent) + Send + 'static) {
        drop(self.shared.spawn(call_with_each(self.events(), callback)));
    }

    /// Waits until a view satisfies `condition`, and answers that view.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_for(&self, mut condition: impl FnMut(&View) -> bool) -> Arc<View> {
        let mut changed = self.shared.subscribe();
        loop {
            changed.mark_unchanged();
            let view = self.shared.view.latest();
            // The sender lives as long as `self`.
            if condition(&view) || changed.changed().await.is_err() {
                return view;
            }
        }
    }

    /// The membership as the backend has it now, lapsed and unreadable members included.
    ///
    /// # Errors
    /// `Unavailable` after 20 s without an answer.
    pub async fn members(&self) -> Result<Membership> {
        retry::until_deadline("members", || self.shared.backend.discovery.members()).await
    }

    /// Watches the membership until stopped. An `Err` of a watch is final for it; a new one is opened.
    pub(crate) async fn follow(shared: Arc<Shared>, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                if let Err(error) = follow_once(&shared).await {
                    tracing::warn!(%error, "the watch of the fleet ended; opening another");
                }
                sleep(random::jittered(Duration::from_millis(200), 50, 150)).await;
            }
        })
        .await;
    }
}

async fn follow_once(shared: &Shared) -> Result<()> {
    let discovery = &shared.backend.discovery;
    let known = Some(shared.revision()).filter(|revision| *revision != Revision::default());
    let mut watch = discovery.watch(known).await?;
    let mut period = Timing::default().heartbeat();
    let mut poll = Box::pin(sleep(period));
    loop {
        tokio::select! {
            update = watch.next() => drop(shared.apply([update?], None)?),
            () = &mut poll => {
                // The look moves the lease clock on, so that a fleet that is dead as a whole shows.
                if let Ok(Ok(membership)) = timeout(period, discovery.members()).await
                    && membership.revision == shared.revision()
                {
                    shared.apply([Update::Reset(membership)], None)?;
                }
                if let Ok(Ok(Some(timing))) = timeout(period, discovery.timing()).await {
                    period = timing.heartbeat();
                    shared.set_load_period(period);
                }
                poll = Box::pin(sleep(random::jittered(period, 80, 100)));
            }
        }
    }
}

/// Waits for the first membership of an observer, so that it starts with eyes open.
pub(crate) async fn first_membership(shared: &Shared) -> Result<()> {
    let membership = retry::until_deadline("observe", || shared.backend.discovery.members()).await?;
    shared.apply([Update::Reset(membership)], None).map(drop)
}

/// A reader of a fleet's views for one thread or task.
#[derive(Debug)]
pub struct Router {
    reader: Reader<View>,
}

impl Router {
    /// The newest view that can be had without waiting.
    pub fn view(&mut self) -> &Arc<View> {
        self.reader.get()
    }

    /// What the ring says of a key. O(1), never waits.
    pub fn owner(&mut self, key: &[u8]) -> Option<&Arc<NodeRecord>> {
        self.reader.get().owner(key).map(|node| &node.record)
    }

    /// Whether exactly this run of this node is a member.
    pub fn is_member(&mut self, node: &NodeIncarnation) -> bool {
        self.reader.get().incarnation(node).is_some()
    }
}
