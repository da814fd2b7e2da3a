//! `Fleet`: this process as a node of the fleet.

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::discovery::LeaveFleet;
use ringhold_core::{NodeIncarnation, NodeRecord, PlayerId, Result, Timing};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio_util::sync::DropGuard;

use crate::codec::Codec;
use crate::events::{FencedReason, SessionEvent};
use crate::expiry::ExpiryCounts;
use crate::login::{Login, LoginOptions};
use crate::node::{Node, NodeStatus, not_attached};
use crate::observer::Observer;
use crate::{login, random, retry, save};

/// How long a departure waits for the end of the renewals. They end at their next poll, so this is for a runtime that
/// was given and stands still.
const RENEWALS_END_MAX: Duration = Duration::from_secs(1);

/// This process as a node of the fleet: logs players in, holds their sessions, and sees the others.
///
/// A clone is cheap and shares everything. It dereferences to an [`Observer`], for the read side and for
/// what servers say to each other: [`call_player`](Observer::call_player) and its like.
/// When the last clone is dropped its tasks stop *without* a goodbye, as in a crash: the others
/// notice when its lease lapses. [`leave`](Self::leave) says goodbye.
///
/// On a backend that processes share, a thread of its own renews the lease, applies changes of the membership and sets
/// the status, over connections of its own. A task that blocks the application's runtime therefore costs no lease
/// before the [stall limit](Timing::stall_limit). Then the thread evicts this node, so that other nodes can claim its
/// players, and registers it again once the runtime moves, as after a lost lease. Keep-alives, saves and events stay on
/// the application's runtime: sessions with a time to live below the stall limit may expire during a stall. On a
/// backend inside the process, the lease is renewed on the application's runtime.
///
/// ```
/// # async fn run() -> ringhold::Result<()> {
/// use ringhold::{Fleet, Login, LoginOptions, PlayerId};
///
/// let backend = ringhold::open("memory:").await?;
/// let eu = Fleet::builder(backend.clone()).node("eu-1").endpoint("player", "127.0.0.1:4000").join().await?;
/// let us = Fleet::builder(backend).node("us-1").endpoint("player", "127.0.0.1:5000").join().await?;
///
/// let ada = PlayerId::new("ada")?;
/// let Login::Here(mut session) = eu.login::<(i32, i32)>(&ada, LoginOptions::new()).await? else { panic!() };
/// *session.value_mut() = (3, 4);
/// session.save().await?;
///
/// // Ada is on eu-1, so another node says where to go.
/// us.wait_for(|view| view.nodes().len() == 2).await;
/// let Login::Elsewhere(to) = us.login::<(i32, i32)>(&ada, LoginOptions::new()).await? else { panic!() };
/// assert_eq!(to.address("player").unwrap().as_str(), "127.0.0.1:4000");
///
/// // Once eu-1 has left, the player is claimed with everything that was saved.
/// drop(session);
/// eu.leave().await?;
/// us.wait_for(|view| view.nodes().len() == 1).await;
/// let Login::Here(session) = us.login::<(i32, i32)>(&ada, LoginOptions::new()).await? else { panic!() };
/// assert_eq!(*session.value(), (3, 4));
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Fleet {
    node: Arc<Node>,
    observer: Observer,
}

impl Fleet {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let stop = Arc::new(node.shared.stop.clone().drop_guard());
        let observer = Observer::of(&node, stop);
        Self { node, observer }
    }

    /// A handle that keeps nothing alive, for what lives inside of the fleet: a handler of calls, a
    /// callback.
    pub fn downgrade(&self) -> WeakFleet {
        WeakFleet {
            node: Arc::downgrade(&self.node),
            stop: Arc::downgrade(self.observer.stop()),
        }
    }

    /// Who this node is now. The incarnation is another after a lost lease.
    pub fn node(&self) -> NodeIncarnation {
        self.node.me()
    }

    /// This node's record.
    pub fn record(&self) -> Arc<NodeRecord> {
        self.node.record()
    }

    /// The periods of the fleet.
    pub fn timing(&self) -> Timing {
        self.node.timing
    }

    /// How this node stands to the fleet.
    pub fn status(&self) -> NodeStatus {
        let status = *self.node.status.borrow();
        if status == NodeStatus::Attached && !self.node.is_attached() {
            NodeStatus::Detached
        } else {
            status
        }
    }

    /// How many players are attached here, logins on their way included.
    pub fn attached(&self) -> usize {
        self.node.attached.taken() as usize
    }

    /// Counts of this node's part in the expiry of sessions.
    pub fn expiry_counts(&self) -> ExpiryCounts {
        self.node.expiry.counts()
    }

    /// Logs a player in: a new one, one who comes back, or one who has to be taken over.
    ///
    /// - The player has no live session: it is [`Login::Here`] with `T::default()`.
    /// - This node holds the session: it is `Here` with the saved value, and the connection that
    ///   held it until now is told [`SessionEvent::Displaced`].
    /// - A live node holds it: [`Login::Elsewhere`] says where to go, unless
    ///   [`LoginOptions::displace`] was asked for.
    /// - The node that held it has left: this node claims it, `Here` with the saved value. A node
    ///   that died is known to have left once its lease has lapsed; until then it is `Elsewhere`.
    ///
    /// One round trip to the store for a new player or one who is elsewhere, and two for one who comes
    /// back; one more when this node is full or draining, two more after each lost race, and a
    /// renewal when the view is too old to tell that an owner has left.
    ///
    /// The stored value is decoded before the session is claimed, under the fence and version that were
    /// read. So a login that fails, or whose `Deserialize` panics, displaces no connection,
    /// extends no session and becomes its owner nowhere.
    ///
    /// How deep a value is read is bounded by its type alone: save none that contains itself, such as a tree, or
    /// read its bytes with a limit of your own ([`login_raw`](Self::login_raw)).
    ///
    /// # Cancel safety
    /// Dropping the future may leave a session of this node behind that lives to its deadline. The
    /// player's next login here takes it over; other nodes send the player here.
    ///
    /// # Errors
    /// - `NotFound`: the session that the player wanted to resume has ended.
    /// - `Overloaded`: this node is full, draining or of weight 0, or 32 attempts in a row lost a
    ///   race to other logins or saves of the player.
    /// - `Unavailable`: no answer for 20 s, or this node is [detached](NodeStatus::Detached) or has
    ///   stopped.
    /// - `Fenced`: another login of the player ended this one before its answer came.
    /// - `Corrupt`: the stored value is not a `T`. Nothing has changed; a connection that holds the session
    ///   keeps it.
    /// - `TooLarge`: `T::default()` encodes to more than the limit.
    /// - `InvalidArgument`: `T::default()` cannot be stored, as [`Session::save`](crate::Session::save) says.
    pub async fn login<T>(&self, player: &PlayerId, options: LoginOptions) -> Result<Login<T>>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        login::login(&self.node, player, options, Codec::postcard(), T::default()).await
    }

    /// The same with the session's bytes as they are. A new session has none.
    ///
    /// # Errors
    /// As [`login`](Self::login), without `Corrupt`.
    pub async fn login_raw(&self, player: &PlayerId, options: LoginOptions) -> Result<Login<Bytes>> {
        login::login(&self.node, player, options, Codec::raw(), Bytes::new()).await
    }

    /// Changes this node's record, such as its weight, its capacity or its state, and waits until
    /// the backend has it. Id, incarnation and expiry mode stay.
    ///
    /// # Errors
    /// `Unavailable` when the lease cannot be renewed for 20 s (the change is tried again with every
    /// renewal), and at once when this node has stopped.
    pub async fn update(&self, change: impl FnOnce(&mut NodeRecord)) -> Result<()> {
        let _one_at_a_time = self.node.updating.lock().await;
        if matches!(self.status(), NodeStatus::Fenced | NodeStatus::Left) {
            return Err(not_attached("update", &self.node));
        }
        let mut record = NodeRecord::clone(&self.node.record());
        change(&mut record);
        self.node.set_record(record);
        self.node.contact.renewed_from_now(retry::OVERALL_DEADLINE).await
    }

    /// Says goodbye: saves what is pending, lets go of the players, and leaves the fleet, so that
    /// others may claim them at once. Each session is told [`SessionEvent::Fenced`]. Expiry handlers that
    /// run get 20 s to finish; the sessions of those that do not are handled again by another node.
    ///
    /// # Cancel safety
    /// A dropped goodbye is half said: call it again, and it goes on where it stopped. So does one
    /// that failed.
    ///
    /// # Errors
    /// `Unavailable` after 20 s without an answer; the lease then lapses by itself.
    pub async fn leave(&self) -> Result<()> {
        // A repetition goes on where one that failed or was dropped has stopped.
        let mut left = self.node.left.lock().await;
        self.node.set_status(NodeStatus::Left);
        if *left || *self.node.status.borrow() == NodeStatus::Fenced {
            return Ok(());
        }
        let mut saving = JoinSet::new();
        for attached in self.node.attached.all() {
            let node = Arc::clone(&self.node);
            saving.spawn(async move {
                if let Some(coalescer) = attached.coalescer() {
                    save::flush(&node, &attached, &coalescer).await;
                }
                // What is on its way comes first.
                let _ = tokio::time::timeout(retry::OVERALL_DEADLINE, attached.lane.lock()).await;
            });
        }
        tokio::join!(
            saving.join_all(),
            self.node.expiry.finished(retry::OVERALL_DEADLINE)
        );
        self.node.end_everybody(&SessionEvent::Fenced);
        if !self.node.stop.is_cancelled() {
            self.node.stop.cancel();
            // The observer goes on: it now follows the watch.
            let observe = Observer::follow(Arc::clone(&self.node.shared), self.node.shared.stop.clone());
            self.node.shared.spawn(observe);
        }
        // No registration of this node comes after its departure.
        let _ = tokio::time::timeout(RENEWALS_END_MAX, self.node.renewals_ended.cancelled()).await;
        let request = LeaveFleet::new(self.node.me(), random::operation()?);
        let discovery = &self.node.backend().discovery;
        retry::until_deadline("leave", || discovery.leave(request.clone())).await?;
        *left = true;
        Ok(())
    }

    /// Resolves when this node has lost players to others, or must stop.
    ///
    /// [`FencedReason::Superseded`]: another process runs under this node's id; end this one.
    /// [`FencedReason::SessionsClaimed`]: the lease was lost and others took players over; those
    /// sessions were told. The node has registered again and goes on, so this is no signal to end a
    /// server loop; wait for [`NodeStatus::Fenced`] with
    /// [`wait_for_status`](Self::wait_for_status) for that.
    ///
    /// # Cancel safety
    /// Cancel safe. Once resolved, it resolves at once.
    pub async fn fenced(&self) -> FencedReason {
        let mut fenced = self.node.fenced.subscribe();
        loop {
            let reason = *fenced.borrow_and_update();
            if let Some(reason) = reason {
                return reason;
            }
            // The sender lives in `self.node`.
            if fenced.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the status is one that `condition` accepts.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_for_status(&self, mut condition: impl FnMut(NodeStatus) -> bool) -> NodeStatus {
        let mut changes = self.node.status.subscribe();
        loop {
            // Copied: a condition that blocks must not hold the lock that a change of the status needs.
            let status = *changes.borrow_and_update();
            if condition(status) {
                return status;
            }
            // The sender lives in `self.node`.
            if changes.changed().await.is_err() {
                return status;
            }
        }
    }
}

/// A [`Fleet`] that keeps nothing alive.
#[derive(Debug, Clone)]
pub struct WeakFleet {
    node: Weak<Node>,
    stop: Weak<DropGuard>,
}

impl WeakFleet {
    /// The fleet, if somebody still holds it.
    pub fn upgrade(&self) -> Option<Fleet> {
        // Whoever holds this keeps the tasks running.
        let stop = self.stop.upgrade()?;
        let node = self.node.upgrade()?;
        let observer = Observer::of(&node, stop);
        Some(Fleet { node, observer })
    }
}

impl Deref for Fleet {
    type Target = Observer;
    fn deref(&self) -> &Observer {
        &self.observer
    }
}
