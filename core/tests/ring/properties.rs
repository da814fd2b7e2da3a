//! What holds for every ring.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ringhold_core::NodeId;
use ringhold_core::ring::{Ring, RingChange, RingDiff};

use crate::oracle::{Members, Oracle, node, ring, successors, weight};

fn id() -> impl Strategy<Value = String> {
    // Few short ids, so that changes meet members, and some long ones.
    prop_oneof!["[a-f]", "[A-Za-z0-9._-]{1,64}"]
}

fn members() -> impl Strategy<Value = Members> {
    btree_map(id(), 0..=3_u16, 0..=12)
}

fn placed_members() -> impl Strategy<Value = Members> {
    btree_map(id(), 1..=3_u16, 1..=12)
}

fn keys() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 0..300), 1..40)
}

/// `None` removes.
fn changes() -> impl Strategy<Value = Vec<(String, Option<u16>)>> {
    vec((id(), proptest::option::of(0..=3_u16)), 0..6)
}

fn applied(ring: &Ring, changes: &[(String, Option<u16>)]) -> Ring {
    ring.apply(changes.iter().map(|(id, change)| match change {
        Some(to) => RingChange::Set(node(id), weight(*to)),
        None => RingChange::Remove(node(id)),
    }))
}

fn owner<'a>(ring: &'a Ring, key: &[u8]) -> Option<&'a str> {
    ring.owner(key).map(NodeId::as_str)
}

fn shares(ring: &Ring) -> BTreeMap<&str, f64> {
    ring.shares().map(|(id, share)| (id.as_str(), share)).collect()
}

/// Sums of at most a few thousand fractions.
fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

proptest! {
    // A case looks at every point of its ring, so half of the usual number is plenty.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_agrees_with_the_oracle(members in members(), keys in keys(), places in vec(any::<u64>(), 50)) {
        let (ring, oracle) = (ring(&members), Oracle::new(&members));
        prop_assert_eq!(ring.virtual_nodes(), oracle.places().count());
        prop_assert_eq!(ring.fingerprint(), oracle.fingerprint());
        let listed: Members = ring.nodes().iter().map(|(id, w)| (id.to_string(), w.get())).collect();
        prop_assert_eq!(&listed, &members);
        for key in &keys {
            prop_assert_eq!(owner(&ring, key), oracle.owner(key));
            prop_assert_eq!(ring.owner_index(key), ring.owner(key).and_then(|id| ring.position(id)));
        }
        // Everywhere, and where it is tight: on each point and one place to either side.
        let tight = oracle.places().flat_map(|at| [at.wrapping_sub(1), at, at.wrapping_add(1)]);
        for place in tight.chain(places).chain([0, u64::MAX]) {
            let found = ring.owner_of_hash(place).map(|index| ring.nodes()[index].0.as_str());
            prop_assert_eq!(found, oracle.owner_of_hash(place));
        }
    }

    #[test]
    fn the_order_of_members_does_not_count(
        members in members().prop_flat_map(|members| {
            let pairs: Vec<_> = members.into_iter().collect();
            (Just(pairs.clone()), Just(pairs).prop_shuffle())
        }),
        keys in keys(),
    ) {
        let [one, other] = [members.0, members.1]
            .map(|pairs| Ring::new(pairs.iter().map(|(id, w)| (node(id), weight(*w)))));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
        for key in &keys {
            prop_assert_eq!(one.owner(key), other.owner(key));
        }
    }

    #[test]
    fn a_joining_node_takes_and_a_leaving_one_gives(members in members(), joining in id(), w in 1..=3_u16, keys in keys()) {
        let mut before = members;
        before.remove(&joining);
        let without = ring(&before);
        let with = applied(&without, &[(joining.clone(), Some(w))]);
        for key in &keys {
            let (old, new) = (owner(&without, key), owner(&with, key));
            prop_assert!(old == new || new == Some(&joining), "{:?} went from {:?} to {:?}", key, old, new);
        }
        prop_assert_eq!(&applied(&with, &[(joining.clone(), None)]), &without);
        // The same in whole: keys move to the new node only, and to it as many as it has.
        let diff = Ring::diff(&without, &with);
        prop_assert!(diff.moves().iter().all(|step| step.to.as_ref().map(NodeId::as_str) == Some(&joining)));
        prop_assert!(close(diff.moved(), shares(&with)[joining.as_str()]));
    }

    #[test]
    fn shares_follow_weights(members in placed_members()) {
        let ring = ring(&members);
        let total: f64 = members.values().map(|w| f64::from(*w)).sum();
        let shares = shares(&ring);
        prop_assert!(close(shares.values().sum(), 1.0));
        for (id, w) in &members {
            // Six standard deviations and more of a share made of 150 points.
            let ratio = shares[id.as_str()] * total / f64::from(*w);
            prop_assert!((0.5..=1.7).contains(&ratio), "{} has {} of what its weight says", id, ratio);
        }
    }

    #[test]
    fn successors_are_distinct_and_complete(members in members(), keys in keys()) {
        let (ring, oracle) = (ring(&members), Oracle::new(&members));
        let placed: BTreeSet<&str> = members.iter().filter(|(_, w)| **w > 0).map(|(id, _)| id.as_str()).collect();
        for key in &keys {
            let walk = successors(&ring, key);
            prop_assert_eq!(&walk, &oracle.successors(key));
            prop_assert_eq!(walk.first().copied(), owner(&ring, key));
            prop_assert_eq!(walk.len(), placed.len());
            prop_assert_eq!(&walk.iter().copied().collect::<BTreeSet<_>>(), &placed);
            let mut left = ring.successors(key);
            prop_assert_eq!(left.len(), walk.len());
            left.next();
            prop_assert_eq!(left.len(), walk.len().saturating_sub(1));
        }
    }

    #[test]
    fn applying_equals_building_anew(members in members(), changes in changes(), keys in keys()) {
        let mut after = members.clone();
        for (id, change) in &changes {
            match change {
                Some(w) => drop(after.insert(id.clone(), *w)),
                None => drop(after.remove(id)),
            }
        }
        let (applied, built) = (applied(&ring(&members), &changes), ring(&after));
        prop_assert_eq!(&applied, &built);
        prop_assert_eq!(applied.virtual_nodes(), built.virtual_nodes());
        let oracle = Oracle::new(&after);
        for place in oracle.places().flat_map(|at| [at, at.wrapping_add(1)]) {
            prop_assert_eq!(applied.owner_of_hash(place), built.owner_of_hash(place));
        }
        for key in &keys {
            prop_assert_eq!(owner(&applied, key), oracle.owner(key));
            prop_assert_eq!(successors(&applied, key), oracle.successors(key));
        }
        prop_assert!(Ring::diff(&applied, &built).is_empty());
    }

    #[test]
    fn a_history_of_changes_leaves_no_trace(
        changes in vec((0..20_usize, proptest::option::of(0..=3_u16)), 1..10),
        keys in keys(),
    ) {
        // Enough nodes that each change edits the ring instead of laying it out anew.
        let mut members: Members = (0..14).map(|number| (format!("node-{number}"), 1)).collect();
        let first = ring(&members);
        let mut now = first.clone();
        for (number, change) in changes {
            let id = format!("node-{number}");
            match change {
                Some(w) => drop(members.insert(id.clone(), w)),
                None => drop(members.remove(&id)),
            }
            let before = now;
            now = applied(&before, &[(id.clone(), change)]);
            // Whatever moves, moves from or to the node that changed.
            let diff = Ring::diff(&before, &now);
            let is_it = |end: &Option<NodeId>| end.as_ref().map(NodeId::as_str) == Some(&id);
            prop_assert!(diff.moves().iter().all(|step| is_it(&step.from) || is_it(&step.to)));
        }
        let (built, oracle) = (ring(&members), Oracle::new(&members));
        prop_assert_eq!(&now, &built);
        prop_assert_eq!(now.virtual_nodes(), built.virtual_nodes());
        for place in oracle.places().flat_map(|at| [at, at.wrapping_add(1)]) {
            prop_assert_eq!(now.owner_of_hash(place), built.owner_of_hash(place));
        }
        prop_assert_eq!(shares(&now), shares(&built));
        for key in &keys {
            prop_assert_eq!(owner(&now, key), oracle.owner(key));
            prop_assert_eq!(successors(&now, key), oracle.successors(key));
        }
        // And what was shared with it stands as it was.
        let fresh = Ring::new(first.nodes().iter().cloned());
        for key in &keys {
            prop_assert_eq!(successors(&first, key), successors(&fresh, key));
        }
        prop_assert_eq!(shares(&first), shares(&fresh));
    }

    #[test]
    fn a_diff_adds_up_to_the_change(old in members(), changes in changes(), keys in keys()) {
        let old = ring(&old);
        let new = applied(&old, &changes);
        let diff = Ring::diff(&old, &new);
        prop_assert!(close(diff.moves().iter().map(|step| step.share).sum(), diff.moved()));
        prop_assert!(diff.moves().iter().all(|step| step.share > 0.0 && step.from != step.to));
        // Each node has what it had, less what it gave, and what it took.
        let (before, after) = (shares(&old), shares(&new));
        let ids: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        for id in ids {
            let sum = |gave: bool| -> f64 {
                let side = |step: &&ringhold_core::ring::Move| {
                    let end = if gave { &step.from } else { &step.to };
                    end.as_ref().map(NodeId::as_str) == Some(id)
                };
                diff.moves().iter().filter(side).map(|step| step.share).sum()
            };
            let had = before.get(id).copied().unwrap_or_default();
            let has = after.get(id).copied().unwrap_or_default();
            prop_assert!(close(had - sum(true) + sum(false), has), "{}", id);
        }
        // Whatever moves is told, between the right two.
        for key in &keys {
            let (from, to) = (old.owner(key).cloned(), new.owner(key).cloned());
            let told = diff.moves().iter().any(|step| step.from == from && step.to == to);
            prop_assert_eq!(told, from != to);
        }
        prop_assert_eq!(mirrored(&diff), mirrored(&Ring::diff(&new, &old)).into_iter().map(|(a, b, s)| (b, a, s)).collect::<BTreeSet<_>>());
    }
}

/// The moves as a set that can be compared, shares by their bits.
fn mirrored(diff: &RingDiff) -> BTreeSet<(Option<NodeId>, Option<NodeId>, u64)> {
    diff.moves()
        .iter()
        .map(|step| (step.from.clone(), step.to.clone(), step.share.to_bits()))
        .collect()
}

#[test]
fn a_hundred_nodes_share_evenly() {
    let hundred: Members = (0..100).map(|number| (format!("node-{number}"), 1)).collect();
    let ring = ring(&hundred);
    let most = ring.shares().map(|(_, share)| share * 100.0).fold(0.0, f64::max);
    let least = ring
        .shares()
        .map(|(_, share)| share * 100.0)
        .fold(f64::MAX, f64::min);
    assert!(most < 1.35 && least > 0.75, "from {least} to {most} of the mean");
}

#[test]
fn a_change_that_changes_nothing_is_a_clone() {
    let ring = ring(&Members::from([("a".into(), 1), ("b".into(), 0)]));
    let same = applied(
        &ring,
        &[("a".into(), Some(1)), ("b".into(), Some(0)), ("c".into(), None)],
    );
    assert_eq!(ring, same);
    assert!(std::ptr::eq(ring.nodes(), same.nodes()), "its members are shared");
    // The last of several changes of one node counts.
    let back = applied(&ring, &[("a".into(), None), ("a".into(), Some(1))]);
    assert!(std::ptr::eq(ring.nodes(), back.nodes()));
}

#[test]
fn a_diff_with_a_ring_without_owners_moves_all() {
    let (none, one) = (Ring::empty(), ring(&Members::from([("a".into(), 1)])));
    let diff = Ring::diff(&none, &one);
    assert_eq!(
        (diff.moves().len(), &diff.moves()[0].from, &diff.moves()[0].to),
        (1, &None, &Some(node("a")))
    );
    assert!(close(diff.moved(), 1.0) && !diff.is_empty());
    assert_eq!(Ring::diff(&one, &none).moves()[0].to, None);
    assert!(Ring::diff(&none, &ring(&Members::from([("z".into(), 0)]))).is_empty());
}

#[test]
fn a_ring_is_empty_where_it_has_no_members_at_all() {
    assert!(Ring::empty().is_empty());
    assert!(!ring(&Members::from([("a".into(), 0)])).is_empty());
    assert!(!ring(&Members::from([("a".into(), 1)])).is_empty());
}

#[test]
fn a_diff_counts_every_place_once() {
    let hundred: Members = (0..100).map(|number| (format!("node-{number}"), 1)).collect();
    // A place less for each of its pieces, and it would be less than 1 by what a fraction can show.
    let moved = Ring::diff(&Ring::empty(), &ring(&hundred)).moved();
    assert_eq!(moved.to_bits(), 1.0_f64.to_bits(), "{moved}");
}

/// By one node at a time a ring passes every size at which it is laid out anew, and the most nodes that its words
/// have room for.
#[test]
fn a_ring_that_grows_and_shrinks_by_one_is_that_of_its_members() {
    let mut members = Members::new();
    let mut now = Ring::empty();
    let numbers = (0..80).map(|number| (number, Some(1)));
    let back = (0..80).map(|number| (number * 7 % 80, None));
    for (step, (number, change)) in numbers.chain(back).enumerate() {
        let id = format!("node-{number}");
        match change {
            Some(weight) => drop(members.insert(id.clone(), weight)),
            None => drop(members.remove(&id)),
        }
        now = applied(&now, &[(id, change)]);
        let built = ring(&members);
        assert_eq!(now, built);
        for place in (0..500).map(|part| u64::MAX / 500 * part) {
            let owner = now.owner_of_hash(place);
            assert_eq!(owner, built.owner_of_hash(place), "step {step}, place {place}");
        }
        assert_eq!(shares(&now), shares(&built), "step {step}");
    }
    assert!(now.is_empty());
}

/// There is room for as many nodes as have points, and others take none of it, also when they had points before.
#[test]
fn members_without_points_take_no_room() {
    let keys: Vec<[u8; 4]> = (0..300_u32).map(u32::to_le_bytes).collect();
    let agree = |now: &Ring, members: &Members| {
        let placed = members.iter().filter(|(_, weight)| **weight > 0);
        let placed = ring(&placed.map(|(id, weight)| (id.clone(), *weight)).collect());
        for key in &keys {
            assert_eq!(owner(now, key), owner(&placed, key), "{key:?}");
        }
    };
    let id = |number: usize| format!("node-{number}");
    let mut members: Members = (0..200).map(|number| (id(number), 0)).collect();
    members.extend((200..210).map(|number| (id(number), 1)));
    let mut now = ring(&members);
    agree(&now, &members);
    for number in 200..280 {
        for (id, weight) in [(id(number), 0), (id(number + 10), 1)] {
            now = applied(&now, &[(id.clone(), Some(weight))]);
            members.insert(id, weight);
        }
        agree(&now, &members);
    }
}

/// Those that were met are remembered in another way where they are many.
#[test]
fn successors_of_many_nodes_are_distinct_and_complete() {
    let members: Members = (0..200).map(|number| (format!("node-{number}"), 1)).collect();
    let (ring, oracle) = (ring(&members), Oracle::new(&members));
    for key in [&b"ada"[..], b"bea", b"cleo"] {
        let found = successors(&ring, key);
        assert_eq!(found, oracle.successors(key));
        assert_eq!(found.len(), 200);
    }
    assert_eq!(
        format!("{:?}", ring.successors(b"ada")),
        "Successors { left: 200, .. }"
    );
}
