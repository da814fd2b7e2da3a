//! One of the tables that the players of a node are spread over.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::{NodeIncarnation, PlayerId, SessionId};
use tokio::time::Instant;

use super::Attached;
use crate::retry;

/// How many ended holds each table remembers, for logins that are still on their way.
const PASSED_MAX: usize = 64;
/// How long it does: no login takes longer.
const PASSED_FOR: Duration = retry::OVERALL_DEADLINE;

/// By session, and by player.
#[derive(Debug, Default)]
pub(super) struct Shard {
    stays: HashMap<SessionId, Arc<Attached>>,
    /// The newest last.
    players: HashMap<PlayerId, Vec<Arc<Attached>>>,
    /// What logins on other nodes have ended, the oldest first.
    passed: VecDeque<Passed>,
}

/// Every stay in `session` of an epoch below this is over.
#[derive(Debug)]
struct Passed {
    session: SessionId,
    below: u64,
    by: Option<NodeIncarnation>,
    since: Instant,
}

impl Shard {
    pub(super) fn get(&self, id: &SessionId) -> Option<Arc<Attached>> {
        self.stays.get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Attached>> {
        self.stays.values().cloned().collect()
    }

    /// The player's newest stay.
    pub(super) fn of(&self, player: &PlayerId) -> Option<Arc<Attached>> {
        self.players.get(player)?.last().cloned()
    }

    /// Puts a stay in, unless a later one stands there or was told of. Answers which stay is over, and by
    /// whom.
    pub(super) fn put(
        &mut self,
        attached: &Arc<Attached>,
    ) -> Option<(Arc<Attached>, Option<NodeIncarnation>)> {
        let hold = attached.hold();
        let is_over = |passed: &&Passed| {
            passed.session == attached.id
                && hold.fence.epoch < passed.below
                && passed.since.elapsed() < PASSED_FOR
        };
        if let Some(passed) = self.passed.iter().rev().find(is_over) {
            return Some((Arc::clone(attached), passed.by.clone()));
        }
        let by = Some(hold.owner);
        if let Some(other) = self.stays.get(&attached.id)
            && other.fence().epoch > hold.fence.epoch
        {
            return Some((Arc::clone(attached), by));
        }
        let before = self.stays.insert(attached.id, Arc::clone(attached));
        if let Some(before) = &before {
            self.forget(before);
        }
        let stays = self.players.entry(attached.player.clone()).or_default();
        stays.push(Arc::clone(attached));
        before.map(|before| (before, by))
    }

    /// Takes a stay out, if it is this very one.
    pub(super) fn take(&mut self, attached: &Arc<Attached>) {
        let known = self.stays.get(&attached.id);
        if known.is_some_and(|known| Arc::ptr_eq(known, attached)) {
            self.stays.remove(&attached.id);
            self.forget(attached);
        }
    }

    fn forget(&mut self, attached: &Arc<Attached>) {
        if let Some(stays) = self.players.get_mut(&attached.player) {
            stays.retain(|known| !Arc::ptr_eq(known, attached));
            if stays.is_empty() {
                self.players.remove(&attached.player);
            }
        }
    }

    /// Remembers that stays of lower epochs in `session` are over, for those that have not come in yet.
    pub(super) fn pass(&mut self, session: &SessionId, below: u64, by: Option<&NodeIncarnation>) {
        if self.passed.len() == PASSED_MAX {
            self.passed.pop_front();
        }
        self.passed.push_back(Passed {
            session: *session,
            below,
            by: by.cloned(),
            since: Instant::now(),
        });
    }
}
