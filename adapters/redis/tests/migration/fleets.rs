//! The operations on the membership.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::{Discovery, Error, ErrorKind, NodeIncarnation, PlayerId, Revision, Timing, Update};
use ringhold_testkit::Make;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::each_client::on_each_client;
use super::{Bed, Operation, open, short_deadlines, start};

/// The steps of the move of five keys.
const STAGES: usize = 10;
/// The scripts declare the first four; the number of the schema stands for itself.
const KEYS: [&str; 5] = ["n", "l", "e", "v", "schema"];

/// The members that one step's operations work on.
struct Stage {
    renews: NodeIncarnation,
    leaves: NodeIncarnation,
    evicted: NodeIncarnation,
}

async fn join(discovery: &dyn Discovery, make: &Make) -> NodeIncarnation {
    let record = make.node();
    let id = record.id.clone();
    let request = RegisterNode::new(record, Timing::default());
    let registered = discovery.register(request).await.expect("a registration");
    NodeIncarnation::new(id, registered.incarnation)
}

async fn prepare(discovery: &dyn Discovery, make: &Make, stages: usize) -> Vec<Stage> {
    let mut all = Vec::new();
    for _ in 0..stages {
        all.push(Stage {
            renews: join(discovery, make).await,
            leaves: join(discovery, make).await,
            evicted: join(discovery, make).await,
        });
    }
    all
}

/// All operations on the membership. A watch never gives up; it counts as refused when nothing comes
/// within `patience`.
fn operations(
    discovery: &Arc<dyn Discovery>,
    make: &Make,
    stage: &Stage,
    patience: Duration,
) -> Vec<Operation> {
    let register = RegisterNode::new(make.node(), Timing::default());
    let load = Load::new(7);
    let renew = RenewLease::new(stage.renews.clone(), Revision::default(), load, make.operation());
    let leave = LeaveFleet::new(stage.leaves.clone(), make.operation());
    let evict = EvictNode::new(stage.evicted.clone(), make.operation());
    let all: [Arc<dyn Discovery>; 7] = std::array::from_fn(|_| Arc::clone(discovery));
    let [members, timing, watch, registry, renewal, exit, eviction] = all;
    vec![
        (
            "members",
            Box::pin(async move { members.members().await.map(drop) }),
        ),
        (
            "timing",
            Box::pin(async move {
                assert_eq!(timing.timing().await?, Some(Timing::default()));
                Ok(())
            }),
        ),
        (
            "watch",
            Box::pin(async move {
                let mut watch = watch.watch(None).await?;
                match timeout(patience, watch.next()).await {
                    Ok(update) => {
                        assert!(
                            matches!(update?, Update::Reset(_)),
                            "a watch begins with all members"
                        );
                        Ok(())
                    }
                    Err(_) => Err(Error::new(ErrorKind::Unavailable, "watch", "nothing came")),
                }
            }),
        ),
        (
            "register",
            Box::pin(async move { registry.register(register).await.map(drop) }),
        ),
        (
            "renew",
            Box::pin(async move { renewal.renew(renew).await.map(drop) }),
        ),
        (
            "leave",
            Box::pin(async move { exit.leave(leave).await.map(drop) }),
        ),
        (
            "evict",
            Box::pin(async move {
                assert!(eviction.evict(evict).await?.was_member);
                Ok(())
            }),
        ),
    ]
}

fn bed<'c>(cluster: &'c ringhold_testkit::launch::RedisCluster, fleet: &str) -> Bed<'c> {
    // The membership is where a player of the fleet's name would be.
    Bed::new(cluster, PlayerId::new(fleet).expect("a name").partition())
}

/// Keeps the members of each step alive, and counts them at the end.
fn count(runtime: &Runtime, discovery: &dyn Discovery) -> usize {
    let members = runtime.block_on(discovery.members()).expect("members");
    assert!(members.unreadable.is_empty());
    members.members.len()
}

fn slow_memberships_work_or_are_refused_at_every_step(client: &str) {
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]] {
        let (cluster, runtime) = start();
        let make = Make::new("fleet steps");
        let settings = format!("&poll_ms=20{client}");
        let patient = runtime.block_on(open(&cluster, "steps", &settings)).discovery;
        let impatient = short_deadlines(&cluster).to_owned() + client;
        let impatient = runtime.block_on(open(&cluster, "steps", &impatient)).discovery;
        let stages = runtime.block_on(prepare(&*patient, &make, STAGES));
        let bed = bed(&cluster, "steps");
        let keys = bed.keys(&KEYS);
        let keys: Vec<_> = order.iter().map(|index| keys[*index].clone()).collect();
        let declared = |moved: usize| order[..moved].iter().filter(|index| **index != 4).count();
        let mut worked = 0;
        let is_apart = |moved| (1..4).contains(&declared(moved));
        bed.walk(&runtime, &keys, is_apart, |stage| {
            // Opening a fleet looks at one key alone, which is always somewhere.
            runtime.block_on(open(&cluster, "steps", &settings));
            let apart = (3..8).contains(&stage) && is_apart(stage - 2);
            worked += usize::from(!apart);
            let patience = Duration::from_millis(if apart { 500 } else { 10_000 });
            let discovery = if apart { &impatient } else { &patient };
            operations(discovery, &make, &stages[stage], patience)
        });
        // Where it worked, one came and two went.
        assert_eq!(count(&runtime, &*patient), 3 * STAGES - worked);
    }
}

fn memberships_wait_for_the_end_of_a_move(client: &str) {
    let (cluster, runtime) = start();
    let make = Make::new("fleet waits");
    let backend = runtime.block_on(open(&cluster, "waits", &format!("&poll_ms=20{client}")));
    let stages = runtime.block_on(prepare(&*backend.discovery, &make, 1));
    let bed = bed(&cluster, "waits");
    let keys = bed.keys(&KEYS);
    let all = operations(&backend.discovery, &make, &stages[0], Duration::from_secs(20));
    bed.all_wait(&runtime, &keys, all);
    assert_eq!(count(&runtime, &*backend.discovery), 2);
}

on_each_client!(
    slow_memberships_work_or_are_refused_at_every_step
    memberships_wait_for_the_end_of_a_move
);
