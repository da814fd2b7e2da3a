//! Rules of leases.

use std::time::Duration;

use ringhold_core::discovery::Renewed;
use ringhold_core::{ErrorKind, Incarnation, NodeIncarnation};

use super::register::same;
use super::steps::{Bed, in_words, next_change};
use crate::DiscoveryHarness;
use crate::expect::{done, refused, shorter};

/// `renew_keeps_alive`.
pub async fn renew_keeps_alive<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("renew_keeps_alive", harness).await;
    let (one, two) = (bed.join().await, bed.join().await);
    let before = bed.members().await;
    bed.pass(&[&one, &two], bed.timing.lease() * 4).await;
    same(
        &bed.members().await,
        &before,
        "nodes that renew each heartbeat stay, and nothing changes",
    );
}

/// `a_silent_node_is_reaped`.
pub async fn a_silent_node_is_reaped<H: DiscoveryHarness + ?Sized>(harness: &H) {
    for reaper in ["register", "renew", "evict"] {
        let bed = Bed::new("a_silent_node_is_reaped", harness).await;
        let (keeper, guest, silent) = (bed.join().await, bed.join().await, bed.join().await);
        for node in [&keeper, &guest, &silent] {
            bed.renew(node).await;
        }
        let before = bed.revision().await;
        bed.lapse_all_but(&[&keeper, &guest]).await;

        // Neither readers nor a goodbye reap.
        bed.members().await;
        done("timing", bed.discovery.timing().await);
        next_change(&mut bed.watch(None).await).await;
        assert_eq!(bed.revision().await, before, "reading reaps nobody");
        bed.leave(&guest).await;
        let members = bed.members().await;
        assert!(
            members.contains(&silent),
            "a goodbye reaps nobody else: {members:?}"
        );

        let resume = members.revision;
        let joined = match reaper {
            "register" => Some(bed.join().await),
            "evict" => {
                assert!(!bed.evict(&guest).await, "{guest} has left");
                None
            }
            _ => {
                bed.renew(&keeper).await;
                None
            }
        };
        let members = bed.members().await;
        assert!(
            !members.contains(&silent),
            "{reaper} must reap {silent}: {members:?}"
        );
        assert!(members.contains(&keeper), "{keeper} renewed in time: {members:?}");
        let mut words = in_words(&bed.changes(&keeper, resume).await);
        let mut expected = vec![format!("{silent} left: lease_lapsed")];
        expected.extend(joined.map(|node| format!("{node} joined")));
        words.sort_unstable();
        expected.sort_unstable();
        assert_eq!(words, expected, "what {reaper} changed");
    }
}

/// `a_lapsed_lease_shows`.
pub async fn a_lapsed_lease_shows<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("a_lapsed_lease_shows", harness).await;
    let (keeper, silent) = (bed.join().await, bed.join().await);
    bed.renew(&silent).await;
    let (lease, heartbeat) = (bed.timing.lease(), bed.timing.heartbeat());
    bed.pass(&[&keeper], shorter(lease, heartbeat)).await;
    bed.time.pass(shorter(heartbeat, bed.slop * 2)).await;
    let lapsed = async || {
        let members = bed.members().await;
        let lapsed = |node: &NodeIncarnation| members.get(&node.node).map(|member| member.lapsed);
        (lapsed(&keeper), lapsed(&silent))
    };
    assert_eq!(
        lapsed().await,
        (Some(false), Some(false)),
        "shortly before the lease ends"
    );
    bed.time.pass(bed.slop * 4).await;
    assert_eq!(
        lapsed().await,
        (Some(false), Some(true)),
        "after it has ended, and before anybody reaps"
    );
    bed.renew(&keeper).await;
    assert_eq!(lapsed().await, (Some(false), None), "once it was reaped");

    // Nobody is left to renew: whoever looks each heartbeat sees it, and reaps nobody.
    bed.renew(&keeper).await;
    let before = bed.revision().await;
    let heartbeats = lease.as_nanos().div_ceil(heartbeat.as_nanos()) + 1;
    for _ in 0..heartbeats {
        bed.time.pass(heartbeat).await;
        bed.members().await;
    }
    assert_eq!(
        lapsed().await,
        (Some(true), None),
        "where nobody is left to renew, and somebody looks each heartbeat"
    );
    assert_eq!(bed.revision().await, before, "looking reaps nobody");
}

/// `renew_of_the_lapsed_is_lease_lost`, and of the evicted and of those who left.
pub async fn renew_of_the_lapsed_is_lease_lost<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("renew_of_the_lapsed_is_lease_lost", harness).await;
    let keeper = bed.join().await;
    let (first, lapsed) = (bed.join().await, bed.join().await);
    bed.renew(&first).await;
    bed.renew(&lapsed).await;
    bed.lapse_all_but(&[&keeper]).await;
    let (evicted, left) = (bed.join().await, bed.join().await);
    assert!(bed.evict(&evicted).await, "{evicted} was a member");
    bed.leave(&left).await;
    for _ in 0..2 {
        for (node, how) in [
            (&first, "it lapsed"),
            (&lapsed, "it lapsed"),
            (&evicted, "it was evicted"),
            (&left, "it left"),
        ] {
            let what = format!("the renewal of a lease although {how}");
            refused(&what, bed.try_renew(node).await, ErrorKind::LeaseLost);
        }
    }
    let members = bed.members().await;
    assert_eq!(members.members.len(), 1, "nobody came back: {members:?}");

    // Nobody has to have reaped it: the lapsed node itself may be the first to come by.
    let bed = Bed::new("renew_of_the_lapsed_is_lease_lost", harness).await;
    let (keeper, silent) = (bed.join().await, bed.join().await);
    bed.renew(&silent).await;
    bed.lapse_all_but(&[&keeper]).await;
    refused(
        "the renewal of a lease that lapsed",
        bed.try_renew(&silent).await,
        ErrorKind::LeaseLost,
    );
    assert!(!bed.members().await.contains(&silent), "its own renewal reaps it");
    let again = bed.join_as(silent.node.clone()).await;
    assert_eq!(
        again.incarnation.number,
        silent.incarnation.number + 1,
        "it registers again"
    );
    bed.renew(&again).await;
}

/// `renew_of_the_superseded_is_superseded`.
pub async fn renew_of_the_superseded_is_superseded<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("renew_of_the_superseded_is_superseded", harness).await;
    let first = bed.join().await;
    let second = bed.join_as(first.node.clone()).await;
    let third = bed.join_as(first.node.clone()).await;
    let before = bed.members().await;
    for old in [&first, &second, &first] {
        refused(
            "the renewal of an older run",
            bed.try_renew(old).await,
            ErrorKind::Superseded,
        );
    }
    let Incarnation { number, nonce } = third.incarnation;
    let with = |number, nonce| NodeIncarnation::new(third.node.clone(), Incarnation { number, nonce });
    for (other, what) in [
        (with(number, bed.make.nonce()), "a renewal with another nonce"),
        (
            with(number + 1, nonce),
            "a renewal with a number that was never given",
        ),
        (bed.make.owner(), "a renewal of a node that never registered"),
    ] {
        refused(what, bed.try_renew(&other).await, ErrorKind::LeaseLost);
    }
    same(
        &bed.members().await,
        &before,
        "renewals that were refused change nothing",
    );
    bed.renew(&third).await;
}

/// `renew_tells_the_next_lapse`.
pub async fn renew_tells_the_next_lapse<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("renew_tells_the_next_lapse", harness).await;
    let is_about = |got: &Renewed, expected: Duration, what: &str| {
        let left = got
            .next_lapse
            .unwrap_or_else(|| panic!("{what}: there is another lease"));
        assert!(
            left.abs_diff(expected) <= bed.slop,
            "{what}: {left:?}, and it must be {expected:?}"
        );
    };
    let (lease, heartbeat) = (bed.timing.lease(), bed.timing.heartbeat());
    let one = bed.join().await;
    assert_eq!(bed.renew(&one).await.next_lapse, None, "there is no other lease");
    let two = bed.join().await;
    is_about(&bed.renew(&one).await, lease, "the other's is fresh");
    bed.time.pass(heartbeat).await;
    is_about(
        &bed.renew(&one).await,
        shorter(lease, heartbeat),
        "one heartbeat later",
    );
    is_about(&bed.renew(&two).await, lease, "its own does not count");

    let three = bed.join().await;
    bed.time.pass(heartbeat).await;
    bed.renew(&three).await;
    bed.renew(&one).await;
    bed.time.pass(heartbeat).await;
    is_about(
        &bed.renew(&three).await,
        shorter(lease, heartbeat * 2),
        "the next of several",
    );
    bed.renew(&two).await;
    is_about(
        &bed.renew(&three).await,
        shorter(lease, heartbeat),
        "the next after that one was renewed",
    );
    bed.leave(&one).await;
    is_about(&bed.renew(&three).await, lease, "those who left do not count");
}

/// `an_outage_reaps_nobody`, however long, and also the second time.
pub async fn an_outage_reaps_nobody<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("an_outage_reaps_nobody", harness).await;
    let nodes = [bed.join().await, bed.join().await, bed.join().await];
    let revision = bed.revision().await;
    for outage in [bed.timing.lease() * 2, bed.timing.lease() * 4] {
        for node in &nodes {
            bed.renew(node).await;
        }
        bed.time.pass(outage).await;
        let members = bed.members().await;
        let lapsed: Vec<_> = members.members.iter().filter(|member| member.lapsed).collect();
        assert!(
            lapsed.is_empty(),
            "while nobody renews, time stands still: {lapsed:?}"
        );
        let lag = members.clock_lag;
        assert!(
            lag + bed.slop >= outage,
            "{lag:?} is told since the clock was moved, {outage:?} ago"
        );
        for node in &nodes {
            let renewed = bed.renew(node).await;
            let cap = bed.timing.clock_cap();
            let left = renewed.next_lapse.expect("there are others");
            let least = shorter(bed.timing.lease(), cap + bed.timing.heartbeat() + bed.slop);
            assert!(
                left >= least,
                "an outage of {outage:?} cost others more than {cap:?}: {left:?} are left"
            );
            bed.time.pass(bed.timing.heartbeat() / 3).await;
        }
        let members = bed.members().await;
        assert_eq!(
            members.revision, revision,
            "an outage of {outage:?} cost somebody the lease: {members:?}"
        );
    }
}

/// `evict_is_exact`.
pub async fn evict_is_exact<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("evict_is_exact", harness).await;
    let (observer, old) = (bed.join().await, bed.join().await);
    let target = bed.join_as(old.node.clone()).await;
    let before = bed.members().await;
    let other_nonce = Incarnation {
        number: target.incarnation.number,
        nonce: bed.make.nonce(),
    };
    for other in [
        old,
        NodeIncarnation::new(target.node.clone(), other_nonce),
        NodeIncarnation::new(bed.make.node_id(), target.incarnation),
    ] {
        assert!(!bed.evict(&other).await, "{other:?} is no member");
    }
    same(
        &bed.members().await,
        &before,
        "an eviction of no member changes nothing",
    );

    assert!(bed.evict(&target).await, "{target} was a member");
    let members = bed.members().await;
    assert!(
        members.get(&target.node).is_none(),
        "it is none any more: {members:?}"
    );
    assert!(!bed.evict(&target).await, "a second time it is no member");
    let updates = bed.changes(&observer, before.revision).await;
    assert_eq!(
        in_words(&updates),
        [format!("{target} left: evicted")],
        "one change"
    );
}

/// `leave_is_idempotent`.
pub async fn leave_is_idempotent<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("leave_is_idempotent", harness).await;
    let (observer, old) = (bed.join().await, bed.join().await);
    let node = bed.join_as(old.node.clone()).await;
    let before = bed.members().await;
    bed.leave(&old).await;
    bed.leave(&bed.make.owner()).await;
    same(
        &bed.members().await,
        &before,
        "a goodbye of one who is no member changes nothing",
    );
    for time in ["once", "twice"] {
        bed.leave(&node).await;
        let members = bed.members().await;
        assert!(
            members.get(&node.node).is_none(),
            "{time}: it is gone at once: {members:?}"
        );
    }
    let updates = bed.changes(&observer, before.revision).await;
    assert_eq!(in_words(&updates), [format!("{node} left: leave")], "one change");
}
