//! Random requests to the rules and to the reference implementation, side by side: every answer is the
//! same, refusals and their words too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::common::discovery::TestDiscovery;
use crate::common::{Reach, TestStore};
use ringhold_core::discovery::{Changes, EvictNode, LeaveFleet, RegisterNode, RenewLease, Watch};
use ringhold_core::id::Zone;
use ringhold_core::membership::Member;
use ringhold_core::node::Load;
use ringhold_core::{
    Discovery, Incarnation, Membership, NodeId, NodeIncarnation, NodeRecord, NodeState, Result, Revision,
    Timing, Update,
};
use ringhold_memory::MemoryDiscovery;
use ringhold_testkit::{Make, SimulatedClock, poll_once, run};

const STEPS: usize = 6_000;
const IDS: usize = 48;

/// Both of them, and what happened so far.
struct Twins {
    make: Make,
    clock: SimulatedClock,
    memory: Arc<dyn Discovery>,
    rules: TestDiscovery,
    ids: Vec<NodeId>,
    registrations: Vec<RegisterNode>,
    runs: Vec<NodeIncarnation>,
    revisions: Vec<Revision>,
    followers: Vec<Follower>,
    /// What was seen to happen, so that the test shows what it has tested.
    seen: BTreeMap<String, usize>,
}

/// Who follows both by a watch.
struct Follower {
    watches: [Box<dyn Watch>; 2],
    memberships: [Membership; 2],
}

impl Twins {
    fn new(name: &'static str, reach: Reach) -> Self {
        let make = Make::new(name);
        let clock = SimulatedClock::new();
        let memory: Arc<dyn Discovery> = Arc::new(MemoryDiscovery::new(Arc::new(clock.clone())));
        let rules = TestDiscovery::new(TestStore::new(reach), Arc::new(clock.clone()));
        let ids = (0..IDS).map(|_| make.node_id()).collect();
        Self {
            make,
            clock,
            memory,
            rules,
            ids,
            registrations: Vec::new(),
            runs: Vec::new(),
            revisions: vec![Revision::default()],
            followers: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    fn saw(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    fn one_of<T: Clone>(&self, list: &[T]) -> Option<T> {
        list.get(self.make.below(list.len())).cloned()
    }

    /// One that happened lately, or any.
    fn recent<T: Clone>(&self, list: &[T]) -> Option<T> {
        let window = if self.make.below(8) == 0 { list.len() } else { 60 };
        self.one_of(&list[list.len().saturating_sub(window)..])
    }

    /// Compares two answers, and counts refusals.
    fn same<R: PartialEq + Debug>(&mut self, what: &str, memory: Result<R>, rules: Result<R>) -> Option<R> {
        let in_words = |result: Result<R>| {
            result.map_err(|error| format!("{:?} {}: {}", error.kind(), error.operation(), error.context()))
        };
        let (memory, rules) = (in_words(memory), in_words(rules));
        assert_eq!(rules, memory, "{what}: the rules (left) and memory (right)");
        if self.rules.transactions() > 1 {
            self.saw("more than one transaction reaps");
        }
        match memory {
            Ok(answer) => Some(answer),
            Err(words) => {
                let kind = words.split(':').next().unwrap_or_default();
                self.saw(kind);
                None
            }
        }
    }

    async fn register(&mut self) {
        let mut request = match self.make.below(6) {
            0 => self.recent(&self.registrations),
            _ => None,
        };
        if request.is_none() {
            let id = self.one_of(&self.ids).expect("there are ids");
            let mut record = self.make.run_of(id);
            if self.make.below(300) == 0 {
                record.incarnation.number = self.make.bits() % 100_000;
            } else if self.make.below(4) == 0 {
                record.incarnation.number = self.make.bits() % 1_000;
            }
            let timing = if self.make.below(10) == 0 {
                Timing::relaxed()
            } else {
                Timing::default()
            };
            request = Some(RegisterNode::new(record, timing));
        }
        let request = request.expect("it was just made");
        self.registrations.push(request.clone());
        let (memory, rules) = (
            self.memory.register(request.clone()).await,
            self.rules.register(request.clone()).await,
        );
        if let Some(registered) = self.same("register", memory, rules) {
            let id = request.record.id.clone();
            self.runs.push(NodeIncarnation::new(id, registered.incarnation));
            self.revisions.push(registered.membership.revision);
            self.saw("registered");
        }
    }

    async fn renew(&mut self, node: NodeIncarnation) {
        let after = match self.make.below(12) {
            0 => Revision::new(self.make.bits() % 400, self.make.bits()),
            1 => self.one_of(&self.revisions).expect("there is the first"),
            _ => self.recent(&self.revisions).expect("there is the first"),
        };
        let load = Load::new(u32::try_from(self.make.below(3)).expect("a small number"));
        let mut request = RenewLease::new(node.clone(), after, load, self.make.operation());
        if self.make.below(8) == 0 {
            let mut record = NodeRecord::new(node.node.clone(), node.incarnation);
            record.state = [NodeState::Joining, NodeState::Draining][self.make.below(2)];
            record.zone = Zone::new(format!("zone-{}", self.make.below(3))).expect("a word");
            if self.make.below(10) == 0 {
                record.incarnation.nonce = self.make.nonce();
            }
            request = request.with_record(Arc::new(record));
        }
        let (memory, rules) = (
            self.memory.renew(request.clone()).await,
            self.rules.renew(request).await,
        );
        let Some(renewed) = self.same("renew", memory, rules) else {
            return;
        };
        match renewed.changes {
            Changes::Updates(updates) => {
                self.saw(if updates.is_empty() {
                    "no change"
                } else {
                    "changes"
                });
                if updates.len() > 16 {
                    self.saw("many changes");
                }
                self.revisions.extend(updates.iter().filter_map(Update::revision));
            }
            _ => self.saw("reset needed"),
        }
    }

    async fn put_out(&mut self, node: NodeIncarnation, says_goodbye: bool) {
        let operation = self.make.operation();
        if says_goodbye {
            let request = LeaveFleet::new(node, operation);
            let (memory, rules) = (
                self.memory.leave(request.clone()).await,
                self.rules.leave(request).await,
            );
            self.same("leave", memory, rules);
        } else {
            let request = EvictNode::new(node, operation);
            let (memory, rules) = (
                self.memory.evict(request.clone()).await,
                self.rules.evict(request).await,
            );
            let was_member = self.same("evict", memory, rules).expect("it is never refused");
            self.saw(format!("evicted: {}", was_member.was_member));
        }
    }

    async fn look(&mut self) {
        let (memory, rules) = (self.memory.members().await, self.rules.members().await);
        let members = self.same("members", memory, rules).expect("it is never refused");
        if members.members.iter().any(|member| member.lapsed) {
            self.saw("lapsed");
        }
        let (memory, rules) = (self.memory.timing().await, self.rules.timing().await);
        self.same("timing", memory, rules);
    }

    /// Who begins with the newest membership, with an old resume point, or with none.
    async fn follow(&mut self) {
        let members = self.memory.members().await.expect("it is never refused");
        let same = self.rules.members().await.expect("it is never refused");
        assert_eq!(members, same);
        let (after, membership) = match self.make.below(3) {
            0 => (None, Membership::default()),
            1 => (Some(Revision::new(3, 3)), Membership::default()),
            _ => (Some(members.revision), members),
        };
        let watches = [
            self.memory.watch(after).await.expect("a watch"),
            self.rules.watch(after).await.expect("a watch"),
        ];
        let memberships = [membership.clone(), membership];
        let mut follower = Follower { watches, memberships };
        follower.catch_up(&mut self.seen).await;
        let at = self.make.below(4);
        if self.followers.len() > 4 {
            self.followers[at] = follower;
        } else {
            self.followers.push(follower);
        }
    }

    async fn step(&mut self) {
        let live = self.memory.members().await.expect("it is never refused").members;
        self.rules.members().await.expect("it is never refused");
        let live: Vec<_> = live.iter().map(Member::node).collect();
        match self.make.below(40) {
            0..8 => self.register().await,
            8..24 => {
                if let Some(node) = self.one_of(&live) {
                    self.renew(node).await;
                }
            }
            24..26 => {
                if let Some(node) = self.recent(&self.runs) {
                    self.renew(node).await;
                }
            }
            26 => {
                let id = self.one_of(&self.ids).expect("there are ids");
                let incarnation = Incarnation {
                    number: self.make.bits() % 4,
                    nonce: self.make.nonce(),
                };
                self.renew(NodeIncarnation::new(id, incarnation)).await;
            }
            kind @ 27..30 => {
                if let Some(node) = self.recent(&self.runs) {
                    self.put_out(node, kind == 27).await;
                }
            }
            30 => self.follow().await,
            31..34 => {
                if let Some(index) = self.followers.len().checked_sub(1) {
                    let index = self.make.below(index + 1);
                    self.followers[index].catch_up(&mut self.seen).await;
                }
            }
            34..36 => self.look().await,
            // Everybody renews, and now and then nobody, so that many lapse at once.
            36 if self.make.below(3) > 0 => {
                for node in live {
                    self.renew(node).await;
                }
            }
            36 => {
                for _ in 0..self.make.below(8) {
                    self.clock.advance(Duration::from_secs(1));
                    self.look().await;
                }
            }
            _ => {
                let millis = [1, 40, 333, 1_000, 9_000][self.make.below(5)];
                self.clock.advance(Duration::from_millis(millis));
            }
        }
    }
}

impl Follower {
    async fn catch_up(&mut self, seen: &mut BTreeMap<String, usize>) {
        let mut updates = [Vec::new(), Vec::new()];
        for (at, updates) in updates.iter_mut().enumerate() {
            while let Some(update) = poll_once(self.watches[at].next()).await {
                let update = update.expect("a watch does not fail");
                self.memberships[at].apply(&update).expect("it follows on");
                // Loads are the newest, however often they are told.
                if let Update::Loads(_) = update {
                    *seen.entry("loads".to_owned()).or_default() += 1;
                } else {
                    updates.push(update);
                }
            }
        }
        let [memory, rules] = updates;
        assert_eq!(rules, memory, "a watch: the rules (left) and memory (right)");
        let reset = matches!(memory.first(), Some(Update::Reset(_)));
        let what = if reset {
            "a watch resets"
        } else {
            "a watch goes on"
        };
        *seen.entry(what.to_owned()).or_default() += 1;
        let [memory, rules] = &self.memberships;
        assert_eq!(rules, memory, "a follower: the rules (left) and memory (right)");
    }
}

fn side_by_side(name: &'static str, reach: Reach) {
    run(name, async {
        let mut twins = Twins::new(name, reach);
        twins.look().await;
        for _ in 0..STEPS {
            twins.step().await;
        }
        let seen: BTreeSet<_> = twins.seen.keys().map(String::as_str).collect();
        let expected = BTreeSet::from([
            "InvalidArgument register",
            "InvalidArgument renew",
            "LeaseLost renew",
            "Superseded register",
            "Superseded renew",
            "a watch goes on",
            "a watch resets",
            "changes",
            "evicted: false",
            "evicted: true",
            "lapsed",
            "loads",
            "many changes",
            "more than one transaction reaps",
            "no change",
            "registered",
            "reset needed",
        ]);
        assert_eq!(seen, expected, "what was seen and how often: {:?}", twins.seen);
        assert!(
            twins.revisions.iter().any(|revision| revision.number > 600),
            "the log has forgotten its beginning"
        );
    });
}

#[test]
fn the_rules_answer_what_memory_answers_with_keys_at_hand() {
    side_by_side("near", Reach::Near);
}

#[test]
fn the_rules_answer_what_memory_answers_with_keys_from_afar() {
    side_by_side("far", Reach::Far);
}
