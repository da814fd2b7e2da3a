//! The condition under which the lost keys of a partition are rebuilt.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use ringhold_core::{Error, ErrorKind, Partition, Result};

use super::Shared;
use super::node::Node;
use super::watchdog::ask_topology;
use crate::schema;

impl Shared {
    /// Returns once it is certain that no other master has keys of the partition.
    ///
    /// A key that is missing at the owner of a slot is not lost where the slot is being moved: the importing master has
    /// it. A failover of the source loses the mark that tells clients so, since replicas do not have it. Therefore every
    /// master is asked whether it imports or migrates the slot.
    ///
    /// # Errors
    /// `Unavailable` where a master says so, or does not answer.
    pub(super) async fn settled(
        &self,
        operation: &'static str,
        partition: Partition,
        owner: &Arc<Node>,
    ) -> Result<()> {
        if !self.settings.cluster {
            return Ok(());
        }
        let slot = schema::slot(partition);
        let unavailable = |context| Error::new(ErrorKind::Unavailable, operation, context);
        let mut asked = HashSet::new();
        let mut next = vec![Arc::clone(owner)];
        next.extend(self.owners_now());
        // Masters that have no slots yet are known only from the answers of others.
        while !next.is_empty() {
            next.retain(|node| asked.insert(node.address.clone()));
            let answers = join_all(
                next.iter()
                    .map(|node| ask_topology(self, node, node.latency.attempt() * 2)),
            );
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
                if view.moves(partition) {
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
