//! Transactions on the membership that meet: who loses is run again, and nobody loses who need not.

use std::cell::Cell;

use crate::common::TestTx;
use crate::common::fleet::{Fleet, LEASE_MS, done, refused};
use ringhold_core::discovery::{Changes, RegisterNode, RenewLease};
use ringhold_core::membership::LeftReason;
use ringhold_core::node::Load;
use ringhold_core::{ErrorKind, NodeRecord, NodeState, Timing};
use ringhold_kv::discovery;

#[test]
fn a_renewal_minds_no_other_renewal_and_no_change() {
    for fleet in Fleet::both("minds") {
        let [one, two, three] = [0; 3].map(|now_ms| fleet.join(now_ms));
        let renewal = fleet.renewal(&one);
        let (step, cost) = fleet.race_renewal(100, &renewal, || {
            done(fleet.renew(100, &fleet.renewal(&two)));
            fleet.join(100);
            assert!(fleet.evict(100, &three));
            fleet.leave(&two);
        });
        let Changes::Updates(updates) = done(step).changes else {
            panic!("few changes")
        };
        assert_eq!(updates, [], "an answer is of the moment that was looked at");
        assert_eq!((cost.attempts, cost.compared, cost.written), (1, 1, 1));
        let next = fleet.renew(
            200,
            &RenewLease::new(one, renewal.after, Load::new(1), fleet.make.operation()),
        );
        let Changes::Updates(updates) = done(next).changes else {
            panic!("few changes")
        };
        assert_eq!(updates.len(), 3, "and the next one brings the rest: {updates:?}");
    }
}

#[test]
fn a_renewal_that_comes_before_the_reaping_saves_its_node() {
    for fleet in Fleet::both("saves") {
        let (late, keeper) = (fleet.join(0), fleet.join(100));
        let before = fleet.history();
        let (step, cost) = fleet.race_renewal(LEASE_MS, &fleet.renewal(&keeper), || {
            // By its own reading of the clock it is just in time.
            done(fleet.renew(LEASE_MS - 1, &fleet.renewal(&late)));
        });
        assert_eq!(done(step).changes, Changes::Updates(Vec::new()));
        assert_eq!(cost.attempts, 2);
        assert_eq!(fleet.history(), before);
        assert!(fleet.members(LEASE_MS).contains(&late));
    }
}

#[test]
fn a_renewal_that_comes_after_the_reaping_is_lost() {
    for fleet in Fleet::both("after") {
        let (late, keeper) = (fleet.join(0), fleet.join(100));
        let (step, cost) = fleet.race_renewal(LEASE_MS - 1, &fleet.renewal(&late), || {
            done(fleet.renew(LEASE_MS, &fleet.renewal(&keeper)));
        });
        assert_eq!((refused(step), cost.attempts), (ErrorKind::LeaseLost, 2));
        assert_eq!(fleet.history()[2..], [format!("{late} left: lease_lapsed")]);
    }
}

#[test]
fn two_reapings_make_one_change_of_each_lapse() {
    for fleet in Fleet::both("reapings") {
        let lapsed = [fleet.join(0), fleet.join(1)];
        let keepers = [fleet.join(100), fleet.join(100)];
        let (step, cost) = fleet.race_renewal(LEASE_MS + 1, &fleet.renewal(&keepers[0]), || {
            // The other one's clock has seen only one of them lapse.
            done(fleet.renew(LEASE_MS, &fleet.renewal(&keepers[1])));
        });
        let Changes::Updates(updates) = done(step).changes else {
            panic!("few changes")
        };
        assert_eq!((updates.len(), cost.attempts), (2, 2));
        let words = lapsed.map(|node| format!("{node} left: lease_lapsed"));
        assert_eq!(fleet.history()[4..], words);
    }
}

#[test]
fn two_registrations_of_one_id_come_one_after_the_other() {
    for fleet in Fleet::both("one id") {
        let first = fleet.registration();
        let second = RegisterNode::new(fleet.make.run_of(first.record.id.clone()), Timing::default());
        let other = Cell::new(None);
        let rule = |tx: &mut TestTx| discovery::register(tx, 0, &first);
        let between = || other.set(Some(done(fleet.register(0, &second).unwrap()).incarnation));
        let (step, cost) = fleet.store.race(between, rule).unwrap();
        let (winner, other) = (done(step), other.take().unwrap());
        assert_eq!(cost.attempts, 2);
        assert_eq!((other.number, winner.incarnation.number), (1, 2));
        let id = &first.record.id;
        assert_eq!(
            fleet.history(),
            [
                format!("{id}#1 joined"),
                format!("{id}#1 left: superseded"),
                format!("{id}#2 joined")
            ]
        );
        assert_eq!(winner.membership, fleet.members(0));
        // The second, repeated late, puts nobody out.
        assert_eq!(
            refused(fleet.register(0, &second).unwrap()),
            ErrorKind::Superseded
        );
        assert_eq!(winner.membership, fleet.members(0));
    }
}

#[test]
fn of_two_timings_the_first_one_counts() {
    for fleet in Fleet::both("timings") {
        let mine = RegisterNode::new(fleet.make.node(), Timing::relaxed());
        let rule = |tx: &mut TestTx| discovery::register(tx, 0, &mine);
        let (step, cost) = fleet.store.race(|| drop(fleet.join(0)), rule).unwrap();
        assert_eq!((refused(step), cost.attempts), (ErrorKind::InvalidArgument, 2));
        assert_eq!(
            fleet.store.run(discovery::timing).unwrap(),
            Some(Timing::default())
        );
    }
}

#[test]
fn who_is_put_out_meanwhile_does_not_come_back() {
    for how in [LeftReason::Leave, LeftReason::Evicted, LeftReason::Superseded] {
        for fleet in Fleet::both("put out") {
            let node = fleet.join(0);
            let mut record = NodeRecord::new(node.node.clone(), node.incarnation);
            record.state = NodeState::Draining;
            let renewal = fleet.renewal(&node).with_record(record.into());
            let (step, cost) = fleet.race_renewal(100, &renewal, || match how {
                LeftReason::Leave => fleet.leave(&node),
                LeftReason::Evicted => assert!(fleet.evict(100, &node)),
                _ => drop(fleet.join_as(100, fleet.make.run_of(node.node.clone()))),
            });
            let kind = if how == LeftReason::Superseded {
                ErrorKind::Superseded
            } else {
                ErrorKind::LeaseLost
            };
            assert_eq!((refused(step), cost.attempts), (kind, 2), "{how:?}");
            assert!(!fleet.members(100).contains(&node));
            assert!(!fleet.history().contains(&format!("{node} changed")));
        }
    }
}

#[test]
fn a_registration_supersedes_also_who_has_just_renewed() {
    for fleet in Fleet::both("supersedes") {
        let old = fleet.join(0);
        let next = RegisterNode::new(fleet.make.run_of(old.node.clone()), Timing::default());
        let rule = |tx: &mut TestTx| discovery::register(tx, LEASE_MS, &next);
        let between = || drop(done(fleet.renew(LEASE_MS - 1, &fleet.renewal(&old))));
        let (step, cost) = fleet.store.race(between, rule).unwrap();
        assert_eq!((done(step).incarnation.number, cost.attempts), (2, 2));
        assert_eq!(
            fleet.history()[1],
            format!("{old} left: superseded"),
            "not: lapsed"
        );
    }
}

#[test]
fn changes_of_records_come_one_after_the_other() {
    for fleet in Fleet::both("records") {
        let nodes = [fleet.join(0), fleet.join(0)];
        let [one, two] = nodes.clone().map(|node| {
            let mut record = NodeRecord::new(node.node.clone(), node.incarnation);
            record.state = NodeState::Draining;
            fleet.renewal(&node).with_record(record.into())
        });
        let (step, cost) = fleet.race_renewal(100, &one, || drop(done(fleet.renew(100, &two))));
        done(step);
        assert_eq!(cost.attempts, 2);
        let [one, two] = nodes;
        assert_eq!(
            fleet.history()[2..],
            [format!("{two} changed"), format!("{one} changed")]
        );
    }
}
