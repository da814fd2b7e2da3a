//! The consistent-hash ring: which node a key belongs to, the same on every machine.
//!
//! This is exactly the ring of Karger, Lehman, Leighton, Panigrahy, Levine and Lewin, *Consistent
//! Hashing and Random Trees* (STOC 1997), with 150 virtual nodes for weight 1. A [`Ring`] depends on
//! node ids and weights alone, so nodes that see the same membership agree on every key without
//! talking. It says where a key belongs; it is not a lock, and not the place of a live session.
//!
//! # Specification
//!
//! Version 1. A program in any language that follows it agrees with this one; the vectors in
//! `core/tests/golden/ring.txt` say so. `H` is [XXH3-64] with seed 0 and the default secret;
//! numbers are unsigned and little-endian; `++` joins bytes.
//!
//! 1. **Members** are pairs of a node id (1 to 64 bytes) and a weight (0 to 256), one pair for each
//!    id, sorted by the bytes of the id.
//! 2. **Points.** A member has `150 * weight` points, so none with weight 0. The place of its point
//!    `i`, counted from 0, is `H(length of id as u8 ++ id ++ i as u32)`.
//! 3. **Order.** Points are sorted by place; points at the same place by node id, smallest first.
//! 4. **Owner.** A key of any bytes, also none, belongs to the node of the first point whose place is
//!    at least `H(key)`. Where there is none, it belongs to the node of the very first point. Without
//!    points nobody owns anything.
//! 5. **Successors** of a key are the nodes of the points from the owner's on, once around, each node
//!    where it is met first.
//! 6. **Fingerprint**: `H("ring/1" ++ m1 ++ m2 ++ ..)`, where `m` is
//!    `length of id as u8 ++ id ++ weight as u16` for each member in order, also those of weight 0.
//!
//! What follows from it: when a node joins, keys move only to it; when one leaves, only its keys
//! move; a node's share is close to its part of the weights (at weight 1 the standard deviation is
//! about 8 % of the share, at weight `w` it is `1 / sqrt(w)` of that).
//!
//! # How a key is found
//!
//! The hash names a line of the cache, and the answer stands on it: the points of one slice of the
//! hash space in 32 bits each, and what follows them. So a lookup is O(1) expected, one cache miss on a
//! large ring and a look into a small table. Where the line does not tell, once in 100 to 1,000 times, all
//! bits of the points are looked at, so it is exact. Rings share what they have in common, so that one
//! with a node more or less costs its 150 points and some KB for each. Points take some 17 bytes each,
//! of which most lookups see 8.
//!
//! [XXH3-64]: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md

mod change;
mod diff;
mod page;
mod point;
mod slots;
mod successors;
mod table;
mod word;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

pub use change::RingChange;
pub use diff::{Move, RingDiff};
pub use point::{key_hash, point_hash};
pub use successors::Successors;

use crate::{NodeId, Weight};
use slots::Slots;
use table::Table;

/// Virtual nodes for each unit of weight.
pub const VIRTUAL_NODES: u32 = 150;

/// 2^64, the number of places on the ring.
const PLACES: f64 = 18_446_744_073_709_551_616.0;

/// An immutable consistent-hash ring of nodes with weights. The [module](self) has its specification.
///
/// A clone is a reference count. Two rings are equal when their members are.
///
/// ```
/// use ringhold_core::ring::{Ring, RingChange};
/// use ringhold_core::{NodeId, Weight};
///
/// let ring = Ring::new([
///     (NodeId::new("eu-1")?, Weight::ONE),
///     (NodeId::new("eu-2")?, Weight::ONE),
/// ]);
/// let before = ring.owner(b"ada").expect("the ring has members").clone();
///
/// // A node that joins takes keys; no key moves between the others.
/// let grown = ring.apply([RingChange::Set(NodeId::new("eu-3")?, Weight::ONE)]);
/// let after = grown.owner(b"ada").expect("the ring has members").clone();
/// assert!(after == before || after.as_str() == "eu-3");
///
/// // Without members nobody owns anything.
/// assert_eq!(Ring::empty().owner(b"ada"), None);
/// # Ok::<(), ringhold_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Ring {
    inner: Arc<Inner>,
}

struct Inner {
    /// Its nodes are slots: numbers that members keep while others come and go.
    table: Table,
    /// The position in `members` for each slot.
    positions: Box<[u32]>,
    /// The slot of each member, of those with a weight above 0.
    slots: Box<[u32]>,
    /// Sorted by id.
    members: Box<[(NodeId, Weight)]>,
    /// Members with a weight above 0.
    placed: usize,
    fingerprint: u64,
}

impl Ring {
    /// The ring of these members, in any order. Of several pairs with one id the last counts.
    ///
    /// O(p log p) in the number of virtual nodes p.
    ///
    /// # Panics
    /// When there are more than `u32::MAX` virtual nodes, which are 111,848 nodes of weight 256.
    pub fn new(members: impl IntoIterator<Item = (NodeId, Weight)>) -> Self {
        let members: Box<[_]> = members
            .into_iter()
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect();
        Self::laid_out(members, |_| Vec::new())
    }

    /// The ring without members.
    pub fn empty() -> Self {
        Self::new([])
    }

    fn from_parts(members: Box<[(NodeId, Weight)]>, slots: Slots, table: Table) -> Self {
        let placed = members
            .iter()
            .filter(|(_, weight)| *weight > Weight::ZERO)
            .count();
        let fingerprint = fingerprint(&members);
        Self {
            inner: Arc::new(Inner {
                table,
                positions: slots.positions.into(),
                slots: slots.of_members.into(),
                members,
                placed,
                fingerprint,
            }),
        }
    }

    /// The node that `key` belongs to; `None` where no member has a weight above 0. O(1) expected.
    pub fn owner(&self, key: &[u8]) -> Option<&NodeId> {
        self.owner_index(key).map(|node| &self.inner.members[node].0)
    }

    /// The owner of `key` as its position in [`nodes`](Self::nodes). O(1) expected.
    pub fn owner_index(&self, key: &[u8]) -> Option<usize> {
        self.owner_of_hash(key_hash(key))
    }

    /// The owner of every key with this [hash](key_hash), as its position in [`nodes`](Self::nodes).
    /// O(1) expected.
    pub fn owner_of_hash(&self, hash: u64) -> Option<usize> {
        let slot = self.inner.table.owner(hash)?;
        Some(self.inner.position(slot))
    }

    /// The distinct nodes from the owner of `key` on, around the ring, as positions in
    /// [`nodes`](Self::nodes). Nodes of weight 0 are not among them.
    ///
    /// A step looks at as many points as it takes to meet a new node, one or two as long as few of
    /// the nodes were met. Nothing is allocated for the first 32 nodes.
    ///
    /// ```
    /// # use ringhold_core::{NodeId, Ring, Weight};
    /// let ids = ["a", "b", "c"].map(|id| NodeId::new(id).expect("a node id"));
    /// let ring = Ring::new(ids.map(|id| (id, Weight::ONE)));
    /// let replicas: Vec<usize> = ring.successors(b"ada").take(2).collect();
    /// assert_eq!(Some(replicas[0]), ring.owner_index(b"ada"));
    /// assert_ne!(replicas[0], replicas[1]);
    /// ```
    pub fn successors(&self, key: &[u8]) -> Successors<'_> {
        Successors::new(&self.inner, key_hash(key))
    }

    /// The nodes of all points from the owner of `key` on, once around the ring, as positions in
    /// [`nodes`](Self::nodes): most of them many times, and none is remembered.
    #[inline]
    pub(crate) fn points(&self, key: &[u8]) -> impl Iterator<Item = usize> {
        let table = &self.inner.table;
        let mut cursor = table.cursor(key_hash(key));
        (0..table.len()).map(move |_| self.inner.position(table.next(&mut cursor)))
    }

    /// All members with their weights, sorted by id, also those of weight 0.
    pub fn nodes(&self) -> &[(NodeId, Weight)] {
        &self.inner.members
    }

    /// The position of a member in [`nodes`](Self::nodes). O(log n).
    pub fn position(&self, node: &NodeId) -> Option<usize> {
        self.inner.members.binary_search_by(|(id, _)| id.cmp(node)).ok()
    }

    /// How many members there are, those of weight 0 included.
    pub fn len(&self) -> usize {
        self.inner.members.len()
    }

    /// Whether there are no members at all. A ring with members of weight 0 alone is not empty, and
    /// has no owners.
    pub fn is_empty(&self) -> bool {
        self.inner.members.is_empty()
    }

    /// How many virtual nodes there are: 150 for each unit of weight.
    pub fn virtual_nodes(&self) -> usize {
        self.inner.table.len()
    }

    /// A number that is the same for equal rings, and for others differs but for one chance in 2^64:
    /// peers compare it to notice that they see different members.
    pub fn fingerprint(&self) -> u64 {
        self.inner.fingerprint
    }

    /// Each member's fraction of the hash space, 0 to 1, in the order of [`nodes`](Self::nodes). They
    /// add up to 1 as soon as a member has a weight above 0. O(p) in the number of virtual nodes.
    #[expect(clippy::cast_precision_loss, reason = "a fraction is wanted, to 53 bits")]
    pub fn shares(&self) -> impl Iterator<Item = (&NodeId, f64)> {
        let mut places = vec![0_u128; self.len()];
        self.inner
            .table
            .for_each_arc(|slot, length| places[self.inner.position(slot)] += length);
        self.inner
            .members
            .iter()
            .zip(places)
            .map(|((id, _), length)| (id, length as f64 / PLACES))
    }
}

impl Inner {
    #[inline]
    fn position(&self, slot: u32) -> usize {
        self.positions[slot as usize] as usize
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Ring {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            || (self.inner.fingerprint == other.inner.fingerprint
                && self.inner.members == other.inner.members)
    }
}

impl Eq for Ring {}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("nodes", &self.len())
            .field("virtual_nodes", &self.virtual_nodes())
            .field("fingerprint", &format_args!("{:016x}", self.inner.fingerprint))
            .finish()
    }
}

fn fingerprint(members: &[(NodeId, Weight)]) -> u64 {
    let mut bytes = b"ring/1".to_vec();
    for (id, weight) in members {
        bytes.push(point::id_len(id));
        bytes.extend_from_slice(id.as_str().as_bytes());
        bytes.extend_from_slice(&weight.get().to_le_bytes());
    }
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(members: &[(&str, u32)]) -> Ring {
        Ring::new(
            members
                .iter()
                .map(|(id, weight)| (NodeId::new(id).unwrap(), Weight::new(*weight).unwrap())),
        )
    }

    #[test]
    fn a_ring_without_points_has_no_owners() {
        for ring in [Ring::empty(), Ring::default(), ring(&[("a", 0), ("b", 0)])] {
            assert_eq!(ring.owner(b"key"), None);
            assert_eq!(ring.owner_of_hash(u64::MAX), None);
            assert_eq!(ring.successors(b"key").count(), 0);
            assert!(ring.shares().all(|(_, share)| share == 0.0));
            assert_eq!(ring.virtual_nodes(), 0);
        }
    }

    #[test]
    fn all_points_are_met_once_around() {
        let ring = ring(&[("a", 1), ("b", 3), ("c", 0), ("d", 1)]);
        for key in [b"ada".as_slice(), b"grace", b""] {
            let points: Vec<usize> = ring.points(key).collect();
            let met = |node: usize| points.iter().filter(|point| **point == node).count();
            assert_eq!([0, 1, 2, 3].map(met), [150, 450, 0, 150]);
            let mut order: Vec<usize> = Vec::new();
            for point in points {
                if !order.contains(&point) {
                    order.push(point);
                }
            }
            assert_eq!(order, ring.successors(key).collect::<Vec<_>>());
        }
        assert_eq!(Ring::empty().points(b"ada").count(), 0);
    }

    #[test]
    fn of_pairs_with_one_id_the_last_counts() {
        assert_eq!(ring(&[("a", 1), ("b", 1), ("a", 2)]), ring(&[("b", 1), ("a", 2)]));
        assert_eq!(ring(&[("a", 1), ("a", 0)]).virtual_nodes(), 0);
    }

    #[test]
    fn the_greatest_weight_is_placed_whole() {
        let ring = ring(&[("a", 256), ("b", 0)]);
        assert_eq!(ring.virtual_nodes(), 38_400);
        assert_eq!(
            ring.shares().map(|(_, share)| share).collect::<Vec<_>>(),
            [1.0, 0.0]
        );
    }

    #[test]
    fn debug_is_short_and_equality_is_of_content() {
        let one = ring(&[("a", 1)]);
        assert_eq!(
            format!("{one:?}"),
            format!(
                "Ring {{ nodes: 1, virtual_nodes: 150, fingerprint: {:016x} }}",
                one.fingerprint()
            )
        );
        assert_eq!(one, ring(&[("a", 1)]));
        assert_ne!(one, ring(&[("a", 1), ("b", 0)]));
        assert_ne!(one.fingerprint(), ring(&[("a", 2)]).fingerprint());
    }
}
