//! Ids that come and go: how long they are remembered, and what they cost.

use std::time::Duration;

use futures_util::future::join_all;
use ringhold_core::{ErrorKind, Revision};

use super::scene::Scene;

/// The greatest score of a lease's end; ids without a member are above it.
const DEPARTED: &[u8] = b"4503599627370496";

impl Scene {
    /// How many ids without a member are remembered.
    fn departed(&self) -> i64 {
        let reply = self.command(&[b"ZCOUNT", &self.key("e")[..], DEPARTED, b"(+inf"]);
        reply.integer().expect("a count")
    }

    /// The members of the four keys, and the bytes that they take.
    fn size(&self) -> (Vec<i64>, i64) {
        let counts = [("n", "HLEN"), ("l", "HLEN"), ("e", "ZCARD"), ("v", "LLEN")];
        let count = |(name, count): (&str, &str)| {
            let reply = self.command(&[count.as_bytes(), &self.key(name)[..]]);
            reply.integer().expect("a count")
        };
        let bytes = Self::KEYS.map(|name| {
            let reply = self.command(&[&b"MEMORY"[..], b"USAGE", &self.key(name)[..], b"SAMPLES", b"0"]);
            reply.integer().expect("a number of bytes")
        });
        (counts.map(count).to_vec(), bytes.iter().sum())
    }
}

/// Registers and leaves under so many ids, 100 at once. Once those that are remembered are as many as there may be,
/// nothing grows.
async fn churn(name: &'static str, ids: u64) {
    const FULL: u64 = 1_200;
    const AT_ONCE: u16 = 100;
    let at_once = u64::from(AT_ONCE);
    let scene = Scene::new(name).await;
    let first = scene.join().await;
    scene.leave(&first).await;
    let mut full = None;
    for done in (at_once..=ids).step_by(usize::from(AT_ONCE)) {
        let nodes = join_all((0..AT_ONCE).map(|_| scene.join())).await;
        let mut numbers: Vec<_> = nodes.iter().map(|node| node.incarnation.number).collect();
        numbers.sort_unstable();
        let expected: Vec<_> = (done - at_once + 2..=done + 1).collect();
        assert_eq!(numbers, expected, "no number is given twice");
        join_all(nodes.iter().map(|node| scene.leave(node))).await;
        if done == FULL {
            full = Some(scene.size());
        }
    }
    assert_eq!(scene.departed(), 1_000);
    let (counts, bytes) = full.expect("more rounds than that");
    let now = scene.size();
    assert_eq!(now.0, counts);
    assert!(now.1 <= bytes + bytes / 10, "{} bytes after {bytes}", now.1);
    // The first id was dropped long ago: its process is refused, and the next one has a greater number.
    let renewed = scene.try_renew(&first, Revision::default()).await;
    assert_eq!(renewed.unwrap_err().kind(), ErrorKind::LeaseLost);
    let again = scene.register(&scene.make.run_of(first.node.clone())).await;
    assert_eq!(again.incarnation.number, ids + 2);
    let renewed = scene.try_renew(&first, Revision::default()).await;
    assert_eq!(renewed.unwrap_err().kind(), ErrorKind::Superseded);
    scene.renew(&again).await;
    assert_eq!(scene.departed(), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_come_and_go_are_dropped_beyond_a_thousand() {
    churn("pods", 1_300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_hundred_thousand_ids_that_come_and_go_are_dropped_beyond_a_thousand() {
    churn("many pods", 100_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_dropped_ten_minutes_after_its_last_incarnation_left() {
    let scene = Scene::new("minutes").await;
    let clock = scene.server.clock().expect("it is settable");
    let [keeper, gone, back] = [scene.join().await, scene.join().await, scene.join().await];
    scene.leave(&gone).await;
    scene.leave(&back).await;
    assert_eq!(scene.departed(), 2);
    let back = scene.register(&scene.make.run_of(back.node)).await;
    assert_eq!(scene.departed(), 1, "one has a member again");
    let field = format!("u{}", gone.node);
    let is_remembered = || {
        let reply = scene.command(&[b"HEXISTS", &scene.key("n")[..], field.as_bytes()]);
        reply.integer() == Some(1)
    };
    for second in 1..=600 {
        clock.advance(Duration::from_secs(1)).expect("a heartbeat");
        scene.renew(&keeper).await;
        scene.renew(&back).await;
        if second >= 599 {
            // Only a request that lets a node go drops ids.
            assert!(is_remembered(), "after {second} s");
            let guest = scene.join().await;
            assert!(scene.evict(&guest).await.expect("evict"));
            assert_eq!(is_remembered(), second == 599, "after {second} s and a guest");
        }
    }
    assert_eq!(scene.departed(), 2, "the guests");
    scene.renew(&back).await;
}
