//! Values that this build cannot read, and keys that are something else.

use ringhold_core::discovery::{Changes, RegisterNode};
use ringhold_core::{ErrorKind, NodeIncarnation, Result, Revision, Timing, Update};
use ringhold_testkit::within;

use super::scene::{Scene, ids, next};

/// The record of `node` becomes one of a format to come.
fn age(scene: &Scene, node: &NodeIncarnation) {
    let (key, field) = (scene.key("n"), format!("r{}", node.node));
    let mut record = scene.bytes(&[b"HGET", &key[..], field.as_bytes()]);
    record[4] = 99;
    scene.command(&[b"HSET", &key[..], field.as_bytes(), &record]);
}

/// Shows that `keeper`, newcomers and watchers go on.
async fn goes_on(scene: &Scene, keeper: &NodeIncarnation) {
    scene.renew(keeper).await;
    let (mut watch, reset) = scene.watch_from_now().await;
    let members = scene.members().await;
    assert!(members.contains(keeper), "{members:?}");
    assert_eq!(
        (&reset.members, &reset.unreadable),
        (&members.members, &members.unreadable),
        "a watch shows the same"
    );
    let guest = scene.join().await;
    let update = next(&mut watch).await;
    assert!(
        matches!(&update, Update::Joined { node, .. } if node.node() == guest),
        "{update:?}"
    );
    let changes = scene.changes(keeper, reset.revision).await;
    assert_eq!(changes, Changes::Updates(vec![update]));
    scene.leave(&guest).await;
}

/// Shows that all go on, and that `odd` is among the members as one that cannot be read.
async fn is_shown(
    scene: &Scene,
    keeper: &NodeIncarnation,
    odd: &NodeIncarnation,
    kind: ErrorKind,
    what: &str,
) {
    let members = scene.members().await;
    let unreadable: Vec<_> = members
        .unreadable
        .iter()
        .map(|member| (&member.id, member.kind))
        .collect();
    assert_eq!(unreadable, [(&odd.node, kind)], "{what}: {members:?}");
    assert!(!ids(&members).contains(&odd.node), "{what}");
    goes_on(scene, keeper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_format_to_come_is_shown_and_stops_nothing() {
    let scene = Scene::new("format").await;
    let (keeper, odd) = (scene.join().await, scene.join().await);
    age(&scene, &odd);
    is_shown(&scene, &keeper, &odd, ErrorKind::Unsupported, "a newer format").await;
    let key = scene.key("n");
    for (garbage, what) in [(&b"\xff\xfe"[..], "garbage"), (b"", "nothing")] {
        scene.command(&[b"HSET", &key[..], format!("r{}", odd.node).as_bytes(), garbage]);
        is_shown(&scene, &keeper, &odd, ErrorKind::Corrupt, what).await;
    }
    scene.command(&[b"HDEL", &key[..], format!("r{}", odd.node).as_bytes()]);
    is_shown(&scene, &keeper, &odd, ErrorKind::Corrupt, "no record").await;
    // It is a member like others: it renews and can be put out.
    scene.renew(&odd).await;
    assert!(scene.evict(&odd).await.expect("evict"));
    assert!(scene.members().await.unreadable.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_read_is_a_reset() {
    let scene = Scene::new("change").await;
    let keeper = scene.join().await;
    let (watch, start) = scene.watch_from_now().await;
    // Nobody reads while the change comes, so that it is in the log before the watch looks.
    let odd = scene.join().await;
    age(&scene, &odd);
    let changes = scene.key("v");
    let mut entry = scene.bytes(&[b"LINDEX", &changes[..], b"-1"]);
    entry[26 + 4] = 99;
    scene.command(&[b"LSET", &changes[..], b"-1", &entry]);

    let mut watch = watch;
    let Update::Reset(reset) = next(&mut watch).await else {
        panic!("a change that cannot be read here is told by the whole membership")
    };
    assert_eq!(
        (reset.unreadable.len(), ids(&reset)),
        (1, vec![keeper.node.clone()])
    );
    assert_eq!(scene.changes(&keeper, start.revision).await, Changes::ResetNeeded);
    assert_eq!(
        scene.changes(&keeper, reset.revision).await,
        Changes::Updates(Vec::new())
    );
    scene.leave(&odd).await;
    let update = next(&mut watch).await;
    assert!(
        matches!(&update, Update::Left { node, .. } if *node == odd),
        "{update:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_read_stops_nobody_and_is_mended() {
    let scene = Scene::new("lease").await;
    let (keeper, odd) = (scene.join().await, scene.join().await);
    let leases = scene.key("l");
    let spoil = || scene.command(&[b"HSET", &leases[..], odd.node.as_str().as_bytes(), b"?"]);
    let before = scene.members().await;

    spoil();
    scene.renew(&keeper).await;
    assert_eq!(scene.members().await.members, before.members);
    let (mut watch, reset) = scene.watch_from_now().await;
    assert_eq!(reset.members, before.members);
    // Its own renewal mends it.
    scene.renew(&odd).await;
    let mended = scene.bytes(&[b"HGET", &leases[..], odd.node.as_str().as_bytes()]);
    assert_eq!(mended[..8], odd.incarnation.number.to_le_bytes());
    assert_eq!(
        scene.members().await.revision,
        before.revision,
        "and is no change"
    );

    // And it is superseded, put out and reaped as the run that it was.
    spoil();
    let again = scene.register(&scene.make.run_of(odd.node.clone())).await;
    assert_eq!(again.incarnation.number, odd.incarnation.number + 1);
    let left = next(&mut watch).await;
    assert!(
        matches!(&left, Update::Left { node, .. } if *node == odd),
        "{left:?}"
    );
    let joined = next(&mut watch).await;
    assert!(
        matches!(&joined, Update::Joined { node, .. } if node.node() == again),
        "{joined:?}"
    );
    spoil();
    assert!(scene.evict(&again).await.expect("evict"));
    assert_eq!(ids(&scene.members().await), std::slice::from_ref(&keeper.node));

    // Where nothing tells which run it was, it is lost to its node alone.
    let node = scene.join().await;
    scene.command(&[b"HSET", &leases[..], node.node.as_str().as_bytes(), b"?"]);
    scene.command(&[
        b"HSET",
        &scene.key("n")[..],
        format!("u{}", node.node).as_bytes(),
        b"?",
    ]);
    let kind = |result: Result<_>| result.map(drop).expect_err("it has no lease").kind();
    assert_eq!(
        kind(scene.try_renew(&node, Revision::default()).await),
        ErrorKind::Corrupt
    );
    goes_on(&scene, &keeper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_entries_are_swept_and_not_obeyed() {
    let scene = Scene::new("entries").await;
    let (keeper, other) = (scene.join().await, scene.join().await);
    let before = scene.members().await;
    // Ends of leases that nobody holds, and the state of the load table.
    let (ends, nodes) = (scene.key("e"), scene.key("n"));
    scene.command(&[b"ZADD", &ends[..], b"-5", b"ghost", b"0", b"not an id"]);
    scene.command(&[b"HSET", &nodes[..], b"h", b"?"]);
    scene.renew(&keeper).await;
    scene.renew(&other).await;
    let members = scene.members().await;
    assert_eq!((ids(&members), members.revision), (ids(&before), before.revision));
    assert_eq!(
        scene.command(&[b"ZCARD", &ends[..]]).integer(),
        Some(3),
        "two leases and the sentinel"
    );
    let (mut watch, _) = scene.watch_from_now().await;
    let guest = scene.join().await;
    assert!(matches!(next(&mut watch).await, Update::Joined { node, .. } if node.node() == guest));
}

/// Every operation, and how it ended.
async fn everything(
    scene: &Scene,
    node: &NodeIncarnation,
    after: Revision,
) -> Vec<(&'static str, Option<ErrorKind>)> {
    fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| {
            assert!(!error.is_retryable(), "{error}");
            error.kind()
        })
    }
    let register = RegisterNode::new(scene.make.node(), Timing::default());
    let leave = ringhold_core::discovery::LeaveFleet::new(node.clone(), scene.make.operation());
    let mut watch = scene.watch(Some(after)).await;
    vec![
        ("register", kind(scene.discovery.register(register).await)),
        ("renew", kind(scene.try_renew(node, after).await)),
        ("leave", kind(scene.discovery.leave(leave).await)),
        ("evict", kind(scene.evict(node).await)),
        ("members", kind(scene.discovery.members().await)),
        ("timing", kind(scene.discovery.timing().await)),
        ("watch", kind(within("a watch", watch.next()).await)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_corrupt_and_nothing_is_half_written() {
    let scene = Scene::new("wrongtype").await;
    let (keeper, node) = (scene.join().await, scene.join().await);
    let before = scene.members().await;
    let whole = scene.snapshot();
    for name in Scene::KEYS {
        let key = scene.key(name);
        scene.command(&[b"SET", &key[..], b"a text"]);
        let dumps = || Scene::KEYS.map(|name| scene.bytes(&[b"DUMP", &scene.key(name)[..]]));
        let broken = dumps();
        for (operation, kind) in everything(&scene, &node, before.revision).await {
            assert_eq!(
                kind,
                Some(ErrorKind::Corrupt),
                "{operation} with a text under {name}"
            );
        }
        assert!(dumps() == broken, "{name}: something was written");
        scene.roll_back(&whole);
    }
    let now = scene.members().await;
    assert_eq!((ids(&now), now.revision), (ids(&before), before.revision));
    scene.renew(&keeper).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_or_a_timing_that_is_none_is_corrupt() {
    let scene = Scene::new("clock").await;
    let node = scene.join().await;
    let before = scene.members().await;
    let whole = scene.snapshot();
    let key = scene.key("n");
    for garbage in [&b"?"[..], &[0xff; 24]] {
        scene.command(&[b"HSET", &key[..], b"c", garbage]);
        for (operation, kind) in everything(&scene, &node, before.revision).await {
            assert_eq!(
                kind,
                Some(ErrorKind::Corrupt),
                "{operation} with a clock of {garbage:?}"
            );
        }
        scene.roll_back(&whole);
    }
    for garbage in [&b"?"[..], &[0xff; 16]] {
        scene.command(&[b"HSET", &key[..], b"t", garbage]);
        let timing = scene.discovery.timing().await;
        assert_eq!(timing.expect_err("no timing").kind(), ErrorKind::Corrupt);
        let register = RegisterNode::new(scene.make.node(), Timing::default());
        assert_eq!(
            scene
                .discovery
                .register(register)
                .await
                .expect_err("no timing")
                .kind(),
            ErrorKind::Corrupt
        );
        // Who only looks needs none.
        assert!(scene.members().await.contains(&node));
        let (mut watch, _) = scene.watch_from_now().await;
        scene.leave(&node).await;
        assert!(matches!(next(&mut watch).await, Update::Left { node: left, .. } if left == node));
        scene.roll_back(&whole);
    }
}
