//! Bytes that nobody of this build wrote, under every key of a membership: typed errors, never a panic,
//! and one bad value harms its own node at most.

use std::time::Duration;

use crate::common::fleet::{Fleet, done};
use crate::common::{Reach, TestStore};
use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::{
    ErrorKind, NodeIncarnation, NodeRecord, NodeState, Result, Revision, Timing, Update, codec,
};
use ringhold_kv::clock::{ClockKind, ObservedClock};
use ringhold_kv::discovery::{self, Position, Step};
use ringhold_testkit::Make;

const NOW_MS: u64 = 1_000;

/// What may be stored instead of `value`.
fn spoilt(value: &[u8]) -> Vec<Vec<u8>> {
    let mut spoilt: Vec<Vec<u8>> = (0..value.len()).map(|len| value[..len].to_vec()).collect();
    for at in 0..value.len() {
        for bit in [0, 7] {
            let mut flipped = value.to_vec();
            flipped[at] ^= 1 << bit;
            spoilt.push(flipped);
        }
    }
    spoilt.push([value, b"\0"].concat());
    spoilt.push([value, &[0xff; 300]].concat());
    for byte in [0, 0x7f, 0xff] {
        spoilt.push(vec![byte; value.len()]);
        spoilt.push(vec![byte; 4_096]);
    }
    spoilt
}

struct Scene {
    fleet: Fleet,
    nodes: Vec<NodeIncarnation>,
    start: Revision,
}

impl Scene {
    fn new(name: &'static str) -> Self {
        let make = Make::new(name);
        let store = TestStore::new(Reach::Far);
        let clock = ObservedClock::new(ClockKind::Leases, Duration::from_millis(1));
        store.run(|tx| clock.advance(tx, Duration::ZERO)).unwrap();
        let fleet = Fleet { make, store };
        fleet.join(0);
        let start = fleet.members(0).revision;
        let mut nodes: Vec<_> = (0..3).map(|_| fleet.join(0)).collect();
        nodes[1] = fleet.join_as(0, fleet.make.run_of(nodes[1].node.clone()));
        let mut record = NodeRecord::new(nodes[0].node.clone(), nodes[0].incarnation);
        record.state = NodeState::Draining;
        let renewal = fleet.renewal(&nodes[0]).with_record(record.into());
        done(fleet.renew(0, &renewal));
        let guest = fleet.join(0);
        fleet.leave(&guest);
        Self { fleet, nodes, start }
    }

    /// The same fleet with another value under `key`.
    fn with(&self, key: &[u8], value: Option<&[u8]>) -> Fleet {
        let store = self.fleet.store.copied();
        store.set(key, value);
        let make = Make::with_seed("spoilt", self.fleet.make.bits());
        Fleet { make, store }
    }

    /// Does everything to a fleet, and says which requests failed, and how.
    fn exercise(&self, fleet: &Fleet) -> Vec<(String, ErrorKind)> {
        let mut failed = Vec::new();
        let mut note = |what: String, error: Option<ErrorKind>| failed.extend(error.map(|kind| (what, kind)));
        note(
            "members".into(),
            error(fleet.store.run(|tx| discovery::members(tx, NOW_MS))),
        );
        note("timing".into(), error(fleet.store.run(discovery::timing)));
        let clock = ObservedClock::new(ClockKind::Leases, Duration::from_millis(1));
        note(
            "clock".into(),
            error(fleet.store.run(|tx| clock.read(tx, Duration::ZERO))),
        );
        for position in [Position::start(), Position::new(Some(self.start))] {
            let rule = |tx: &mut _| discovery::poll(tx, NOW_MS, Duration::ZERO, &position);
            note("watch".into(), error(fleet.store.run(rule)));
        }
        for node in &self.nodes {
            let request = RenewLease::new(node.clone(), self.start, Load::new(7), fleet.make.operation());
            let step = fleet.store.run(|tx| discovery::renew(tx, NOW_MS, &request));
            note(format!("renew {}", node.node), outcome(step));
        }
        for node in &self.nodes {
            let request = RegisterNode::new(fleet.make.run_of(node.node.clone()), Timing::default());
            let step = fleet.store.run(|tx| discovery::register(tx, NOW_MS, &request));
            note(format!("register {}", node.node), outcome(step));
        }
        let request = RegisterNode::new(fleet.make.node(), Timing::default());
        let step = fleet.store.run(|tx| discovery::register(tx, NOW_MS, &request));
        note("register another".into(), outcome(step));
        let operation = fleet.make.operation();
        let request = EvictNode::new(self.nodes[0].clone(), operation);
        note(
            "evict".into(),
            outcome(fleet.store.run(|tx| discovery::evict(tx, NOW_MS, &request))),
        );
        let request = LeaveFleet::new(self.nodes[1].clone(), operation);
        note(
            "leave".into(),
            error(fleet.store.run(|tx| discovery::leave(tx, NOW_MS, &request))),
        );
        note(
            "evict all".into(),
            outcome(fleet.store.run(|tx| discovery::evict_all(tx, NOW_MS, [1; 16]))),
        );
        failed
    }

    fn keys(&self, prefix: &str) -> Vec<Vec<u8>> {
        let keys = self.fleet.store.keys().into_iter();
        keys.filter(|key| key.starts_with(prefix.as_bytes())).collect()
    }
}

fn error<R>(result: Result<R>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn outcome<R>(step: Result<Step<R>>) -> Option<ErrorKind> {
    match step {
        Ok(Step::Done(_)) => None,
        Ok(Step::Refused(error)) | Err(error) => Some(error.kind()),
        Ok(Step::More) => panic!("there are few"),
    }
}

fn id_of<'k>(key: &'k [u8], prefix: &str) -> &'k str {
    std::str::from_utf8(&key[prefix.len()..]).unwrap()
}

#[test]
fn without_bad_bytes_nothing_fails() {
    let scene = Scene::new("sound");
    let fleet = scene.with(b"something/else", Some(b"?"));
    assert_eq!(scene.exercise(&fleet), []);
}

#[test]
fn of_the_fleets_own_keys_everything_is_corrupt_or_goes_on() {
    let scene = Scene::new("own keys");
    let mut corrupt = 0;
    for key in [&b"fleet"[..], b"clock/leases"] {
        let value = scene.fleet.store.value(key).unwrap();
        for bytes in spoilt(&value) {
            for (what, kind) in scene.exercise(&scene.with(key, Some(&bytes))) {
                let other_timing = kind == ErrorKind::InvalidArgument && what.starts_with("register");
                assert!(
                    kind == ErrorKind::Corrupt || other_timing,
                    "{key:?} {bytes:?}: {what} {kind:?}"
                );
                corrupt += usize::from(kind == ErrorKind::Corrupt);
            }
        }
    }
    assert!(corrupt > 100, "{corrupt}");
}

#[test]
fn a_bad_change_makes_its_readers_start_over_and_stops_nobody() {
    let scene = Scene::new("changes");
    let keys = scene.keys("change/");
    assert!(keys.len() > 6);
    let mut resets = 0;
    for key in keys {
        let value = scene.fleet.store.value(&key).unwrap();
        let missing = scene.with(&key, None);
        let spoilt = spoilt(&value)
            .into_iter()
            .map(|bytes| scene.with(&key, Some(&bytes)));
        for fleet in spoilt.chain([missing]) {
            let updates = fleet.poll(NOW_MS, &Position::new(Some(scene.start))).updates;
            if let [Update::Reset(membership)] = &updates[..] {
                assert_eq!(*membership, fleet.members(NOW_MS));
                resets += 1;
            }
            assert_eq!(scene.exercise(&fleet), [], "{key:?}");
        }
    }
    assert!(resets > 500, "{resets}");
}

#[test]
fn a_bad_lease_harms_its_own_node_at_most() {
    let scene = Scene::new("leases");
    for key in scene.keys("lease/") {
        let value = scene.fleet.store.value(&key).unwrap();
        let owner = id_of(&key, "lease/");
        for bytes in spoilt(&value) {
            let fleet = scene.with(&key, Some(&bytes));
            let members = fleet.members(NOW_MS);
            assert_eq!(members.members.len() + members.unreadable.len(), 4, "{bytes:?}");
            let failed = scene.exercise(&fleet);
            let as_long = bytes.len() == value.len();
            for (what, kind) in failed {
                // Of another run, or lapsed: what is as long as a lease is taken for one.
                let lost = matches!(kind, ErrorKind::LeaseLost | ErrorKind::Superseded);
                let own = what == format!("renew {owner}");
                assert!(own && lost && as_long, "{key:?} {bytes:?}: {what} {kind:?}");
            }
        }
    }
}

#[test]
fn a_lease_that_cannot_be_read_lasts_its_full_length_and_no_longer() {
    let scene = Scene::new("mended");
    let [one, two, _] = &scene.nodes[..] else {
        panic!("three")
    };
    let key = format!("lease/{}", two.node);
    for renews in [true, false] {
        let fleet = scene.with(key.as_bytes(), Some(b"bad"));
        let show = |now_ms| fleet.members(now_ms).get(&two.node).map(|member| member.lapsed);
        assert_eq!(show(1_000_000), Some(false), "nobody knows when it lapses");
        done(fleet.renew(4_000, &fleet.renewal(one)));
        assert_eq!((show(8_999), show(9_000)), (Some(false), Some(true)));
        if renews {
            done(fleet.renew(8_000, &fleet.renewal(two)));
        }
        done(fleet.renew(8_500, &fleet.renewal(one)));
        done(fleet.renew(9_000, &fleet.renewal(one)));
        assert_eq!(fleet.members(9_000).contains(two), renews);
        let left = format!("{two} left: lease_lapsed");
        assert_eq!(fleet.history().contains(&left), !renews);
    }
    // Its own renewal mends it too, and it can be put out.
    let fleet = scene.with(key.as_bytes(), Some(b""));
    done(fleet.renew(NOW_MS, &fleet.renewal(two)));
    let fleet = scene.with(key.as_bytes(), Some(b""));
    fleet.leave(two);
    assert_eq!(fleet.history().last(), Some(&format!("{two} left: leave")));
    let fleet = scene.with(key.as_bytes(), Some(b""));
    assert!(fleet.evict(NOW_MS, two));
}

#[test]
fn a_bad_record_is_shown_and_its_node_stays() {
    let scene = Scene::new("records");
    let mut newer = 0;
    for key in scene.keys("node/") {
        let value = scene.fleet.store.value(&key).unwrap();
        let owner = id_of(&key, "node/");
        let missing = scene.with(&key, None);
        let spoilt = spoilt(&value)
            .into_iter()
            .map(|bytes| scene.with(&key, Some(&bytes)));
        for fleet in spoilt.chain([missing]) {
            let members = fleet.members(NOW_MS);
            assert_eq!(members.members.len() + members.unreadable.len(), 4);
            for unreadable in &members.unreadable {
                assert_eq!(unreadable.id.as_str(), owner);
                newer += usize::from(unreadable.kind == ErrorKind::Unsupported);
            }
            assert_eq!(scene.exercise(&fleet), [], "{key:?}");
        }
    }
    assert!(newer > 0, "a record of a newer format was among them");
}

#[test]
fn the_record_of_another_node_or_run_is_not_its_own() {
    let scene = Scene::new("another's");
    let node = &scene.nodes[1];
    let key = format!("node/{}", node.node);
    let mut of_another = NodeRecord::new(scene.nodes[0].node.clone(), node.incarnation);
    let mut of_a_run = NodeRecord::new(node.node.clone(), node.incarnation);
    of_a_run.incarnation.nonce = scene.fleet.make.nonce();
    of_another.state = NodeState::Draining;
    for record in [of_another, of_a_run] {
        let bytes = codec::encode_node(&record).unwrap();
        let fleet = scene.with(key.as_bytes(), Some(&bytes));
        let unreadable = fleet.members(NOW_MS).unreadable;
        let shown: Vec<_> = unreadable
            .iter()
            .map(|member| (&member.id, member.kind))
            .collect();
        assert_eq!(shown, [(&node.node, ErrorKind::Corrupt)], "{record:?}");
        assert_eq!(scene.exercise(&fleet), []);
    }
}

#[test]
fn bad_runs_stop_their_own_registration() {
    let scene = Scene::new("runs");
    for key in scene.keys("runs/") {
        let value = scene.fleet.store.value(&key).unwrap();
        let owner = id_of(&key, "runs/");
        for bytes in spoilt(&value) {
            for (what, kind) in scene.exercise(&scene.with(&key, Some(&bytes))) {
                assert_eq!(
                    (what, kind),
                    (format!("register {owner}"), ErrorKind::Corrupt),
                    "{bytes:?}"
                );
            }
        }
    }
}

#[test]
fn keys_that_name_nothing_are_none_of_the_fleets() {
    let scene = Scene::new("foreign");
    let before = scene.fleet.members(NOW_MS);
    for key in [
        "lease/",
        "lease/no node!",
        "lease/a/b",
        "node/",
        "node/x y",
        "change/",
        "change/last",
        "runs/",
        "departed/",
        "departed/soon/a",
        "departed/0000000000000000/no node!",
    ] {
        let fleet = scene.with(key.as_bytes(), Some(b"?"));
        assert_eq!(fleet.members(NOW_MS), before, "{key}");
        assert_eq!(scene.exercise(&fleet), [], "{key}");
        let updates = fleet.poll(NOW_MS, &Position::new(Some(scene.start))).updates;
        assert!(!matches!(updates[0], Update::Reset(_)), "{key}: {updates:?}");
    }
    let fleet = scene.with(b"lease/\xff\xfe", Some(&[0; 44]));
    assert_eq!(fleet.members(NOW_MS), before);
}
