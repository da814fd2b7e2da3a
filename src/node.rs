//! What the tasks and the sessions of one node share.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use ringhold_core::transport::{PeerHandler, ServeGuard};
use ringhold_core::{
    Backend, Error, ErrorKind, Incarnation, NodeIncarnation, NodeRecord, PlayerId, Timing, Ttl,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::attached::{Attached, AttachedTable};
use crate::coalesce::Coalescer;
use crate::contact::Contact;
use crate::events::{FencedReason, FleetEvent, SessionEvent};
use crate::expiry::Expiry;
use crate::lease_thread::LeaseRuntime;
use crate::peers::Answers;
use crate::progress::Progress;
use crate::shared::{Shared, lock};

/// How a node stands to its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeStatus {
    /// Its lease is renewed in time.
    Attached,
    /// It could not renew its lease in time. It keeps its players and takes none.
    Detached,
    /// It must stop: a newer process has its id.
    Fenced,
    /// It said goodbye.
    Left,
}

/// A stay whose handle is dropped, and its changes that are not stored yet.
type Closing = (Arc<Attached>, Arc<Coalescer>);

/// What the tasks and the sessions of one node share.
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
    pub(crate) timing: Timing,
    pub(crate) session_ttl: Ttl,
    pub(crate) attached: AttachedTable,
    pub(crate) contact: Contact,
    pub(crate) expiry: Expiry,
    /// Where the lease is renewed.
    pub(crate) lease: LeaseRuntime,
    /// Whether the application's runtime makes progress.
    pub(crate) progress: Arc<Progress>,
    /// No renewal is under way and none follows.
    pub(crate) renewals_ended: CancellationToken,
    pub(crate) status: watch::Sender<NodeStatus>,
    pub(crate) fenced: watch::Sender<Option<FencedReason>>,
    /// Ends the tasks of the node, and leaves those of the observer.
    pub(crate) stop: CancellationToken,
    record: Mutex<Arc<NodeRecord>>,
    serving: Mutex<Option<ServeGuard>>,
    /// What the application answers calls with, until the node stops.
    handler: Mutex<Option<Arc<dyn PeerHandler>>>,
    /// What the application answered to calls that may come again.
    pub(crate) called: Arc<Answers>,
    /// What the runtime answered to messages and the like.
    pub(crate) told: Arc<Answers>,
    /// The nonce of a registration whose answer is not known.
    pub(crate) registering: Mutex<Option<ringhold_core::Nonce>>,
    /// Players whose touch or save told, while the node was detached, that another node has them.
    pub(crate) claimed: AtomicUsize,
    /// Dropped handles whose last changes are not stored yet.
    pub(crate) closing: Mutex<HashMap<PlayerId, Closing>>,
    /// Whether the goodbye was said; one at a time says it.
    pub(crate) left: tokio::sync::Mutex<bool>,
    /// Held by one change of the record at a time.
    pub(crate) updating: tokio::sync::Mutex<()>,
}

impl Node {
    pub(crate) fn new(
        shared: Arc<Shared>,
        lease: LeaseRuntime,
        timing: Timing,
        session_ttl: Ttl,
        record: Arc<NodeRecord>,
        expiry: Expiry,
    ) -> Self {
        let stop = shared.stop.child_token();
        Self {
            shared,
            timing,
            session_ttl,
            attached: AttachedTable::new(),
            contact: Contact::new(),
            expiry,
            lease,
            progress: Arc::new(Progress::new()),
            renewals_ended: CancellationToken::new(),
            status: watch::Sender::new(NodeStatus::Attached),
            fenced: watch::Sender::new(None),
            stop,
            record: Mutex::new(record),
            serving: Mutex::new(None),
            handler: Mutex::default(),
            called: Answers::to_calls(),
            told: Answers::to_messages(),
            registering: Mutex::default(),
            claimed: AtomicUsize::new(0),
            closing: Mutex::default(),
            left: tokio::sync::Mutex::new(false),
            updating: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn record(&self) -> Arc<NodeRecord> {
        Arc::clone(&lock(&self.record))
    }

    /// Sets what the application may change; who the node is stays, and so does its expiry mode.
    pub(crate) fn set_record(&self, mut record: NodeRecord) {
        let mut current = lock(&self.record);
        (record.id, record.incarnation) = (current.id.clone(), current.incarnation);
        record.expiry = current.expiry;
        *current = Arc::new(record);
    }

    /// Sets who the node is; what the application may have changed meanwhile stays.
    pub(crate) fn set_incarnation(&self, incarnation: Incarnation) {
        let mut current = lock(&self.record);
        Arc::make_mut(&mut current).incarnation = incarnation;
    }

    /// Who this node is now.
    pub(crate) fn me(&self) -> NodeIncarnation {
        self.record().node()
    }

    pub(crate) fn set_serving(&self, guard: ServeGuard) {
        let mut serving = lock(&self.serving);
        // A node that stopped meanwhile serves nobody.
        *serving = (!self.stop.is_cancelled()).then_some(guard);
        self.tell_health(serving.as_ref());
    }

    /// Answers probes of health by the present status.
    fn tell_health(&self, serving: Option<&ServeGuard>) {
        if let Some(guard) = serving {
            guard.set_well(*self.status.borrow() == NodeStatus::Attached);
        }
    }

    pub(crate) fn set_peer_handler(&self, handler: Arc<dyn PeerHandler>) {
        *lock(&self.handler) = Some(handler);
    }

    /// What the application answers calls with.
    pub(crate) fn peer_handler(&self) -> Option<Arc<dyn PeerHandler>> {
        lock(&self.handler).clone()
    }

    /// Answers probes of health by each new status. Stops answering others as soon as the node stops, also while
    /// session handles keep it in memory.
    pub(crate) async fn serve_until_stopped(self: Arc<Self>) {
        let mut status = self.status.subscribe();
        // The sender is in `self`.
        while let Some(Ok(())) = self.stop.run_until_cancelled(status.changed()).await {
            self.tell_health(lock(&self.serving).as_ref());
        }
        let serving = lock(&self.serving).take();
        // What it has captured may hold this node.
        let handler = lock(&self.handler).take();
        drop((serving, handler));
    }

    /// Whether the node may act as if its lease held: asked at the moment of acting, since a
    /// process that was paused wakes up with an old status.
    pub(crate) fn is_attached(&self) -> bool {
        *self.status.borrow() == NodeStatus::Attached && self.contact.age() < self.timing.hard()
    }

    /// Sets the status, unless the node has ended, and tells whether it changed.
    pub(crate) fn set_status(&self, status: NodeStatus) -> bool {
        self.status.send_if_modified(|now| {
            let ended = matches!(*now, NodeStatus::Fenced | NodeStatus::Left);
            let changes = !ended && *now != status;
            if changes {
                *now = status;
            }
            changes
        })
    }

    /// Writes the number of players to the counters that policies look at.
    pub(crate) fn count_sessions(&self) {
        let me = self.me();
        self.shared.view.with(|view| {
            if let Some(node) = view.incarnation(&me) {
                node.counters.set_sessions(self.attached.taken());
            }
        });
    }

    pub(crate) fn end_everybody(&self, event: &SessionEvent) {
        for attached in self.attached.all() {
            self.attached.end(&attached, event.clone());
        }
    }

    pub(crate) fn fence(&self, reason: FencedReason) {
        self.fenced.send_if_modified(|fenced| {
            // What ends the node outweighs what it lost.
            let tells = fenced.is_none() || reason == FencedReason::Superseded;
            if tells {
                *fenced = Some(reason);
            }
            tells
        });
        self.shared.events.send(FleetEvent::Fenced(reason));
    }

    /// A newer process has this id: stop at once, for ever.
    pub(crate) fn superseded(&self) {
        self.set_status(NodeStatus::Fenced);
        self.end_everybody(&SessionEvent::Fenced);
        self.fence(FencedReason::Superseded);
        self.stop.cancel();
        // The observer goes on.
        self.shared.spawn(crate::observer::Observer::follow(
            Arc::clone(&self.shared),
            self.shared.stop.clone(),
        ));
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.shared.backend
    }
}

/// A node in the hands of the runtime that renews its lease. The last handle of a node drops what the application gave
/// it, so this one is dropped on the application's runtime.
pub(crate) struct Lent(Option<Arc<Node>>);

impl Lent {
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        Self(Some(Arc::clone(node)))
    }
}

impl Deref for Lent {
    type Target = Arc<Node>;

    fn deref(&self) -> &Arc<Node> {
        match &self.0 {
            Some(node) => node,
            None => unreachable!("it is taken by `drop` alone"),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(node) = self.0.take() {
            let runtime = node.shared.runtime().clone();
            // No task of the fleet: where that runtime has ended, it is dropped here.
            drop(runtime.spawn(async move { drop(node) }));
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("node", &self.me())
            .field("status", &*self.status.borrow())
            .field("attached", &self.attached.taken())
            .finish_non_exhaustive()
    }
}

/// The error of an act that needs an attached node.
pub(crate) fn not_attached(operation: &'static str, node: &Node) -> Error {
    let context = match *node.status.borrow() {
        NodeStatus::Fenced => "this node was superseded by a newer process of the same id",
        NodeStatus::Left => "this node has left the fleet",
        _ => "this node cannot renew its lease and takes no players until it can",
    };
    Error::new(ErrorKind::Unavailable, operation, context).with_retryable(false)
}
