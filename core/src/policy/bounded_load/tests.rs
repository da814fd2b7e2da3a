//! The bound, beside one that is reckoned by division.

use std::array;
use std::sync::Arc;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::id::Zone;
use crate::policy::ConsistentHash;
use crate::policy::tests::{fleet, follow, rank, record, view};
use crate::view::Reservation;
use crate::{NodeRecord, NodeState};

/// The most that the node at `position` may carry, with an epsilon of so many 1024th.
fn most(view: &View, request: &PlaceRequest<'_>, position: usize, epsilon: u128) -> u128 {
    let takers = (0..view.nodes().len()).filter(|taker| view.takes(*taker, request));
    let (carried, weights) = takers.fold((0, 0), |(carried, weights), taker| {
        let node = &view.nodes()[taker];
        (
            carried + u128::from(node.counters.total()),
            weights + u128::from(node.record.weight.get()),
        )
    });
    let weight = u128::from(view.nodes()[position].record.weight.get());
    ((1024 + epsilon) * (carried + 1) * weight).div_ceil(1024 * weights)
}

/// Who has to be ranked: those below their bounds in the order of the ring, and then the others in the same order.
fn expected(view: &View, request: &PlaceRequest<'_>, epsilon: u128, limit: usize) -> Vec<usize> {
    let around = view.ring().successors(request.key);
    let (mut ranked, others): (Vec<_>, Vec<_>) = around
        .filter(|position| view.takes(*position, request))
        .partition(|position| {
            let carried = u128::from(view.nodes()[*position].counters.total());
            carried < most(view, request, *position, epsilon)
        });
    assert!(
        !ranked.is_empty() || others.is_empty(),
        "somebody is below the bound"
    );
    ranked.extend(others);
    ranked.truncate(limit);
    ranked
}

fn policy(epsilon: u128) -> BoundedLoad {
    BoundedLoad::new(f64::from(u32::try_from(epsilon).unwrap()) / 1024.0).unwrap()
}

fn load(view: &View, sessions: &[u32]) {
    for (node, sessions) in view.nodes().iter().zip(sessions) {
        node.counters.set_sessions(*sessions);
    }
}

#[test]
fn an_epsilon_is_above_0_and_no_more_than_the_greatest() {
    let over = BoundedLoad::EPSILON_MAX.next_up();
    for epsilon in [0.0, -0.0, -0.25, over, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let refused = BoundedLoad::new(epsilon).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{epsilon}");
        assert!(refused.to_string().contains(&epsilon.to_string()), "{refused}");
    }
    // The least ones are not nothing, and others are rounded down.
    let step = 1.0 / 4_294_967_296.0;
    for (epsilon, kept) in [
        (f64::from_bits(1), step),
        (step, step),
        (step * 1.99, step),
        (step * 2.0, step * 2.0),
        (0.25, 0.25),
        (1.0, 1.0),
        (3.5, 3.5),
        (65_535.0, 65_535.0),
    ] {
        let policy = BoundedLoad::new(epsilon).unwrap();
        assert_eq!(policy.epsilon().to_bits(), f64::to_bits(kept), "{epsilon}");
    }
    assert_eq!(BoundedLoad::default(), BoundedLoad::new(0.25).unwrap());
}

#[test]
fn no_node_is_ever_above_its_bound() {
    const KEYS: u32 = 100_000;
    let weights = [1, 2, 3, 5, 8, 1, 1];
    for epsilon in [1, 51, 256, 1024] {
        let (view, policy) = (view(fleet(&weights)), policy(epsilon));
        let mut away = 0;
        for key in 0..KEYS {
            let key = key.to_le_bytes();
            let request = PlaceRequest::new(&key, 0);
            let node = rank(&policy, &view, &request, 1)[0];
            away += u32::from(view.ring().owner_index(&key) != Some(node));
            let counters = &view.nodes()[node].counters;
            let bound = most(&view, &request, node, epsilon);
            counters.set_sessions(counters.sessions() + 1);
            assert!(u128::from(counters.sessions()) <= bound, "{node} at {request:?}");
        }
        let all: u32 = view.nodes().iter().map(|node| node.counters.total()).sum();
        assert_eq!(all, KEYS);
        for (node, weight) in view.nodes().iter().zip(weights) {
            let (had, share) = (u128::from(node.counters.total()), u128::from(KEYS * weight));
            assert!(had <= ((1024 + epsilon) * share).div_ceil(1024 * 21));
        }
        // With a twentieth and less the shares of the ring are not good enough; with twice the share they are.
        assert_eq!(away > KEYS / 100, epsilon <= 51, "{away} of {KEYS} at {epsilon}");
    }
}

#[test]
fn nobody_at_the_bound_is_the_order_of_the_ring() {
    let mut view = view(fleet(&[1, 2, 1, 4, 1, 0]));
    let mut before: Vec<usize> = Vec::new();
    for records in [fleet(&[1, 2, 1, 4, 1, 0]), fleet(&[1, 2, 1, 4, 1, 0, 1])] {
        view = follow(&view, records);
        load(&view, &[50, 100, 50, 200, 50, 0, 50]);
        let mut owners = Vec::new();
        for key in 0..2_000_u32 {
            let key = key.to_le_bytes();
            let request = PlaceRequest::new(&key, 0);
            let ranked = rank(&BoundedLoad::default(), &view, &request, 8);
            assert_eq!(ranked, rank(&ConsistentHash, &view, &request, 8));
            owners.push(ranked[0]);
        }
        // Whatever moves, moves to the node that joined.
        let moved = before.iter().zip(&owners).filter(|(old, new)| old != new);
        assert!(moved.clone().all(|(_, new)| *new == 6));
        let few = 2_000 / 10;
        assert!(before.is_empty() || (few / 2..few * 2).contains(&moved.count()));
        before = owners;
    }
}

#[test]
fn whoever_is_at_the_bound_stands_behind_the_others() {
    // All carry 15 with the stay to come, on five parts of weight: 3 for each, 6 with an epsilon of 1.
    let view = view(fleet(&[1, 1, 1, 2]));
    for (sessions, at_bound) in [
        ([5, 0, 3, 6], &[][..]),
        ([6, 0, 2, 6], &[0]),
        ([1, 1, 0, 12], &[3]),
        ([0, 0, 3, 11], &[]),
        ([7, 7, 0, 0], &[0, 1]),
    ] {
        load(&view, &sessions);
        for key in 0..100_u32 {
            let key = key.to_le_bytes();
            let request = PlaceRequest::new(&key, 0);
            let is_at_bound = |position: &usize| at_bound.contains(position);
            let (behind, mut order): (Vec<_>, Vec<_>) = view.ring().successors(&key).partition(is_at_bound);
            order.extend(behind);
            for limit in 0..6 {
                let ranked = rank(&policy(1024), &view, &request, limit);
                assert_eq!(ranked, order[..limit.min(4)], "{sessions:?}");
            }
        }
    }
}

#[test]
fn who_takes_nothing_has_no_part_in_the_share() {
    let mut records = fleet(&[1, 1, 1, 1, 1, 1]);
    records[0].state = NodeState::Draining;
    records[1].capacity = Some(40);
    records[2].zone = Zone::new("east").unwrap();
    records.push(record("suspect", 1));
    let view = view(records);
    // Three are left in the zone that is not named, and 30 with the stay to come: 12 for each, rounded up from 11.25.
    for (sessions, ranked_first) in [([90, 40, 90, 11, 9, 9, 90], 3), ([90, 40, 90, 12, 9, 8, 90], 4)] {
        load(&view, &sessions);
        let mut keys = (0..u32::MAX).map(u32::to_le_bytes);
        let key = keys.find(|key| view.ring().successors(key).take(2).eq([3, 4]));
        let key = key.unwrap();
        let zone = Zone::default();
        let request = PlaceRequest::new(&key, 0).in_zone(&zone);
        let ranked = rank(&policy(128), &view, &request, 8);
        assert_eq!((ranked[0], ranked.len()), (ranked_first, 3));
        assert_eq!(ranked, expected(&view, &request, 128, 8));
    }
}

/// Where most nodes are at their bounds, or take nothing, the walk is long, and ends where no more are to be found.
#[test]
fn few_below_their_bounds_are_found_among_many() {
    let records = (0..300).map(|number| {
        let mut record = record(&format!("n{number:03}"), 1);
        record.state = if number % 3 == 0 {
            NodeState::Draining
        } else {
            NodeState::Ready
        };
        record
    });
    let view = view(records.collect());
    for below in [
        &[250][..],
        &[1, 299],
        &[5, 50, 100, 101, 200, 202, 203, 205, 206, 208],
    ] {
        for (position, node) in view.nodes().iter().enumerate() {
            node.counters
                .set_sessions(if below.contains(&position) { 0 } else { 1_000 });
        }
        for key in [b"ada".as_slice(), b"grace", b""] {
            let request = PlaceRequest::new(key, 0);
            for limit in [0, 1, 2, 8, 9, 199, 200, 300] {
                let ranked = rank(&policy(1), &view, &request, limit);
                assert_eq!(ranked, expected(&view, &request, 1, limit));
                assert!(limit == 0 || below.contains(&ranked[0]));
                assert_eq!(ranked.len(), limit.min(200));
            }
        }
    }
}

#[test]
fn the_greatest_numbers_do_not_overflow() {
    let view = view(fleet(&[256; 26]));
    let keys: [_; 20] = array::from_fn(|key| [u8::try_from(key).unwrap(); 3]);
    let max = [u32::MAX; 26];
    let mut least = max;
    (least[3], least[4]) = (u32::MAX - 1, 0);
    for sessions in [max, least] {
        load(&view, &sessions);
        let held = view.reserve(4);
        for key in &keys {
            let request = PlaceRequest::new(key, u64::MAX);
            for epsilon in [1, 65_535 * 1024] {
                let ranked = rank(&policy(epsilon), &view, &request, 26);
                assert_eq!(ranked, expected(&view, &request, epsilon, 26));
            }
            // Just above all shares, and just so that whoever carries all of it is at the bound.
            let finest = BoundedLoad::new(f64::MIN_POSITIVE).unwrap();
            assert_eq!(rank(&finest, &view, &request, 26).len(), 26);
        }
        held.release();
    }
    // As many and as heavy as a ring can have of them.
    let all = (0, u32::MAX, 256);
    let nodes = 111_848_usize;
    let steps = 65_535 * ONE;
    let (count, bound) = Bound::of((0..nodes).map(|_| all), steps);
    assert_eq!(count, nodes);
    assert!(bound.is_above(all));
    let (_, bound) = Bound::of((0..nodes).map(|_| all), 1);
    assert!(bound.is_above(all), "a share and a little is more than the share");
    let (_, bound) = Bound::of([(0, u32::MAX, 1), (1, 0, 256)].into_iter(), 1);
    assert!(!bound.is_above((0, u32::MAX, 1)) && bound.is_above((1, 0, 256)));
}

/// Each thread places one stay at a time, so whoever is late passes the bound by that one.
#[test]
fn two_threads_pass_the_bound_by_one_at_most() {
    const EACH: u32 = 10_000;
    let view = Arc::new(view(fleet(&[3, 2, 1])));
    let threads: [_; 2] = array::from_fn(|_| {
        let view = Arc::clone(&view);
        thread::spawn(move || {
            let place = |_| {
                let node = rank(&policy(64), &view, &PlaceRequest::new(b"one key", 0), 1)[0];
                view.reserve(node)
            };
            (0..EACH).map(place).collect::<Vec<_>>()
        })
    });
    let held = threads.map(|thread| thread.join().unwrap());
    let had: Vec<_> = view.nodes().iter().map(|node| node.counters.total()).collect();
    assert_eq!(had.iter().sum::<u32>(), 2 * EACH);
    for (had, weight) in had.iter().zip([3, 2, 1]) {
        let bound = ((1024 + 64) * 2 * EACH * weight).div_ceil(1024 * 6);
        assert!(*had <= bound + 1, "{had} of {bound}");
    }
    drop(held);
}

/// A node of a random fleet: its weight, what it carries, its capacity, and whether it is draining.
type Node = (u32, u32, Option<u32>, bool);

fn node() -> impl Strategy<Value = Node> {
    let carried = prop_oneof![4 => 0..12_u32, 1 => Just(u32::MAX), 1 => any::<u32>()];
    let capacity = prop_oneof![4 => Just(None), 1 => (0..12_u32).prop_map(Some)];
    (0..=3_u32, carried, capacity, proptest::bool::weighted(0.1))
}

fn records(nodes: &[Node]) -> Vec<NodeRecord> {
    let records = nodes
        .iter()
        .enumerate()
        .map(|(number, (weight, _, capacity, draining))| {
            let mut record = record(&format!("n{number:02}"), *weight);
            record.capacity = *capacity;
            if *draining {
                record.state = NodeState::Draining;
            }
            record
        });
    records.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_agrees_with_a_bound_by_division(
        nodes in vec(node(), 0..40),
        keys in vec(vec(any::<u8>(), 0..12), 1..6),
        epsilon in prop_oneof![1..2_048_u128, Just(1), Just(256), Just(65_535 * 1024)],
        limit in 0..45_usize,
    ) {
        let view = view(records(&nodes));
        load(&view, &nodes.iter().map(|node| node.1).collect::<Vec<_>>());
        for key in &keys {
            let request = PlaceRequest::new(key, 0);
            let ranked = rank(&policy(epsilon), &view, &request, limit);
            prop_assert_eq!(ranked, expected(&view, &request, epsilon, limit));
        }
    }

    #[test]
    fn a_released_reservation_leaves_the_ranking_as_it_was(
        nodes in vec(node(), 1..20),
        key in vec(any::<u8>(), 0..12),
    ) {
        let view = view(records(&nodes));
        load(&view, &nodes.iter().map(|node| node.1).collect::<Vec<_>>());
        let order = || rank(&BoundedLoad::default(), &view, &PlaceRequest::new(&key, 0), 8);
        let before = order();
        let held: Vec<_> = (0..30).filter_map(|_| order().first().map(|node| view.reserve(*node))).collect();
        held.into_iter().for_each(Reservation::release);
        prop_assert_eq!(order(), before);
    }
}
