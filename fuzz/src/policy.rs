//! Policies over views that follow each other: total, nobody twice, nobody who takes nothing.

use ringhold_core::id::{LabelKey, LabelValue, Zone};
use ringhold_core::membership::Member;
use ringhold_core::node::Load;
use ringhold_core::policy::{
    BalancingPolicy, BoundedLoad, Candidates, ConsistentHash, LeastConnections, RoundRobin,
};
use ringhold_core::view::{PlaceRequest, Reservation, View};
use ringhold_core::{Incarnation, Membership, NodeId, NodeRecord, NodeState, Nonce, Revision, Weight};

use crate::input::Input;

/// A membership, and what is asked of it while it stands.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mut view, mut reserved) = (View::empty(), Vec::new());
    for revision in 1..=4 {
        if input.is_empty() {
            break;
        }
        view = follow(&view, revision, &mut input);
        for _ in 0..input.below(8) {
            asked(&view, &mut input, &mut reserved);
        }
        if input.flag() {
            reserved.drain(..).for_each(Reservation::release);
        }
    }
    reserved.into_iter().for_each(Reservation::release);
    for node in view.nodes() {
        assert_eq!(node.counters.reserved(), 0, "a reservation was not released");
    }
}

fn follow(view: &View, revision: u64, input: &mut Input<'_>) -> View {
    let count = input.below(12);
    let members = (0..count).map(|_| {
        let id = format!("n{}", input.below(16));
        let incarnation = Incarnation {
            number: 1 + u64::from(input.flag()),
            nonce: Nonce::from_bytes([1; 16]),
        };
        let mut record = NodeRecord::new(NodeId::new(id).unwrap(), incarnation);
        let weight = input.one_of(&[1, 0, 1, 1, 2, 3]);
        record.weight = Weight::new(weight).unwrap();
        record.state = input.one_of(&[
            NodeState::Ready,
            NodeState::Ready,
            NodeState::Draining,
            NodeState::Joining,
        ]);
        record.capacity = input.one_of(&[None, None, Some(0), Some(1), Some(3), Some(u32::MAX)]);
        record.zone = zone(input.one_of(&["east", "west"]));
        if input.flag() {
            let (key, value) = label();
            record.labels.insert(key, value).unwrap();
        }
        let mut load = Load::default();
        load.sessions = input.one_of(&[0, 0, 1, 2, 3, u32::MAX]);
        let mut member = Member::new(record, load);
        member.lapsed = input.below(8) == 1;
        member
    });
    let mut members: Vec<Member> = members.collect();
    members.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    members.dedup_by(|a, b| a.record.id == b.record.id);
    let suspect = format!("n{}", input.below(16));
    let membership = Membership::new(Revision::new(revision, 7), members);
    view.next(&membership, None, |node| node.node.as_str() == suspect)
}

fn asked(view: &View, input: &mut Input<'_>, reserved: &mut Vec<Reservation>) {
    let (east, labels) = (zone("east"), [label()]);
    let mut request = PlaceRequest::new(input.key(), input.number());
    if input.below(4) == 1 {
        request = request.in_zone(&east);
    }
    if input.below(4) == 1 {
        request = request.with_labels(&labels);
    }
    let mut out = Candidates::with_limit(input.one_of(&[8, 0, 1, 2, 9, 40]));
    let takers: Vec<usize> = (0..view.nodes().len())
        .filter(|position| view.takes(*position, &request))
        .collect();
    for position in &takers {
        let node = &view.nodes()[*position];
        assert!(!node.suspect && node.record.state == NodeState::Ready && node.record.weight.get() > 0);
    }
    ConsistentHash::new().rank(view, &request, &mut out);
    let around = view.ring().successors(request.key);
    let expected = around
        .filter(|position| takers.contains(position))
        .take(out.limit());
    assert!(out.iter().eq(expected), "the order around the ring");
    total(&out, &takers);

    let epsilons = [256, 1, 1024, 65_535 * 1024];
    let epsilon = epsilons[usize::try_from(request.random % 4).unwrap_or_default()];
    bounded(view, &request, &takers, epsilon, &mut out);
    total(&out, &takers);

    LeastConnections::new().rank(view, &request, &mut out);
    total(&out, &takers);
    assert!(
        out.iter().is_sorted_by(|a, b| carries(view, *a, *b)),
        "the least first"
    );
    let last = out.iter().next_back();
    for left in takers.iter().filter(|taker| !out.contains(**taker)) {
        assert!(last.is_none_or(|last| carries(view, last, *left)));
    }

    RoundRobin::new().rank(view, &request, &mut out);
    total(&out, &takers);
    if let (Some(first), true) = (out.first(), input.flag()) {
        reserved.push(view.reserve(first));
    }
}

/// Those below their bounds around the ring, and then those at them, with an epsilon of so many 1024th.
fn bounded(view: &View, request: &PlaceRequest<'_>, takers: &[usize], epsilon: u32, out: &mut Candidates) {
    let policy = BoundedLoad::new(f64::from(epsilon) / 1024.0).unwrap();
    policy.rank(view, request, out);
    let carried = |position: usize| u128::from(view.nodes()[position].counters.total());
    let weight = |position: usize| u128::from(view.nodes()[position].record.weight.get());
    let all = takers.iter().map(|taker| carried(*taker)).sum::<u128>() + 1;
    let weights: u128 = takers.iter().map(|taker| weight(*taker)).sum();
    let is_below = |position: &usize| {
        let most = (1024 + u128::from(epsilon)) * all * weight(*position);
        carried(*position) < most.div_ceil(1024 * weights)
    };
    let around = view.ring().successors(request.key);
    let (below, at): (Vec<_>, Vec<_>) = around
        .filter(|position| takers.contains(position))
        .partition(is_below);
    assert!(!below.is_empty() || at.is_empty(), "somebody is below the bound");
    let expected = below.iter().chain(&at).copied().take(out.limit());
    assert!(out.iter().eq(expected), "who is at the bound stands behind");
}

/// As many as there are, up to the limit; each once.
fn total(out: &Candidates, takers: &[usize]) {
    assert_eq!(out.len(), takers.len().min(out.limit()));
    let mut ranked: Vec<usize> = out.iter().collect();
    assert!(ranked.iter().all(|position| takers.contains(position)));
    ranked.sort_unstable();
    assert!(ranked.is_sorted_by(|a, b| a < b), "twice: {ranked:?}");
}

/// Whether the first carries no more for its weight than the second, with one stay more on each.
fn carries(view: &View, first: usize, second: usize) -> bool {
    let fraction = |position: usize| {
        let node = &view.nodes()[position];
        (
            u128::from(node.counters.total()) + 1,
            u128::from(node.record.weight.get()),
        )
    };
    let ((carried, weight), (other, other_weight)) = (fraction(first), fraction(second));
    carried * other_weight <= other * weight
}

fn zone(name: &str) -> Zone {
    Zone::new(name).unwrap()
}

fn label() -> (LabelKey, LabelValue) {
    (LabelKey::new("map").unwrap(), LabelValue::new("ice").unwrap())
}
