//! `cargo xtask histories --backend etcd`: clients compete for sessions on an etcd of three members which is
//! broken again and again, and what they are told is checked for linearizability.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::SessionStore;
use ringhold_etcd::{EtcdBackend, EtcdConfig};
use ringhold_testkit::Make;
use ringhold_testkit::history::{Faults, Load, Options, program, report};
use ringhold_testkit::launch::{Error, EtcdCluster, EtcdOptions};
use tokio::time::{Instant, sleep};
use url::Url;

/// How many clients of etcd there are, each with connections of its own.
const WAYS: usize = 4;
const LIMIT: Duration = Duration::from_secs(40);
/// Between two faults.
const CALM: Duration = Duration::from_secs(1);
/// How long a member is dead or hangs: an election and a while.
const GONE: Duration = Duration::from_secs(3);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone, Copy)]
enum Fault {
    KillLeader,
    HangLeader,
    KillFollower,
    HangFollower,
    RestartAll,
}

const ALL: [(Fault, &str); 5] = [
    (Fault::KillLeader, "kill -9 the leader"),
    (Fault::HangLeader, "the leader hangs"),
    (Fault::KillFollower, "kill -9 a follower"),
    (Fault::HangFollower, "a follower hangs"),
    (Fault::RestartAll, "kill -9 all, and start them again"),
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    program(run).await
}

async fn run(options: &Options) -> Result<bool, Failure> {
    let cluster = Arc::new(blocking(|| EtcdCluster::start(&EtcdOptions::new())).await?);
    let mut load = Load::new("etcd", options.seed);
    load.origin.repeats = true;
    // An etcd on two shared cores writes some hundreds of times a second.
    load.pause = Duration::from_millis(400);
    let mut stores: Vec<Arc<dyn SessionStore>> = Vec::new();
    for _ in 0..WAYS {
        let url = Url::parse(&cluster.url("histories"))?;
        stores.push(EtcdBackend::open(EtcdConfig::from_url(&url)?).await?.sessions());
    }
    let running = load.start(&stores);
    let mut faults = Faults::new();
    let made = make(&cluster, options, Instant::now() + options.time, &mut faults).await;
    // What clients were told until a fault could not be made is worth a look all the same.
    let good = report(&running.stop().await, &faults, options);
    made.map(|()| good)
}

/// Makes faults until it is time to stop, but each at least once, and each before any comes again.
async fn make(
    cluster: &Arc<EtcdCluster>,
    options: &Options,
    end: Instant,
    made: &mut Faults,
) -> Result<(), Failure> {
    let choice = Make::with_seed("the faults", options.seed);
    loop {
        let mut round = ALL.to_vec();
        while !round.is_empty() {
            let (fault, name) = round.swap_remove(choice.below(round.len()));
            if Instant::now() >= end && made.len() == ALL.len() {
                return Ok(());
            }
            // sleep: clients work undisturbed for a moment.
            sleep(CALM).await;
            eprintln!("  {name}");
            one(cluster, fault)
                .await
                .map_err(|error| format!("{name}: {error}"))?;
            with(cluster, |cluster| cluster.wait_until_ok(LIMIT)).await?;
            *made.entry(name).or_default() += 1;
        }
    }
}

async fn one(cluster: &Arc<EtcdCluster>, fault: Fault) -> Result<(), Failure> {
    let leader = with(cluster, |cluster| cluster.wait_for_leader(LIMIT)).await?;
    let victim = match fault {
        Fault::KillFollower | Fault::HangFollower => (leader + 1) % cluster.len(),
        _ => leader,
    };
    match fault {
        Fault::KillLeader | Fault::KillFollower => {
            cluster.kill(victim);
            // sleep: how long it is dead.
            sleep(GONE).await;
            with(cluster, move |cluster| cluster.restart(victim)).await
        }
        Fault::HangLeader | Fault::HangFollower => {
            with(cluster, move |cluster| cluster.stop(victim)).await?;
            // sleep: how long it hangs.
            sleep(GONE).await;
            with(cluster, move |cluster| cluster.resume(victim)).await
        }
        Fault::RestartAll => with(cluster, EtcdCluster::restart_all).await,
    }
}

async fn with<T: Send + 'static>(
    cluster: &Arc<EtcdCluster>,
    work: impl FnOnce(&EtcdCluster) -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    let cluster = Arc::clone(cluster);
    blocking(move || work(&cluster)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await??)
}
