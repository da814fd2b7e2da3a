//! The condition under which the lost keys of a partition are rebuilt.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use ringhold_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::node::Node;
use super::watchdog::ask_topology;
use super::{Call, Shared};
use crate::schema;

impl Shared {
    /// Returns once it is certain that no other master has keys of the partition, or fails by the deadline.
    ///
    /// A key that is missing at the owner of a slot is not lost where the slot is being moved: the importing master has
    /// it. A failover of the source loses the mark that tells clients so, since replicas do not have it. Therefore every
    /// master is asked whether it imports or migrates the slot.
    ///
    /// # Errors
    /// `Unavailable` where a master says so, or does not answer.
    pub(super) async fn settled(&self, call: &Call, owner: &Arc<Node>, deadline: Instant) -> Result<()> {
        if !self.settings.cluster {
            return Ok(());
        }
        let slot = schema::slot(call.partition);
        let unavailable = |context| Error::new(ErrorKind::Unavailable, call.operation, context);
        let mut asked = HashSet::new();
        let mut next = vec![Arc::clone(owner)];
        next.extend(self.owners_now());
        // Masters that have no slots yet are known only from the answers of others.
        while !next.is_empty() {
            next.retain(|node| asked.insert(node.address.clone()));
            let left = deadline.saturating_duration_since(Instant::now());
            let answers = join_all(next.iter().map(|node| {
                // A connection to a master without slots may have to be made first.
                let patience = node.latency.attempt() * 2;
                ask_topology(self, node, patience.min(left))
            }));
            let answers = answers.await;
            let mut named = Vec::new();
            for (node, answer) in next.iter().zip(answers) {
                let view = answer.map_err(|error| {
                    let context = format!(
                        "a key of slot {slot} is missing, and {} does not answer whether the slot is being moved; start \
                         it, or remove it with `CLUSTER FORGET`",
                        node.address
                    );
                    unavailable(context).with_source(error)
                })?;
                if view.moves(call.partition) {
                    let context = format!(
                        "the slot is being moved ({}: slot {slot}), and one of its keys is on another server; finish the move",
                        node.address
                    );
                    return Err(unavailable(context));
                }
                named.extend(view.masters().iter().cloned());
            }
            next = named.into_iter().map(|master| self.node(master)).collect();
        }
        Ok(())
    }
}
