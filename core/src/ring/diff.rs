//! What a change of the ring moves.

use std::collections::BTreeMap;

use super::{PLACES, Ring};
use crate::NodeId;

/// The part of the key space that changes its owner between two rings; made by [`Ring::diff`].
#[derive(Debug, Clone, PartialEq)]
pub struct RingDiff {
    moves: Vec<Move>,
    moved: f64,
}

/// The keys that one node loses to another.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Move {
    /// Their owner in the old ring; `None` where it had no owners.
    pub from: Option<NodeId>,
    /// Their owner in the new ring; `None` where it has no owners.
    pub to: Option<NodeId>,
    /// Their fraction of the hash space, above 0 and up to 1.
    pub share: f64,
}

impl RingDiff {
    /// Each pair of nodes between which keys move, sorted by `from`, then by `to`; `None` is first.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The fraction of the hash space that changes its owner, 0 to 1.
    pub fn moved(&self) -> f64 {
        self.moved
    }

    /// Whether no key changes its owner.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

impl Ring {
    /// Which share of the keys moves from `old` to `new`, from whom to whom. Exact: it walks the
    /// points of both rings and adds whole numbers. O(p) in the number of virtual nodes of both.
    ///
    /// ```
    /// # use ringhold_core::{NodeId, Ring, Weight, ring::RingChange};
    /// let old = Ring::new([(NodeId::new("a")?, Weight::ONE)]);
    /// let new = old.apply([RingChange::Set(NodeId::new("b")?, Weight::ONE)]);
    /// let diff = Ring::diff(&old, &new);
    /// let [step] = diff.moves() else { panic!("keys move from a to b and nowhere else") };
    /// assert_eq!(step.to.as_ref().map(NodeId::as_str), Some("b"));
    /// assert!((0.3..0.7).contains(&diff.moved()));
    /// # Ok::<(), ringhold_core::Error>(())
    /// ```
    #[expect(clippy::cast_precision_loss, reason = "a fraction is wanted, to 53 bits")]
    pub fn diff(old: &Self, new: &Self) -> RingDiff {
        // Positions in the member lists order like the ids do, so the map's order is that of moves.
        let mut lengths = BTreeMap::<(Option<usize>, Option<usize>), u128>::new();
        if old != new {
            let same: Vec<Option<usize>> = old.nodes().iter().map(|(id, _)| new.position(id)).collect();
            for_each_piece(old, new, |from, to, length| {
                if from.map(|from| same[from]) != to.map(Some) {
                    *lengths.entry((from, to)).or_default() += length;
                }
            });
        }
        let id = |ring: &Self, node: Option<usize>| node.map(|node| ring.nodes()[node].0.clone());
        let total = lengths.values().sum::<u128>();
        let moves = lengths.into_iter().map(|((from, to), length)| {
            let (from, to) = (id(old, from), id(new, to));
            Move {
                from,
                to,
                share: length as f64 / PLACES,
            }
        });
        RingDiff {
            moves: moves.collect(),
            moved: total as f64 / PLACES,
        }
    }
}

/// Cuts the hash space at the points of both rings, and tells for each piece its old owner, its new
/// owner and how many places it has.
fn for_each_piece(old: &Ring, new: &Ring, mut each: impl FnMut(Option<usize>, Option<usize>, u128)) {
    let mut sides = [side(old), side(new)];
    let mut start = 0_u64;
    loop {
        let end = sides[0].end().min(sides[1].end());
        each(sides[0].owner(), sides[1].owner(), u128::from(end - start) + 1);
        let Some(next) = end.checked_add(1) else { return };
        start = next;
        for side in &mut sides {
            side.pass(end);
        }
    }
}

/// One ring's points ahead of the walk.
struct Side<I: Iterator<Item = (u64, usize)>> {
    points: std::iter::Peekable<I>,
    /// The node of the first point, which owns what is behind the last.
    first: Option<usize>,
}

fn side(ring: &Ring) -> Side<impl Iterator<Item = (u64, usize)>> {
    let points = ring.inner.table.points();
    let points = points.map(|(place, slot)| (place, ring.inner.position(slot)));
    Side {
        points: points.peekable(),
        first: ring.owner_of_hash(0),
    }
}

impl<I: Iterator<Item = (u64, usize)>> Side<I> {
    /// The last place of the present piece.
    fn end(&mut self) -> u64 {
        self.points.peek().map_or(u64::MAX, |(place, _)| *place)
    }

    fn owner(&mut self) -> Option<usize> {
        self.points.peek().map_or(self.first, |(_, node)| Some(*node))
    }

    /// Leaves the points up to a place behind. Of several at one place the first was the owner.
    fn pass(&mut self, place: u64) {
        while self.points.next_if(|(next, _)| *next <= place).is_some() {}
    }
}
