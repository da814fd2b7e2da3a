//! The numbers under which points know their nodes.

use crate::{NodeId, Weight};

/// What stands for no slot, and for no position.
pub(super) const NONE: u32 = u32::MAX;

/// The slots of a ring's members. Members of weight 0 have no points, and need none.
pub(super) struct Slots {
    /// For each member.
    pub(super) of_members: Vec<u32>,
    /// Back, for each slot.
    pub(super) positions: Vec<u32>,
}

impl Slots {
    /// Slots in the order of members.
    pub(super) fn new(members: &[(NodeId, Weight)]) -> Self {
        Self::keeping(members, 0, |_| NONE)
    }

    /// Slots for these members, of which each keeps its old one. The others get what is free among
    /// the `old` ones, then new ones.
    pub(super) fn keeping(members: &[(NodeId, Weight)], old: usize, kept: impl Fn(usize) -> u32) -> Self {
        let mut positions = vec![NONE; old];
        let mut of_members: Vec<u32> = members
            .iter()
            .enumerate()
            .map(|(position, (_, weight))| {
                let slot = if *weight > Weight::ZERO {
                    kept(position)
                } else {
                    NONE
                };
                if let Some(taken) = positions.get_mut(slot as usize) {
                    *taken = number(position);
                }
                slot
            })
            .collect();
        let mut free = 0;
        for (position, (_, weight)) in members.iter().enumerate() {
            if *weight > Weight::ZERO && of_members[position] == NONE {
                while positions.get(free).is_some_and(|taken| *taken != NONE) {
                    free += 1;
                }
                if free == positions.len() {
                    positions.push(NONE);
                }
                positions[free] = number(position);
                of_members[position] = number(free);
            }
        }
        Self {
            of_members,
            positions,
        }
    }
}

fn number(position: usize) -> u32 {
    u32::try_from(position).expect("a ring has at most u32::MAX members")
}
