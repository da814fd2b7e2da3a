//! An application whose runtime stands still, with the renewals on a runtime of their own.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ringhold::{
    FencedReason, Fleet, FleetEvent, HealthCheck, LeftReason, NodeRecord, NodeStatus, Result, SessionEvent,
    Timing, async_trait,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{advance, timeout};

use crate::support::{
    LONG, here, is_now, join, join_with, login, login_until_here, memory, registered_again, sees,
};

/// Where the leases are renewed, and the other nodes run.
fn lease_runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
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

/// Runs an application on a runtime that one blocking call stops.
fn application<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> thread::JoinHandle<T> {
    thread::spawn(|| {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(work)
    })
}

#[test]
fn lease_outlasts_a_call_that_blocks_the_runtime_for_three_leases() {
    let timing = Timing::new(Duration::from_millis(50), Duration::from_millis(500)).unwrap();
    let lease = lease_runtime();
    let backend = lease.block_on(memory());
    let other = lease.block_on(join_with(&backend, "other", timing));
    let mut events = other.events();
    let handle = lease.handle().clone();
    let status = application(async move {
        let builder = Fleet::builder(backend).node("busy").timing(timing);
        let node = builder.heartbeat_on(handle).join().await.unwrap();
        let mut ada = here(login(&node, "ada").await);
        blocking_call(timing.lease() * 3);
        let status = node.status();
        ada.save().await.unwrap();
        assert_eq!(ada.fence().epoch, 1, "the session was not claimed");
        node.leave().await.unwrap();
        status
    });
    assert_eq!(status.join().unwrap(), NodeStatus::Attached);
    lease.block_on(async {
        loop {
            let event = timeout(LONG, events.next()).await.unwrap().unwrap();
            if let FleetEvent::Left { node, reason } = event {
                assert_eq!((node.node.as_str(), reason), ("busy", Some(LeftReason::Leave)));
                return;
            }
        }
    });
}

#[test]
fn slow_node_of_a_stalled_runtime_evicts_itself_and_registers_again_when_it_moves() {
    let lease = lease_runtime();
    let backend = lease.block_on(memory());
    let other = lease.block_on(join_with(&backend, "other", Timing::default()));
    let mut events = other.events();
    let (block, blocked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let handle = lease.handle().clone();
    let stuck = application(async move {
        // The nodes of a fleet may differ in this limit.
        let timing = Timing::default()
            .with_stall_limit(Timing::STALL_LIMIT_MIN)
            .unwrap();
        let builder = Fleet::builder(backend).node("stuck").timing(timing);
        let node = builder.heartbeat_on(handle).join().await.unwrap();
        let before = node.node();
        let mut ada = here(login(&node, "ada").await);
        let mut bob = here(login(&node, "bob").await);
        *ada.value_mut() = 7;
        ada.save().await.unwrap();
        block.send(before.clone()).unwrap();
        // Blocks the runtime.
        may_go_on.recv().unwrap();
        assert_eq!(timeout(LONG, ada.event()).await.unwrap(), SessionEvent::Fenced);
        let lost = timeout(LONG, node.fenced()).await.unwrap();
        assert_eq!(lost, FencedReason::SessionsClaimed(1));
        registered_again(&node, &before).await;
        is_now(&node, NodeStatus::Attached).await;
        *bob.value_mut() = 8;
        bob.save().await.expect("no other node has claimed this player");
        node.leave().await.unwrap();
    });
    lease.block_on(async {
        let before = blocked.recv().unwrap();
        let evicted = async {
            loop {
                if let FleetEvent::Left { node, reason } = events.next().await.unwrap() {
                    return (node, reason);
                }
            }
        };
        let evicted = timeout(LONG, evicted).await.expect("an eviction");
        assert_eq!(evicted, (before, Some(LeftReason::Evicted)));
        assert_eq!(*login_until_here(&other, "ada").await.value(), 7);
    });
    go_on.send(()).unwrap();
    stuck.join().unwrap();
}

/// Never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl HealthCheck for Silent {
    async fn probe(&self, _: &NodeRecord) -> Result<()> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn probe_that_fails_while_the_runtime_stands_still_suspects_no_node() {
    let backend = memory().await;
    let _other = join(&backend, "other").await;
    let builder = Fleet::builder(backend).node("probing").health_check(Silent);
    let node = builder.join().await.unwrap();
    sees(std::slice::from_ref(&node), 2).await;
    let suspects = || node.view().nodes().iter().filter(|node| node.suspect).count();
    for _ in 0..20 {
        // All at once, as for a runtime that a blocking call has stopped.
        advance(Duration::from_millis(1_600)).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(suspects(), 0);
    }
    // sleep: simulated time of several rounds of probes
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(suspects(), 1, "a probe without an answer in time counts");
}
