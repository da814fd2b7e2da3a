//! Turns among all nodes, by groups of nodes of one weight.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::{Candidates, Turn};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicU64;
use crate::view::{PlaceRequest, View, ViewNode};
use crate::{NodeId, Ring, Weight};

/// What a turn costs at weight 1, in virtual time. There is room for 2^64 turns, and a group of any
/// size has turns whose length is exact to one part in 2^32.
const TURN: u128 = 1 << 64;

/// How many turns of full nodes go by before all nodes are looked at instead.
const PASSED_MAX: usize = 64;

/// The nodes that take what is new, by weight; views share it while these and the ring stand.
#[derive(Debug)]
pub(crate) struct Groups {
    ring: Arc<Ring>,
    all: Box<[Group]>,
    /// By what a turn moves virtual time.
    step: u128,
}

#[derive(Debug)]
struct Group {
    weight: u16,
    /// Positions in the view, in order, and so in the order of ids. There is one at least.
    members: Box<[u32]>,
    /// How long a turn of the group is.
    length: u128,
}

/// Whose turn it is, for all views that follow each other.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<State>,
    /// Virtual time of the turns that are found by looking at all nodes.
    pub(super) scanned: AtomicU64,
}

#[derive(Debug)]
struct State {
    now: u128,
    /// What the places are about.
    groups: Arc<Groups>,
    /// By weight, from 1 on.
    places: Box<[Place]>,
}

/// Where a group is.
#[derive(Debug, Clone, Default)]
struct Place {
    /// The virtual time at which its last turn is used up.
    finish: u128,
    /// Which member has the next one.
    next: usize,
    /// How many members from there on are ranked, while a ranking is made.
    ahead: usize,
}

impl Groups {
    /// Those of these nodes, which are the nodes of the ring.
    pub(crate) fn new(ring: &Arc<Ring>, nodes: &[ViewNode]) -> Self {
        let mut members = BTreeMap::<u16, Vec<u32>>::new();
        for (position, node) in (0..).zip(nodes) {
            if node.takes_new() {
                members
                    .entry(node.record.weight.get())
                    .or_default()
                    .push(position);
            }
        }
        let of_all = |weight: u16, members: &[u32]| u128::from(weight) * members.len() as u128;
        let weights: u128 = members
            .iter()
            .map(|(weight, members)| of_all(*weight, members))
            .sum();
        let groups = members.into_iter().map(|(weight, members)| Group {
            weight,
            length: TURN / of_all(weight, &members).max(1),
            members: members.into(),
        });
        Self {
            ring: Arc::clone(ring),
            all: groups.collect(),
            step: TURN.checked_div(weights).unwrap_or_default(),
        }
    }

    fn id(&self, position: u32) -> &NodeId {
        &self.ring.nodes()[position as usize].0
    }
}

impl Turns {
    /// Before the first turn of these.
    pub(crate) fn new(groups: &Arc<Groups>) -> Self {
        let state = State {
            now: 0,
            groups: Arc::clone(groups),
            places: vec![Place::default(); usize::from(Weight::MAX.get())].into(),
        };
        Self {
            state: Mutex::new(state),
            scanned: AtomicU64::default(),
        }
    }
}

/// Ranks the nodes for a request that asks for nothing but a free place. It does not where too many
/// nodes are full.
pub(super) fn rank(view: &View, request: &PlaceRequest<'_>, out: &mut Candidates) -> bool {
    if out.is_full() {
        return true;
    }
    // Nothing here is left half done by a panic.
    let mut state = view.turns.state.lock().unwrap_or_else(PoisonError::into_inner);
    state.follow(&view.groups);
    let takes = |position: u32| view.takes(position as usize, request);
    let found = (0..PASSED_MAX)
        .map_while(|_| state.take(&view.groups))
        .find(|position| takes(*position));
    let Some(first) = found else { return false };
    let rest = !out.push(first as usize);
    if rest {
        state.rank_rest(&view.groups, |position| {
            position != first && takes(position) && out.push(position as usize)
        });
    }
    true
}

impl State {
    /// Goes on with other groups: a group's next member is the first one from its old next one on.
    fn follow(&mut self, groups: &Arc<Groups>) {
        if Arc::ptr_eq(&self.groups, groups) {
            return;
        }
        for group in &groups.all {
            let old = self.groups.all.iter().find(|old| old.weight == group.weight);
            let place = &mut self.places[group.index()];
            let next = old.and_then(|old| old.members.get(place.next));
            let next = next.map_or(0, |next| {
                let id = self.groups.id(*next);
                group.members.partition_point(|member| groups.id(*member) < id)
            });
            place.next = next % group.members.len();
        }
        self.groups = Arc::clone(groups);
    }

    /// Uses up the next turn, and tells whose it was.
    fn take(&mut self, groups: &Groups) -> Option<u32> {
        let starts = groups.all.iter().map(|group| self.start(group, groups.step));
        self.now = self.now.max(starts.min()?);
        let turn = |group: &&Group| self.turn(group, groups.step, 0);
        let group = groups.all.iter().min_by_key(turn)?;
        let finish = self.start(group, groups.step) + group.length;
        let place = &mut self.places[group.index()];
        place.finish = finish;
        let member = group.members[place.next];
        place.next = (place.next + 1) % group.members.len();
        self.now += groups.step;
        Some(member)
    }

    /// Tells all nodes in the order of their next turns, until it is enough.
    fn rank_rest(&mut self, groups: &Groups, mut is_enough: impl FnMut(u32) -> bool) {
        for group in &groups.all {
            self.places[group.index()].ahead = 0;
        }
        loop {
            let left = |group: &&Group| self.places[group.index()].ahead < group.members.len();
            let turn =
                |group: &&Group| self.turn(group, groups.step, self.places[group.index()].ahead as u128);
            let Some(group) = groups.all.iter().filter(left).min_by_key(turn) else {
                return;
            };
            let place = &mut self.places[group.index()];
            let member = group.members[(place.next + place.ahead) % group.members.len()];
            place.ahead += 1;
            if is_enough(member) {
                return;
            }
        }
    }

    /// When a group's next turn starts: when its last one is used up, or now where that is more than
    /// a turn ago. Who is served all the time is never that late; who is not, saves nothing up.
    fn start(&self, group: &Group, step: u128) -> u128 {
        let finish = self.places[group.index()].finish;
        if finish + group.length + step < self.now {
            self.now
        } else {
            finish
        }
    }

    /// The turn of a group after some other ones.
    fn turn(&self, group: &Group, step: u128, ahead: u128) -> Turn<u128> {
        let start = self.start(group, step) + ahead * group.length;
        if start <= self.now {
            Turn::Due {
                finish: start + group.length,
            }
        } else {
            Turn::Later { start }
        }
    }
}

impl Group {
    /// Where its place is.
    fn index(&self) -> usize {
        usize::from(self.weight) - 1
    }
}
