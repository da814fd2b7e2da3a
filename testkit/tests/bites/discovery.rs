//! A membership with a fault.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ringhold_core::backend::Capabilities;
use ringhold_core::discovery::{
    Changes, Departed, DiscoveryConnector, EvictNode, Evicted, LeaveFleet, RegisterNode, Registered,
    RenewLease, Renewed, Watch,
};
use ringhold_core::membership::{LeftReason, Member};
use ringhold_core::node::Load;
use ringhold_core::{
    Clock, Discovery, Error, ErrorKind, FleetName, Incarnation, Limits, Membership, NodeId, NodeIncarnation,
    NodeRecord, Nonce, OperationId, Result, Revision, Timing, Update, Weight,
};
use ringhold_memory::MemoryBackend;
use ringhold_testkit::discovery::RULES;
use ringhold_testkit::{DiscoveryHarness, SimulatedClock, TestTime, async_trait};

use super::discovery_faults::{CASES, Fault};
use super::discovery_watch::{BrokenWatch, Queue};
use super::{bites, by_name};

/// Hands out memberships with one fault.
#[derive(Debug)]
pub(crate) struct Harness {
    fault: Fault,
    clock: SimulatedClock,
}

#[async_trait]
impl DiscoveryHarness for Harness {
    async fn discovery(&self) -> Arc<dyn Discovery> {
        // Only with these faults does the inner membership have a time of its own.
        let own_time = matches!(self.fault, Fault::TimeGoesOn | Fault::OutagesCostTwoCaps);
        let inner_clock = if own_time {
            SimulatedClock::new()
        } else {
            self.clock.clone()
        };
        let (fleet, limits) = (FleetName::new("bites").expect("a word"), Limits::default());
        let inner = MemoryBackend::with_clock(fleet, limits, Arc::new(inner_clock.clone()))
            .backend()
            .discovery;
        let state = Mutex::new(State {
            known_time: self.clock.now(),
            ..State::default()
        });
        let (fault, clock) = (self.fault, self.clock.clone());
        Arc::new(Broken {
            fault,
            clock,
            inner_clock,
            inner,
            state,
            queues: Mutex::default(),
        })
    }

    async fn connected_discovery(&self) -> (Arc<dyn Discovery>, Option<Arc<dyn DiscoveryConnector>>) {
        let connector = (self.fault == Fault::ConnectsToAnotherFleet).then(|| Arc::new(Elsewhere) as _);
        (self.discovery().await, connector)
    }

    fn time(&self) -> &dyn TestTime {
        &self.clock
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::embedded();
        capabilities.shared = matches!(self.fault, Fault::NothingConnects | Fault::ConnectsToAnotherFleet);
        capabilities
    }
}

/// Connects to a fleet that has no other member.
#[derive(Debug)]
struct Elsewhere;

#[async_trait]
impl DiscoveryConnector for Elsewhere {
    async fn connect(&self) -> Result<Arc<dyn Discovery>> {
        Ok(MemoryBackend::new(FleetName::new("elsewhere")?)
            .backend()
            .discovery)
    }
}

ringhold_testkit::__discovery_rules!([by_name] discovery);

#[test]
fn the_discovery_suite_bites() {
    bites(RULES, CASES, Fault::Sound, |fault, rule| async move {
        run(
            rule,
            &Harness {
                fault,
                clock: SimulatedClock::new(),
            },
        )
        .await;
    });
}

#[derive(Debug)]
struct Broken {
    fault: Fault,
    clock: SimulatedClock,
    inner_clock: SimulatedClock,
    inner: Arc<dyn Discovery>,
    state: Mutex<State>,
    /// The watches that are read for those who do not.
    queues: Mutex<Vec<Arc<Queue>>>,
}

/// What the faults need to remember.
#[derive(Debug, Default)]
struct State {
    /// Up to when time has been passed on.
    known_time: Duration,
    renewed: Duration,
    nonces: HashSet<Nonce>,
    first: Option<NodeId>,
    revisions: HashMap<u64, Revision>,
    torn: Option<Membership>,
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    /// The member of this id, whichever run it is.
    async fn member(&self, id: &NodeId) -> Option<NodeIncarnation> {
        let members = self.inner.members().await.expect("memory is there");
        members.get(id).map(Member::node)
    }

    /// An eviction of nobody, which reaps.
    async fn reap(&self) {
        let nobody = Incarnation {
            number: 0,
            nonce: Nonce::from_bytes([0; 16]),
        };
        let nobody = NodeIncarnation::new(NodeId::new("nobody").expect("a word"), nobody);
        let evict = EvictNode::new(nobody, OperationId::from_bytes([1; 16]));
        self.inner.evict(evict).await.expect("memory is there");
    }

    /// Where time goes on, whoever renews or not.
    async fn before(&self) {
        let now = self.clock.now();
        let passed = now.saturating_sub(std::mem::replace(&mut self.state().known_time, now));
        let cap = Timing::default().clock_cap();
        let mut left = match self.fault {
            Fault::TimeGoesOn => passed,
            Fault::OutagesCostTwoCaps => passed.min(cap * 2),
            _ => return,
        };
        while left > Duration::ZERO {
            let step = left.min(cap);
            left = left.saturating_sub(step);
            self.inner_clock.advance(step);
            // A goodbye of nobody ticks and does not reap, so what lapses is there to be seen.
            if left > Duration::ZERO {
                let leave = LeaveFleet::new(self.nobody(), OperationId::from_bytes([1; 16]));
                self.inner.leave(leave).await.expect("memory is there");
            }
        }
    }

    fn nobody(&self) -> NodeIncarnation {
        let id = self
            .state()
            .first
            .clone()
            .unwrap_or_else(|| NodeId::new("nobody").expect("a word"));
        NodeIncarnation::new(
            id,
            Incarnation {
                number: 0,
                nonce: Nonce::from_bytes([0; 16]),
            },
        )
    }

    /// Reads for those who do not.
    async fn after(&self) {
        let queues = self.queues.lock().expect("no panic under this lock").clone();
        for queue in queues {
            queue.fill().await;
        }
    }

    fn saw(&self, membership: &Membership) {
        let revision = membership.revision;
        self.state().revisions.insert(revision.number, revision);
    }
}

#[async_trait]
impl Discovery for Broken {
    async fn register(&self, mut request: RegisterNode) -> Result<Registered> {
        self.before().await;
        let mut record = NodeRecord::clone(&request.record);
        let repeated = !self.state().nonces.insert(record.incarnation.nonce);
        self.state().first.get_or_insert_with(|| record.id.clone());
        match self.fault {
            Fault::RegisterForgetsTheNumber => record.incarnation.number = 0,
            Fault::RepetitionIsANewRun if repeated => {
                let mut bytes = record.incarnation.nonce.to_bytes();
                bytes[0] ^= 1;
                record.incarnation.nonce = Nonce::from_bytes(bytes);
            }
            Fault::OldRunsAreEvicted => {
                if let Some(old) = self.member(&record.id).await {
                    self.inner
                        .evict(EvictNode::new(old, OperationId::from_bytes([2; 16])))
                        .await?;
                }
            }
            Fault::TimingIsNotCompared => {
                if let Some(stored) = self.inner.timing().await? {
                    request.timing = stored;
                }
            }
            _ => {}
        }
        if self.is(Fault::LateRepetitionsSupersede)
            && repeated
            && let Some(other) = self.member(&record.id).await
            && other.incarnation.nonce != record.incarnation.nonce
        {
            let evict = EvictNode::new(other, OperationId::from_bytes([3; 16]));
            self.inner.evict(evict).await?;
        }
        request.record = Arc::new(record);
        let mut registered = self.inner.register(request).await.map_err(|error| {
            if self.is(Fault::TimingIsNotNamed) {
                Error::new(error.kind(), "broken", "no")
            } else {
                error
            }
        })?;
        self.saw(&registered.membership);
        if self.is(Fault::NumbersStayAtOne) {
            registered.incarnation.number = 1;
        }
        self.after().await;
        Ok(registered)
    }

    async fn renew(&self, mut request: RenewLease) -> Result<Renewed> {
        self.before().await;
        let node = request.node.clone();
        self.state().renewed = self.clock.now();
        if self.is(Fault::RenewalsAreSwallowed) && self.state().first.as_ref() != Some(&node.node) {
            return Ok(Renewed::new(Changes::Updates(Vec::new())));
        }
        match (self.fault, &request.record) {
            (Fault::TagsAreIgnored, _) => {
                if let Some(known) = self.state().revisions.get(&request.after.number) {
                    request.after = *known;
                }
            }
            (Fault::NewRecordsAreDropped, _) => request.record = None,
            (Fault::EveryRecordIsAChange, Some(record)) => {
                let mut other = NodeRecord::clone(record);
                other.weight = Weight::MAX;
                let mut first = request.clone();
                first.record = Some(Arc::new(other));
                self.inner.renew(first).await?;
            }
            (Fault::LoadsAreForgotten, _) => request.load = Load::default(),
            _ => {}
        }
        let mut renewed = match self.inner.renew(request).await {
            Err(error) => match (self.fault, error.kind()) {
                (Fault::RenewBringsBack, ErrorKind::LeaseLost) => {
                    let record = NodeRecord::new(node.node, node.incarnation);
                    let timing = self.inner.timing().await?.unwrap_or_default();
                    self.inner.register(RegisterNode::new(record, timing)).await?;
                    return Ok(Renewed::new(Changes::ResetNeeded));
                }
                (Fault::LeaseLostIsSuperseded, ErrorKind::LeaseLost) => {
                    return Err(Error::new(ErrorKind::Superseded, "broken", "on purpose"));
                }
                (Fault::SupersededIsLeaseLost, ErrorKind::Superseded) => {
                    return Err(Error::new(ErrorKind::LeaseLost, "broken", "on purpose"));
                }
                _ => return Err(error),
            },
            Ok(renewed) => renewed,
        };
        match (self.fault, &mut renewed.changes) {
            (Fault::RenewDropsAChange, Changes::Updates(updates)) if updates.len() > 2 => {
                updates.remove(1);
            }
            (Fault::NothingNeedsAReset, Changes::ResetNeeded) => {
                renewed.changes = Changes::Updates(Vec::new());
            }
            (Fault::LapsesAreEvictions, Changes::Updates(updates)) => {
                for update in updates {
                    if let Update::Left {
                        reason: reason @ LeftReason::LeaseLapsed,
                        ..
                    } = update
                    {
                        *reason = LeftReason::Evicted;
                    }
                }
            }
            (Fault::NextLapseIsALease, _) => {
                renewed.next_lapse = self.inner.timing().await?.map(|timing| timing.lease());
            }
            _ => {}
        }
        Ok(renewed)
    }

    async fn leave(&self, mut request: LeaveFleet) -> Result<Departed> {
        self.before().await;
        let member = self.member(&request.node.node).await;
        match (self.fault, member) {
            (Fault::LeaveTwiceIsAnError, None) => {
                return Err(Error::new(ErrorKind::NotFound, "broken", "twice"));
            }
            (Fault::LeaveGoesById, Some(member)) => request.node = member,
            (Fault::GoodbyesReap, _) => self.reap().await,
            _ => {}
        }
        let departed = self.inner.leave(request).await?;
        self.after().await;
        Ok(departed)
    }

    async fn evict(&self, mut request: EvictNode) -> Result<Evicted> {
        self.before().await;
        if self.is(Fault::EvictGoesById)
            && let Some(member) = self.member(&request.target.node).await
        {
            request.target = member;
        }
        self.inner.evict(request).await
    }

    async fn members(&self) -> Result<Membership> {
        self.before().await;
        if self.is(Fault::ReadersReap) {
            self.reap().await;
        }
        let mut members = self.inner.members().await?;
        self.saw(&members);
        // A lease clock that nobody but those who renew moves on stops after its cap.
        let silent = self.clock.now().saturating_sub(self.state().renewed);
        let stands = self.is(Fault::LooksMoveNoClock) && silent > Timing::default().clock_cap();
        if stands || self.is(Fault::LapsesAreHidden) {
            for member in &mut members.members {
                member.lapsed = false;
            }
        }
        if self.is(Fault::OutagesCostTwoCaps) {
            // It tells how long the outage was, and only takes too much for it.
            members.clock_lag += Duration::from_secs(3_600);
        }
        if self.is(Fault::MembersAreTorn) {
            // The revision of now, with the members of the time before.
            let before = self.state().torn.replace(members.clone());
            if let Some(before) = before {
                members.members = before.members;
            }
        }
        Ok(members)
    }

    async fn timing(&self) -> Result<Option<Timing>> {
        self.inner.timing().await
    }

    async fn watch(&self, mut after: Option<Revision>) -> Result<Box<dyn Watch>> {
        match (self.fault, after) {
            (Fault::WatchAlwaysResets, _) => after = None,
            (Fault::ForeignPointsResume, Some(_)) => after = Some(self.inner.members().await?.revision),
            _ => {}
        }
        let inner = self.inner.watch(after).await?;
        let watch = BrokenWatch::new(self.fault, inner);
        self.queues
            .lock()
            .expect("no panic under this lock")
            .extend(watch.queue());
        Ok(Box::new(watch))
    }
}
