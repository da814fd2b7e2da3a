//! What the servers' clocks do to leases.

use std::time::Duration;

use ringhold_core::Timing;
use ringhold_core::discovery::Changes;

use super::scene::Scene;

const HEARTBEAT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_reaps_nobody_who_renews() {
    let scene = Scene::new("jumps").await;
    let clock = scene.server.clock().expect("it is settable");
    let nodes = [scene.join().await, scene.join().await, scene.join().await];
    let start = scene.members().await.revision;
    let jump = Duration::from_secs(120);
    for step in 0..24 {
        match step % 4 {
            1 => clock.advance(jump).expect("a jump ahead"),
            3 => clock
                .set(clock.now().checked_sub(jump).expect("after 1970"))
                .expect("a jump back"),
            _ => clock.advance(HEARTBEAT).expect("a heartbeat"),
        }
        for node in &nodes {
            assert_eq!(
                scene.changes(node, start).await,
                Changes::Updates(Vec::new()),
                "step {step}"
            );
        }
        assert!(
            scene.members().await.members.iter().all(|member| !member.lapsed),
            "step {step}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_paid_once_however_many_look() {
    let scene = Scene::new("outage").await;
    let clock = scene.server.clock().expect("it is settable");
    let nodes = [scene.join().await, scene.join().await, scene.join().await];
    let start = scene.members().await.revision;
    for outage in [5, 60, 86_400] {
        clock.advance(Duration::from_secs(outage)).expect("an outage");
        // Observers come first, and the first renewal after it reaps nobody.
        for _ in 0..5 {
            scene.members().await;
            scene.watch_from_now().await;
        }
        for node in &nodes {
            assert_eq!(
                scene.changes(node, start).await,
                Changes::Updates(Vec::new()),
                "{outage} s"
            );
        }
    }
    // Who is silent lapses all the same, in the time of the lease.
    let mut lapsed_after = None;
    for second in 1..=10_u32 {
        clock.advance(HEARTBEAT).expect("a heartbeat");
        let renewed = scene.try_renew(&nodes[0], start).await.expect("renew");
        if renewed.changes != Changes::Updates(Vec::new()) {
            lapsed_after = Some(HEARTBEAT * second);
            break;
        }
    }
    assert_eq!(lapsed_after, Some(Timing::default().lease()));
    assert_eq!(scene.members().await.members.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_observer_advances_the_clock_and_reaps_no_member() {
    let scene = Scene::new("observer").await;
    let clock = scene.server.clock().expect("it is settable");
    scene.join().await;
    let (mut watch, start) = scene.watch_from_now().await;
    // One future for all polls: a client does not send what was dropped before its turn.
    let mut next = std::pin::pin!(watch.next());
    let mut lapsed = false;
    for _ in 0..8 {
        // The watch alone polls; the test reads past it what it has done. A poll may be on its way already, so the clock
        // is read before it is advanced.
        let before = scene.bytes(&[b"HGET", &scene.key("n")[..], b"c"]);
        clock.advance(HEARTBEAT).expect("a heartbeat");
        let moved = ringhold_testkit::wait_for("a look of the watch", HEARTBEAT * 5, async || {
            let looked = ringhold_testkit::poll_once(next.as_mut()).await;
            assert!(looked.is_none(), "nothing changed: {looked:?}");
            let after = scene.bytes(&[b"HGET", &scene.key("n")[..], b"c"]);
            if after == before {
                Err("the lease clock stands")
            } else {
                Ok(())
            }
        });
        moved.await;
    }
    let now = scene.members().await;
    lapsed |= now.members.iter().all(|member| member.lapsed);
    assert!(lapsed, "the lease has lapsed although nobody renews: {now:?}");
    assert_eq!(now.revision, start.revision, "and nobody was reaped");
}
