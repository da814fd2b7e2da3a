//! What looks after the servers: one watchdog for each that is suspect, and one task for the topology.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use ringhold_core::{Error, ErrorKind, Partition, Result};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::node::{self, Node};
use super::topology::{Address, ClusterView};
use super::{Shared, link_error};
use crate::client::{LinkError, Reply};
use crate::error::{Verdict, judge};
use crate::random;

/// How often the topology is asked for when nothing suggests it.
const PERIOD: Duration = Duration::from_secs(5);
/// How often while a server does not answer.
const PERIOD_IN_TROUBLE: Duration = Duration::from_millis(100);
/// Never more often.
const PERIOD_MIN: Duration = Duration::from_millis(50);
/// How long after one `PING` of a watchdog the next one comes.
const BETWEEN_PROBES: Duration = Duration::from_millis(150);
/// How many servers are asked for the topology at once.
const ASKED: usize = 3;
/// A server that has not answered for so long, with nobody asking, is asked whether it is there.
const IDLE: Duration = Duration::from_secs(1);
/// A longer answer to `CLUSTER NODES` is no such answer.
const ANSWER_MAX: usize = 8 << 20;

/// Has a watchdog look at a server, unless one does.
pub(super) fn suspect(shared: &Arc<Shared>, node: &Arc<Node>) {
    if node.watched.swap(true, Ordering::AcqRel) {
        return;
    }
    tokio::spawn(watch(Arc::downgrade(shared), Arc::downgrade(node)));
}

async fn watch(shared: Weak<Shared>, node: Weak<Node>) {
    loop {
        let (Some(shared), Some(node)) = (shared.upgrade(), node.upgrade()) else {
            return;
        };
        match node.probe(&*shared.connector, &shared.settings).await {
            Ok(()) => {
                node.watched.store(false, Ordering::Release);
                if !node.answers.send_replace(true) {
                    tracing::info!(address = %node.address, "the server answers again");
                    shared.stale.notify_one();
                }
                return;
            }
            Err(error) => {
                // Callers go on waiting for answers that they have asked for; nobody asks anew.
                node.set_link(None);
                if node.answers.send_replace(false) {
                    tracing::warn!(address = %node.address, %error, "the server does not answer");
                }
                shared.stale.notify_one();
            }
        }
        drop((shared, node));
        sleep(random::jittered(BETWEEN_PROBES)).await;
    }
}

/// Asks for the topology now and then, at once when somebody wants it, often while there is trouble.
pub(super) async fn follow_topology(shared: Weak<Shared>) {
    let mut due = Instant::now() + random::jittered(PERIOD);
    loop {
        {
            let Some(shared) = shared.upgrade() else { return };
            let look = due.min(Instant::now() + IDLE);
            let wanted = timeout_at(look, shared.stale.notified()).await.is_ok();
            look_at_the_idle(&shared);
            if wanted || Instant::now() >= due {
                refresh(&shared).await;
                let trouble = shared.all_nodes().iter().any(|node| !*node.answers.borrow());
                due = Instant::now() + random::jittered(if trouble { PERIOD_IN_TROUBLE } else { PERIOD });
            }
        }
        sleep(PERIOD_MIN).await;
    }
}

/// A hung server is noticed also when nobody asks it anything.
fn look_at_the_idle(shared: &Arc<Shared>) {
    for node in shared.all_nodes() {
        let Some(link) = node.link() else { continue };
        if node.silent() < IDLE || node.watched.load(Ordering::Acquire) {
            continue;
        }
        let (shared, probe) = (Arc::downgrade(shared), shared.settings.probe);
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(probe, node::ping(&link)).await {
                node.heard();
                return;
            }
            node.forget(&link);
            if let Some(shared) = shared.upgrade() {
                suspect(&shared, &node);
            }
        });
    }
}

async fn refresh(shared: &Arc<Shared>) {
    let mut nodes = shared.all_nodes();
    nodes.retain(|node| *node.answers.borrow());
    if nodes.is_empty() {
        nodes = shared
            .settings
            .seeds
            .iter()
            .map(|seed| shared.node(seed.clone()))
            .collect();
    }
    random::shuffle(&mut nodes);
    nodes.truncate(ASKED);
    let answers = join_all(nodes.iter().map(|node| ask_topology(shared, node))).await;
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

/// Asks one server for the topology.
pub(super) async fn ask_topology(shared: &Shared, node: &Arc<Node>) -> Result<ClusterView> {
    const TOPOLOGY: &str = "topology";
    let command = if shared.settings.cluster {
        vec![Bytes::from_static(b"CLUSTER"), Bytes::from_static(b"NODES")]
    } else {
        vec![Bytes::from_static(b"INFO"), Bytes::from_static(b"replication")]
    };
    let ask = async {
        node.connected(&*shared.connector)
            .await?
            .send(vec![command])
            .await
    };
    let replies = match timeout(shared.settings.attempt, ask).await {
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
        Some(Reply::Error(error)) => match judge(TOPOLOGY, &error, &node.address) {
            Verdict::Again(error) | Verdict::Stale(error) | Verdict::Down(error) | Verdict::Final(error) => {
                return Err(error);
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    TOPOLOGY,
                    "a redirect instead of a topology",
                ));
            }
        },
        _ => {
            let error = LinkError::Protocol("no text for an answer".to_owned());
            return Err(link_error(TOPOLOGY, &node.address, error));
        }
    };
    node.heard();
    let text = String::from_utf8_lossy(&text);
    Ok(if shared.settings.cluster {
        ClusterView::parse(&text, &node.address)
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
