//! What looks after the servers: one watchdog for each that is suspect, and one task for the topology.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use ringhold_core::{Error, ErrorKind, Partition, Result};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dial::{is_replica, read_only};
use super::failure::{link_error, refused};
use super::latency::{CONNECT_MAX, timed};
use super::node::{self, Node};
use super::sizes::Size;
use super::topology::{Address, ClusterView};
use super::{Shared, lateness};
use crate::client::{Command, Link, LinkError, Reply};
use crate::random;

/// How often the topology is asked for when nothing suggests it.
const PERIOD: Duration = Duration::from_secs(5);
/// How often while a server that has partitions does not answer, and a failover is to be expected.
const PERIOD_IN_TROUBLE: Duration = Duration::from_millis(100);
/// Where there was no failover for so long, none is under way: every client of a large cluster would
/// go on asking ten times a second.
const FAILOVER_MAX: Duration = Duration::from_secs(30);
/// How often from then on.
const PERIOD_IN_LONG_TROUBLE: Duration = Duration::from_secs(1);
/// Never more often.
const PERIOD_MIN: Duration = Duration::from_millis(50);
/// The pause between the first two probes of a watchdog; it doubles with each.
const BETWEEN_PROBES: Duration = Duration::from_millis(150);
/// The longest pause: with the time that a connection takes, a name or an address that leads to a master again is
/// found within two seconds.
const BETWEEN_PROBES_MAX: Duration = Duration::from_millis(800);
/// The same for a server that has no partitions, so that nobody waits for it.
const BETWEEN_PROBES_OF_IDLE: Duration = Duration::from_secs(2);
/// How many servers are asked for the topology at once.
const ASKED: usize = 3;
/// So many nodes may ask [`ASKED`] servers every [`PERIOD_IN_TROUBLE`]. Of a larger fleet each node asks one, and less
/// often: about 1,000 times a second all together.
const OFTEN_MAX: usize = 100;
/// A server that has not answered for so long, with nobody asking, is asked whether it is there.
const IDLE: Duration = Duration::from_secs(1);
/// A longer answer to `CLUSTER NODES` is no such answer.
const ANSWER_MAX: usize = 8 << 20;

/// Has a watchdog look at a server, unless one does.
pub(super) fn suspect(shared: &Arc<Shared>, node: &Arc<Node>) {
    if node.watched.swap(true, Ordering::AcqRel) {
        return;
    }
    shared
        .dialer
        .runtime
        .spawn(watch(Arc::downgrade(shared), Arc::downgrade(node)));
}

async fn watch(shared: Weak<Shared>, node: Weak<Node>) {
    let began = Instant::now();
    let (mut patience, mut pause, mut warned) = (None, BETWEEN_PROBES / 2, false);
    loop {
        let mut owners = {
            let (Some(shared), Some(node)) = (shared.upgrade(), node.upgrade()) else {
                return;
            };
            let silent = node.silent();
            // A slow connection that is given up each time at the same point is never made, and the clients of a busy server
            // must not give up together.
            let longer = patience.map_or_else(|| node.latency.first_probe(), |last: Duration| last * 2);
            let doubled = longer.min(CONNECT_MAX);
            patience = Some(doubled);
            let patience = doubled + random::jittered(doubled / 4);
            let deadline = Instant::now() + patience;
            match node
                .probe(&shared.dialer, shared.settings.cluster, patience)
                .await
            {
                Ok(link) => return resume(&shared, &node, link, silent, warned).await,
                // It answers, and whoever asks is to hear what: waiting would not help.
                Err(LinkError::Denied(_)) => return answers(&node, None),
                Err(error) => {
                    // Callers go on waiting for answers that they have asked for; nobody asks anew.
                    node.set_link(None);
                    if node.answers.send_replace(false) {
                        shared.stale.notify_one();
                    }
                    // A probe that ended late says nothing of the server: this runtime stood still.
                    if !warned && lateness(deadline).is_none() {
                        warned = true;
                        let demoted =
                            matches!(&error, LinkError::Refused(error) if error.is_of_demoted_server());
                        if demoted {
                            tracing::warn!(
                                address = %node.address,
                                "the server is a replica; its name is resolved again until it leads to a master"
                            );
                        } else {
                            tracing::warn!(address = %node.address, %error, "the server does not answer");
                        }
                    }
                }
            }
            pause = probe_pause(&shared, &node, began, pause);
            shared.owners.subscribe()
        };
        // Whoever gets partitions is looked at at once.
        if timeout(random::jittered(pause), owners.changed()).await.is_ok() {
            sleep(random::jittered(BETWEEN_PROBES)).await;
        }
    }
}

/// How long until the next probe, after a pause that was so long: callers wait for a server that has partitions.
fn probe_pause(shared: &Shared, node: &Arc<Node>, began: Instant, last: Duration) -> Duration {
    if !shared.owners_now().any(|owner| Arc::ptr_eq(&owner, node)) {
        BETWEEN_PROBES_OF_IDLE
    } else if began.elapsed() < FAILOVER_MAX {
        (last * 2).min(BETWEEN_PROBES_MAX)
    } else {
        PERIOD_IN_LONG_TROUBLE
    }
}

/// Gives a server that answers back to its callers. One that was silent for long may have been deposed
/// meanwhile, and acknowledge writes until it hears of it: the others are asked first.
async fn resume(shared: &Arc<Shared>, node: &Arc<Node>, link: Arc<dyn Link>, silent: Duration, warned: bool) {
    if shared.settings.cluster && (silent >= IDLE || !*node.answers.borrow()) {
        node.answers.send_replace(false);
        refresh(shared, ASKED).await;
    }
    if warned {
        tracing::info!(address = %node.address, "the server answers again");
    }
    node.heard(Size::Small);
    answers(node, Some(link));
}

fn answers(node: &Node, link: Option<Arc<dyn Link>>) {
    node.set_link(link);
    node.watched.store(false, Ordering::Release);
    node.answers.send_replace(true);
}

/// Asks for the topology now and then, at once when somebody wants it, often while there is trouble.
pub(super) async fn follow_topology(shared: Weak<Shared>) {
    let mut due = Instant::now() + random::jittered(PERIOD);
    let mut measures_at = Instant::now();
    let mut pings = Pings::default();
    let mut trouble: Option<Instant> = None;
    loop {
        {
            let Some(shared) = shared.upgrade() else { return };
            let look = due.min(Instant::now() + IDLE);
            let wanted = timeout_at(look, shared.stale.notified()).await.is_ok();
            let measures = Instant::now() >= measures_at;
            if measures {
                measures_at = Instant::now() + IDLE;
            }
            pings.send(&shared, measures);
            if wanted || Instant::now() >= due {
                let (often, asked) = in_trouble(shared.settings.members.load(Ordering::Relaxed));
                refresh(&shared, asked).await;
                let troubled = shared.owners_now().any(|owner| !*owner.answers.borrow());
                let now = Instant::now();
                trouble = troubled.then(|| trouble.unwrap_or(now));
                let period = match trouble {
                    None => PERIOD,
                    Some(since) if since.elapsed() < FAILOVER_MAX => often,
                    Some(_) => PERIOD_IN_LONG_TROUBLE,
                };
                due = now + random::jittered(period);
            }
        }
        sleep(PERIOD_MIN).await;
    }
}

/// The period in which a node of a fleet of this size asks for the topology while a failover is to be expected, and the
/// number of servers that it asks.
fn in_trouble(members: usize) -> (Duration, usize) {
    if members <= OFTEN_MAX {
        return (PERIOD_IN_TROUBLE, ASKED);
    }
    let times = u32::try_from(members / OFTEN_MAX).unwrap_or(u32::MAX);
    let period = PERIOD_IN_TROUBLE.saturating_mul(times);
    (period.min(PERIOD_IN_LONG_TROUBLE), 1)
}

/// The `PING`s under way, which end with their owner.
#[derive(Debug, Default)]
struct Pings {
    tasks: JoinSet<()>,
    /// By the addresses of their links, which they keep in memory.
    by_link: HashMap<usize, AbortHandle>,
}

impl Pings {
    /// Sends `PING` over idle connections, one at a time over each: a hung server is noticed also when there are no
    /// calls, and so is a connection that was cut off while nothing went over it. With `measures` a busy first connection
    /// gets one as well, or else a round trip of a bad moment would count for as long as there are calls.
    fn send(&mut self, shared: &Arc<Shared>, measures: bool) {
        while self.tasks.try_join_next().is_some() {}
        self.by_link.retain(|_, ping| !ping.is_finished());
        for node in shared.all_nodes() {
            for size in [Size::Small, Size::Large] {
                let Some(link) = node.link(size) else { continue };
                let wanted = node.silent_on(size) >= IDLE || measures && size == Size::Small;
                if !wanted || node.watched.load(Ordering::Acquire) {
                    continue;
                }
                if let Entry::Vacant(free) = self.by_link.entry(Arc::as_ptr(&link).cast::<()>().addr()) {
                    let ping = ping_node(Arc::downgrade(shared), Arc::clone(&node), size, link);
                    free.insert(self.tasks.spawn(ping));
                }
            }
        }
    }
}

async fn ping_node(shared: Weak<Shared>, node: Arc<Node>, size: Size, link: Arc<dyn Link>) {
    let deadline = Instant::now() + node.latency.probe();
    match timeout_at(deadline, timed(node::ping(&link))).await {
        Ok((Ok(()), time)) => {
            node.latency.measured(time);
            return node.heard(size);
        }
        // This runtime stood still, or the server has answered calls since then.
        Err(_) if lateness(deadline).is_some() || node.silent_on(size) < IDLE => return,
        Ok((Err(_), _)) | Err(_) => {}
    }
    node.forget(&link);
    // The second one alone says little of the server: a call that needs it connects again.
    if size == Size::Small
        && let Some(shared) = shared.upgrade()
    {
        suspect(&shared, &node);
    }
}

/// Asks up to `asked` servers for the topology, and takes it in. One at a time: what was asked first is not taken
/// in last.
async fn refresh(shared: &Arc<Shared>, asked: usize) {
    let _one = shared.refreshing.lock().await;
    let mut nodes = shared.all_nodes();
    nodes.retain(|node| *node.answers.borrow());
    if nodes.is_empty() {
        nodes = shared
            .settings
            .seeds
            .iter()
            .map(|seed| shared.node(seed.clone()))
            // The watchdog of a single server connects to it with backoff.
            .filter(|node| shared.settings.cluster || !node.watched.load(Ordering::Acquire))
            .collect();
    }
    random::shuffle(&mut nodes);
    nodes.truncate(asked);
    let answers = join_all(
        nodes
            .iter()
            .map(|node| ask_topology(shared, node, node.latency.attempt())),
    )
    .await;
    let mut merged: Option<ClusterView> = None;
    for (node, answer) in nodes.iter().zip(answers) {
        match (answer, &mut merged) {
            (Ok(view), Some(merged)) => merged.merge(view),
            (Ok(view), None) => merged = Some(view),
            (Err(error), _) => {
                tracing::debug!(address = %node.address, %error, "no topology from this server");
                if error.is_retryable() {
                    suspect(shared, node);
                }
            }
        }
    }
    if let Some(view) = merged {
        shared.install(&view);
    }
}

/// Asks one server for the topology, for as long as `patience`.
pub(super) async fn ask_topology(
    shared: &Shared,
    node: &Arc<Node>,
    patience: Duration,
) -> Result<ClusterView> {
    const TOPOLOGY: &str = "topology";
    let command = if shared.settings.cluster {
        Command::of(&["CLUSTER", "NODES"])
    } else {
        Command::of(&["INFO", "replication"])
    };
    let generation = node.generation();
    let ask = async {
        let link = node.connected(&shared.dialer, Size::Small).await?;
        let replies = link.send(&[command]).await;
        if replies.is_err() {
            node.forget(&link);
        }
        replies
    };
    let replies = match timeout(patience, ask).await {
        Ok(Ok(replies)) => replies,
        Ok(Err(error)) => return Err(link_error(TOPOLOGY, &node.address, error)),
        Err(late) => {
            return Err(link_error(
                TOPOLOGY,
                &node.address,
                LinkError::Broken(Box::new(late)),
            ));
        }
    };
    let text = match replies.into_iter().next() {
        Some(Reply::Bytes(text)) if text.len() <= ANSWER_MAX => text,
        Some(Reply::Error(error)) if error.detail.contains("cluster support disabled") => {
            let context = format!("{} is not a cluster; write redis:// for one server", node.address);
            return Err(Error::new(ErrorKind::InvalidArgument, TOPOLOGY, context));
        }
        Some(Reply::Error(error)) => return Err(refused(TOPOLOGY, &error, &node.address)),
        _ => {
            let error = LinkError::Protocol("no text for an answer".to_owned());
            return Err(link_error(TOPOLOGY, &node.address, error));
        }
    };
    node.heard(Size::Small);
    if !shared.settings.cluster && is_replica(&text) {
        node.end_links(generation);
        return Err(refused(TOPOLOGY, &read_only(), &node.address));
    }
    let text = String::from_utf8_lossy(&text);
    Ok(if shared.settings.cluster {
        ClusterView::parse(&text, &node.address, shared.settings.by_name)
    } else {
        one_server(&text, &node.address)
    })
}

/// The topology of one server: it has everything.
fn one_server(info: &str, address: &Address) -> ClusterView {
    let online = info
        .lines()
        .filter(|line| line.starts_with("slave") && line.contains("state=online"))
        .count();
    ClusterView::of_one(address, Partition::all(), u8::try_from(online).unwrap_or(u8::MAX))
}
