//! The partitions that one node sweeps.

use std::collections::HashSet;

use ringhold_core::node::ExpiryMode;
use ringhold_core::ring::RingChange;
use ringhold_core::view::ViewNode;
use ringhold_core::{NodeId, Partition, Ring, View, Weight};

/// The partitions of one node, as long as the members and their modes stay.
///
/// The ring over the members with a handler divides the partitions; without any, the ring over those that
/// discard; without those the ring over all members, which only advance clocks. Each member has weight 1
/// there, since a gateway of weight 0 may be the only one with a handler.
#[derive(Debug)]
pub(super) struct Share {
    ring: Ring,
    mode: ExpiryMode,
    partitions: Vec<Partition>,
    set: HashSet<Partition>,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            ring: Ring::empty(),
            mode: ExpiryMode::Leave,
            partitions: Vec::new(),
            set: HashSet::new(),
        }
    }
}

impl Share {
    /// Takes in a view; returns whether the share of the node `own` may have changed. O(members) where
    /// nothing has.
    pub(super) fn update(&mut self, view: &View, own: &NodeId) -> bool {
        let has = |mode| view.nodes().iter().any(|node| node.record.expiry == mode);
        let mode = [ExpiryMode::Handle, ExpiryMode::Discard]
            .into_iter()
            .find(|mode| has(*mode))
            .unwrap_or(ExpiryMode::Leave);
        let is_sweeper = |node: &&ViewNode| mode == ExpiryMode::Leave || node.record.expiry == mode;
        let ids = || view.nodes().iter().filter(is_sweeper).map(|node| &node.record.id);
        if mode == self.mode && ids().eq(self.ring.nodes().iter().map(|(id, _)| id)) {
            return false;
        }
        let gone = self
            .ring
            .nodes()
            .iter()
            .map(|(id, _)| RingChange::Remove(id.clone()));
        // The last change of a node counts.
        let stay = ids().map(|id| RingChange::Set(id.clone(), Weight::ONE));
        self.ring = self.ring.apply(gone.chain(stay));
        self.mode = mode;
        self.partitions = Partition::all()
            .filter(|partition| self.ring.owner(&partition.ring_key()) == Some(own))
            .collect();
        self.set = self.partitions.iter().copied().collect();
        true
    }

    /// The mode in which the expired sessions of these partitions are processed.
    pub(super) fn mode(&self) -> ExpiryMode {
        self.mode
    }

    pub(super) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    pub(super) fn has(&self, partition: Partition) -> bool {
        self.set.contains(&partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringhold_core::membership::{Member, Membership, Revision};
    use ringhold_core::node::Load;
    use ringhold_core::{Incarnation, NodeRecord, Nonce};
    use std::sync::Arc;

    fn view(members: &[(&str, ExpiryMode, u32)]) -> View {
        let member = |(id, mode, weight): &(&str, ExpiryMode, u32)| {
            let nonce = Nonce::from_bytes([1; 16]);
            let mut record = NodeRecord::new(NodeId::new(id).unwrap(), Incarnation { number: 1, nonce });
            (record.expiry, record.weight) = (*mode, Weight::new(*weight).unwrap());
            Member::new(Arc::new(record), Load::default())
        };
        let members = members.iter().map(member).collect();
        View::empty().next(&Membership::new(Revision::new(1, 1), members), None, |_| false)
    }

    /// The mode and the number of partitions of each member; all partitions together are swept once.
    fn shares(members: &[(&str, ExpiryMode, u32)]) -> (ExpiryMode, Vec<usize>) {
        let view = view(members);
        let mut all: Vec<Partition> = Vec::new();
        let mut counts = Vec::new();
        let mut mode = None;
        for (id, ..) in members {
            let mut share = Share::default();
            share.update(&view, &NodeId::new(id).unwrap());
            all.extend(share.partitions());
            counts.push(share.partitions().len());
            assert!(share.partitions().iter().all(|partition| share.has(*partition)));
            assert_eq!(*mode.get_or_insert(share.mode()), share.mode());
        }
        all.sort_unstable();
        assert_eq!(all, Partition::all().collect::<Vec<_>>());
        (mode.unwrap(), counts)
    }

    #[test]
    fn members_with_a_handler_divide_the_partitions_of_all() {
        use ExpiryMode::{Discard, Handle, Leave};
        let (mode, counts) = shares(&[
            ("discard", Discard, 9),
            ("gateway", Handle, 0),
            ("handle", Handle, 9),
            ("leave", Leave, 1),
        ]);
        assert_eq!((mode, counts[0], counts[3]), (Handle, 0, 0));
        // Of two members with 150 virtual nodes each.
        assert!(
            counts[1..3].iter().all(|count| (300..=724).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn members_that_discard_divide_the_partitions_without_a_handler() {
        use ExpiryMode::{Discard, Leave};
        let (mode, counts) = shares(&[("a", Leave, 1), ("b", Discard, 1), ("c", Leave, 1)]);
        assert_eq!((mode, counts), (Discard, vec![0, 1_024, 0]));
    }

    #[test]
    fn all_members_divide_the_clocks_where_all_leave_the_sessions() {
        use ExpiryMode::Leave;
        let (mode, counts) = shares(&[("a", Leave, 0), ("b", Leave, 1)]);
        assert_eq!(mode, Leave);
        assert!(counts.iter().all(|count| *count > 300), "{counts:?}");
    }

    #[test]
    fn a_share_changes_with_modes_and_members_alone() {
        use ExpiryMode::{Discard, Handle};
        let own = NodeId::new("a").unwrap();
        let mut share = Share::default();
        for (members, changes, count) in [
            (&[("a", Discard, 1)][..], true, 1_024),
            (&[("a", Discard, 5)], false, 1_024),
            (&[("a", Discard, 1), ("b", Handle, 1)], true, 0),
            (&[("b", Handle, 1)], false, 0),
            (&[("a", Handle, 1), ("b", Discard, 1)], true, 1_024),
            (&[("a", Discard, 1)], true, 1_024),
            (&[], true, 0),
        ] {
            assert_eq!(share.update(&view(members), &own), changes, "{members:?}");
            assert_eq!(share.partitions().len(), count, "{members:?}");
        }
    }
}
