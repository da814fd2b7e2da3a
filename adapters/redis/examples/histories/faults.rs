//! What is done to the cluster, in an order that the seed gives: each fault once before any comes again.
//! After each, everything is in order and in sync before the next one.

use std::time::Duration;

use ringhold_core::Partition;
use ringhold_testkit::history::Faults;
use ringhold_testkit::launch::RedisCluster;
use tokio::time::{Instant, sleep};

use crate::bed::{Bed, Failure};

#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill,
    Hang,
    Planned,
    Slots,
    Connections,
    Replica,
}

const ALL: [(Fault, &str); 6] = [
    (Fault::Kill, "kill -9 a master"),
    (Fault::Hang, "SIGSTOP a master, SIGCONT when it is replaced"),
    (Fault::Planned, "planned failover"),
    (
        Fault::Slots,
        "slots moved step by step, connections killed meanwhile",
    ),
    (Fault::Connections, "all connections killed"),
    (Fault::Replica, "kill -9 a replica"),
];

const LIMIT: Duration = Duration::from_secs(40);
/// Between two faults, and within those that have a length.
const CALM: Duration = Duration::from_secs(1);
/// Between two steps of a slot's move: some round trips.
const STEP: Duration = Duration::from_millis(20);
/// How many slots are moved at a time.
const SLOTS: usize = 6;

/// Makes faults until it is time to stop, but each at least once. Counts them in `made`.
pub(crate) async fn make(bed: &Bed, end: Instant, made: &mut Faults) -> Result<(), Failure> {
    loop {
        let mut round = ALL.to_vec();
        while !round.is_empty() {
            let (fault, name) = round.swap_remove(bed.make.below(round.len()));
            if Instant::now() >= end && made.len() == ALL.len() {
                return Ok(());
            }
            // sleep: clients work undisturbed for a moment.
            sleep(CALM).await;
            eprintln!("  {name}");
            one(bed, fault)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            bed.with(|cluster| cluster.wait_until_ok(LIMIT)).await?;
            bed.with(|cluster| cluster.wait_until_in_sync(LIMIT)).await?;
            *made.entry(name).or_default() += 1;
        }
    }
}

async fn one(bed: &Bed, fault: Fault) -> Result<(), Failure> {
    let master = bed.master().await?;
    match fault {
        Fault::Kill => {
            bed.with(move |cluster| cluster.kill(master)).await?;
            bed.with(move |cluster| cluster.wait_until_promoted(master, LIMIT))
                .await?;
            // Before a replica was promoted it would come back empty.
            bed.with(move |cluster| cluster.restart(master)).await
        }
        Fault::Hang => {
            bed.with(move |cluster| cluster.stop(master)).await?;
            bed.with(move |cluster| cluster.wait_until_promoted(master, LIMIT))
                .await?;
            // sleep: the new master serves while the old one hangs.
            sleep(CALM).await;
            bed.with(move |cluster| cluster.resume(master)).await
        }
        Fault::Planned => {
            let replica = bed.replica_of(master).await?;
            bed.with(move |cluster| cluster.fail_over(replica)).await
        }
        Fault::Slots => slots(bed).await,
        Fault::Connections => bed.with(kill_connections).await,
        Fault::Replica => {
            let replica = bed.replica_of(master).await?;
            bed.with(move |cluster| cluster.kill(replica)).await?;
            // sleep: the master has no replica for a while.
            sleep(CALM).await;
            bed.with(move |cluster| cluster.restart(replica)).await
        }
    }
}

fn kill_connections(cluster: &RedisCluster) -> Result<(), ringhold_testkit::launch::Error> {
    (0..cluster.len()).try_for_each(|index| cluster.kill_connections(index))
}

/// Moves slots in which there are players, key by key, to the master that has the fewest of them; all
/// connections are killed amid one move.
async fn slots(bed: &Bed) -> Result<(), Failure> {
    let mut left: Vec<u16> = bed.partitions().iter().copied().map(slot_of).collect();
    left.sort_unstable();
    left.dedup();
    let slots = left.clone();
    let owners = bed.with(move |cluster| {
        let owners: Result<Vec<usize>, _> = slots
            .into_iter()
            .map(|slot| cluster.master_of_slot(slot))
            .collect();
        Ok((owners?, cluster.masters()?))
    });
    let (owners, masters) = owners.await?;
    let has = |master: &usize| owners.iter().filter(|owner| *owner == master).count();
    let to = masters
        .iter()
        .copied()
        .min_by_key(has)
        .ok_or("there is no master")?;
    let mut left: Vec<(u16, usize)> = left
        .into_iter()
        .zip(owners)
        .filter(|(_, from)| *from != to)
        .collect();
    if left.len() < SLOTS {
        let elsewhere = left.len();
        return Err(format!("only {elsewhere} slots with players were elsewhere").into());
    }
    for moved in 0..SLOTS {
        let (slot, from) = left.swap_remove(bed.make.below(left.len()));
        bed.with(move |cluster| cluster.begin_move(slot, from, to)?.set_importing())
            .await?;
        bed.with(move |cluster| cluster.begin_move(slot, from, to)?.set_migrating())
            .await?;
        if moved == SLOTS / 2 {
            bed.with(kill_connections).await?;
        }
        loop {
            // sleep: clients meet a slot of which a part is here and a part there.
            sleep(STEP).await;
            let keys = bed.with(move |cluster| cluster.begin_move(slot, from, to)?.keys(1));
            let Some(key) = keys.await?.pop() else { break };
            bed.with(move |cluster| cluster.begin_move(slot, from, to)?.migrate_key(key))
                .await?;
        }
        bed.with(move |cluster| cluster.begin_move(slot, from, to)?.finish())
            .await?;
    }
    Ok(())
}

/// Where a partition is: ARCHITECTURE.md, `adapters/redis`.
fn slot_of(partition: Partition) -> u16 {
    16 * partition.get() + 8
}
