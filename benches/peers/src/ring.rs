//! Rings: 150 virtual nodes for each node (pingora has 160), a fresh random key of 16 bytes each time.
//!
//! anchorhash has no virtual nodes. Its answers depend on the order in which nodes came and went, so
//! servers agree only where they share that history; it is shown for its speed.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};

use anchorhash::AnchorHash;
use hashring::HashRing;
use pingora_ketama::{Bucket, Continuum};
use ringhold_core::ring::{RingChange, VIRTUAL_NODES};
use ringhold_core::{NodeId, Ring, Weight};

use crate::rounds::{Keys, Rounds, Runner, each, used};
use crate::{Effort, shown};

const NAMES: [&str; 4] = ["ringhold", "pingora-ketama 0.9", "hashring 0.3", "anchorhash 0.2"];

/// Those that promise the same as we do.
const WITH_VIRTUAL_NODES: std::ops::Range<usize> = 1..3;

type Key = [u8; 16];

fn id(number: usize) -> NodeId {
    NodeId::new(format!("node-{number}")).expect("a node id")
}

fn bucket(number: usize) -> Bucket {
    let number = u32::try_from(number).expect("a small number");
    Bucket::new(SocketAddr::from((Ipv4Addr::from(0x0a00_0000 | number), 80)), 1)
}

/// The virtual nodes of one node, which hashring is given as nodes.
fn virtual_nodes(number: usize) -> Vec<(usize, u32)> {
    (0..VIRTUAL_NODES).map(|index| (number, index)).collect()
}

pub(crate) fn compare(effort: Effort, nodes: usize) {
    let ring = Ring::new((0..nodes).map(|number| (id(number), Weight::ONE)));
    let buckets: Vec<Bucket> = (0..nodes).map(bucket).collect();
    let ketama = Continuum::new(&buckets);
    let mut hashring = HashRing::new();
    hashring.batch_add((0..nodes).flat_map(virtual_nodes).collect());
    let capacity = u16::try_from(2 * nodes).expect("room");
    let mut anchor: AnchorHash<Key, usize, _> = anchorhash::Builder::default()
        .with_resources(0..nodes)
        .build(capacity);

    let mut keys = [1, 2, 3, 4].map(Keys::new);
    let [a, b, c, d] = &mut keys;
    let rounds = Rounds::run(
        effort,
        vec![
            each(|| used(ring.owner_index(&a.next()))),
            each(|| used(ketama.node(&b.next()))),
            each(|| used(hashring.get(&c.next()))),
            each(|| used(anchor.get_resource(d.next()))),
        ],
    );
    print(&format!("a key's owner, {nodes} nodes"), &rounds, Some(4.0));

    let keys = [5, 6, 7, 8].map(|seed| RefCell::new(Keys::new(seed)));
    let [a, b, c, d] = &keys;
    let rounds = Rounds::run(
        effort,
        vec![
            dependent(a, |key| ring.owner_index(&key)),
            dependent(b, |key| {
                ketama
                    .node(&key)
                    .map(|node| usize::from(node.port()) + usize::from(node.is_ipv4()))
            }),
            dependent(c, |key| hashring.get(&key).map(|(node, _)| *node)),
            dependent(d, |key| anchor.get_resource(key).copied()),
        ],
    );
    print(
        &format!("each key from the last answer, {nodes} nodes"),
        &rounds,
        Some(2.0),
    );

    let few = Effort {
        rounds: if nodes < 10_000 { 7 } else { 3 },
        calls: 1,
    };
    let [mut to_ours, mut to_ketama, mut to_hashring] = [nodes; 3];
    let rounds = Rounds::run(
        few,
        vec![
            each(|| {
                to_ours += 1;
                used(ring.apply([RingChange::Set(id(to_ours), Weight::ONE)]));
            }),
            each(|| {
                to_ketama += 1;
                let joined: Vec<Bucket> = (0..nodes).chain([to_ketama]).map(bucket).collect();
                used(Continuum::new(&joined));
            }),
            each(|| {
                to_hashring += 1;
                hashring.batch_add(virtual_nodes(to_hashring));
            }),
            each(|| {
                used(anchor.add_resource(nodes));
                used(anchor.remove_resource(&nodes));
            }),
        ],
    );
    print(
        &format!("a node joins (anchorhash: and leaves), {nodes} nodes"),
        &rounds,
        None,
    );
}

/// Lookups of which each waits for the one before.
fn dependent<'a>(keys: &'a RefCell<Keys>, owner: impl Fn(Key) -> Option<usize> + 'a) -> Runner<'a> {
    each(move || {
        let mut keys = keys.borrow_mut();
        let key = keys.next();
        keys.mix(owner(key));
    })
}

/// What each took, and how far we are ahead; `promised` is that of peers with virtual nodes.
fn print(what: &str, rounds: &Rounds, promised: Option<f64>) {
    println!("\n{what}");
    for (runner, name) in NAMES.iter().enumerate() {
        let (time, ratio) = (shown(rounds.median_ns(runner)), rounds.ratio(runner, 0));
        let verdict = promised
            .filter(|_| WITH_VIRTUAL_NODES.contains(&runner))
            .map_or_else(String::new, |promised| {
                let kept = if ratio >= promised { "kept" } else { "MISSED" };
                format!("  promised ≥ {promised}: {kept}")
            });
        println!("  {name:<20}{time:>12}{ratio:>10.1} ×{verdict}");
    }
}
