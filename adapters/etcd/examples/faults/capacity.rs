//! How much an etcd on this machine takes: for the figures in the documentation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::discovery::{RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{SaveSession, Touch};
use ringhold_core::{
    Discovery, Incarnation, NodeId, NodeIncarnation, NodeRecord, Nonce, OperationId, Result, SessionRecord,
    SessionStore, Timing, Ttl,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::load::{bits, log_in};
use crate::scenarios::{Bed, Failure};

/// How many callers there are at once.
const CALLERS: usize = 64;
/// How many sessions there are in the end.
const SESSIONS: usize = 10_000;
const SAVES: usize = 10_000;
/// How many sessions one call touches.
const TOUCHES: usize = 1_000;
const ROUNDS: usize = 5;
const NODES: usize = 100;
const RENEWALS: usize = 20;

pub(crate) async fn run() -> std::result::Result<(), Failure> {
    let bed = Bed::new().await?;
    let store = bed.open().await?.sessions() as Arc<dyn SessionStore>;
    let before = size(&bed).await?;

    let start = Instant::now();
    let create = |_, store: Arc<dyn SessionStore>| async move { log_in(&*store).await };
    let sessions: Vec<SessionRecord> = each(&store, 0..SESSIONS, create).await?;
    rate("logins of new players", SESSIONS, start.elapsed());
    let created = size(&bed).await?;
    growth("a login", created - before, SESSIONS);

    let start = Instant::now();
    let save = |index: usize, store: Arc<dyn SessionStore>| {
        let SessionRecord {
            id,
            fence,
            version,
            ttl,
            ..
        } = sessions[index].clone();
        async move {
            let data = Bytes::from(vec![7; 512]);
            let operation = OperationId::from_bytes(bits());
            store
                .save(SaveSession::new(id, fence, version, ttl, data, operation))
                .await
        }
    };
    each(&store, 0..SAVES, save).await?;
    rate("saves of 512 bytes", SAVES, start.elapsed());
    let saved = size(&bed).await?;
    growth("a save", saved - created, SAVES);

    let ttl = Ttl::from_millis(60_000)?;
    let touches: Vec<Touch> = sessions
        .iter()
        .map(|session| Touch::new(session.id, session.fence, ttl))
        .collect();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for touches in touches.chunks(TOUCHES) {
            store.touch_many(touches).await?;
        }
    }
    rate("touches, one caller", ROUNDS * SESSIONS, start.elapsed());
    growth("a touch", size(&bed).await? - saved, ROUNDS * SESSIONS);

    let start = Instant::now();
    let get = |index: usize, store: Arc<dyn SessionStore>| {
        let id = sessions[index].id;
        async move { store.get(&id).await }
    };
    each(&store, 0..SESSIONS, get).await?;
    rate("reads", SESSIONS, start.elapsed());
    membership(&bed).await
}

/// Renewals of a whole fleet, as fast as they go: each reads all leases.
async fn membership(bed: &Bed) -> std::result::Result<(), Failure> {
    let discovery = bed.open().await?.discovery();
    let mut nodes = Vec::new();
    for index in 0..NODES {
        let incarnation = Incarnation {
            number: 0,
            nonce: Nonce::from_bytes(bits()),
        };
        let id = NodeId::new(format!("node-{index}"))?;
        let record = NodeRecord::new(id.clone(), incarnation);
        let register = RegisterNode::new(record, Timing::relaxed());
        let registered = discovery.register(register).await?;
        nodes.push(NodeIncarnation::new(id, registered.incarnation));
    }
    let after = discovery.members().await?.revision;
    let before = size(bed).await?;
    let start = Instant::now();
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for node in nodes {
        let discovery = Arc::clone(&discovery);
        tasks.spawn(async move {
            for _ in 0..RENEWALS {
                let operation = OperationId::from_bytes(bits());
                let renewal = RenewLease::new(node.clone(), after, Load::new(1), operation);
                discovery.renew(renewal).await?;
            }
            Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    rate(
        "renewals in a fleet of 100 nodes",
        NODES * RENEWALS,
        start.elapsed(),
    );
    growth("a renewal", size(bed).await? - before, NODES * RENEWALS);
    Ok(())
}

/// Does something for each number, so many at once.
async fn each<T, F, Fut>(
    store: &Arc<dyn SessionStore>,
    numbers: std::ops::Range<usize>,
    work: F,
) -> std::result::Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Fn(usize, Arc<dyn SessionStore>) -> Fut,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    let (mut tasks, mut done) = (JoinSet::new(), Vec::new());
    for number in numbers {
        if tasks.len() == CALLERS
            && let Some(task) = tasks.join_next().await
        {
            done.push(task??);
        }
        tasks.spawn(work(number, Arc::clone(store)));
    }
    while let Some(task) = tasks.join_next().await {
        done.push(task??);
    }
    Ok(done)
}

/// What a member has on disk.
async fn size(bed: &Bed) -> std::result::Result<f64, Failure> {
    bed.with(|cluster| cluster.metric(0, "etcd_mvcc_db_total_size_in_bytes"))
        .await
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn rate(what: &str, count: usize, time: Duration) {
    println!("{what}: {:.0}/s", count as f64 / time.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn growth(what: &str, bytes: f64, count: usize) {
    println!(
        "  {what} adds {:.0} bytes until etcd compacts",
        bytes / count as f64
    );
}
