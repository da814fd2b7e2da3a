//! The faults.

use std::sync::Arc;
use std::time::Duration;

use ringhold_core::Discovery;
use ringhold_etcd::{EtcdBackend, EtcdConfig};
use ringhold_testkit::launch::{Error, EtcdCluster, EtcdOptions};
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

use crate::fleet::{Fleet, NODES};
use crate::load::Load;
use crate::report::Row;

/// What may go wrong outside of what is measured.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much is done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
}

/// One fault by its name.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    fault: &'static str,
    what: What,
    whom: Whom,
}

#[derive(Clone, Copy)]
enum What {
    Kill,
    Stop,
    RestartAll,
}

#[derive(Clone, Copy)]
enum Whom {
    Leader,
    Follower,
}

const fn scenario(name: &'static str, fault: &'static str, what: What, whom: Whom) -> Scenario {
    Scenario {
        name,
        fault,
        what,
        whom,
    }
}

pub(crate) const ALL: &[Scenario] = &[
    scenario("kill-leader", "kill -9 the leader", What::Kill, Whom::Leader),
    scenario(
        "hang-leader",
        "the leader hangs for 9 s",
        What::Stop,
        Whom::Leader,
    ),
    scenario("kill-follower", "kill -9 a follower", What::Kill, Whom::Follower),
    scenario(
        "hang-follower",
        "a follower hangs for 9 s",
        What::Stop,
        Whom::Follower,
    ),
    scenario(
        "restart-all",
        "kill -9 all, and start them again",
        What::RestartAll,
        Whom::Leader,
    ),
];

const LIMIT: Duration = Duration::from_secs(40);
const HANGS: Duration = Duration::from_secs(9);
/// Longer than a lease, so that whoever would be taken for dead is.
const DEAD: Duration = Duration::from_secs(6);
const CALM: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

/// An etcd and ways to it.
pub(crate) struct Bed {
    cluster: Arc<EtcdCluster>,
}

impl Bed {
    pub(crate) async fn new() -> Result<Self, Failure> {
        let cluster = blocking(|| EtcdCluster::start(&EtcdOptions::new())).await?;
        Ok(Self {
            cluster: Arc::new(cluster),
        })
    }

    /// A client of its own.
    pub(crate) async fn open(&self) -> Result<EtcdBackend, Failure> {
        let url = Url::parse(&self.cluster.url("faults"))?;
        Ok(EtcdBackend::open(EtcdConfig::from_url(&url)?).await?)
    }

    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EtcdCluster) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let cluster = Arc::clone(&self.cluster);
        blocking(move || work(&cluster)).await
    }

    async fn fleet(&self) -> Result<Fleet, Failure> {
        let mut ways: Vec<Arc<dyn Discovery>> = Vec::new();
        for _ in 0..NODES + 2 {
            ways.push(self.open().await?.discovery());
        }
        Ok(Fleet::start(ways).await?)
    }

    /// Does it, and makes it good again. Answers how long it took until there was a leader, where the one
    /// before was the victim.
    async fn fault(&self, what: What, whom: Whom) -> Result<Option<Duration>, Failure> {
        let leader = self.with(|cluster| cluster.wait_for_leader(LIMIT)).await?;
        let victim = match whom {
            Whom::Leader => leader,
            Whom::Follower => (leader + 1) % self.cluster.len(),
        };
        let mut elected = None;
        match what {
            What::Kill => {
                self.cluster.kill(victim);
                let start = Instant::now();
                elected = self.elected(whom, start).await?;
                // sleep: how long it is dead
                sleep_until(start + DEAD).await;
                self.with(move |cluster| cluster.restart(victim)).await?;
            }
            What::Stop => {
                self.with(move |cluster| cluster.stop(victim)).await?;
                let start = Instant::now();
                elected = self.elected(whom, start).await?;
                // sleep: how long it hangs
                sleep_until(start + HANGS).await;
                self.with(move |cluster| cluster.resume(victim)).await?;
            }
            What::RestartAll => self.with(EtcdCluster::restart_all).await?,
        }
        self.with(|cluster| cluster.wait_until_ok(LIMIT)).await?;
        Ok(elected)
    }

    async fn elected(&self, whom: Whom, start: Instant) -> Result<Option<Duration>, Failure> {
        if matches!(whom, Whom::Follower) {
            return Ok(None);
        }
        self.with(|cluster| cluster.wait_for_leader(LIMIT)).await?;
        Ok(Some(start.elapsed()))
    }
}

pub(crate) async fn run(scenario: &Scenario, plan: Plan) -> Result<Row, Failure> {
    let bed = Bed::new().await?;
    let load = Load::start(bed.open().await?.sessions()).await?;
    let fleet = bed.fleet().await?;
    let rounds = if plan.quick { 1 } else { ROUNDS };
    let mut elected = None;
    for _ in 0..rounds {
        // sleep: everybody works for a while before the fault.
        sleep(CALM).await;
        elected = elected.max(bed.fault(scenario.what, scenario.whom).await?);
        // sleep: what the end of a fault does has to show, too.
        sleep(CALM).await;
    }
    let (sessions, fleet) = (load.finish().await?, fleet.finish().await?);
    Ok(Row::new(scenario.fault, rounds, elected, sessions, &fleet))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await??)
}
