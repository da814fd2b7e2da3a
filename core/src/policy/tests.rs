//! What every policy must do, and what each one does.

use std::sync::Arc;
use std::thread;

use super::*;
use crate::id::{LabelKey, LabelValue, Zone};
use crate::membership::Member;
use crate::node::Load;
use crate::view::Reservation;
use crate::{Incarnation, Membership, NodeId, NodeRecord, NodeState, Nonce, Revision, Weight};

fn policies() -> [Box<dyn BalancingPolicy>; 4] {
    [
        Box::new(ConsistentHash::new()),
        Box::new(RoundRobin::new()),
        Box::new(LeastConnections::new()),
        Box::new(BoundedLoad::default()),
    ]
}

pub(super) fn record(id: &str, weight: u32) -> NodeRecord {
    let incarnation = Incarnation {
        number: 1,
        nonce: Nonce::from_bytes([1; 16]),
    };
    let mut record = NodeRecord::new(NodeId::new(id).unwrap(), incarnation);
    record.weight = Weight::new(weight).unwrap();
    record
}

/// Ready nodes `a`, `b`, … of these weights.
pub(super) fn fleet(weights: &[u32]) -> Vec<NodeRecord> {
    ('a'..='z')
        .zip(weights)
        .map(|(id, weight)| record(&id.to_string(), *weight))
        .collect()
}

pub(super) fn follow(view: &View, records: Vec<NodeRecord>) -> View {
    let members = records
        .into_iter()
        .map(|record| Member::new(record, Load::default()))
        .collect();
    let revision = Revision::new(view.revision().number + 1, 7);
    view.next(&Membership::new(revision, members), None, |node| {
        node.node.as_str() == "suspect"
    })
}

pub(super) fn view(records: Vec<NodeRecord>) -> View {
    follow(&View::empty(), records)
}

pub(super) fn rank(
    policy: &dyn BalancingPolicy,
    view: &View,
    request: &PlaceRequest<'_>,
    limit: usize,
) -> Vec<usize> {
    let mut out = Candidates::with_limit(limit);
    policy.rank(view, request, &mut out);
    out.iter().collect()
}

/// Turns of round robin, as positions.
fn turns(view: &View, count: usize) -> Vec<usize> {
    let request = PlaceRequest::new(b"", 0);
    (0..count)
        .map(|_| rank(&RoundRobin, view, &request, 1)[0])
        .collect()
}

fn count(turns: &[usize], position: usize) -> usize {
    turns.iter().filter(|turn| **turn == position).count()
}

#[test]
fn nobody_is_ranked_in_an_empty_view() {
    for policy in policies() {
        assert_eq!(
            rank(&*policy, &View::empty(), &PlaceRequest::new(b"ada", 3), 8),
            []
        );
        assert_eq!(
            rank(&*policy, &view(fleet(&[0, 0])), &PlaceRequest::new(b"ada", 3), 8),
            []
        );
    }
}

#[test]
fn all_are_ranked_once_and_no_further_than_the_limit() {
    let view = view(fleet(&[1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]));
    for policy in policies() {
        for limit in [0, 1, 7, 8, 9, 12, 20] {
            for key in [b"ada".as_slice(), b"", b"grace"] {
                let mut ranked = rank(&*policy, &view, &PlaceRequest::new(key, 99), limit);
                assert_eq!(ranked.len(), limit.min(12), "{policy:?}");
                ranked.sort_unstable();
                ranked.dedup();
                assert_eq!(ranked.len(), limit.min(12), "{policy:?}");
            }
        }
    }
}

#[test]
fn old_candidates_are_dropped() {
    let view = view(fleet(&[1, 1]));
    for policy in policies() {
        let mut out = Candidates::new();
        out.push(17);
        policy.rank(&view, &PlaceRequest::new(b"ada", 0), &mut out);
        assert!(!out.contains(17) && out.len() == 2, "{policy:?}");
    }
}

#[test]
fn who_takes_nothing_is_never_ranked() {
    let mut records = fleet(&[1, 1, 0, 1, 1, 1]);
    records[1].state = NodeState::Draining;
    records[3].state = NodeState::Joining;
    records[4].capacity = Some(2);
    records.push(record("suspect", 1));
    let view = view(records);
    let full = [view.reserve(4), view.reserve(4)];
    for policy in policies() {
        for random in 0..50_u64 {
            let key = random.to_le_bytes();
            let request = PlaceRequest::new(&key, random << 58);
            let mut ranked = rank(&*policy, &view, &request, 8);
            ranked.sort_unstable();
            assert_eq!(ranked, [0, 5], "{policy:?}");
        }
    }
    full.into_iter().for_each(Reservation::release);
    for policy in policies() {
        assert!(
            rank(&*policy, &view, &PlaceRequest::new(b"", 0), 8).contains(&4),
            "{policy:?}"
        );
    }
}

#[test]
fn zone_and_labels_are_asked_for() {
    let mut records = fleet(&[1, 1, 1]);
    let (zone, label) = (
        Zone::new("east").unwrap(),
        (LabelKey::new("map").unwrap(), LabelValue::new("ice").unwrap()),
    );
    for record in &mut records[1..] {
        record.zone = zone.clone();
    }
    records[2]
        .labels
        .insert(label.0.clone(), label.1.clone())
        .unwrap();
    let view = view(records);
    let labels = [label];
    for policy in policies() {
        let request = PlaceRequest::new(b"ada", 0).in_zone(&zone);
        assert_eq!(rank(&*policy, &view, &request, 8).len(), 2, "{policy:?}");
        assert_eq!(
            rank(&*policy, &view, &request.with_labels(&labels), 8),
            [2],
            "{policy:?}"
        );
    }
}

#[test]
fn consistent_hash_follows_the_ring() {
    let mut records = fleet(&[1, 2, 1, 4, 1]);
    records[3].state = NodeState::Draining;
    let view = view(records);
    for key in 0..200_u32 {
        let key = key.to_le_bytes();
        let expected: Vec<_> = view.ring().successors(&key).filter(|node| *node != 3).collect();
        assert_eq!(
            rank(&ConsistentHash, &view, &PlaceRequest::new(&key, 1), 8),
            expected
        );
    }
}

#[test]
fn turns_are_spread_evenly() {
    let names = |turns: Vec<usize>| {
        turns
            .into_iter()
            .map(|turn| ["a", "b", "c"][turn])
            .collect::<String>()
    };
    assert_eq!(names(turns(&view(fleet(&[1, 1, 1])), 9)), "abcabcabc");
    assert_eq!(names(turns(&view(fleet(&[5, 1, 1])), 14)), "abaacaaabaacaa");
    assert_eq!(names(turns(&view(fleet(&[1, 0, 2])), 6)), "caccac");
}

/// After each turn every node has had its share, to within one turn.
#[test]
fn turns_respect_weights_at_every_moment() {
    for weights in [
        [1, 1, 1, 1, 1, 1],
        [5, 1, 1, 1, 1, 1],
        [256, 255, 254, 1, 2, 3],
        [7, 11, 13, 17, 19, 23],
        [256, 1, 1, 1, 1, 1],
        [2, 5, 2, 1, 1, 2],
        [1, 3, 1, 3, 1, 3],
    ] {
        let view = view(fleet(&weights));
        let all: u64 = weights.iter().copied().map(u64::from).sum();
        let mut had = [0_u64; 6];
        for (taken, turn) in (1_u64..).zip(turns(&view, 10_000)) {
            had[turn] += 1;
            for (had, weight) in had.iter().zip(weights) {
                let share = taken * u64::from(weight);
                assert!(
                    (had * all).abs_diff(share) <= all,
                    "{weights:?}: {had} of {taken} for {weight}"
                );
            }
        }
    }
}

#[test]
fn the_rest_stand_in_the_order_of_their_turns() {
    let view = view(fleet(&[1, 1, 1, 1]));
    let request = PlaceRequest::new(b"", 0);
    assert_eq!(rank(&RoundRobin, &view, &request, 8), [0, 1, 2, 3]);
    assert_eq!(rank(&RoundRobin, &view, &request, 8), [1, 2, 3, 0]);
    assert_eq!(rank(&RoundRobin, &view, &request, 3), [2, 3, 0]);
}

#[test]
fn turns_go_on_in_the_next_view() {
    let mut now = view(fleet(&[5, 1, 1]));
    let mut taken = Vec::new();
    for _ in 0..700 {
        taken.extend(turns(&now, 1));
        now = follow(&now, fleet(&[5, 1, 1]));
    }
    assert_eq!(taken, turns(&view(fleet(&[5, 1, 1])), 700));
}

#[test]
fn who_asks_for_a_zone_or_a_label_takes_nobodys_turn() {
    let (zone, label) = (
        Zone::new("east").unwrap(),
        (LabelKey::new("map").unwrap(), LabelValue::new("ice").unwrap()),
    );
    let mut records = fleet(&[1, 1, 1]);
    records[0].zone = zone.clone();
    records[0]
        .labels
        .insert(label.0.clone(), label.1.clone())
        .unwrap();
    let labels = [label];
    let request = PlaceRequest::new(b"", 0);
    for picky in [request.in_zone(&zone), request.with_labels(&labels)] {
        let view = view(records.clone());
        let taken: Vec<_> = (0..6)
            .map(|_| {
                assert_eq!(rank(&RoundRobin, &view, &picky, 1), [0]);
                turns(&view, 1)[0]
            })
            .collect();
        assert_eq!(taken, [0, 1, 2, 0, 1, 2]);
    }
}

#[test]
fn a_newcomer_gets_its_share_and_nothing_for_the_past() {
    let old = view(fleet(&[1, 1]));
    turns(&old, 10_001);
    let grown = follow(&old, fleet(&[1, 1, 1]));
    let taken = turns(&grown, 300);
    assert!(
        taken.windows(2).all(|pair| pair != [2, 2]),
        "no burst: {:?}",
        &taken[..12]
    );
    assert!(count(&taken[..6], 2) <= 3, "{:?}", &taken[..6]);
    assert!((99..=101).contains(&count(&taken, 2)), "{}", count(&taken, 2));
    // A new run of a known node is a newcomer too.
    let mut records = fleet(&[1, 1, 1]);
    records[0].incarnation.number = 2;
    let taken = turns(&follow(&grown, records), 300);
    assert!((99..=101).contains(&count(&taken, 0)), "{}", count(&taken, 0));
}

#[test]
fn who_was_passed_over_saves_nothing_up() {
    let mut records = fleet(&[2, 1, 1]);
    records[0].state = NodeState::Draining;
    let away = view(records);
    assert_eq!(count(&turns(&away, 5_000), 0), 0);
    let taken = turns(&follow(&away, fleet(&[2, 1, 1])), 400);
    assert!((199..=202).contains(&count(&taken, 0)), "{}", count(&taken, 0));
    assert!(count(&taken[..8], 0) <= 5, "{:?}", &taken[..8]);

    // Many requests for one zone put its nodes ahead; the others take at most one turn each for it.
    let zone = Zone::new("east").unwrap();
    let mut records = fleet(&[1, 1, 1]);
    records[0].zone = zone.clone();
    let view = view(records);
    for _ in 0..1_000 {
        assert_eq!(
            rank(&RoundRobin, &view, &PlaceRequest::new(b"", 0).in_zone(&zone), 8),
            [0]
        );
    }
    let taken = turns(&view, 300);
    assert!((97..=101).contains(&count(&taken, 0)), "{}", count(&taken, 0));
}

#[test]
fn the_turns_of_full_nodes_go_by() {
    // Of the four of weight 1 three are full, and of the two of weight 2 none: 1 and 2 parts of 5.
    let mut records = fleet(&[1, 1, 1, 1, 2, 2]);
    for record in &mut records[..3] {
        record.capacity = Some(1);
    }
    let view = view(records);
    let full: Vec<_> = (0..3).map(|position| view.reserve(position)).collect();
    let taken = turns(&view, 500);
    for (position, expected) in [0, 0, 0, 100, 200, 200].into_iter().enumerate() {
        let had = count(&taken, position);
        assert!(had.abs_diff(expected) <= 1, "{position} had {had}");
    }
    full.into_iter().for_each(Reservation::release);
    let taken = turns(&view, 800);
    assert!((0..4).all(|position| count(&taken, position).abs_diff(100) <= 1));
}

#[test]
fn a_free_node_among_many_full_ones_is_found() {
    let records = (0..100).map(|number| {
        let mut record = record(&format!("n{number:03}"), if number == 50 { 1 } else { 16 });
        record.capacity = (number != 50).then_some(1);
        record
    });
    let view = view(records.collect());
    let full: Vec<_> = (0..100)
        .filter(|position| *position != 50)
        .map(|position| view.reserve(position))
        .collect();
    assert_eq!(turns(&view, 5), [50; 5]);
    assert_eq!(rank(&RoundRobin, &view, &PlaceRequest::new(b"", 0), 8), [50]);
    full.into_iter().for_each(Reservation::release);
    assert!(!turns(&view, 99).contains(&50));
}

#[test]
fn a_group_goes_on_where_it_was_when_others_come_and_go() {
    let of = |ids: &[&str]| ids.iter().map(|id| record(id, 1)).collect();
    let old = view(of(&["b", "d", "f", "h"]));
    assert_eq!(turns(&old, 2), [0, 1]);
    // It was the turn of `f`, which leaves; `a` and `e` come.
    let new = follow(&old, of(&["a", "b", "d", "e", "h"]));
    assert_eq!(turns(&new, 6), [4, 0, 1, 2, 3, 4]);
    // A thread that still has the old view goes on from there, too.
    assert_eq!(turns(&old, 1), [0]);
    assert_eq!(turns(&new, 1), [2]);
}

#[test]
fn two_threads_share_the_turns() {
    const EACH: usize = 20_000;
    let view = Arc::new(view(fleet(&[3, 2, 1])));
    let threads = [(); 2].map(|()| {
        let view = Arc::clone(&view);
        thread::spawn(move || turns(&view, EACH))
    });
    let taken = threads.map(|thread| thread.join().unwrap()).concat();
    for (position, weight) in [3, 2, 1].into_iter().enumerate() {
        let (had, share) = (count(&taken, position), 2 * EACH * weight / 6);
        assert!(
            had.abs_diff(share) <= share / 100,
            "{had} turns, and its share is {share}"
        );
    }
}

#[test]
fn least_connections_fills_up_by_weight() {
    let view = view(fleet(&[4, 2, 1]));
    let mut held = Vec::new();
    for random in 0..700_u64 {
        let ranked = rank(
            &LeastConnections,
            &view,
            &PlaceRequest::new(b"", random.wrapping_mul(u64::MAX / 3)),
            8,
        );
        held.push(view.reserve(ranked[0]));
    }
    let totals: Vec<_> = view.nodes().iter().map(|node| node.counters.total()).collect();
    assert_eq!(totals, [400, 200, 100]);
}

#[test]
fn least_connections_ranks_by_what_is_carried() {
    let view = view(fleet(&[1, 1, 1, 1]));
    for (node, sessions) in view.nodes().iter().zip([u32::MAX, 4, 9, 4]) {
        node.counters.set_sessions(sessions);
    }
    assert_eq!(
        rank(&LeastConnections, &view, &PlaceRequest::new(b"", 0), 8),
        [1, 3, 2, 0]
    );
    assert_eq!(
        rank(
            &LeastConnections,
            &view,
            &PlaceRequest::new(b"", u64::MAX / 2 + 1),
            8
        ),
        [3, 1, 2, 0]
    );
    assert_eq!(
        rank(&LeastConnections, &view, &PlaceRequest::new(b"", 0), 2),
        [1, 3]
    );
}

#[test]
fn equal_loads_are_drawn() {
    let view = view(fleet(&[1, 1, 1]));
    let mut first = [0; 3];
    for random in 0..300_u64 {
        let request = PlaceRequest::new(b"", random * (u64::MAX / 300));
        first[rank(&LeastConnections, &view, &request, 8)[0]] += 1;
    }
    assert!(first.iter().all(|times| (99..=101).contains(times)), "{first:?}");
}

/// It is the stay to come that is compared, not what is there: a third of a node of weight 3, all of one of weight 1.
#[test]
fn the_stay_to_come_counts_where_weights_differ() {
    let view = view(fleet(&[1, 3]));
    view.nodes()[1].counters.set_sessions(1);
    for random in 0..4 {
        let ranked = rank(&LeastConnections, &view, &PlaceRequest::new(b"ada", random), 2);
        assert_eq!(ranked, [1, 0], "two thirds are less than one");
    }
}
