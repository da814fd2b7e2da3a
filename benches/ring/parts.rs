//! Criterion's figures for the parts: publication, the ring's walk, policies and stored sessions.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group};
use ringhold_core::codec::{SessionHeader, decode_session, encode_session};
use ringhold_core::membership::Member;
use ringhold_core::node::Load;
use ringhold_core::policy::{
    BalancingPolicy, BoundedLoad, Candidates, ConsistentHash, LeastConnections, RoundRobin,
};
use ringhold_core::published::Published;
use ringhold_core::ring::Ring;
use ringhold_core::view::{PlaceRequest, View};
use ringhold_core::{Incarnation, Membership, NodeRecord, Nonce, Revision};

use crate::rounds::Keys;
use crate::{NODES, node, ring};

/// A session as stores keep it: one of core's golden files.
const SESSION: &[u8] = include_bytes!("../../core/tests/golden/session-v1.bin");

fn publication(criterion: &mut Criterion) {
    let cell = Published::new(Arc::new(ring(NODES)));
    let mut reader = cell.reader();
    criterion.bench_function("published/Reader::get", |b| b.iter(|| reader.get().len()));
    criterion.bench_function("published/with", |b| b.iter(|| cell.with(Ring::len)));
    criterion.bench_function("published/load", |b| b.iter(|| cell.load().len()));
}

fn successors(criterion: &mut Criterion) {
    let (ring, mut keys) = (ring(NODES), Keys::new(1));
    criterion.bench_function("ring/three successors/1000", |b| {
        b.iter(|| ring.successors(black_box(&keys.next())).take(3).sum::<usize>());
    });
}

fn policies(criterion: &mut Criterion) {
    let incarnation = Incarnation {
        number: 1,
        nonce: Nonce::from_bytes([1; 16]),
    };
    let mut members: Vec<Member> = (0..NODES)
        .map(|number| Member::new(NodeRecord::new(node(number), incarnation), Load::default()))
        .collect();
    members.sort_by(|one, other| one.record.id.cmp(&other.record.id));
    let view = View::empty().next(&Membership::new(Revision::new(1, 1), members), None, |_| false);
    let bounded = BoundedLoad::default();
    let policies: [(&str, &dyn BalancingPolicy); 4] = [
        ("bounded load", &bounded),
        ("consistent hash", &ConsistentHash),
        ("round robin", &RoundRobin),
        ("least connections", &LeastConnections),
    ];
    for (name, policy) in policies {
        let (mut keys, mut out) = (Keys::new(2), Candidates::with_limit(1));
        criterion.bench_function(&format!("policy/{name}/1000"), |b| {
            b.iter(|| {
                policy.rank(&view, &PlaceRequest::new(&keys.next(), 7), &mut out);
                out.first()
            });
        });
    }
}

fn stored_sessions(criterion: &mut Criterion) {
    let session = decode_session(SESSION).expect("a golden file");
    criterion.bench_function("codec/header of a session", |b| {
        b.iter(|| SessionHeader::read(black_box(SESSION)));
    });
    criterion.bench_function("codec/session decoded", |b| {
        b.iter(|| decode_session(black_box(SESSION)));
    });
    criterion.bench_function("codec/session encoded", |b| {
        b.iter(|| encode_session(black_box(&session)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = successors, publication, policies, stored_sessions
}
