//! Who has which partition, as far as this process knows.

use std::error::Error as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use ringhold_core::{Error, ErrorKind, Partition, Result};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout_at};

use super::latency::CONNECT_MAX;
use super::node::Node;
use super::topology::{Address, ClusterView};
use super::{PAUSE_MAX, Shared, watchdog};
use crate::random;

/// No round of seeds begins later.
const LAST_ROUND: Duration = Duration::from_secs(5);
/// All rounds end after this time.
const ROUNDS_MAX: Duration = Duration::from_secs(15);
/// How many seeds are asked side by side.
const SEEDS_AT_ONCE: usize = 16;

/// Who has each partition; empty until the first answer.
pub(super) type Owners = Arc<[Option<Arc<Node>>]>;

/// The greatest epochs that were seen: an older answer comes from somebody who has not heard yet.
#[derive(Debug)]
pub(super) struct Epochs {
    of: Vec<u64>,
    /// When a redirect told who has it: the others hear of a slot that moved a moment later.
    told: Vec<Option<Instant>>,
    /// Since when nothing but older answers comes.
    contradicted: Option<Instant>,
}

impl Default for Epochs {
    fn default() -> Self {
        Self {
            of: vec![0; usize::from(Partition::COUNT)],
            told: vec![None; usize::from(Partition::COUNT)],
            contradicted: None,
        }
    }
}

/// For so long a redirect is believed rather than who was not concerned.
const TOLD_FOR: Duration = Duration::from_secs(1);
/// A cluster that tells older epochs for so long was made anew.
const CONTRADICTED_MAX: Duration = Duration::from_secs(60);

impl Shared {
    pub(super) fn owner(&self, partition: Partition) -> Option<Arc<Node>> {
        self.owners.borrow()[usize::from(partition.get())].clone()
    }

    /// The node of an address, which is remembered until a topology does without it.
    pub(super) fn node(&self, address: Address) -> Arc<Node> {
        // Nothing panics under this lock.
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let node = nodes.entry(address).or_insert_with_key(|address| {
            Arc::new(Node::new(
                address.clone(),
                self.settings.in_flight_max,
                &self.bounds,
            ))
        });
        Arc::clone(node)
    }

    /// The servers that have partitions, one after the other.
    pub(super) fn owners_now(&self) -> impl Iterator<Item = Arc<Node>> {
        let owners = self.owners.borrow().clone();
        let mut last: Option<Arc<Node>> = None;
        (0..owners.len()).filter_map(move |index| {
            let owner = owners[index].clone()?;
            // Neighbours mostly have the same.
            let same = last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &owner));
            last = Some(Arc::clone(&owner));
            (!same).then_some(owner)
        })
    }

    /// All nodes that are remembered.
    pub(super) fn all_nodes(&self) -> Vec<Arc<Node>> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.values().cloned().collect()
    }

    /// Takes in that a partition has moved.
    pub(super) fn learn(&self, partition: Partition, node: &Arc<Node>) {
        // Nothing panics under this lock.
        let epochs = self.epochs.lock();
        epochs.unwrap_or_else(PoisonError::into_inner).told[usize::from(partition.get())] =
            Some(Instant::now());
        self.owners.send_if_modified(|owners| {
            let index = usize::from(partition.get());
            if owners[index]
                .as_ref()
                .is_some_and(|known| Arc::ptr_eq(known, node))
            {
                return false;
            }
            let mut moved = owners.to_vec();
            moved[index] = Some(Arc::clone(node));
            *owners = moved.into();
            true
        });
    }

    /// Takes a topology in.
    pub(super) fn install(&self, view: &ClusterView) {
        for address in view.known() {
            let node = self.node(address.clone());
            node.replicas.store(view.replicas(address), Ordering::Relaxed);
        }
        // Nothing panics under this lock.
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = |partition| view.owner(partition);
        let older = |of: &[u64]| {
            Partition::all()
                .zip(of)
                .any(|(partition, known)| claim(partition).is_some_and(|(_, epoch)| epoch < *known))
        };
        if !older(&epochs.of) {
            epochs.contradicted = None;
        } else if epochs.contradicted.get_or_insert_with(Instant::now).elapsed() >= CONTRADICTED_MAX {
            *epochs = Epochs::default();
        }
        self.owners.send_if_modified(|owners| {
            // A slot that nobody claims keeps its last owner: its callers hear from it why.
            let new: Vec<Option<Arc<Node>>> = Partition::all()
                .zip(owners.iter())
                .map(|(partition, old)| {
                    let index = usize::from(partition.get());
                    let (known, told) = (epochs.of[index], epochs.told[index]);
                    let told = told.is_some_and(|told| told.elapsed() < TOLD_FOR);
                    match claim(partition) {
                        Some((address, epoch)) if epoch > known || (epoch == known && !told) => {
                            epochs.of[index] = epoch;
                            Some(self.node(address.clone()))
                        }
                        _ => old.clone(),
                    }
                })
                .collect();
            let same = |(a, b): (&Option<Arc<Node>>, &Option<Arc<Node>>)| match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            };
            if new.iter().zip(owners.iter()).all(same) {
                return false;
            }
            *owners = new.into();
            true
        });
        let owners = self.owners.borrow().clone();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|address, node| {
            view.known().contains(address) || owners.iter().flatten().any(|owner| Arc::ptr_eq(owner, node))
        });
    }

    /// The topology before anything is asked for, or why there is none.
    pub(super) async fn first_topology(&self) -> Result<()> {
        const OPEN: &str = "open";
        let start = Instant::now();
        let (last_round, deadline) = (
            start + self.settings.overall.min(LAST_ROUND),
            start + self.settings.overall.min(ROUNDS_MAX),
        );
        let mut doubled = self.settings.attempt;
        let mut earlier = None;
        loop {
            // A connection that is slow to make gets twice the time in each round.
            let left = deadline.saturating_duration_since(Instant::now());
            // The last round has all the time that a connection may take.
            let is_last = Instant::now() + doubled * 2 >= last_round;
            let patience = left.min(if is_last { CONNECT_MAX } else { doubled });
            doubled *= 2;
            let (mut last, mut refused): (Option<Error>, _) = (None, None);
            let seeds = self.settings.seeds.clone();
            let asked = seeds.into_iter().map(|seed| async move {
                let node = self.node(seed);
                watchdog::ask_topology(self, &node, patience).await
            });
            let asked: Vec<_> = asked.collect();
            let mut answers = stream::iter(asked).buffer_unordered(SEEDS_AT_ONCE);
            while let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await {
                match answer {
                    Ok(view) => {
                        self.install(&view);
                        if self.owners.borrow().iter().all(Option::is_some) {
                            return Ok(());
                        }
                        let context = "not every slot has a master; look at `CLUSTER INFO`";
                        last = Some(Error::new(ErrorKind::Unavailable, OPEN, context));
                    }
                    Err(error) if error.is_retryable() => {
                        if last.as_ref().is_none_or(|last| tells(&error) > tells(last)) {
                            last = Some(error);
                        }
                    }
                    Err(error) => refused = Some(error),
                }
            }
            if let Some(error) = refused {
                return Err(error);
            }
            // A round that was cut short by the deadline says nothing new.
            if last.as_ref().is_none_or(|last| tells(last) == Tells::Late) && earlier.is_some() {
                last = earlier.take();
            }
            if Instant::now() + PAUSE_MAX >= if is_last { last_round } else { deadline } {
                return Err(match last {
                    Some(said) if said.source().is_none() => said,
                    Some(silent) => self.nobody(OPEN).with_source(silent),
                    None => self.nobody(OPEN),
                });
            }
            earlier = last;
            // Backends that open at once do not begin the next round at once.
            sleep(random::jittered((patience / 4).clamp(PAUSE_MAX, PAUSE_MAX * 3))).await;
        }
    }
}

/// How much an error of a seed says about what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tells {
    /// That no answer came in time.
    Late,
    /// What became of the connection.
    Broken,
    /// What the server says of itself.
    Said,
}

fn tells(error: &Error) -> Tells {
    match error.source() {
        None => Tells::Said,
        Some(source) if source.is::<Elapsed>() => Tells::Late,
        Some(_) => Tells::Broken,
    }
}
