//! What the nodes say about the cluster, and waiting until they say what is waited for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::table::{Row, rows};
use super::{Member, RedisCluster};
use crate::client::field_of;
use crate::{Error, ErrorKind, Result, wait};

/// How far the settable clock moves between two looks, so that what Redis delays after a start is over.
const LEAP: Duration = Duration::from_secs(3);

/// How long a planned failover may take.
const FAIL_OVER_MAX: Duration = Duration::from_secs(20);

/// When Redis has given a planned failover up for certain: its own limit is 5 s.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(6);

impl RedisCluster {
    /// The indexes of the masters, as most live nodes see them; those that hold no slot included,
    /// those that failed excluded.
    ///
    /// # Errors
    /// `Unreachable` when no node answers.
    pub fn masters(&self) -> Result<Vec<usize>> {
        let views = self.views()?;
        let half = views.len() / 2;
        let counts = |index: usize| {
            let id = &self.members[index].id;
            let is = |row: &&Row| &row.id == id && row.master && !row.failed;
            views
                .iter()
                .filter(|view| view.iter().any(|row| is(&row)))
                .count()
        };
        Ok((0..self.len()).filter(|index| counts(*index) > half).collect())
    }

    /// The index of the master that a node replicates by its own word; `None` for a master.
    ///
    /// # Errors
    /// `Unreachable`.
    pub fn replica_of(&self, index: usize) -> Result<Option<usize>> {
        let own = self.myself(index)?;
        Ok(own.replica_of.and_then(|id| self.index_of(&id)))
    }

    /// The index of the node that owns a slot, as most live nodes see it.
    ///
    /// # Errors
    /// `Invalid` beyond slot 16383; `Unreachable` when no node answers; `Answer` when nobody has it.
    pub fn master_of_slot(&self, slot: u16) -> Result<usize> {
        super::slots::check(slot)?;
        let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
        for view in self.views()? {
            let owner = view.iter().find(|row| row.owns(slot));
            if let Some(index) = owner.and_then(|row| self.index_of(&row.id)) {
                *votes.entry(index).or_default() += 1;
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(index, _)| index)
            .ok_or_else(|| Error::new(ErrorKind::Answer, format!("no node owns slot {slot}")))
    }

    /// Waits until every running node says `cluster_state:ok`. A settable clock is moved on meanwhile.
    ///
    /// # Errors
    /// `Timeout` with what was seen last.
    pub fn wait_until_ok(&self, limit: Duration) -> Result<()> {
        wait::until("the cluster to be in order", limit, || {
            for (index, member) in self.running() {
                let info = member
                    .node
                    .access
                    .text(&["CLUSTER", "INFO"])
                    .map_err(|error| error.to_string())?;
                let state = field_of(&info, "cluster_state").unwrap_or("unknown");
                if state != "ok" {
                    if let Some(clock) = &self.clock {
                        clock.advance(LEAP).map_err(|error| error.to_string())?;
                    }
                    return Err(format!("node {index}: cluster_state:{state}"));
                }
            }
            Ok(())
        })
    }

    /// Waits until every running node is connected to all nodes and knows the host name of each one that announces
    /// one. A topology that is asked for before that shows too few replicas, or IP addresses in the place of names.
    pub(super) fn wait_until_met(&self, limit: Duration) -> Result<()> {
        wait::until("the nodes to know each other", limit, || {
            for (index, member) in self.running() {
                let rows = view_of(member).map_err(|error| error.to_string())?;
                for row in rows.iter().filter(|row| !row.myself) {
                    if !row.connected || row.host_name != self.options.server.host_name {
                        return Err(format!("node {index}: {row:?}"));
                    }
                }
                if rows.len() != self.len() {
                    return Err(format!(
                        "node {index}: knows {} of {} nodes",
                        rows.len(),
                        self.len()
                    ));
                }
            }
            Ok(())
        })
    }

    /// Waits until another node owns what `old`, which was a master, owned; returns its index. That
    /// takes the node timeout and about a second more, and for a master that was cut off or stopped
    /// the same.
    ///
    /// # Errors
    /// `Timeout` with what was seen last.
    pub fn wait_until_promoted(&self, old: usize, limit: Duration) -> Result<usize> {
        let id = self.id(old);
        let what = format!("a replica of node {old} to be promoted");
        wait::until(&what, limit, || {
            let masters = self.masters().map_err(|error| error.to_string())?;
            for (index, member) in self.running().filter(|(index, _)| *index != old) {
                let Ok(own) = self.myself(index) else { continue };
                let was = self.home_of(index) == self.home_of(old);
                let serves = own.master && !own.slots.is_empty() && masters.contains(&index);
                if was && serves && member.id != id {
                    return Ok(index);
                }
            }
            Err(format!("masters are {masters:?}"))
        })
    }

    /// Waits until every running replica of a running master has everything that its master has.
    ///
    /// # Errors
    /// `Timeout` with what was seen last.
    pub fn wait_until_in_sync(&self, limit: Duration) -> Result<()> {
        wait::until("the replicas to be in sync", limit, || {
            for (index, member) in self.running() {
                let master = self.replica_of(index).map_err(|error| error.to_string())?;
                let Some(master) = master.map(|index| &self.members[index]) else {
                    continue;
                };
                if master.node.is_running() {
                    behind(member, master).map_err(|seen| format!("node {index}: {seen}"))?;
                }
            }
            Ok(())
        })
    }

    /// Makes a replica the master in a planned failover, in which nothing is lost; returns when all
    /// running nodes know.
    ///
    /// Nodes vote about the same master again only after twice the node timeout, and Redis gives a
    /// planned failover up after 5 s; it is then asked for again. With a settable clock, where the
    /// node timeout is 30 days, a master can be replaced once only.
    ///
    /// # Errors
    /// `Answer` for a node that is no replica; `Timeout`; `Unreachable`.
    pub fn fail_over(&self, replica: usize) -> Result<()> {
        let access = &self.members[replica].node.access;
        access.run(&["CLUSTER", "FAILOVER"])?;
        let mut asked = Instant::now();
        let id = self.id(replica);
        let what = format!("node {replica} to become the master");
        wait::until(&what, FAIL_OVER_MAX, || {
            if asked.elapsed() > GIVEN_UP_AFTER {
                asked = Instant::now();
                if !self.myself(replica).map_err(|error| error.to_string())?.master {
                    access
                        .run(&["CLUSTER", "FAILOVER"])
                        .map_err(|error| error.to_string())?;
                }
            }
            for (index, member) in self.running() {
                let view = view_of(member).map_err(|error| error.to_string())?;
                let row = view.iter().find(|row| row.id == id);
                if !row.is_some_and(|row| row.master && !row.slots.is_empty()) {
                    return Err(format!("node {index} does not know it yet"));
                }
            }
            Ok(())
        })
    }

    /// The nodes that run, which a cut off node does too.
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, &Member)> {
        self.members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.node.is_running())
    }

    pub(super) fn index_of(&self, id: &str) -> Option<usize> {
        self.members.iter().position(|member| member.id == id)
    }

    /// Which share of the slots a node was started for.
    fn home_of(&self, index: usize) -> usize {
        index % self.options.masters
    }

    fn myself(&self, index: usize) -> Result<Row> {
        let own = view_of(&self.members[index])?.into_iter().find(|row| row.myself);
        own.ok_or_else(|| Error::new(ErrorKind::Answer, format!("node {index} does not know itself")))
    }

    fn views(&self) -> Result<Vec<Vec<Row>>> {
        let views: Vec<_> = self
            .running()
            .filter_map(|(_, member)| view_of(member).ok())
            .collect();
        if views.is_empty() {
            return Err(Error::new(
                ErrorKind::Unreachable,
                "no node of the cluster answers",
            ));
        }
        Ok(views)
    }
}

fn view_of(member: &Member) -> Result<Vec<Row>> {
    Ok(rows(&member.node.access.text(&["CLUSTER", "NODES"])?))
}

/// What a replica still lacks.
fn behind(replica: &Member, master: &Member) -> Result<(), String> {
    let ask = |member: &Member, field| {
        let info = member.node.access.info("replication", field);
        info.map_err(|error| error.to_string())
    };
    let goal = ask(master, "master_repl_offset")?;
    let link = ask(replica, "master_link_status")?;
    if link != "up" {
        return Err(format!("master_link_status:{link}"));
    }
    let has = ask(replica, "slave_repl_offset")?;
    match (has.parse::<i64>(), goal.parse::<i64>()) {
        (Ok(has), Ok(goal)) if has >= goal => Ok(()),
        _ => Err(format!("at {has} of {goal}")),
    }
}
