//! What rings and policies allocate, counted by the allocator itself.

use std::hint::black_box;

use allocation_counter::measure;
use ringhold_core::membership::Member;
use ringhold_core::node::Load;
use ringhold_core::policy::{
    BalancingPolicy, BoundedLoad, Candidates, ConsistentHash, LeastConnections, RoundRobin,
};
use ringhold_core::ring::{Ring, RingChange};
use ringhold_core::view::PlaceRequest;
use ringhold_core::{Incarnation, Membership, NodeId, NodeRecord, Nonce, Revision, View, Weight};

fn node(number: usize) -> NodeId {
    NodeId::new(format!("node-{number}")).expect("a node id")
}

fn ring(nodes: usize) -> Ring {
    Ring::new((0..nodes).map(|number| (node(number), Weight::ONE)))
}

/// A view of nodes that have room for so many players each.
fn view(nodes: usize, capacity: u32) -> View {
    let incarnation = Incarnation {
        number: 1,
        nonce: Nonce::from_bytes([1; 16]),
    };
    let members = (0..nodes).map(|number| {
        let mut record = NodeRecord::new(node(number), incarnation);
        record.capacity = Some(capacity);
        Member::new(record, Load::default())
    });
    let membership = Membership::new(Revision::new(1, 1), members.collect());
    View::empty().next(&membership, None, |_| false)
}

#[test]
fn the_first_32_successors_allocate_nothing() {
    let ring = ring(100);
    let walk =
        |count: usize| measure(|| assert!(black_box(ring.successors(b"ada").take(count).last()).is_some()));
    assert_eq!(walk(32).count_total, 0);
    assert!(walk(33).count_total > 0, "the counter counts");
}

#[test]
fn eight_candidates_allocate_nothing() {
    let view = view(100, 1);
    // Some of the nodes that the ring would choose are full.
    let full: Vec<_> = view
        .ring()
        .successors(b"ada")
        .step_by(3)
        .take(8)
        .map(|node| view.reserve(node))
        .collect();
    let bounded = BoundedLoad::default();
    let policies: [&dyn BalancingPolicy; 4] = [&ConsistentHash, &RoundRobin, &LeastConnections, &bounded];
    for policy in policies {
        for limit in [1, 8] {
            let mut ranked = 0;
            let counted = measure(|| {
                let mut out = Candidates::with_limit(limit);
                policy.rank(&view, &PlaceRequest::new(b"ada", 7), &mut out);
                ranked = out.len();
            });
            assert_eq!((ranked, counted.count_total), (limit, 0), "{policy:?}");
        }
    }
    drop(full);
}

/// However far the next node below its bound is, and also where the others have to be ranked behind it.
#[test]
fn nodes_at_their_bounds_are_passed_without_allocating() {
    let view = view(500, 2_000);
    let policy = BoundedLoad::new(0.001).expect("an epsilon");
    let around: Vec<usize> = view.ring().successors(b"ada").collect();
    for below in [1, 7, 8, 20, 100] {
        // Every second one of the first 400 is full; of the others the last ones are below their bounds.
        for (place, node) in around.iter().enumerate() {
            let sessions = match place {
                _ if place + below >= around.len() => 0,
                ..400 if place % 2 == 0 => 2_000,
                _ => 1_000,
            };
            view.nodes()[*node].counters.set_sessions(sessions);
        }
        for limit in [1, 2, 8] {
            let mut ranked = Vec::with_capacity(limit);
            let counted = measure(|| {
                let mut out = Candidates::with_limit(limit);
                policy.rank(&view, &PlaceRequest::new(b"ada", 7), &mut out);
                ranked.extend(out.iter());
            });
            let at_bounds = around.iter().skip(1).step_by(2);
            let expected = around[500 - below..].iter().chain(at_bounds).take(limit);
            assert!(ranked.iter().eq(expected), "{ranked:?}, {below} below");
            assert_eq!(counted.count_total, 0, "{below} below");
        }
    }
}

/// What a ring keeps, made in this way, in bytes for each virtual node.
fn bytes_per_point(make: impl Fn() -> Ring) -> f64 {
    let mut kept = None;
    let counted = measure(|| kept = Some(make()));
    let points = kept.expect("it was made").virtual_nodes();
    f64::from(i32::try_from(counted.bytes_current).expect("some MB"))
        / f64::from(u32::try_from(points).expect("32 bits"))
}

#[test]
fn a_virtual_node_takes_at_most_32_bytes() {
    for nodes in [1, 2, 10, 100, 1_000] {
        let ids: Vec<NodeId> = (0..nodes).map(node).collect();
        let laid_out = bytes_per_point(|| Ring::new(ids.iter().map(|id| (id.clone(), Weight::ONE))));
        assert!(laid_out <= 32.0, "{nodes} nodes laid out: {laid_out}");
    }
    // One after the other, to where the table is the most crowded and the emptiest, and laid out anew.
    let ids: Vec<NodeId> = (0..160).map(node).collect();
    for joined in (1..160).step_by(12) {
        let grown = || {
            let join = |ring: Ring, id: &NodeId| ring.apply([RingChange::Set(id.clone(), Weight::ONE)]);
            ids[..joined].iter().fold(Ring::empty(), join)
        };
        let (up, down) = (
            bytes_per_point(grown),
            bytes_per_point(|| {
                let leave = |ring: Ring, id: &NodeId| ring.apply([RingChange::Remove(id.clone())]);
                ids[..joined / 3].iter().fold(grown(), leave)
            }),
        );
        assert!(
            up <= 32.0 && down <= 32.0,
            "{joined} nodes: {up}, and after some left: {down}"
        );
    }
}

#[test]
fn a_change_copies_a_part_of_the_ring() {
    let ring = ring(1_000);
    for change in [
        RingChange::Set(node(1_001), Weight::ONE),
        RingChange::Remove(node(500)),
    ] {
        let counted = measure(|| drop(black_box(ring.apply([change.clone()]))));
        // 150 pages of 2 KB with as much of points, at most, the members, and the references of all
        // pages; the whole is 2.5 MB.
        assert!(
            counted.bytes_max < 700_000,
            "{change:?} allocates {} bytes",
            counted.bytes_max
        );
    }
}
