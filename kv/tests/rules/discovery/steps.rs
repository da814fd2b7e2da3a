//! What requests on the membership cost, and rules that go beyond the contract.

use std::time::Duration;

use crate::common::TestTx;
use crate::common::fleet::{Fleet, LEASE_MS, done};
use ringhold_core::discovery::{RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::{NodeRecord, NodeState, Revision, Timing, Update};
use ringhold_kv::clock::{ClockKind, ObservedClock};
use ringhold_kv::discovery::{self, Position, Step};

#[test]
fn a_renewal_fetches_once_with_its_clock() {
    let [near, far] = Fleet::both("fetches");
    for (fleet, fetches) in [(near, 0), (far, 1)] {
        let (one, two) = (fleet.join(0), fleet.join(0));
        let clock = ObservedClock::new(ClockKind::Leases, Duration::from_millis(1));
        let renewal = fleet.renewal(&one);
        let mut record = NodeRecord::new(two.node.clone(), two.incarnation);
        record.state = NodeState::Draining;
        let with_record = fleet.renewal(&two).with_record(record.into());
        for request in [renewal, with_record] {
            let rule = |tx: &mut TestTx| {
                discovery::expect_renewal(tx, &request)?;
                let now_ms = clock.advance(tx, Duration::from_secs(9))?;
                discovery::renew(tx, now_ms, &request)
            };
            let (step, cost) = fleet.store.race(|| {}, rule).unwrap();
            done(step);
            assert_eq!((cost.attempts, cost.fetches), (1, fetches));
        }
        let mut position = Position::new(Some(Revision::default()));
        for look in 0..3 {
            let rule = |tx: &mut TestTx| {
                discovery::expect_poll(tx, &position)?;
                let now_ms = clock.read(tx, Duration::from_secs(9))?;
                discovery::poll(tx, now_ms, Duration::ZERO, &position)
            };
            let (polled, cost) = fleet.store.race(|| {}, rule).unwrap();
            assert_eq!(
                (cost.fetches, cost.compared, cost.written),
                (fetches, 0, 0),
                "look {look}"
            );
            position = polled.position;
        }
    }
}

#[test]
fn one_transaction_reaps_and_writes_a_bounded_number() {
    for fleet in Fleet::both("bounded") {
        // The log is full, so that each change takes an old one away.
        for _ in 0..128 {
            let guest = fleet.join(0);
            fleet.leave(&guest);
        }
        let lapsed: Vec<_> = (0..40).map(|at| fleet.join(at)).collect();
        let keeper = fleet.join(1_000);
        let keys = fleet.store.keys().len();
        let next = RegisterNode::new(fleet.make.run_of(keeper.node.clone()), Timing::default());
        let (mut transactions, mut written) = (0, 0);
        loop {
            transactions += 1;
            let rule = |tx: &mut TestTx| discovery::register(tx, LEASE_MS + 500, &next);
            let (step, cost) = fleet.store.race(|| {}, rule).unwrap();
            written = written.max(cost.written);
            assert!(cost.written <= 120 && cost.compared <= 100, "{cost:?}");
            match step {
                Step::More => assert_eq!(fleet.members(0).members.len(), 41 - 10 * transactions),
                step => break drop(done(step)),
            }
        }
        assert_eq!((transactions, written > 10 * 5), (4, true));
        let words: Vec<_> = lapsed
            .iter()
            .map(|node| format!("{node} left: lease_lapsed"))
            .collect();
        assert_eq!(
            fleet.store.keys().len(),
            keys - lapsed.len(),
            "the log has its length, and the ids are remembered"
        );
        let revision = fleet.members(0).revision.number;
        let mut left = Vec::new();
        for number in revision - 41..revision - 1 {
            let key = format!("change/{number:016x}");
            let value = fleet.store.value(key.as_bytes()).unwrap();
            let (number, id) = (value[10..18].try_into().unwrap(), &value[34..]);
            left.push(format!(
                "{}#{} left: lease_lapsed",
                std::str::from_utf8(id).unwrap(),
                u64::from_le_bytes(number)
            ));
        }
        assert_eq!(left, words, "the longest lapsed first");
    }
}

#[test]
fn an_opening_store_puts_everybody_out() {
    for fleet in Fleet::both("opening") {
        let nodes: Vec<_> = (0..40).map(|_| fleet.join(0)).collect();
        let before = fleet.members(0).revision;
        let mut transactions = 1;
        loop {
            let (step, cost) = fleet
                .store
                .race(|| {}, |tx| discovery::evict_all(tx, 0, [7; 16]))
                .unwrap();
            assert!(cost.written <= 120, "{cost:?}");
            match step {
                Step::More => transactions += 1,
                step => break done(step),
            }
        }
        assert_eq!(transactions, 4);
        let members = fleet.members(0);
        assert_eq!(
            (members.members.len(), members.revision.number),
            (0, before.number + 40)
        );
        let mut words: Vec<_> = nodes.iter().map(|node| format!("{node} left: evicted")).collect();
        words.sort_unstable();
        let mut history = fleet.history()[40..].to_vec();
        history.sort_unstable();
        assert_eq!(history, words);
        // Numbers go on.
        let again = fleet.join_as(0, fleet.make.run_of(nodes[0].node.clone()));
        assert_eq!(again.incarnation.number, 41);
    }
}

#[test]
fn an_id_is_dropped_ten_minutes_after_its_last_incarnation_left() {
    const REMEMBERED_MS: u64 = 600_000;
    for fleet in Fleet::both("dropped") {
        let [gone, back] = [fleet.join(0), fleet.join(0)];
        fleet.leave(&gone);
        fleet.leave(&back);
        let back = fleet.join_as(0, fleet.make.run_of(back.node.clone()));
        let remembered = |prefix: &str| {
            let keys = fleet.store.keys().into_iter();
            let ids = keys.filter_map(|key| {
                String::from_utf8(key)
                    .unwrap()
                    .strip_prefix(prefix)
                    .map(str::to_owned)
            });
            ids.collect::<Vec<_>>()
        };
        assert_eq!(remembered("departed/"), [format!("{:016x}/{}", 0, gone.node)]);
        // The first of these reaps the node that came back, too.
        for (now_ms, is_remembered) in [(REMEMBERED_MS - 1, true), (REMEMBERED_MS, false)] {
            let guest = fleet.join(now_ms);
            assert!(fleet.evict(now_ms, &guest));
            let ids = remembered("runs/");
            assert_eq!((ids.len(), remembered("departed/").len()), (3, 3), "{ids:?}");
            assert_eq!(ids.contains(&gone.node.to_string()), is_remembered);
            assert!(ids.contains(&back.node.to_string()) && ids.contains(&guest.node.to_string()));
        }
    }
}

#[test]
fn of_more_than_a_thousand_departed_ids_the_oldest_are_dropped_at_once() {
    for fleet in Fleet::both("many ids") {
        let keeper = fleet.join(0);
        let mut last = keeper.incarnation.number;
        let mut keys = 0;
        for round in 0..1_300_u64 {
            let now_ms = round / 1_000;
            let guest = fleet.join(now_ms);
            assert_eq!(guest.incarnation.number, last + 1, "no number is given twice");
            last = guest.incarnation.number;
            fleet.leave_at(now_ms, &guest);
            if round == 1_100 {
                keys = fleet.store.keys().len();
            }
        }
        assert_eq!(fleet.store.keys().len(), keys);
        let departed = fleet
            .store
            .keys()
            .into_iter()
            .filter(|key| key.starts_with(b"departed/"));
        assert_eq!(departed.count(), 1_000);
    }
}

/// In a large fleet nodes are told the loads with every eighth renewal, and watchers once a heartbeat.
#[test]
fn a_large_fleet_hears_of_loads_now_and_then() {
    let [fleet, _] = Fleet::both("large");
    let nodes: Vec<_> = (0..129).map(|_| fleet.join(0)).collect();
    let mut position = Position::start();
    let mut told = Vec::new();
    let mut tables = 0;
    for now_ms in (0..4_000).step_by(250) {
        let after = fleet.members(0).revision;
        let load = Load::new(u32::try_from(now_ms).unwrap());
        let request = RenewLease::new(nodes[0].clone(), after, load, fleet.make.operation());
        tables += usize::from(done(fleet.renew(now_ms, &request)).loads.is_some());
        let polled = fleet.poll(now_ms, &position);
        position = polled.position;
        for update in polled.updates {
            if let Update::Loads(loads) = update {
                assert_eq!(loads.len(), 129);
                told.push((now_ms, loads.iter().map(|(_, load)| load.sessions).max()));
            }
        }
    }
    assert_eq!(tables, 2, "of sixteen renewals");
    assert_eq!(
        told,
        [1_000, 2_000, 3_000].map(|now_ms: u64| (now_ms, u32::try_from(now_ms).ok()))
    );
}

#[test]
fn who_comes_and_goes_without_a_load_changes_no_loads() {
    for fleet in Fleet::both("no load") {
        let one = fleet.join(0);
        let start = fleet.poll(0, &Position::start());
        let guest = fleet.join(0);
        let joined = fleet.poll(0, &start.position);
        assert_eq!(joined.updates.len(), 1, "{:?}", joined.updates);
        done(fleet.renew(0, &fleet.renewal(&one)));
        let loads = fleet.poll(0, &joined.position);
        let mut table = vec![(one, Load::new(1)), (guest.clone(), Load::default())];
        table.sort_by(|(a, _), (b, _)| a.node.cmp(&b.node));
        assert_eq!(loads.updates, [Update::Loads(table)]);
        fleet.leave(&guest);
        let left = fleet.poll(0, &loads.position);
        assert_eq!(left.updates.len(), 1, "{:?}", left.updates);
        let loads = left;
        assert_eq!(fleet.poll(0, &loads.position).updates, []);
    }
}

#[test]
fn the_log_keeps_256_changes_and_the_point_before_them() {
    for fleet in Fleet::both("log") {
        let mut points = vec![Revision::default()];
        for _ in 0..150 {
            let guest = fleet.join(0);
            points.push(fleet.members(0).revision);
            fleet.leave(&guest);
            points.push(fleet.members(0).revision);
        }
        let starts_over = |point: Revision| {
            let updates = fleet.poll(0, &Position::new(Some(point))).updates;
            matches!(updates[..], [Update::Reset(_)])
        };
        let kept = fleet
            .store
            .keys()
            .iter()
            .filter(|key| key.starts_with(b"change/"))
            .count();
        assert_eq!(kept, 257);
        let base = points[300 - 256];
        assert!(!starts_over(base));
        assert!(starts_over(points[300 - 257]));
        assert!(starts_over(Revision::new(base.number, base.tag ^ 1)));

        // One that is missing from the middle is noticed, however many there are behind it.
        let missing = format!("change/{:016x}", base.number + 5);
        fleet.store.set(missing.as_bytes(), None);
        assert!(starts_over(base));
        assert!(!starts_over(points[300 - 250]));
    }
}

#[test]
fn only_the_one_point_before_the_first_change_is_known() {
    for fleet in Fleet::both("first") {
        for joined in 0..3 {
            let looks = |tag| fleet.poll(0, &Position::new(Some(Revision::new(0, tag)))).updates;
            assert_eq!(looks(0).len(), joined);
            assert!(
                matches!(looks(1)[..], [Update::Reset(_)]),
                "{joined} changes later"
            );
            fleet.join(0);
        }
    }
}

#[test]
fn a_reset_tells_how_long_the_clock_stood() {
    let [fleet, _] = Fleet::both("lag");
    let lag = Duration::from_secs(3);
    let rule = |tx: &mut TestTx| discovery::poll(tx, 0, lag, &Position::start());
    let polled = fleet.store.run(rule).unwrap();
    let [Update::Reset(membership)] = &polled.updates[..] else {
        panic!("{polled:?}")
    };
    assert_eq!((membership.clock_lag, polled.timing), (lag, None));
}
