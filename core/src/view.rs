//! What one node publishes to its own threads: membership, ring, local evidence and counters.

mod counters;
#[cfg(all(test, ringhold_loom))]
mod loom_models;
#[cfg(all(test, not(ringhold_loom)))]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::id::{LabelKey, LabelValue, Zone};
use crate::node::Load;
use crate::policy::{Groups, Turns};
use crate::ring::RingChange;
use crate::{Incarnation, Membership, NodeId, NodeIncarnation, NodeRecord, NodeState, Revision, Ring};

pub use self::counters::NodeCounters;

/// One member, as this node sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ViewNode {
    /// Its record.
    pub record: Arc<NodeRecord>,
    /// There is evidence against it: its lease has lapsed, or it cannot be reached from here.
    pub suspect: bool,
    /// Counts about this incarnation.
    pub counters: Arc<NodeCounters>,
}

impl ViewNode {
    /// Whether it takes anything new: ready, not suspect, of a weight above 0.
    pub fn takes_new(&self) -> bool {
        !self.suspect && self.record.state == NodeState::Ready && self.record.weight.get() > 0
    }

    /// Whether it has the zone and labels that are asked for.
    #[inline]
    fn suits(&self, request: &PlaceRequest<'_>) -> bool {
        request.zone.is_none_or(|zone| *zone == self.record.zone)
            && request
                .labels
                .iter()
                .all(|(key, value)| self.record.labels.get(key.as_str()) == Some(value))
    }
}

/// What is asked of a place for a new stay.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PlaceRequest<'a> {
    /// What to place, such as the player id. Equal keys go to equal nodes under consistent hashing.
    pub key: &'a [u8],
    /// Only nodes in this zone.
    pub zone: Option<&'a Zone>,
    /// Only nodes that carry all these labels.
    pub labels: &'a [(LabelKey, LabelValue)],
    /// 64 random bits, for policies that draw.
    pub random: u64,
}

impl<'a> PlaceRequest<'a> {
    /// A place for `key`, anywhere.
    pub const fn new(key: &'a [u8], random: u64) -> Self {
        Self {
            key,
            zone: None,
            labels: &[],
            random,
        }
    }

    /// The same request, only in `zone`.
    #[must_use]
    pub const fn in_zone(mut self, zone: &'a Zone) -> Self {
        self.zone = Some(zone);
        self
    }

    /// The same request, only on nodes with all these labels.
    #[must_use]
    pub const fn with_labels(mut self, labels: &'a [(LabelKey, LabelValue)]) -> Self {
        self.labels = labels;
        self
    }
}

/// What a node has room for.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// The total below which it takes what is new; where there is no limit, more than any total.
    below: u64,
    weight: u16,
}

/// What one node sees of the fleet: one immutable value, changed as a whole.
#[derive(Debug, Clone)]
pub struct View {
    revision: Revision,
    ring: Arc<Ring>,
    // In the order of the ring's nodes: by id.
    nodes: Arc<[ViewNode]>,
    // All that most requests ask of a node, and small enough to stay in the cache.
    rooms: Arc<[Room]>,
    // For fair turns: who takes part, and whose turn it is, which all views share that follow each other.
    pub(crate) groups: Arc<Groups>,
    pub(crate) turns: Arc<Turns>,
}

impl View {
    /// A view of nobody.
    pub fn empty() -> Self {
        let ring = Arc::new(Ring::empty());
        let groups = Arc::new(Groups::new(&ring, &[]));
        Self {
            revision: Revision::default(),
            ring,
            nodes: Arc::from([]),
            rooms: Arc::from([]),
            turns: Arc::new(Turns::new(&groups)),
            groups,
        }
    }

    /// The view that follows this one: of `membership`, where `suspect` says against whom there is
    /// evidence here. The ring is shared while ids and weights stand; counters stay with their
    /// incarnations. The loads of `membership` are written to the counters of all but `own`, whose
    /// sessions are counted where they are.
    #[must_use]
    pub fn next(
        &self,
        membership: &Membership,
        own: Option<&NodeIncarnation>,
        suspect: impl Fn(&NodeIncarnation) -> bool,
    ) -> Self {
        let mut counters: HashMap<(&NodeId, Incarnation), &Arc<NodeCounters>> = HashMap::new();
        for node in self.nodes.iter() {
            counters.insert((&node.record.id, node.record.incarnation), &node.counters);
        }
        let nodes: Arc<[ViewNode]> = membership
            .members
            .iter()
            .map(|member| {
                let node = member.node();
                let counters = counters.get(&(&member.record.id, member.record.incarnation));
                let counters = counters.map_or_else(Arc::default, |known| Arc::clone(known));
                if own != Some(&node) {
                    let Load { sessions } = member.load;
                    counters.set_sessions(sessions);
                }
                ViewNode {
                    record: Arc::clone(&member.record),
                    suspect: member.lapsed || suspect(&node),
                    counters,
                }
            })
            .collect();
        let ring = self.ring_of(&nodes);
        let room = |node: &ViewNode| Room {
            below: if node.takes_new() {
                node.record.capacity.map_or(u64::MAX, u64::from)
            } else {
                0
            },
            weight: node.record.weight.get(),
        };
        let rooms = nodes.iter().map(room);
        Self {
            revision: membership.revision,
            groups: self.groups_of(&ring, &nodes),
            ring,
            rooms: rooms.collect(),
            nodes,
            turns: Arc::clone(&self.turns),
        }
    }

    /// The ring of `nodes`: this view's own while ids and weights stand, else made from it.
    fn ring_of(&self, nodes: &[ViewNode]) -> Arc<Ring> {
        let mut changes = Vec::new();
        let mut old = self.ring.nodes().iter().peekable();
        for NodeRecord { id, weight, .. } in nodes.iter().map(|node| &*node.record) {
            while let Some((gone, _)) = old.next_if(|(known, _)| known < id) {
                changes.push(RingChange::Remove(gone.clone()));
            }
            if old
                .next_if(|(known, _)| known == id)
                .is_none_or(|(_, known)| known != weight)
            {
                changes.push(RingChange::Set(id.clone(), *weight));
            }
        }
        changes.extend(old.map(|(gone, _)| RingChange::Remove(gone.clone())));
        if changes.is_empty() {
            Arc::clone(&self.ring)
        } else {
            Arc::new(self.ring.apply(changes))
        }
    }

    /// Who takes turns among `nodes`: as before while the ring stands and the same ones take new stays.
    fn groups_of(&self, ring: &Arc<Ring>, nodes: &[ViewNode]) -> Arc<Groups> {
        let takes_new = |nodes: &[ViewNode]| nodes.iter().map(ViewNode::takes_new).collect::<Vec<_>>();
        if Arc::ptr_eq(ring, &self.ring) && takes_new(nodes) == takes_new(&self.nodes) {
            Arc::clone(&self.groups)
        } else {
            Arc::new(Groups::new(ring, nodes))
        }
    }

    /// The membership revision that it shows.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The ring of this revision.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// The members by id; positions are those of the ring's nodes.
    pub fn nodes(&self) -> &[ViewNode] {
        &self.nodes
    }

    /// The member of this id. O(log n).
    pub fn node(&self, id: &NodeId) -> Option<&ViewNode> {
        let position = self.nodes.binary_search_by(|node| node.record.id.cmp(id)).ok()?;
        Some(&self.nodes[position])
    }

    /// The member that is exactly this run of this node.
    pub fn incarnation(&self, node: &NodeIncarnation) -> Option<&ViewNode> {
        self.node(&node.node)
            .filter(|found| found.record.incarnation == node.incarnation)
    }

    /// What the ring of this revision says. Not a lock.
    pub fn owner(&self, key: &[u8]) -> Option<&ViewNode> {
        self.ring.owner_index(key).map(|index| &self.nodes[index])
    }

    /// Whether the node at `position` takes a stay like this: it takes new ones at all, has the
    /// zone and labels that are asked for, and a free place.
    pub fn takes(&self, position: usize, request: &PlaceRequest<'_>) -> bool {
        let (Some(room), Some(node)) = (self.rooms.get(position), self.nodes.get(position)) else {
            return false;
        };
        // Most often the counters need not be looked at.
        let has_room = match room.below {
            0 => false,
            u64::MAX => true,
            below => u64::from(node.counters.total()) < below,
        };
        has_room && node.suits(request)
    }

    /// The nodes at these positions that take a stay like this, each with what it carries and its weight.
    /// The counters of each are read once.
    #[inline]
    pub(crate) fn carried(
        &self,
        positions: Range<usize>,
        request: &PlaceRequest<'_>,
    ) -> impl Iterator<Item = (usize, u32, u16)> {
        let is_for_all = request.zone.is_none() && request.labels.is_empty();
        let nodes = self.nodes[positions.clone()].iter();
        let rooms = &self.rooms[positions.clone()];
        let all = positions.zip(rooms).zip(nodes);
        all.filter_map(move |((position, room), node)| {
            let carried = node.counters.total();
            let takes = u64::from(carried) < room.below && (is_for_all || node.suits(request));
            takes.then_some((position, carried, room.weight))
        })
    }

    /// Makes a reservation on the node at `position`.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn reserve(&self, position: usize) -> Reservation {
        let node = &self.nodes[position];
        node.counters.reserve();
        Reservation {
            record: Arc::clone(&node.record),
            counters: Arc::clone(&node.counters),
            released: false,
        }
    }

    /// Takes back expected logins that have waited for `limit`: their players did not arrive. `now` is a monotonic
    /// time with any origin, the same for all views that follow each other. An expected login waits from the
    /// first call after its reservation was dropped, so it counts for up to two call periods longer.
    pub fn expire_expected(&self, now: Duration, limit: Duration) {
        for node in self.nodes.iter() {
            node.counters.expire_expected(now, limit);
        }
    }
}

/// A reservation for one player on a node, as seen from here: local and advisory. The node itself checks
/// its capacity when the player logs in.
///
/// It counts on its node while it is held. Dropping it, once the player was sent there, leaves an expected login:
/// that counts until the node reports that the player has arrived, and not forever where the player does
/// not come. [`release`](Self::release) gives the capacity back at once.
#[derive(Debug)]
#[must_use = "dropping it means that its player was sent to the node"]
pub struct Reservation {
    record: Arc<NodeRecord>,
    counters: Arc<NodeCounters>,
    released: bool,
}

impl Reservation {
    /// The record of the node.
    pub fn record(&self) -> &Arc<NodeRecord> {
        &self.record
    }

    /// Gives the capacity back at once: no player was sent to the node.
    pub fn release(mut self) {
        self.released = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.released {
            self.counters.release(1);
        } else {
            self.counters.expect();
        }
    }
}
