//! The nodes that hold sessions of one partition, each kept once.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use ringhold_core::{NodeId, NodeIncarnation};

use super::records::upper;
use super::table::Table;

#[derive(Debug)]
struct Owner {
    node: NodeIncarnation,
    sessions: usize,
}

/// Owners by numbers, which a session keeps instead of 40 bytes. O(1) each.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// Those whose last session has gone are overwritten by the next that come.
    list: Vec<Owner>,
    free: Vec<u32>,
    by_node: Table,
}

impl Owners {
    /// The owner of a session, which holds on to it.
    pub(crate) fn keep(&mut self, node: &NodeIncarnation, hash: &RandomState) -> u32 {
        let tag = tag(node, hash);
        let is_meant = |number| {
            self.list
                .get(number as usize)
                .is_some_and(|owner| owner.node == *node)
        };
        if let Some(number) = self.by_node.find(tag, is_meant) {
            self.list[number as usize].sessions += 1;
            return number;
        }
        // A copy of the name for this partition: the count of its readers is then no line that
        // all threads write.
        let name = NodeId::new(node.node.as_str()).unwrap_or_else(|_| node.node.clone());
        let owner = Owner {
            node: NodeIncarnation::new(name, node.incarnation),
            sessions: 1,
        };
        let number = if let Some(number) = self.free.pop() {
            self.list[number as usize] = owner;
            number
        } else {
            self.list.push(owner);
            // There are no more owners than sessions.
            u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
        };
        self.by_node.insert(tag, number);
        number
    }

    /// Lets go of one session's owner.
    pub(crate) fn release(&mut self, number: u32, hash: &RandomState) {
        let Some(owner) = self.list.get_mut(number as usize) else {
            return;
        };
        owner.sessions -= 1;
        if owner.sessions == 0 {
            let tag = tag(&owner.node, hash);
            self.by_node.remove(tag, number);
            self.free.push(number);
        }
    }

    /// The owner with this number.
    pub(crate) fn get(&self, number: u32) -> &NodeIncarnation {
        &self.list[number as usize].node
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_node.len()
    }
}

fn tag(node: &NodeIncarnation, hash: &RandomState) -> u32 {
    upper(hash.hash_one(node))
}
