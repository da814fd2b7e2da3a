//! Membership: few node ids and many runs of them.

use std::sync::Arc;
use std::time::Duration;

use ringhold::core::backend::ClockScope;
use ringhold::core::discovery::{Changes, EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold::core::node::Load;
use ringhold::{
    Discovery, ErrorKind, Incarnation, Membership, NodeId, NodeIncarnation, NodeRecord, NodeState, Result,
    Revision, Timing, Update,
};
use ringhold_testkit::Make;

use crate::pair::{Pair, STEPS, Story, kinds, pause, pick, pick_recent};
use crate::subjects::{EVERY, Embedded, Etcd, FEW, Redis, Subject};

/// A resume point: the revision of the one and of the other. Their tags are their own.
type Point = (Revision, Revision);

/// What a membership is asked. A renewal goes on from a point, which each has its own revision of.
#[derive(Debug, Clone)]
enum Request {
    Register(RegisterNode),
    Renew(RenewLease, Point),
    Leave(LeaveFleet),
    Evict(EvictNode),
    Members,
    Timing,
}

/// What it answers, with its own revisions.
#[derive(Debug, PartialEq)]
enum Answer {
    Registered(Incarnation, Membership),
    Renewed(Changes, Option<Duration>, Option<Vec<(NodeIncarnation, Load)>>),
    Left,
    Evicted(bool),
    Members(Membership),
    Timing(Option<Timing>),
}

async fn ask(discovery: &dyn Discovery, request: Request) -> Result<Answer> {
    Ok(match request {
        Request::Register(request) => {
            let registered = discovery.register(request).await?;
            Answer::Registered(registered.incarnation, registered.membership)
        }
        Request::Renew(request, _) => {
            let renewed = discovery.renew(request).await?;
            Answer::Renewed(renewed.changes, renewed.next_lapse, renewed.loads)
        }
        Request::Leave(request) => discovery.leave(request).await.map(|_| Answer::Left)?,
        Request::Evict(request) => Answer::Evicted(discovery.evict(request).await?.was_member),
        Request::Members => Answer::Members(discovery.members().await?),
        Request::Timing => Answer::Timing(discovery.timing().await?),
    })
}

impl Answer {
    /// Takes the tags away, and answers the revisions as they were, in order.
    fn untag(&mut self) -> Vec<Revision> {
        let strip = |revision: &mut Revision| {
            let before = *revision;
            revision.tag = 0;
            before
        };
        match self {
            Self::Registered(_, membership) | Self::Members(membership) => {
                vec![strip(&mut membership.revision)]
            }
            Self::Renewed(Changes::Updates(updates), ..) => {
                let revisions = updates.iter_mut().filter_map(|update| match update {
                    Update::Joined { revision, .. }
                    | Update::Changed { revision, .. }
                    | Update::Left { revision, .. } => Some(strip(revision)),
                    _ => None,
                });
                revisions.collect()
            }
            _ => Vec::new(),
        }
    }
}

/// How long a clock has stood is known as exactly as the store's steps are: with one that is stored now and
/// then, it is another time for each process.
fn forget_lag(answer: &mut Result<Answer, ErrorKind>) {
    if let Ok(Answer::Registered(_, membership) | Answer::Members(membership)) = answer {
        membership.clock_lag = Duration::ZERO;
    }
}

/// An adapter that got no answer in time asks once more, and the repetition says that the node was no member. Whether it
/// left is what the next answers show.
fn forget_repetition(memory: &Result<Answer, ErrorKind>, other: &mut Result<Answer, ErrorKind>) {
    if let (Ok(Answer::Evicted(true)), Ok(Answer::Evicted(was_member))) = (memory, other) {
        *was_member = true;
    }
}

/// What is known of a fleet, to ask things that may be right.
struct Scene {
    make: Make,
    ids: Vec<NodeId>,
    registrations: Vec<RegisterNode>,
    runs: Vec<Arc<NodeRecord>>,
    points: Vec<Point>,
    /// Goodbyes and evictions so far.
    ended: Vec<Request>,
}

impl Scene {
    fn new(make: Make) -> Self {
        Self {
            ids: (0..4).map(|_| make.node_id()).collect(),
            make,
            registrations: Vec::new(),
            runs: Vec::new(),
            points: vec![Point::default()],
            ended: Vec::new(),
        }
    }

    fn chance(&self, one_of: usize) -> bool {
        self.make.below(one_of) == 0
    }

    /// A run that registered lately, or one that never did.
    fn run(&self) -> Arc<NodeRecord> {
        let known = match self.make.below(12) {
            0 => None,
            1 => pick(&self.make, &self.runs),
            2 => pick_recent(&self.make, &self.runs, 12),
            _ => pick_recent(&self.make, &self.runs, 4),
        };
        let known = known.map(Arc::clone);
        known.unwrap_or_else(|| {
            let mut record = self.make.run_of(self.id());
            record.incarnation.number = self.make.bits() % 6;
            Arc::new(record)
        })
    }

    fn id(&self) -> NodeId {
        pick(&self.make, &self.ids).expect("ids").clone()
    }

    fn register(&self) -> RegisterNode {
        let make = &self.make;
        if self.chance(4)
            && let Some(earlier) = pick_recent(make, &self.registrations, 6)
        {
            return earlier.clone();
        }
        let mut record = make.run_of(self.id());
        match make.below(80) {
            0 => record.incarnation.number = make.bits() % 100_000,
            1..=20 => record.incarnation.number = make.bits() % 12,
            _ => {}
        }
        record.state = NodeState::Joining;
        let timing = match make.below(12) {
            0 => Timing::relaxed(),
            1 => Timing::new(Duration::from_millis(20), Duration::from_millis(60)).expect("a timing"),
            _ => Timing::default(),
        };
        RegisterNode::new(record, timing)
    }

    fn point(&self) -> Point {
        let make = &self.make;
        let known = pick_recent(make, &self.points, if self.chance(4) { usize::MAX } else { 8 });
        let (mut memory, mut other) = *known.expect("the first one");
        match make.below(12) {
            0 => {
                memory.tag ^= 1;
                other.tag ^= 1;
            }
            1 => {
                memory.number += 1;
                other.number += 1;
            }
            2 => (memory, other) = Point::default(),
            _ => {}
        }
        (memory, other)
    }

    fn renew(&self) -> Request {
        let (make, run) = (&self.make, self.run());
        // Few values, so that some renewals change nothing.
        let load = Load::new([0, 0, 1, 2, u32::MAX][make.below(5)]);
        let point = self.point();
        let mut renewal = RenewLease::new(run.node(), point.0, load, make.operation());
        if self.chance(3) {
            let mut record = NodeRecord::clone(&run);
            record.state = [NodeState::Joining, NodeState::Ready, NodeState::Draining][make.below(3)];
            if self.chance(10) {
                record.incarnation.number += 1;
            }
            renewal = renewal.with_record(Arc::new(record));
        }
        Request::Renew(renewal, point)
    }

    fn next(&self) -> Request {
        let make = &self.make;
        match make.below(100) {
            0..=17 => Request::Register(self.register()),
            18..=69 => self.renew(),
            70..=75 => Request::Leave(LeaveFleet::new(self.run().node(), make.operation())),
            76..=80 => Request::Evict(EvictNode::new(self.run().node(), make.operation())),
            81..=84 => pick_recent(make, &self.ended, 5)
                .cloned()
                .unwrap_or(Request::Members),
            85..=96 => Request::Members,
            _ => Request::Timing,
        }
    }

    fn learn(&mut self, request: Request, answer: &Result<Answer, ErrorKind>) {
        match request {
            Request::Register(registration) => {
                if let Ok(Answer::Registered(incarnation, _)) = answer {
                    let mut record = NodeRecord::clone(&registration.record);
                    record.incarnation = *incarnation;
                    self.runs.push(Arc::new(record));
                }
                self.registrations.push(registration);
            }
            Request::Leave(_) | Request::Evict(_) => self.ended.push(request),
            Request::Renew(..) | Request::Members | Request::Timing => {}
        }
    }
}

async fn both_answer_the_same(subject: &dyn Subject, sequences: usize) {
    let seeds = Make::new("model of memberships");
    let mut story = Story::default();
    for _ in 0..sequences {
        let make = Make::with_seed("a sequence of memberships", seeds.bits());
        let pair = Pair::new(subject, &make).await;
        let mut scene = Scene::new(make);
        story.begin();
        for step in 0..STEPS {
            // A look comes first: the one clock starts with the backend, the other with the first look,
            // and how far an untouched clock lags is left open.
            let request = if step == 0 { Request::Members } else { scene.next() };
            if step > 0 {
                pair.pass(pause(&scene.make)).await;
            }
            let mut memory = kinds(ask(&*pair.memory.discovery, request.clone()).await);
            let mut other = kinds(ask(&*pair.other.discovery, of_other(request.clone())).await);
            if pair.other.capabilities.session_clocks == ClockScope::Fleet {
                forget_lag(&mut memory);
                forget_lag(&mut other);
            }
            forget_repetition(&memory, &mut other);
            let revisions =
                |answer: &mut Result<Answer, _>| answer.as_mut().map_or(Vec::new(), Answer::untag);
            let points = revisions(&mut memory).into_iter().zip(revisions(&mut other));
            scene.points.extend(points);
            story.same(&request, &memory, &other);
            scene.learn(request, &memory);
        }
    }
    story.met(
        sequences,
        &[
            "Evict ok",
            "Leave ok",
            "Members ok",
            "Register invalid_argument",
            "Register ok",
            "Register superseded",
            "Renew invalid_argument",
            "Renew lease_lost",
            "Renew ok",
            "Renew superseded",
            "Timing ok",
        ],
    );
}

/// The same request with the revision that the other gave to the resume point.
fn of_other(mut request: Request) -> Request {
    if let Request::Renew(renewal, (_, other)) = &mut request {
        renewal.after = *other;
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_members_as_memory_does() {
    let subject = Redis::one("redis").await;
    both_answer_the_same(&subject, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_by_fred_keeps_members_as_memory_does() {
    let subject = Redis::one("fred").await;
    both_answer_the_same(&subject, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cluster_keeps_members_as_memory_does() {
    let subject = Redis::cluster("redis").await;
    both_answer_the_same(&subject, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cluster_by_fred_keeps_members_as_memory_does() {
    let subject = Redis::cluster("fred").await;
    both_answer_the_same(&subject, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_keeps_members_as_memory_does() {
    let subject = Embedded::redb();
    both_answer_the_same(&subject, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_keeps_members_as_memory_does() {
    let subject = Embedded::sled();
    both_answer_the_same(&subject, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_etcd_keeps_members_as_memory_does() {
    let subject = Etcd::start().await;
    both_answer_the_same(&subject, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redis_keeps_members_as_memory_does_in_every_sequence() {
    let subject = Redis::one("redis").await;
    both_answer_the_same(&subject, EVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redis_cluster_keeps_members_as_memory_does_in_every_sequence() {
    let subject = Redis::cluster("redis").await;
    both_answer_the_same(&subject, EVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redb_keeps_members_as_memory_does_in_every_sequence() {
    let subject = Embedded::redb();
    both_answer_the_same(&subject, EVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_sled_keeps_members_as_memory_does_in_every_sequence() {
    let subject = Embedded::sled();
    both_answer_the_same(&subject, EVERY).await;
}
