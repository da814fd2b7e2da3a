//! Rules of the lease state machine that go beyond the contract, and its account.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::discovery::{Changes, EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::id::NUMBER_MAX;
use ringhold_core::membership::LeftReason;
use ringhold_core::node::Load;
use ringhold_core::{
    Discovery, ErrorKind, Membership, NodeId, NodeIncarnation, NodeRecord, Result, Revision, Timing, Update,
};
use ringhold_testkit::{Make, SimulatedClock};

use super::MemoryDiscovery;
use super::leases::{Leases, Runs};
use super::log::ChangeLog;

mod loads;

const HEARTBEAT: Duration = Duration::from_secs(1);

/// A fleet and its time.
struct Scene {
    make: Make,
    time: Duration,
    leases: Leases,
}

impl Scene {
    fn new(name: &'static str) -> Self {
        let time = Duration::from_secs(1_000);
        Self {
            make: Make::new(name),
            time,
            leases: Leases::new(time),
        }
    }

    fn register(&mut self, record: NodeRecord) -> NodeIncarnation {
        let id = record.id.clone();
        let request = RegisterNode::new(record, Timing::default());
        NodeIncarnation::new(id, self.leases.register(self.time, &request).unwrap().incarnation)
    }

    fn join(&mut self) -> NodeIncarnation {
        let record = self.make.node();
        self.register(record)
    }

    fn renew(&mut self, node: &NodeIncarnation, after: Revision) -> Result<Changes> {
        let renewal = RenewLease::new(node.clone(), after, Load::new(0), self.make.operation());
        self.leases
            .renew(self.time, renewal)
            .map(|renewed| renewed.changes)
    }

    fn evict(&mut self, node: &NodeIncarnation) -> bool {
        self.leases
            .evict(self.time, &EvictNode::new(node.clone(), self.make.operation()))
    }

    /// Checks what has to hold between two operations.
    fn check(&self) {
        let leases = &self.leases;
        let of_members: HashSet<_> = leases
            .members
            .iter()
            .map(|(id, lease)| (lease.deadline, id.clone()))
            .collect();
        assert_eq!(
            leases.deadlines.iter().cloned().collect::<HashSet<_>>(),
            of_members
        );
        assert_eq!(leases.deadlines.len(), leases.members.len());
        for (id, lease) in &leases.members {
            assert_eq!(lease.record.id, *id);
            assert_eq!(leases.runs[id].number, lease.record.incarnation.number);
        }
        // Each remembered id has a member or one entry among the departed.
        let departed: HashSet<_> = leases.departed.iter().map(|(_, id)| id).collect();
        assert_eq!(departed.len(), leases.departed.len());
        assert!(
            departed
                .iter()
                .all(|id| !leases.members.contains_key(id) && leases.runs.contains_key(id))
        );
        assert_eq!(leases.runs.len(), leases.members.len() + departed.len());
    }
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn a_repetition_after_the_end_is_a_new_run() {
    let mut scene = Scene::new("again");
    let record = scene.make.node();
    let first = scene.register(record.clone());
    assert_eq!(scene.register(record.clone()), first);
    assert!(scene.evict(&first) && !scene.evict(&first));
    assert_eq!(
        kind(scene.renew(&first, Revision::default())),
        Some(ErrorKind::LeaseLost)
    );
    let second = scene.register(record);
    assert_eq!(second.incarnation.number, 2);
    assert_eq!(
        kind(scene.renew(&first, Revision::default())),
        Some(ErrorKind::Superseded)
    );
    scene.check();
}

#[test]
fn a_late_repetition_puts_nobody_out() {
    for others in [0, ChangeLog::LEN_MAX * 2] {
        let mut scene = Scene::new("late");
        let record = scene.make.node();
        let first = scene.register(record.clone());
        let next = scene.make.run_of(record.id.clone());
        let second = scene.register(next);
        // Nor where the log of changes has forgotten the first run.
        for _ in 0..others {
            scene.join();
        }
        let before = scene.leases.membership(scene.time);
        let request = RegisterNode::new(record.clone(), Timing::default());
        let late = scene.leases.register(scene.time, &request);
        assert_eq!(kind(late), Some(ErrorKind::Superseded));
        assert_eq!(scene.leases.membership(scene.time), before);
        assert!(before.contains(&second) && !before.contains(&first));

        // Once nobody lives under the id, it is a new run.
        assert!(scene.evict(&second));
        let number = 3 + u64::try_from(others).unwrap();
        assert_eq!(scene.register(record).incarnation.number, number);
        scene.check();
    }
}

/// Registers and leaves under so many ids, and returns the greatest number of ids that were remembered without a
/// member.
fn churn(scene: &mut Scene, ids: u64) -> usize {
    let mut most = 0;
    for number in 1..=ids {
        let node = scene.join();
        assert_eq!(node.incarnation.number, number, "no number is given twice");
        let request = LeaveFleet::new(node, scene.make.operation());
        scene.leases.leave(scene.time, &request);
        most = most.max(scene.leases.runs.len());
    }
    scene.check();
    most
}

#[test]
fn ids_that_come_and_go_are_dropped_beyond_a_thousand() {
    assert_eq!(churn(&mut Scene::new("pods"), 3_000), 1_000);
}

#[test]
fn slow_a_hundred_thousand_ids_that_come_and_go_are_dropped_beyond_a_thousand() {
    assert_eq!(churn(&mut Scene::new("many pods"), 100_000), 1_000);
}

#[test]
fn of_an_id_that_never_rests_the_last_runs_are_known() {
    let mut scene = Scene::new("restless");
    let records: Vec<_> = (0..Runs::NONCES_MAX + 3)
        .map(|_| scene.make.run_of(NodeId::new("restless").unwrap()))
        .collect();
    for record in &records {
        scene.register(record.clone());
    }
    for record in &records[4..records.len() - 1] {
        let request = RegisterNode::new(record.clone(), Timing::default());
        assert_eq!(
            kind(scene.leases.register(scene.time, &request)),
            Some(ErrorKind::Superseded)
        );
    }
    let number = u64::try_from(records.len()).unwrap();
    let last = records[records.len() - 1].clone();
    assert_eq!(scene.register(last).incarnation.number, number);
}

#[tokio::test]
async fn who_only_looks_sees_that_all_have_lapsed_and_reaps_nobody() {
    let make = Make::new("looks");
    let clock = SimulatedClock::new();
    let discovery = MemoryDiscovery::new(Arc::new(clock.clone()));
    let request = RegisterNode::new(make.node(), Timing::default());
    let revision = discovery.register(request).await.unwrap().membership.revision;
    let mut seen = Vec::new();
    for _ in 0..60 {
        clock.advance(HEARTBEAT);
        let members = discovery.members().await.unwrap();
        assert_eq!(
            (members.revision, members.clock_lag),
            (revision, HEARTBEAT),
            "the lag is that from before the look"
        );
        seen.push(members.members[0].lapsed);
    }
    let lapsed_at = seen.iter().position(|lapsed| *lapsed);
    assert_eq!(lapsed_at, Some(4), "the fifth look: a lease is five heartbeats");
    assert!(seen[4..].iter().all(|lapsed| *lapsed));
}

#[test]
fn numbers_do_not_wrap() {
    let mut scene = Scene::new("wrap");
    let mut record = scene.make.node();
    record.incarnation.number = NUMBER_MAX - 1;
    assert_eq!(scene.register(record.clone()).incarnation.number, NUMBER_MAX);
    record.incarnation.nonce = scene.make.nonce();
    let request = RegisterNode::new(record.clone(), Timing::default());
    assert_eq!(
        kind(scene.leases.register(scene.time, &request)),
        Some(ErrorKind::InvalidArgument)
    );
    assert!(
        scene.leases.members.contains_key(&record.id),
        "a refused registration ends nothing"
    );
}

#[test]
fn an_empty_fleet_takes_another_timing() {
    let mut scene = Scene::new("timing");
    let node = scene.join();
    let request = RegisterNode::new(scene.make.node(), Timing::relaxed());
    let error = scene.leases.register(scene.time, &request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.context().contains("1s / 5s") && error.context().contains("5s / 15s"),
        "{error}"
    );
    scene
        .leases
        .leave(scene.time, &LeaveFleet::new(node, scene.make.operation()));
    scene.leases.register(scene.time, &request).unwrap();
    assert_eq!(scene.leases.timing(), Some(Timing::relaxed()));
    // The lease clock now takes a step of 1.5 of the new heartbeats.
    let before = scene.leases.clock.read(scene.time);
    assert_eq!(
        scene.leases.clock.read(scene.time + HEARTBEAT * 60),
        before + HEARTBEAT * 15 / 2
    );
}

#[test]
fn the_lapsed_go_in_the_order_of_their_leases() {
    let mut scene = Scene::new("order");
    let nodes: Vec<_> = (0..3)
        .map(|_| {
            scene.time += HEARTBEAT;
            scene.join()
        })
        .collect();
    let watcher = scene.join();
    let after = scene.leases.membership(scene.time).revision;
    let mut left = Vec::new();
    for _ in 0..6 {
        scene.time += HEARTBEAT;
        let Changes::Updates(updates) = scene.renew(&watcher, after).unwrap() else {
            panic!("few changes")
        };
        left = updates;
    }
    let gone: Vec<_> = left
        .into_iter()
        .map(|update| match update {
            Update::Left {
                node,
                reason: LeftReason::LeaseLapsed,
                ..
            } => node,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(gone, nodes);
    scene.check();
}

#[test]
fn a_record_of_another_is_refused() {
    let mut scene = Scene::new("record");
    let (node, other) = (scene.join(), scene.make.node());
    let renewal = RenewLease::new(node, Revision::default(), Load::new(0), scene.make.operation());
    let error = scene
        .leases
        .renew(scene.time, renewal.with_record(Arc::new(other)))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

/// Followers by `renew` and by `watch`, at their own pace, come to what `members` says.
#[test]
fn every_follower_comes_to_the_same_membership() {
    let mut scene = Scene::new("followers");
    let anchor = scene.join();
    let mut by_renew = scene.leases.membership(scene.time);
    let mut by_watch = Membership::default();
    let mut position = scene.leases.position(None);
    let mut live: Vec<NodeIncarnation> = Vec::new();
    let mut numbers = BTreeMap::new();
    let mut resets = 0;
    for step in 0..4_000_usize {
        scene.time += HEARTBEAT / 10;
        let at = scene.make.below(live.len());
        match (scene.make.below(8), live.get(at).cloned()) {
            (0 | 1, _) => live.push(scene.join()),
            (2, Some(node)) => {
                let record = scene.make.run_of(node.node.clone());
                live[at] = scene.register(record);
            }
            (3, Some(node)) => {
                scene.evict(&node);
            }
            (4, Some(node)) => {
                scene
                    .leases
                    .leave(scene.time, &LeaveFleet::new(node, scene.make.operation()));
            }
            (_, Some(node)) if scene.renew(&node, Revision::default()).is_err() => {
                live.swap_remove(at);
            }
            _ => {}
        }
        for member in scene.leases.membership(scene.time).members {
            let number = numbers.entry(member.record.id.clone()).or_insert(0);
            assert!(*number <= member.record.incarnation.number, "a number came again");
            *number = member.record.incarnation.number;
        }
        // Follows in bursts: sometimes near, sometimes far behind.
        if step % 7 == 0 || step > 3_990 {
            match scene.renew(&anchor, by_renew.revision).unwrap() {
                Changes::Updates(updates) => {
                    assert!(updates.len() <= Changes::MAX);
                    for update in updates {
                        assert!(by_renew.apply(&update).unwrap());
                    }
                }
                _ => by_renew = scene.leases.membership(scene.time),
            }
        }
        if step % 1_000 == 999 || step > 3_990 {
            while let Some(update) = scene.leases.follow(scene.time, &mut position) {
                resets += usize::from(matches!(update, Update::Reset(_)));
                by_watch.apply(&update).unwrap();
            }
        }
        scene.check();
    }
    let nodes = |membership: &Membership| {
        (
            membership.revision,
            membership
                .members
                .iter()
                .map(|m| Arc::clone(&m.record))
                .collect::<Vec<_>>(),
        )
    };
    let truth = nodes(&scene.leases.membership(scene.time));
    assert_eq!(nodes(&by_renew), truth);
    assert_eq!(nodes(&by_watch), truth);
    assert!(resets > 1, "the watcher was left behind at least once: {resets}");
    assert!(truth.0.number > ChangeLog::LEN_MAX as u64);
}
