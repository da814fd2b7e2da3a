//! Applications that block their own runtime.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use ringhold::{FencedReason, FleetEvent, LeftReason, NodeIncarnation, NodeStatus};
use ringhold_testkit::{Log, wait_for};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::time::{Instant, timeout};

use crate::support::{Bed, LONG, Witness, here, login, login_until_here};

const TTL: Duration = Duration::from_secs(60);

/// Longer than the default lease, and shorter than the default stall limit.
const BLOCKED: Duration = Duration::from_secs(7);

/// The runtimes of applications; `None` for one on the thread that waits for it.
const WORKERS: [Option<usize>; 3] = [None, Some(2), Some(4)];

fn runtime(workers: Option<usize>) -> Runtime {
    let mut builder = match workers {
        None => Builder::new_current_thread(),
        Some(workers) => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    builder.enable_all().build().unwrap()
}

/// A call of the application that blocks its thread.
#[expect(
    clippy::disallowed_methods,
    reason = "to stop every task of the thread is its purpose"
)]
fn blocking_call(takes: Duration) {
    // sleep: this is the call
    thread::sleep(takes);
}

/// Blocks all workers of this runtime and the calling thread for as long as `block` does.
fn block_all(block: impl Fn() + Send + Sync + 'static) {
    let runtime = Handle::current();
    let spawned = match runtime.runtime_flavor() {
        RuntimeFlavor::CurrentThread => 0,
        _ => runtime.metrics().num_workers(),
    };
    let (all, block) = (Arc::new(Barrier::new(spawned + 1)), Arc::new(block));
    for _ in 0..spawned {
        let (all, block) = (Arc::clone(&all), Arc::clone(&block));
        tokio::spawn(async move {
            all.wait();
            block();
        });
    }
    all.wait();
    block();
}

/// Runs `work` on `runtime`. Returns what is logged there and on the threads that it starts.
fn logged(runtime: &Runtime, work: impl Future<Output = ()>) -> String {
    let log = Log::default();
    let _listening = log.listen();
    runtime.block_on(work);
    log.text()
}

/// No line says that the store was late or away, since it was not.
#[track_caller]
fn blames_no_store(text: &str) {
    for blame in [
        "does not answer",
        "do not answer",
        "answers again",
        "no answer",
        "cannot renew",
        "cannot touch",
        "broke",
    ] {
        assert!(!text.contains(blame), "{blame:?} in:\n{text}");
    }
}

/// All at once, since each takes as long as it is blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_lease_is_kept_while_all_workers_are_blocked_for_seven_seconds() {
    let bed = Bed::start().await;
    let witness = bed.node_with("witness", TTL).await;
    let saw = Witness::of(std::slice::from_ref(&witness), is_a_suspicion);
    // All are blocked at the same time.
    let together = Arc::new(Barrier::new(WORKERS.len()));
    let applications: Vec<_> = WORKERS
        .into_iter()
        .map(|workers| {
            let (bed, together) = (bed.clone(), Arc::clone(&together));
            tokio::task::spawn_blocking(move || {
                let log = logged(&runtime(workers), keeps_its_lease(&bed, workers, &together));
                blames_no_store(&log);
            })
        })
        .collect();
    for application in applications {
        application.await.unwrap();
    }
    saw.saw_nothing();
}

/// A node is taken for dead, or may be.
fn is_a_suspicion(event: &FleetEvent) -> bool {
    match event {
        FleetEvent::Left { reason, .. } => *reason != Some(LeftReason::Leave),
        other => matches!(other, FleetEvent::Suspect(_)),
    }
}

async fn keeps_its_lease(bed: &Bed, workers: Option<usize>, together: &Barrier) {
    let name = workers.map_or_else(|| "current".to_owned(), |workers| format!("workers-{workers}"));
    let node = bed.node_with(&name, TTL).await;
    let before = node.node();
    let mut session = here(login(&node, &name).await);
    together.wait();
    block_all(|| blocking_call(BLOCKED));
    assert_eq!(
        (node.status(), node.node()),
        (NodeStatus::Attached, before),
        "{name}"
    );
    session.save().await.unwrap();
    assert_eq!(session.fence().epoch, 1, "{name} was claimed");
    together.wait();
    node.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_players_of_a_runtime_blocked_for_good_are_claimed_within_twenty_seconds() {
    let bed = Bed::start().await;
    let other = bed.node_with("other", TTL).await;
    let (block, blocked) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let stuck = tokio::task::spawn_blocking({
        let bed = bed.clone();
        move || {
            let log = logged(&runtime(None), loses_a_player(&bed, block, may_go_on));
            blames_no_store(&log);
            log
        }
    });
    let before: NodeIncarnation = blocked.await.unwrap();
    let start = Instant::now();
    let session = login_until_here(&other, "ada").await;
    let claimed = start.elapsed();
    assert!(claimed < Duration::from_secs(20), "claimed after {claimed:?}");
    assert_eq!(*session.value(), 7);
    assert!(!other.router().is_member(&before));
    go_on.send(()).unwrap();
    let text = stuck.await.unwrap();
    for line in ["stands still", "stood_still=", "moves again"] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
}

async fn loses_a_player(
    bed: &Bed,
    block: tokio::sync::oneshot::Sender<NodeIncarnation>,
    may_go_on: mpsc::Receiver<()>,
) {
    let node = bed.node_with("stuck", TTL).await;
    let before = node.node();
    let mut ada = here(login(&node, "ada").await);
    *ada.value_mut() = 7;
    ada.save().await.unwrap();
    block.send(before.clone()).unwrap();
    // Blocks the runtime.
    may_go_on.recv().unwrap();
    let lost = timeout(LONG, node.fenced()).await.unwrap();
    assert_eq!(lost, FencedReason::SessionsClaimed(1));
    wait_for("the node to be attached again", LONG, async || {
        match (node.status(), node.node() != before) {
            (NodeStatus::Attached, true) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
    *ada.value_mut() = 8;
    assert!(
        ada.save().await.is_err(),
        "the handle that lost its session wrote"
    );
}
