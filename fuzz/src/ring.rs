//! The ring, changed again and again, against the sorted vector of its specification.

#[path = "../../core/tests/ring/oracle.rs"]
mod oracle;

use ringhold_core::NodeId;
use ringhold_core::ring::{Ring, RingChange, key_hash, point_hash};

use self::oracle::{Members, Oracle};
use crate::input::Input;

/// Few ids, so that changes meet members; one is a prefix of others, and one as long as may be.
const IDS: [&str; 8] = [
    "a",
    "aa",
    "ab",
    "b",
    "eu-1",
    "eu-1.x",
    "Z",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
];
/// The oracle sorts texts, which takes its time.
const STEPS_MAX: usize = 6;

/// Batches of changes; after each, whatever can be asked.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mut ring, mut members) = (Ring::empty(), Members::new());
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let before = (ring.clone(), Oracle::new(&members));
        let mut changes = Vec::new();
        for _ in 0..input.below(5) {
            let id = input.one_of(&IDS);
            if input.flag() {
                members.remove(id);
                changes.push(RingChange::Remove(oracle::node(id)));
            } else {
                let weight = input.one_of(&[1, 0, 1, 1, 2, 3]);
                members.insert(id.to_owned(), weight);
                changes.push(RingChange::Set(oracle::node(id), oracle::weight(weight)));
            }
        }
        ring = before.0.apply(changes);
        let oracle = Oracle::new(&members);
        whole(&ring, &members, &oracle);
        let keys: Vec<&[u8]> = (0..input.below(6)).map(|_| input.key()).collect();
        for key in &keys {
            looked_up(&ring, &oracle, key);
        }
        for place in [0, u64::MAX, input.number()] {
            placed(&ring, &oracle, place);
        }
        moved(&before, &ring, &oracle, &keys);
    }
}

/// What does not depend on a key.
fn whole(ring: &Ring, members: &Members, oracle: &Oracle) {
    assert_eq!(*ring, oracle::ring(members), "changed, and made at once");
    assert_eq!(ring.fingerprint(), oracle.fingerprint());
    assert_eq!(ring.len(), members.len());
    assert_eq!(ring.virtual_nodes(), oracle.places().count());
    for (position, (id, weight)) in members.iter().enumerate() {
        assert_eq!(ring.position(&oracle::node(id)), Some(position));
        assert_eq!(ring.nodes()[position].1, oracle::weight(*weight));
        assert_eq!(point_hash(&oracle::node(id), 7), oracle::point(id, 7));
    }
    // Where keys change hands: at each point, and right behind it.
    for place in oracle.places().step_by(37) {
        placed(ring, oracle, place);
        placed(ring, oracle, place.wrapping_add(1));
    }
}

fn placed(ring: &Ring, oracle: &Oracle, place: u64) {
    let owner = ring
        .owner_of_hash(place)
        .map(|node| ring.nodes()[node].0.as_str());
    assert_eq!(owner, oracle.owner_of_hash(place), "at {place}");
}

fn looked_up(ring: &Ring, oracle: &Oracle, key: &[u8]) {
    assert_eq!(key_hash(key), oracle::hash(key));
    assert_eq!(ring.owner(key).map(NodeId::as_str), oracle.owner(key));
    assert_eq!(oracle::successors(ring, key), oracle.successors(key));
}

/// The difference names the move of each key, and no more than there is.
fn moved((before, oracle_before): &(Ring, Oracle), ring: &Ring, oracle: &Oracle, keys: &[&[u8]]) {
    let diff = Ring::diff(before, ring);
    let sum: f64 = diff.moves().iter().map(|step| step.share).sum();
    assert!((sum - diff.moved()).abs() < 1e-9 && (0.0..=1.0).contains(&diff.moved()));
    assert_eq!(diff.is_empty(), diff.moves().is_empty());
    for key in keys {
        let (from, to) = (oracle_before.owner(key), oracle.owner(key));
        let named = diff.moves().iter().any(|step| {
            step.from.as_ref().map(NodeId::as_str) == from && step.to.as_ref().map(NodeId::as_str) == to
        });
        assert_eq!(named, from != to, "{from:?} to {to:?}");
    }
}
