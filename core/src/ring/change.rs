//! One ring made out of another.

use std::collections::BTreeMap;

use super::index::{Builder, PointIndex, node_number};
use super::{Ring, point};
use crate::{NodeId, Weight};

/// One change of a ring's members, for [`Ring::apply`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingChange {
    /// The node is a member with this weight, whether it was one before or not.
    Set(NodeId, Weight),
    /// The node is no member; nothing happens where it was none.
    Remove(NodeId),
}

/// What becomes of the points of an old member: its new number, or none.
type Kept = Option<u32>;

impl Ring {
    /// The ring after these changes, of which the last counts for each node. It equals the
    /// [`new`](Self::new) ring of the resulting members; where nothing changes it is a clone.
    ///
    /// Only points of changed nodes are hashed and sorted, the rest is merged: O(p + c log c) in the
    /// number p of all virtual nodes and c of the changed nodes' ones.
    ///
    /// ```
    /// # use ringhold_core::{NodeId, Ring, Weight, ring::RingChange};
    /// let (a, b) = (NodeId::new("a")?, NodeId::new("b")?);
    /// let ring = Ring::new([(a.clone(), Weight::ONE), (b.clone(), Weight::ONE)]);
    /// let ring = ring.apply([RingChange::Remove(b), RingChange::Set(a.clone(), Weight::new(2)?)]);
    /// assert_eq!(ring, Ring::new([(a, Weight::new(2)?)]));
    /// # Ok::<(), ringhold_core::Error>(())
    /// ```
    ///
    /// # Panics
    /// As [`new`](Self::new) does.
    #[must_use]
    pub fn apply(&self, changes: impl IntoIterator<Item = RingChange>) -> Self {
        let plan = Plan::new(self.nodes(), changes);
        if plan.is_needed {
            let index = merge(&self.inner.index, &plan);
            Self::from_parts(plan.members.into(), index)
        } else {
            self.clone()
        }
    }
}

struct Plan {
    members: Vec<(NodeId, Weight)>,
    /// For each old member.
    kept: Vec<Kept>,
    /// The points of new members and of those with another weight, sorted.
    fresh: Vec<(u64, u32)>,
    is_needed: bool,
}

impl Plan {
    fn new(old: &[(NodeId, Weight)], changes: impl IntoIterator<Item = RingChange>) -> Self {
        let mut changes: BTreeMap<NodeId, Option<Weight>> = changes
            .into_iter()
            .map(|change| match change {
                RingChange::Set(id, weight) => (id, Some(weight)),
                RingChange::Remove(id) => (id, None),
            })
            .collect();
        // What stays as it is is no change.
        changes.retain(|id, weight| {
            let position = old.binary_search_by(|(old_id, _)| old_id.cmp(id)).ok();
            position.map(|position| old[position].1) != *weight
        });
        let is_needed = !changes.is_empty();

        let mut members = Vec::with_capacity(old.len() + changes.len());
        let mut kept = Vec::with_capacity(old.len());
        let mut fresh = Vec::new();
        let mut add = |members: &mut Vec<_>, id: NodeId, weight| {
            if let Some(weight) = weight {
                point::extend(&mut fresh, node_number(members.len()), &id, weight);
                members.push((id, weight));
            }
        };
        let mut changes = changes.into_iter().peekable();
        for (id, weight) in old {
            while let Some((before, weight)) = changes.next_if(|(changed, _)| changed < id) {
                add(&mut members, before, weight);
            }
            if let Some((same, weight)) = changes.next_if(|(changed, _)| changed == id) {
                kept.push(None);
                add(&mut members, same, weight);
            } else {
                kept.push(Some(node_number(members.len())));
                members.push((id.clone(), *weight));
            }
        }
        for (id, weight) in changes {
            add(&mut members, id, weight);
        }
        fresh.sort_unstable();
        Self {
            members,
            kept,
            fresh,
            is_needed,
        }
    }
}

/// Merges the old points that are kept with the fresh ones. Kept nodes keep their order, so the old
/// points stay sorted under their new numbers.
fn merge(old: &PointIndex, plan: &Plan) -> PointIndex {
    let len = plan.members.iter().map(|(_, weight)| point::count(*weight)).sum();
    let mut index = Builder::new(len, plan.members.len());
    let mut fresh = plan.fresh.iter().copied().peekable();
    old.points().for_each(|(place, node)| {
        let Some(node) = plan.kept[node as usize] else {
            return;
        };
        while let Some((place, node)) = fresh.next_if(|new| *new < (place, node)) {
            index.push(place, node);
        }
        index.push(place, node);
    });
    fresh.for_each(|(place, node)| index.push(place, node));
    index.finish()
}
