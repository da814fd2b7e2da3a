//! One ring made out of another.

use std::collections::BTreeMap;

use super::slots::{NONE, Slots};
use super::table::Table;
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

impl Ring {
    /// The ring after these changes, of which the last counts for each node. It equals the
    /// [`new`](Self::new) ring of the resulting members; where nothing changes it is a clone.
    ///
    /// The rings share what they have in common. With n members, p virtual nodes in all, and c of
    /// them that come or go, this is O(n + p / 256 + c): members and pages are counted references, and
    /// only pages with changes are copied. A ring is laid out anew, in O(p + c log c), where p has left what
    /// it was laid out for, a quarter more or a third less, or where c is more than a fourth of p.
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
        if plan.steps.is_empty() {
            return self.clone();
        }
        let len = plan.members.iter().map(|(_, weight)| point::count(*weight)).sum();
        let moved = plan.steps.iter().map(Step::points).sum::<usize>();
        if self.inner.table.suits(len) && moved <= len / 4 {
            self.edited(plan)
        } else {
            self.renewed(plan)
        }
    }

    /// Adds and removes single points.
    fn edited(&self, plan: Plan) -> Self {
        let old = &self.inner;
        let slots = Slots::keeping(&plan.members, old.positions.len(), |position| {
            plan.origins[position].map_or(NONE, |origin| old.slots[origin])
        });
        let mut table = old.table.clone();
        for step in &plan.steps {
            if let Some(origin) = step.origin {
                let (id, slot) = (&old.members[origin].0, old.slots[origin]);
                point::for_each(id, step.new..step.old, |place| table.remove(place, slot));
            }
        }
        for step in &plan.steps {
            if let Some(position) = step.position {
                let (id, slot) = (&plan.members[position].0, slots.of_members[position]);
                let rank = |slot: u32| slots.positions[slot as usize];
                point::for_each(id, step.old..step.new, |place| table.insert(place, slot, rank));
            }
        }
        Self::from_parts(plan.members.into(), slots, table)
    }

    /// Lays all points out anew.
    fn renewed(&self, plan: Plan) -> Self {
        let old = &self.inner;
        // What becomes of the points of an old member: its new position, if its weight stands.
        let mut kept = vec![None; old.members.len()];
        for (position, origin) in plan.origins.iter().enumerate() {
            if let Some(origin) = origin.filter(|origin| old.members[*origin].1 == plan.members[position].1) {
                kept[origin] = Some(position);
            }
        }
        Self::laid_out(plan.members.into(), |slots| {
            let points = old.table.points();
            let kept = points.filter_map(|(place, slot)| {
                let position = kept[old.position(slot)]?;
                Some((place, slots.of_members[position]))
            });
            kept.collect()
        })
    }

    /// The ring of these members, sorted by id. `known` may give all points of some of them, in order.
    pub(super) fn laid_out(
        members: Box<[(NodeId, Weight)]>,
        known: impl FnOnce(&Slots) -> Vec<(u64, u32)>,
    ) -> Self {
        let slots = Slots::new(&members);
        let mut points = known(&slots);
        let mut is_known = vec![false; slots.positions.len()];
        for (_, slot) in &points {
            is_known[*slot as usize] = true;
        }
        for ((id, weight), slot) in members.iter().zip(&slots.of_members) {
            if is_known.get(*slot as usize) == Some(&false) {
                point::for_each(id, 0..point::count(*weight), |place| points.push((place, *slot)));
            }
        }
        // Slots are in the order of ids here, so this is the order of the specification. What was in
        // order comes first, and this way of sorting makes use of that.
        points.sort_by_key(|point| *point);
        let table = Table::new(points.len(), points.into_iter());
        Self::from_parts(members, slots, table)
    }
}

/// The members after a change, and what it does to each.
#[derive(Default)]
struct Plan {
    members: Vec<(NodeId, Weight)>,
    /// The old position of each.
    origins: Vec<Option<usize>>,
    steps: Vec<Step>,
}

/// One member that comes, goes or has another weight.
struct Step {
    /// Its position among the old members.
    origin: Option<usize>,
    /// Its position among the new ones.
    position: Option<usize>,
    /// How many points it had.
    old: usize,
    /// How many it has.
    new: usize,
}

impl Step {
    /// How many points come or go.
    fn points(&self) -> usize {
        self.old.abs_diff(self.new)
    }
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
        let mut plan = Self::default();
        if changes.is_empty() {
            return plan;
        }
        plan.members.reserve(old.len() + changes.len());
        plan.origins.reserve(old.len() + changes.len());
        let mut changes = changes.into_iter().peekable();
        for (origin, (id, weight)) in old.iter().enumerate() {
            while let Some((before, weight)) = changes.next_if(|(changed, _)| changed < id) {
                plan.change(None, before, weight);
            }
            if let Some((same, to)) = changes.next_if(|(changed, _)| changed == id) {
                plan.change(Some((origin, *weight)), same, to);
            } else {
                plan.members.push((id.clone(), *weight));
                plan.origins.push(Some(origin));
            }
        }
        for (id, weight) in changes {
            plan.change(None, id, weight);
        }
        plan
    }

    /// The member of this id, which was at an old position with a weight, gets another or goes.
    fn change(&mut self, was: Option<(usize, Weight)>, id: NodeId, weight: Option<Weight>) {
        let origin = was.map(|(origin, _)| origin);
        self.steps.push(Step {
            origin,
            position: weight.map(|_| self.members.len()),
            old: was.map_or(0, |(_, weight)| point::count(weight)),
            new: weight.map_or(0, point::count),
        });
        if let Some(weight) = weight {
            self.members.push((id, weight));
            self.origins.push(origin);
        }
    }
}
