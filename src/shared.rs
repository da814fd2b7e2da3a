//! What nodes and observers have in common: the membership as it is known here, the view that is
//! published from it, and the events that follow from its changes.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringhold_core::membership::{LeftReason, Member, Membership, Update};
use ringhold_core::published::Published;
use ringhold_core::{Backend, BalancingPolicy, NodeIncarnation, NodeRecord, Result, Revision, Timing, View};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::{EventSender, FleetEvent};

/// An expected login whose player does not arrive counts for two load periods, and at least for this long.
const EXPECTED_MIN: Duration = Duration::from_secs(3);
/// How exactly that is kept, as a part of it.
const EXPECTED_RESOLUTION: u32 = 10;

/// Locks, whatever happened to the last holder: every critical section leaves its data whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state that the tasks of a node or an observer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) backend: Backend,
    pub(crate) policy: Arc<dyn BalancingPolicy>,
    pub(crate) view: Published<View>,
    pub(crate) events: EventSender,
    /// Ends all tasks.
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
    /// The application's runtime: where tasks run unless they renew the lease.
    runtime: Handle,
    writer: Mutex<Writer>,
    changed: watch::Sender<u64>,
    /// How often loads are reported here.
    load_period: Mutex<Duration>,
}

/// What only the writer of views looks at.
#[derive(Debug, Default)]
struct Writer {
    membership: Membership,
    departed: Departed,
    unreachable: HashSet<NodeIncarnation>,
}

impl Shared {
    pub(crate) fn new(backend: Backend, policy: Arc<dyn BalancingPolicy>) -> Self {
        Self {
            backend,
            policy,
            view: Published::new(Arc::new(View::empty())),
            events: EventSender::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            writer: Mutex::default(),
            changed: watch::Sender::new(0),
            load_period: Mutex::new(Timing::default().heartbeat()),
        }
    }

    /// Sets how often loads are reported here, for expected logins.
    pub(crate) fn set_load_period(&self, period: Duration) {
        *lock(&self.load_period) = period;
    }

    /// Takes back expected logins whose players did not arrive, until the fleet stops.
    pub(crate) async fn expire_expected(self: Arc<Self>) {
        let start = Instant::now();
        let expire = async {
            loop {
                let limit = (*lock(&self.load_period) * 2).max(EXPECTED_MIN);
                // sleep: only time says that a player does not come
                sleep(limit / EXPECTED_RESOLUTION).await;
                self.view.latest().expire_expected(start.elapsed(), limit);
            }
        };
        self.stop.run_until_cancelled(expire).await;
    }

    /// Starts a task of this fleet on the application's runtime.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn_on(&self.runtime, task)
    }

    /// Starts a task of this fleet on another runtime.
    pub(crate) fn spawn_on<T: Send + 'static>(
        &self,
        runtime: &Handle,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn_on(task, runtime)
    }

    /// The application's runtime.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The resume point of this membership.
    pub(crate) fn revision(&self) -> Revision {
        lock(&self.writer).membership.revision
    }

    /// Whether this run of this node was seen to leave. Dead is for ever.
    pub(crate) fn has_departed(&self, node: &NodeIncarnation) -> bool {
        lock(&self.writer).departed.contains(node)
    }

    /// Whether this run of this node is a member, or may be one whose record cannot be read here.
    pub(crate) fn is_member(&self, node: &NodeIncarnation) -> bool {
        let writer = lock(&self.writer);
        writer.membership.contains(node)
            || writer
                .membership
                .unreadable
                .iter()
                .any(|member| member.id == node.node)
    }

    /// A receiver that is woken at every published view.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes updates in, publishes one view for all of them, and tells the events. Answers those
    /// members that were known to be dead and are back: whoever writes has to evict them again.
    ///
    /// # Errors
    /// `Corrupt` when an update does not follow; what came before it is taken in.
    pub(crate) fn apply(
        &self,
        updates: impl IntoIterator<Item = Update>,
        own: Option<&NodeIncarnation>,
    ) -> Result<Vec<NodeIncarnation>> {
        let mut events = Vec::new();
        let mut writer = lock(&self.writer);
        let mut outcome = Ok(());
        let mut changed = false;
        for update in updates {
            let Writer {
                membership, departed, ..
            } = &mut *writer;
            let known = matches!(update, Update::Reset(_)).then(|| membership.clone());
            match membership.apply(&update) {
                Ok(true) => {
                    changed = true;
                    tell(&update, known.as_ref(), departed, &mut events);
                }
                Ok(false) => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if changed {
            self.publish(&mut writer, own, &mut events);
        }
        let returned = writer.departed.among(&writer.membership);
        for event in events {
            self.events.send(event);
        }
        drop(writer);
        outcome.map(|()| returned)
    }

    /// Notes that a node could, or could not, be reached from here, and publishes what follows.
    pub(crate) fn note_reachable(
        &self,
        node: &NodeIncarnation,
        reachable: bool,
        own: Option<&NodeIncarnation>,
    ) {
        let mut events = Vec::new();
        let mut writer = lock(&self.writer);
        let changed = if reachable {
            writer.unreachable.remove(node)
        } else {
            writer.membership.contains(node) && writer.unreachable.insert(node.clone())
        };
        if changed {
            self.publish(&mut writer, own, &mut events);
        }
        for event in events {
            self.events.send(event);
        }
        drop(writer);
    }

    /// Publishes the view of the writer's membership. The lock is held so that views are published
    /// in the order of their making.
    fn publish(&self, writer: &mut Writer, own: Option<&NodeIncarnation>, events: &mut Vec<FleetEvent>) {
        let Writer {
            membership,
            unreachable,
            ..
        } = writer;
        unreachable.retain(|node| membership.contains(node));
        let before = self.view.latest();
        let view = before.next(membership, own, |node| unreachable.contains(node));
        for node in view.nodes().iter().filter(|node| node.suspect) {
            let name = node.record.node();
            if !before.incarnation(&name).is_some_and(|known| known.suspect) {
                events.push(FleetEvent::Suspect(name));
            }
        }
        self.view.publish(Arc::new(view));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// The events of one update, and what it says of the dead.
fn tell(update: &Update, known: Option<&Membership>, departed: &mut Departed, events: &mut Vec<FleetEvent>) {
    match update {
        Update::Reset(membership) => {
            let is_gone = |member: &&Member| {
                // One that cannot be read here is live.
                !membership.contains(&member.node())
                    && !membership
                        .unreadable
                        .iter()
                        .any(|unreadable| unreadable.id == member.record.id)
            };
            for member in known.iter().flat_map(|known| &known.members).filter(is_gone) {
                left(member.node(), None, departed, events);
            }
            for member in &membership.members {
                let before = known.and_then(|known| known.get(&member.record.id));
                match before.filter(|before| before.record.incarnation == member.record.incarnation) {
                    None => events.push(FleetEvent::Joined(Arc::clone(&member.record))),
                    Some(before) if before.record != member.record => {
                        events.push(FleetEvent::Changed(Arc::clone(&member.record)));
                    }
                    Some(_) => {}
                }
            }
        }
        Update::Joined { node, .. } => events.push(FleetEvent::Joined(Arc::clone(node))),
        Update::Changed { node, .. } => events.push(FleetEvent::Changed(Arc::clone(node))),
        Update::Left { node, reason, .. } => left(node.clone(), Some(*reason), departed, events),
        _ => {}
    }
}

fn left(
    node: NodeIncarnation,
    reason: Option<LeftReason>,
    departed: &mut Departed,
    events: &mut Vec<FleetEvent>,
) {
    departed.insert(node.clone());
    events.push(FleetEvent::Left { node, reason });
}

/// The last incarnations that were seen to leave, so many at most that a fleet that churns for
/// years costs no more memory.
#[derive(Debug, Default)]
struct Departed {
    known: HashSet<NodeIncarnation>,
    order: VecDeque<NodeIncarnation>,
}

impl Departed {
    const MOST: usize = 4_096;

    fn insert(&mut self, node: NodeIncarnation) {
        if self.known.insert(node.clone()) {
            self.order.push_back(node);
        }
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn contains(&self, node: &NodeIncarnation) -> bool {
        self.known.contains(node)
    }

    fn among(&self, membership: &Membership) -> Vec<NodeIncarnation> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let members = membership.members.iter().map(Member::node);
        members.filter(|node| self.known.contains(node)).collect()
    }
}

/// What the record of a node says, for those who hold only its name.
pub(crate) fn record_of(view: &View, node: &NodeIncarnation) -> Option<Arc<NodeRecord>> {
    view.incarnation(node).map(|node| Arc::clone(&node.record))
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use super::*;
    use ringhold_core::node::Load;
    use ringhold_core::{FleetName, Incarnation, NodeId, Nonce};

    fn record(id: &str, number: u64) -> Arc<NodeRecord> {
        let incarnation = Incarnation {
            number,
            nonce: Nonce::from_bytes([1; 16]),
        };
        Arc::new(NodeRecord::new(NodeId::new(id).unwrap(), incarnation))
    }

    fn shared() -> Shared {
        let fleet = FleetName::new("test").unwrap();
        let backend = ringhold_memory::MemoryBackend::new(fleet).backend();
        Shared::new(backend, Arc::new(ringhold_core::policy::ConsistentHash))
    }

    fn reset(number: u64, records: &[Arc<NodeRecord>]) -> Update {
        let members = records
            .iter()
            .map(|record| Member::new(Arc::clone(record), Load::default()));
        Update::Reset(Membership::new(Revision::new(number, number), members.collect()))
    }

    #[tokio::test]
    async fn a_reset_tells_what_changed_and_the_dead_are_known_when_they_return() {
        let shared = shared();
        let mut events = shared.events.subscribe(shared.stop.clone());
        shared
            .apply([reset(1, &[record("a", 1), record("b", 1)])], None)
            .unwrap();
        shared.apply([reset(2, &[record("b", 1)])], None).unwrap();
        assert!(shared.has_departed(&record("a", 1).node()));
        let returned = shared
            .apply([reset(3, &[record("a", 1), record("b", 1)])], None)
            .unwrap();
        assert_eq!(returned, [record("a", 1).node()]);
        let mut told = Vec::new();
        shared.stop.cancel();
        while let Some(event) = events.next().await {
            told.push(match event {
                FleetEvent::Joined(node) => format!("+{}", node.id),
                FleetEvent::Left { node, reason: None } => format!("-{}", node.node),
                other => format!("{other:?}"),
            });
        }
        assert_eq!(told, ["+a", "+b", "-a", "+a"]);
    }

    #[tokio::test]
    async fn the_unreachable_are_suspect_until_reached() {
        let shared = shared();
        let node = record("a", 1).node();
        shared.apply([reset(1, &[record("a", 1)])], None).unwrap();
        shared.note_reachable(&node, false, None);
        assert!(shared.view.latest().nodes()[0].suspect);
        shared.note_reachable(&node, true, None);
        assert!(!shared.view.latest().nodes()[0].suspect);
        shared.note_reachable(&record("x", 1).node(), false, None);
        assert_eq!(shared.view.latest().nodes().len(), 1);
    }

    #[tokio::test]
    async fn a_gap_is_reported_and_publishes_what_came_before() {
        let shared = shared();
        let joined = |number, id| Update::Joined {
            revision: Revision::new(number, 5),
            node: record(id, 1),
        };
        assert!(shared.apply([joined(1, "a"), joined(3, "b")], None).is_err());
        assert_eq!(shared.view.latest().nodes().len(), 1);
        assert_eq!(shared.revision().number, 1);
    }
}
