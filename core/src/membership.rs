//! The fleet's membership, its revisions, and the updates between them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::Load;
use crate::{Error, ErrorKind, NodeId, NodeIncarnation, NodeRecord, Result};

/// The number of the last membership change, with a random tag.
///
/// It is a resume point: a store that lost its last changes in a failover counts the same numbers
/// again, with other tags, and a reader is told to start over. Numbers may restart after a
/// [`Reset`](Update::Reset); only equality of both parts says that two memberships are the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Revision {
    /// Counts the changes.
    pub number: u64,
    /// Tells two changes of the same number apart.
    pub tag: u64,
}

impl Revision {
    /// This number with this tag.
    pub const fn new(number: u64, tag: u64) -> Self {
        Self { number, tag }
    }

    /// The revision that the change after this one makes. `seed` is 128 random bits of whoever makes it;
    /// the tag is mixed from them and the number, so that one seed gives many changes different tags.
    #[must_use]
    pub fn following(self, seed: [u8; 16]) -> Self {
        let number = self.number.saturating_add(1);
        Self::new(number, mixed(seed, number))
    }
}

/// Mixes 128 random bits and a number to 64, with the constants and the finish of `SplitMix64`.
fn mixed(seed: [u8; 16], number: u64) -> u64 {
    let [high, low] = [0, 8].map(|at| u64::from_be_bytes(std::array::from_fn(|byte| seed[at + byte])));
    let step = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The halves go in with different weights, so that equal ones do not cancel out.
    let mut tag = high
        .wrapping_mul(0xd134_2543_de82_ef95)
        .wrapping_add(low)
        .wrapping_add(step);
    tag = (tag ^ (tag >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    tag = (tag ^ (tag >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    tag ^ (tag >> 31)
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number, f)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:04x}", self.number, self.tag >> 48)
    }
}

/// Why a node is no longer a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LeftReason {
    /// It said goodbye.
    Leave,
    /// It did not renew its lease.
    LeaseLapsed,
    /// It was put out.
    Evicted,
    /// A newer incarnation of the same id registered.
    Superseded,
}

impl LeftReason {
    /// Its name in `snake_case`, as it stands in events and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::LeaseLapsed => "lease_lapsed",
            Self::Evicted => "evicted",
            Self::Superseded => "superseded",
        }
    }
}

/// One member, as the backend has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// What it tells about itself.
    pub record: Arc<NodeRecord>,
    /// How much it carried at its last renewal.
    pub load: Load,
    /// Its lease has lapsed and nobody has reaped it yet: treat it as suspect.
    pub lapsed: bool,
}

impl Member {
    /// A member with a live lease.
    pub fn new(record: impl Into<Arc<NodeRecord>>, load: Load) -> Self {
        Self {
            record: record.into(),
            load,
            lapsed: false,
        }
    }

    /// This run of this node.
    pub fn node(&self) -> NodeIncarnation {
        self.record.node()
    }
}

/// A member whose record cannot be read here, such as one of a newer format.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnreadableMember {
    /// Its id.
    pub id: NodeId,
    /// What is wrong with the record.
    pub kind: ErrorKind,
    /// The same in words.
    pub context: String,
}

impl UnreadableMember {
    /// The member `id`, unreadable because of `error`.
    pub fn new(id: NodeId, error: &Error) -> Self {
        Self {
            id,
            kind: error.kind(),
            context: error.to_string(),
        }
    }
}

/// What the backend says about the fleet at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Membership {
    /// The last change in it.
    pub revision: Revision,
    /// The members by node id, one per id.
    pub members: Vec<Member>,
    /// Members whose records cannot be read here. They are live and never dropped.
    pub unreadable: Vec<UnreadableMember>,
    /// How long nobody had moved the lease clock when this was read. Far above a heartbeat: no node
    /// renews.
    pub clock_lag: Duration,
}

impl Membership {
    /// The membership of `members`, in any order, at `revision`.
    pub fn new(revision: Revision, mut members: Vec<Member>) -> Self {
        // Of several runs of one id the newest counts.
        members.sort_by(|a, b| {
            let number = |member: &Member| std::cmp::Reverse(member.record.incarnation.number);
            a.record
                .id
                .cmp(&b.record.id)
                .then_with(|| number(a).cmp(&number(b)))
        });
        members.dedup_by(|later, first| later.record.id == first.record.id);
        Self {
            revision,
            members,
            ..Self::default()
        }
    }

    /// The member of this id.
    pub fn get(&self, id: &NodeId) -> Option<&Member> {
        self.position(id).ok().map(|index| &self.members[index])
    }

    /// Whether exactly this run of this node is a member.
    pub fn contains(&self, node: &NodeIncarnation) -> bool {
        self.get(&node.node)
            .is_some_and(|member| member.record.incarnation == node.incarnation)
    }

    /// Where the member of this id is in [`members`](Self::members), or where it would be.
    ///
    /// # Errors
    /// The position at which a member of this id would be put in.
    pub fn position(&self, id: &NodeId) -> Result<usize, usize> {
        self.members.binary_search_by(|member| member.record.id.cmp(id))
    }

    /// Takes one update in. `Ok(false)` says that it was known already.
    ///
    /// # Errors
    /// `Corrupt` when the update's number does not follow on this revision's, or when it changes a
    /// node that is no member; nothing is changed, and the reader has to start over from a
    /// [`Reset`](Update::Reset). An update carries no tag of what came before it: that it is of the
    /// same history is the watch's to know, by its resume point.
    pub fn apply(&mut self, update: &Update) -> Result<bool> {
        let revision = match update {
            Update::Reset(membership) => {
                // How long the clock stood is no change of the membership.
                self.clock_lag = membership.clock_lag;
                let changed = self != membership;
                self.clone_from(membership);
                return Ok(changed);
            }
            Update::Loads(loads) => return Ok(self.apply_loads(loads)),
            Update::Joined { revision, .. }
            | Update::Changed { revision, .. }
            | Update::Left { revision, .. } => *revision,
        };
        if revision == self.revision {
            return Ok(false);
        }
        if self.revision.number.checked_add(1) != Some(revision.number) {
            let context = format!("revision {revision} does not follow {}", self.revision);
            return Err(Error::new(ErrorKind::Corrupt, "membership update", context));
        }
        if let Update::Joined { node, .. } = update
            && self
                .get(&node.id)
                .is_some_and(|member| member.record.incarnation != node.incarnation)
        {
            let context = format!(
                "{} joined, and another run of it has not left at {}",
                node.node(),
                self.revision
            );
            return Err(Error::new(ErrorKind::Corrupt, "membership update", context));
        }
        if let Update::Changed { node, .. } = update
            && !self.contains(&node.node())
            && !self.unreadable.iter().any(|member| member.id == node.id)
        {
            let context = format!("{} changed, and is no member at {}", node.node(), self.revision);
            return Err(Error::new(ErrorKind::Corrupt, "membership update", context));
        }
        let id = match update {
            Update::Joined { node, .. } | Update::Changed { node, .. } => Some(&node.id),
            Update::Left { node, .. } => Some(&node.node),
            Update::Reset(_) | Update::Loads(_) => None,
        };
        self.unreadable.retain(|member| Some(&member.id) != id);
        match update {
            Update::Joined { node, .. } | Update::Changed { node, .. } => match self.position(&node.id) {
                Ok(index) => {
                    // Of the same run, as was checked above, so it carries what it did.
                    let member = &mut self.members[index];
                    member.record = Arc::clone(node);
                    member.lapsed = false;
                }
                Err(index) => self
                    .members
                    .insert(index, Member::new(Arc::clone(node), Load::default())),
            },
            Update::Left { node, .. } => {
                if let Ok(index) = self.position(&node.node)
                    && self.members[index].record.incarnation == node.incarnation
                {
                    self.members.remove(index);
                }
            }
            Update::Reset(_) | Update::Loads(_) => {}
        }
        self.revision = revision;
        Ok(true)
    }

    fn apply_loads(&mut self, loads: &[(NodeIncarnation, Load)]) -> bool {
        let mut changed = false;
        for (node, load) in loads {
            if let Ok(index) = self.position(&node.node) {
                let member = &mut self.members[index];
                if member.record.incarnation == node.incarnation && member.load != *load {
                    member.load = *load;
                    changed = true;
                }
            }
        }
        changed
    }
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// This is now the whole membership; forget what was before.
    Reset(Membership),
    /// A node registered.
    Joined {
        /// The revision that this makes.
        revision: Revision,
        /// Its record.
        node: Arc<NodeRecord>,
    },
    /// A node changed its record.
    Changed {
        /// The revision that this makes.
        revision: Revision,
        /// Its new record.
        node: Arc<NodeRecord>,
    },
    /// A node is no longer a member. Dead is for ever.
    Left {
        /// The revision that this makes.
        revision: Revision,
        /// Which run of which node.
        node: NodeIncarnation,
        /// Why.
        reason: LeftReason,
    },
    /// What the nodes carry. Makes no revision.
    Loads(Vec<(NodeIncarnation, Load)>),
}

impl Update {
    /// The revision that this update makes or, for a reset, is at. Loads make none.
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Reset(membership) => Some(membership.revision),
            Self::Joined { revision, .. } | Self::Changed { revision, .. } | Self::Left { revision, .. } => {
                Some(*revision)
            }
            Self::Loads(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Incarnation, Nonce};

    fn record(id: &str, number: u64) -> Arc<NodeRecord> {
        let nonce = Nonce::from_bytes([7; 16]);
        Arc::new(NodeRecord::new(
            NodeId::new(id).unwrap(),
            Incarnation { number, nonce },
        ))
    }

    #[test]
    fn tags_differ_by_seed_and_by_number() {
        let tag = |seed, number| Revision::new(number, 0).following(seed).tag;
        assert_ne!(tag([1; 16], 1), tag([2; 16], 1));
        assert_ne!(tag([1; 16], 1), tag([1; 16], 2));
        assert_ne!(tag([0; 16], 1) >> 48, tag([0; 16], 2) >> 48);
        assert_eq!(Revision::new(7, 9).following([1; 16]).number, 8);
        assert_eq!(Revision::new(u64::MAX, 9).following([1; 16]).number, u64::MAX);
    }

    #[test]
    fn updates_follow_without_a_gap() {
        let mut membership = Membership::default();
        let joined = Update::Joined {
            revision: Revision::new(1, 9),
            node: record("b", 1),
        };
        assert!(membership.apply(&joined).unwrap());
        assert!(
            !membership.apply(&joined).unwrap(),
            "a repetition changes nothing"
        );
        let gap = Update::Joined {
            revision: Revision::new(3, 9),
            node: record("a", 1),
        };
        assert_eq!(membership.apply(&gap).unwrap_err().kind(), ErrorKind::Corrupt);
        let joined = Update::Joined {
            revision: Revision::new(2, 9),
            node: record("a", 1),
        };
        membership.apply(&joined).unwrap();
        assert_eq!(membership.members[0].record.id.as_str(), "a");
    }

    #[test]
    fn a_late_left_of_an_older_run_removes_nothing() {
        let mut membership = Membership::new(
            Revision::new(5, 1),
            vec![Member::new(record("a", 2), Load::new(3))],
        );
        let left = Update::Left {
            revision: Revision::new(6, 1),
            node: record("a", 1).node(),
            reason: LeftReason::LeaseLapsed,
        };
        membership.apply(&left).unwrap();
        assert!(membership.contains(&record("a", 2).node()));
        let loads = Update::Loads(vec![
            (record("a", 2).node(), Load::new(9)),
            (record("x", 1).node(), Load::new(1)),
        ]);
        assert!(membership.apply(&loads).unwrap());
        assert_eq!(
            (membership.members[0].load.sessions, membership.members.len()),
            (9, 1)
        );
    }

    #[test]
    fn what_cannot_follow_is_refused() {
        let nobody = Update::Changed {
            revision: Revision::new(1, 1),
            node: record("a", 1),
        };
        assert_eq!(
            Membership::default().apply(&nobody).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        let member = Member::new(record("a", 7), Load::default());
        let mut membership = Membership::new(Revision::new(5, 1), vec![member]);
        for update in [
            Update::Changed {
                revision: Revision::new(6, 1),
                node: record("a", 3),
            },
            Update::Joined {
                revision: Revision::new(6, 1),
                node: record("a", 8),
            },
            Update::Joined {
                revision: Revision::new(u64::MAX, 1),
                node: record("b", 1),
            },
        ] {
            assert_eq!(
                membership.apply(&update).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{update:?}"
            );
        }
        assert!(membership.contains(&record("a", 7).node()));
    }

    #[test]
    fn one_member_per_id_and_the_newest_run_counts() {
        let members = [1, 3, 2].map(|number| Member::new(record("a", number), Load::default()));
        let membership = Membership::new(Revision::new(1, 1), members.to_vec());
        assert_eq!(membership.members.len(), 1);
        assert!(membership.contains(&record("a", 3).node()));
    }

    #[test]
    fn who_was_unreadable_leaves_and_joins_like_others() {
        let error = Error::new(ErrorKind::Unsupported, "test", "format 9");
        let mut membership = Membership::default();
        for id in ["a", "b"] {
            membership
                .unreadable
                .push(UnreadableMember::new(NodeId::new(id).unwrap(), &error));
        }
        let node = record("a", 1).node();
        let left = Update::Left {
            revision: Revision::new(1, 1),
            node,
            reason: LeftReason::Leave,
        };
        membership.apply(&left).unwrap();
        let left: Vec<&str> = membership.unreadable.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(left, ["b"], "the other stays");
        let joined = Update::Joined {
            revision: Revision::new(2, 1),
            node: record("b", 1),
        };
        membership.apply(&joined).unwrap();
        assert!(membership.unreadable.is_empty() && membership.members.len() == 1);
    }

    #[test]
    fn who_was_unreadable_may_change_and_nobody_else() {
        let error = Error::new(ErrorKind::Unsupported, "test", "format 9");
        let unreadable = UnreadableMember::new(NodeId::new("a").unwrap(), &error);
        assert_eq!(unreadable.context, "test: unsupported: format 9");
        let mut membership = Membership::default();
        membership.unreadable.push(unreadable);
        let changed = |id| Update::Changed {
            revision: Revision::new(1, 1),
            node: record(id, 1),
        };
        assert_eq!(
            membership.apply(&changed("b")).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        assert!(membership.apply(&changed("a")).unwrap());
        assert!(membership.contains(&record("a", 1).node()) && membership.unreadable.is_empty());
    }

    #[test]
    fn how_long_the_clock_stood_is_no_change() {
        let mut membership = Membership::default();
        let later = Membership {
            clock_lag: Duration::from_secs(9),
            ..Membership::default()
        };
        assert!(!membership.apply(&Update::Reset(later)).unwrap());
        assert_eq!(membership.clock_lag, Duration::from_secs(9));
    }

    /// A record of what it has always been: `SplitMix64`'s finish, computed apart from this code.
    #[test]
    fn tags_are_mixed_as_they_were() {
        let next = Revision::new(7, 9).following(*b"0123456789abcdef");
        assert_eq!(next, Revision::new(8, 0xe749_0dd2_f846_60fa));
        let last = Revision::new((1 << 53) - 2, 9).following([0xff; 16]);
        assert_eq!(last, Revision::new((1 << 53) - 1, 0x7964_d81b_6a27_7647));
    }

    #[test]
    fn revisions_and_reasons_are_shown_short() {
        let revision = Revision::new(7, 0x0abc_0000_0000_0001);
        assert_eq!(format!("{revision} {revision:?}"), "7 7/0abc");
        let reasons = [
            LeftReason::Leave,
            LeftReason::LeaseLapsed,
            LeftReason::Evicted,
            LeftReason::Superseded,
        ];
        let words = ["leave", "lease_lapsed", "evicted", "superseded"];
        assert_eq!(reasons.map(LeftReason::as_str), words);
    }

    #[test]
    fn each_update_but_loads_is_at_a_revision() {
        let (revision, node) = (Revision::new(7, 9), record("a", 1));
        let left = Update::Left {
            revision,
            node: node.node(),
            reason: LeftReason::Leave,
        };
        let changed = Update::Changed {
            revision,
            node: Arc::clone(&node),
        };
        for update in [
            Update::Joined { revision, node },
            changed,
            left,
            Update::Reset(Membership::new(revision, Vec::new())),
        ] {
            assert_eq!(update.revision(), Some(revision), "{update:?}");
        }
        assert_eq!(Update::Loads(Vec::new()).revision(), None);
    }

    #[test]
    fn loads_are_of_the_run_that_told_them() {
        let member = Member::new(record("a", 2), Load::new(3));
        let mut membership = Membership::new(Revision::new(5, 1), vec![member]);
        let mut loads = |number, sessions| {
            let loads = vec![(record("a", number).node(), Load::new(sessions))];
            let changed = membership.apply(&Update::Loads(loads)).unwrap();
            (changed, membership.members[0].load.sessions)
        };
        assert_eq!(loads(1, 9), (false, 3), "of an older run");
        assert_eq!(loads(2, 3), (false, 3), "the same");
        assert_eq!(loads(2, 9), (true, 9));
        // A change of its record is none of what it carries, and shows that it lives.
        membership.members[0].lapsed = true;
        let changed = Update::Changed {
            revision: Revision::new(6, 1),
            node: record("a", 2),
        };
        assert!(membership.apply(&changed).unwrap());
        let member = &membership.members[0];
        assert_eq!(
            (member.load.sessions, member.lapsed, membership.revision.number),
            (9, false, 6)
        );
    }
}
