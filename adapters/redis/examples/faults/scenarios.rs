//! The faults.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringhold_core::session::Durability;
use ringhold_core::{Partition, SessionStore};
use ringhold_redis::{LEAST_ACL, RedisBackend, RedisConfig};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::load::Load;
use crate::report::Row;
use crate::{leases, skew};

/// What may go wrong outside of what is measured.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Outcome = Result<Vec<Row>, Failure>;

/// How much is done, and with which client library.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    pub(crate) client: &'static str,
}

impl Plan {
    /// One round of each row in a quick run.
    pub(crate) fn rounds(self, all: usize) -> usize {
        if self.quick { 1 } else { all }
    }
}

/// One fault by its name.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Plan) -> Pin<Box<dyn Future<Output = Outcome>>>,
}

pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "kill",
        run: |plan| Box::pin(kill(plan)),
    },
    Scenario {
        name: "stop",
        run: |plan| Box::pin(stop(plan)),
    },
    Scenario {
        name: "gentle",
        run: |plan| Box::pin(gentle(plan)),
    },
    Scenario {
        name: "slots",
        run: |plan| Box::pin(slots(plan)),
    },
    Scenario {
        name: "cut-off",
        run: |plan| Box::pin(cut_off(plan)),
    },
    Scenario {
        name: "skew",
        run: |plan| Box::pin(skew::run(plan)),
    },
    Scenario {
        name: "leases",
        run: |plan| Box::pin(leases::run(plan)),
    },
];

const NODE_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// A cluster and a way to it.
pub(crate) struct Bed {
    cluster: Arc<RedisCluster>,
    client: &'static str,
}

impl Bed {
    pub(crate) async fn new(plan: Plan, options: ClusterOptions) -> Result<Self, Failure> {
        let servers = RedisOptions::for_suite(LEAST_ACL)?;
        let options = options.node_timeout(NODE_TIMEOUT).server(servers);
        let cluster = blocking(move || RedisCluster::start(options)).await?;
        Ok(Self {
            cluster: Arc::new(cluster),
            client: plan.client,
        })
    }

    /// Connections of its own.
    pub(crate) async fn open(&self, fleet: &str) -> Result<RedisBackend, Failure> {
        let url = Url::parse(&format!("{}&client={}", self.cluster.url(fleet), self.client))?;
        Ok(RedisBackend::open(RedisConfig::from_url(&url)?).await?)
    }

    pub(crate) async fn store(&self) -> Result<Arc<dyn SessionStore>, Failure> {
        Ok(self.open("faults").await?.sessions())
    }

    async fn load(&self, durability: Durability) -> Result<Load, Failure> {
        let (store, judge) = (self.store().await?, self.store().await?);
        Ok(Load::start(store, judge, durability).await?)
    }

    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RedisCluster) -> Result<T, ringhold_testkit::launch::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let cluster = Arc::clone(&self.cluster);
        blocking(move || work(&cluster)).await
    }

    /// The master whose turn it is.
    pub(crate) async fn master(&self, round: usize) -> Result<usize, Failure> {
        let masters = self.with(RedisCluster::masters).await?;
        Ok(masters[round % masters.len()])
    }

    /// A replica of a master.
    async fn replica(&self, master: usize) -> Result<usize, Failure> {
        let replicas = self.with(|cluster| {
            (0..cluster.len())
                .map(|index| cluster.replica_of(index))
                .collect::<Result<Vec<_>, _>>()
        });
        let found = replicas.await?.iter().position(|of| *of == Some(master));
        found.ok_or_else(|| format!("node {master} has no replica").into())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ringhold_testkit::launch::Error> + Send + 'static,
) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await??)
}

/// Keeps both cores busy while it lives.
struct Burners(Arc<AtomicBool>);

impl Burners {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..2 {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut number = 1_u64;
                while !stop.load(Ordering::Relaxed) {
                    number =
                        std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                }
            });
        }
        Self(stop)
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Kills a master, again and again, half of the time with both cores busy.
async fn kill(plan: Plan) -> Outcome {
    let bed = Bed::new(plan, ClusterOptions::new()).await?;
    let mut rows = [
        Row::new("kill -9 a master"),
        Row::new("kill -9 a master, both cores busy"),
    ];
    // Every other round belongs to the second row.
    for round in 0..plan.rounds(10) * rows.len() {
        let busy = round % 2 == 1;
        let row = &mut rows[usize::from(busy)];
        let victim = bed.master(round).await?;
        let load = bed.load(Durability::Fast).await?;
        let burners = busy.then(Burners::start);
        // sleep: the load runs for a moment before the fault.
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        bed.with(move |cluster| cluster.kill(victim)).await?;
        bed.with(move |cluster| cluster.wait_until_promoted(victim, LIMIT))
            .await?;
        let promotion = start.elapsed();
        // sleep: and for a while behind it.
        sleep(Duration::from_secs(2)).await;
        let seen = load.finish().await?;
        drop(burners);
        judge_failover(row, seen, promotion);
        bed.with(move |cluster| cluster.restart(victim)).await?;
        bed.with(|cluster| cluster.wait_until_in_sync(LIMIT)).await?;
    }
    rows.iter_mut()
        .filter(|row| row.rounds > 0)
        .for_each(Row::must_lose_nothing);
    Ok(rows.into())
}

fn judge_failover(row: &mut Row, seen: crate::load::Seen, promotion: Duration) {
    let bound = promotion + Duration::from_secs(2);
    row.must(
        seen.longest <= bound,
        format!(
            "an operation took {:.2?} where a replica was promoted after {promotion:.2?}",
            seen.longest
        ),
    );
    row.rounds += 1;
    row.seen.add(&seen);
    row.promotion = row.promotion.max(Some(promotion));
}

/// Hangs a master, and lets it go on after ten seconds, when it is no master any more.
async fn stop(plan: Plan) -> Outcome {
    let bed = Bed::new(plan, ClusterOptions::new()).await?;
    let mut row = Row::new("SIGSTOP a master, SIGCONT after 10 s");
    for round in 0..plan.rounds(5) {
        let victim = bed.master(round).await?;
        let load = bed.load(Durability::Fast).await?;
        // sleep: the load runs for a moment before the fault.
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        bed.with(move |cluster| cluster.stop(victim)).await?;
        bed.with(move |cluster| cluster.wait_until_promoted(victim, LIMIT))
            .await?;
        let promotion = start.elapsed();
        // sleep: the master hangs for ten seconds in all.
        sleep(Duration::from_secs(10).saturating_sub(start.elapsed())).await;
        bed.with(move |cluster| cluster.resume(victim)).await?;
        // sleep: what it acknowledges late has time to do harm.
        sleep(Duration::from_secs(2)).await;
        let seen = load.finish().await?;
        judge_failover(&mut row, seen, promotion);
        bed.with(|cluster| cluster.wait_until_in_sync(LIMIT)).await?;
    }
    row.must_lose_nothing();
    Ok(vec![row])
}

/// What an operator does: a planned failover, all connections killed, a replica killed.
async fn gentle(plan: Plan) -> Outcome {
    let bed = Bed::new(plan, ClusterOptions::new()).await?;
    let mut rows = Vec::new();
    for fault in ["planned failover", "all connections killed", "a replica killed"] {
        let mut row = Row::new(fault);
        for round in 0..plan.rounds(3) {
            let master = bed.master(round).await?;
            let load = bed.load(Durability::Fast).await?;
            // sleep: the load runs for a moment before the fault.
            sleep(Duration::from_secs(1)).await;
            let replica = bed.replica(master).await?;
            match fault {
                "planned failover" => bed.with(move |cluster| cluster.fail_over(replica)).await?,
                "all connections killed" => {
                    bed.with(|cluster| {
                        (0..cluster.len()).try_for_each(|index| cluster.kill_connections(index))
                    })
                    .await?;
                }
                _ => bed.with(move |cluster| cluster.kill(replica)).await?,
            }
            // sleep: and for a while behind it.
            sleep(Duration::from_secs(2)).await;
            let seen = load.finish().await?;
            row.rounds += 1;
            row.seen.add(&seen);
            if fault == "a replica killed" {
                bed.with(move |cluster| cluster.restart(replica)).await?;
            }
            bed.with(|cluster| cluster.wait_until_in_sync(LIMIT)).await?;
        }
        row.must_lose_nothing();
        let longest = row.seen.longest;
        row.must(
            longest < Duration::from_millis(1_500),
            format!("an operation took {longest:.2?}"),
        );
        rows.push(row);
    }
    Ok(rows)
}

/// Moves 500 slots from one master to another while they are written to.
async fn slots(plan: Plan) -> Outcome {
    let bed = Bed::new(plan, ClusterOptions::new()).await?;
    let mut row = Row::new("500 slots moved");
    let masters = bed.with(RedisCluster::masters).await?;
    let load = bed.load(Durability::Fast).await?;
    // sleep: the load runs for a moment before the fault.
    sleep(Duration::from_secs(1)).await;
    let to = masters[1];
    let start = Instant::now();
    bed.with(move |cluster| cluster.move_slots(0..=499, to)).await?;
    let took = start.elapsed();
    let seen = load.finish().await?;
    row.rounds = 1;
    row.seen = seen;
    row.note = format!("in {:.1} s", took.as_secs_f64());
    row.must_lose_nothing();
    let partition = Partition::new(0)?;
    let slot = 16 * partition.get() + 8;
    let owner = bed.with(move |cluster| cluster.master_of_slot(slot)).await?;
    row.must(owner == to, "the slots are not where they were moved to");
    Ok(vec![row])
}

/// Cuts a master off from all other nodes while its clients still reach it.
async fn cut_off(plan: Plan) -> Outcome {
    let mut rows = Vec::new();
    for (durability, name) in [
        (Durability::Replicated(1), "a master cut off, replicated:1"),
        (Durability::Fast, "a master cut off, fast"),
    ] {
        let mut row = Row::new(name);
        let bed = Bed::new(plan, ClusterOptions::new().cuttable(true)).await?;
        for round in 0..plan.rounds(3) {
            let victim = bed.master(round).await?;
            let load = bed.load(durability).await?;
            // sleep: the load runs for a moment before the fault.
            sleep(Duration::from_secs(1)).await;
            let start = Instant::now();
            bed.with(move |cluster| cluster.cut_off(victim)).await?;
            bed.with(move |cluster| cluster.wait_until_promoted(victim, LIMIT))
                .await?;
            row.promotion = row.promotion.max(Some(start.elapsed()));
            // sleep: the deposed master has time to do harm.
            sleep(Duration::from_secs(2)).await;
            bed.with(move |cluster| cluster.heal(victim)).await?;
            // sleep: and to come back.
            sleep(Duration::from_secs(2)).await;
            let seen = load.finish().await?;
            row.rounds += 1;
            row.seen.add(&seen);
            bed.with(|cluster| cluster.wait_until_in_sync(LIMIT)).await?;
        }
        let (errors, lost) = (row.seen.errors, row.seen.lost);
        row.must(errors == 0, format!("{errors} errors"));
        if durability == Durability::Fast {
            // A third of the writes goes to one master of three.
            let per_second = 500.0 / 3.0;
            #[expect(clippy::cast_precision_loss, reason = "a few thousand writes")]
            let window = lost as f64 / per_second / f64::from(u32::try_from(row.rounds.max(1))?);
            let bound = NODE_TIMEOUT.as_secs_f64() * 1.5 + 1.0;
            row.note = format!("loss window {window:.1} s of its writes, bound {bound:.1} s");
            row.must(window <= bound, format!("{window:.1} s of writes lost"));
        } else {
            row.note = format!("{} answered with fewer replicas", row.seen.short);
            row.must(lost == 0, format!("{lost} acknowledged writes lost"));
        }
        rows.push(row);
    }
    Ok(rows)
}
