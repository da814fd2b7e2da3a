//! Rules of registering.

use ringhold_core::discovery::RegisterNode;
use ringhold_core::id::{Address, Build, EndpointName, LabelKey, LabelValue, Zone};
use ringhold_core::node::Load;
use ringhold_core::{ErrorKind, Membership, NodeIncarnation, NodeRecord, NodeState, Timing, Update, Weight};

use super::steps::{Bed, in_words, records};
use crate::DiscoveryHarness;
use crate::expect::{done, refused};

/// A record with something in every field.
pub(super) fn full_record(bed: &Bed<'_>) -> NodeRecord {
    let mut record = bed.make.node();
    let player = EndpointName::new("player").expect("a word");
    record
        .endpoints
        .insert(
            player,
            Address::new("wss://[::1]:4000/?a={b}").expect("an address"),
        )
        .expect("room");
    let label = (
        LabelKey::new("mode").expect("a word"),
        LabelValue::new("capture the {flag} \u{1F3F4}"),
    );
    record
        .labels
        .insert(label.0, label.1.expect("a text"))
        .expect("room");
    record.state = NodeState::Joining;
    record.zone = Zone::new("eu-west-1a").expect("a word");
    record.weight = Weight::new(3).expect("in range");
    record.capacity = Some(u32::MAX);
    record.build = Build::new("1.2.3 (\u{e9})").expect("a text");
    record
}

/// `register_gives_the_next_incarnation`.
pub async fn register_gives_the_next_incarnation<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("register_gives_the_next_incarnation", harness).await;
    assert_eq!(bed.members().await.members, [], "nobody is there yet");
    // What the node last knew of, and what it gets.
    let id = bed.make.node_id();
    for (known, number) in [(0, 1), (0, 2), (41, 42), (7, 43), (43, 44)] {
        let mut record = full_record(&bed);
        record.id = id.clone();
        record.incarnation.number = known;
        let registered = bed.register(&record).await;
        assert_eq!(
            registered.incarnation.number, number,
            "the number after {known} and all before"
        );
        assert_eq!(
            registered.incarnation.nonce, record.incarnation.nonce,
            "the nonce is the caller's"
        );

        record.incarnation = registered.incarnation;
        let member = registered
            .membership
            .get(&id)
            .expect("the node is in the answered membership");
        assert_eq!(*member.record, record, "the record is the caller's");
        assert_eq!(
            (member.load, member.lapsed),
            (Load::default(), false),
            "it has just come"
        );
        same(
            &registered.membership,
            &bed.members().await,
            "the answered membership is that of now",
        );
    }
    let other = bed.join().await;
    assert_eq!(
        other.incarnation.number, 45,
        "one counter gives the numbers of all ids"
    );
    assert_eq!(bed.members().await.members.len(), 2, "one member per id");
}

/// Checks that two memberships are the same, but for how long ago the clock was moved.
pub(super) fn same(got: &Membership, expected: &Membership, what: &str) {
    assert_eq!(records(got), records(expected), "{what}");
    assert_eq!(got.members, expected.members, "{what}: loads and leases");
    assert_eq!(
        got.unreadable, expected.unreadable,
        "{what}: members that cannot be read"
    );
}

/// `register_is_idempotent`.
pub async fn register_is_idempotent<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("register_is_idempotent", harness).await;
    let record = bed.make.node();
    let first = bed.register(&record).await;
    let node = NodeIncarnation::new(record.id.clone(), first.incarnation);
    let again = bed.register(&record).await;
    assert_eq!(
        again.incarnation, first.incarnation,
        "a repetition answers the same incarnation"
    );
    same(
        &again.membership,
        &first.membership,
        "a repetition changes nothing",
    );

    bed.join().await;
    let before = bed.members().await;
    let again = bed.register(&record).await;
    assert_eq!(
        again.incarnation, first.incarnation,
        "a late repetition answers the same incarnation"
    );
    same(
        &again.membership,
        &before,
        "a late repetition answers the membership of now, and changes nothing",
    );
    assert_eq!(
        bed.changes(&node, before.revision).await,
        [],
        "nobody is told anything"
    );

    // A late repetition of a run that is over, in each way in which the next run may have come.
    for end in ["supersede", "leave", "evict"] {
        let record = bed.make.node();
        let old = NodeIncarnation::new(record.id.clone(), bed.register(&record).await.incarnation);
        match end {
            "leave" => bed.leave(&old).await,
            "evict" => assert!(bed.evict(&old).await, "{old} was a member"),
            _ => {}
        }
        let new = bed.join_as(record.id.clone()).await;
        let before = bed.members().await;
        refused(
            &format!("a late repetition of a run that is over ({end}) while the next one lives"),
            bed.try_register(&record).await,
            ErrorKind::Superseded,
        );
        same(&bed.members().await, &before, "a late repetition puts nobody out");
        bed.renew(&new).await;
    }
}

/// `register_supersedes`.
pub async fn register_supersedes<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("register_supersedes", harness).await;
    let (observer, old) = (bed.join().await, bed.join().await);
    let before = bed.revision().await;
    let new = bed.join_as(old.node.clone()).await;
    assert_eq!(new.incarnation.number, old.incarnation.number + 1);
    let updates = bed.changes(&observer, before).await;
    let expected = [format!("{old} left: superseded"), format!("{new} joined")];
    assert_eq!(
        in_words(&updates),
        expected,
        "the old run leaves before the new one joins"
    );
    let members = bed.members().await;
    assert!(
        members.contains(&new) && !members.contains(&old),
        "the new run is the member: {members:?}"
    );
    assert_eq!(members.members.len(), 2);
    assert_eq!(updates.last().and_then(Update::revision), Some(members.revision));
}

/// `register_checks_the_timing`.
pub async fn register_checks_the_timing<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let mut bed = Bed::new("register_checks_the_timing", harness).await;
    assert_eq!(
        done("timing", bed.discovery.timing().await),
        None,
        "before the first registration"
    );
    // Leases by whose last digits a message is seen to name them.
    let with = |millis| {
        let lease = bed.timing.lease() + std::time::Duration::from_millis(millis);
        Timing::new(bed.timing.heartbeat(), lease).expect("a lease that is a little longer")
    };
    let (stored, other) = (with(17), with(23));
    bed.timing = stored;
    let node = bed.join().await;
    assert_eq!(
        done("timing", bed.discovery.timing().await),
        Some(stored),
        "the first node's is stored"
    );
    // A limit of one process: nodes of a fleet may differ in it.
    let stall_limit = Timing::STALL_LIMIT_MIN;
    let stalls = stored.with_stall_limit(stall_limit).expect("an allowed limit");
    let record = bed.make.node();
    let request = RegisterNode::new(record.clone(), stalls);
    let registered = done(
        "a node with another stall limit",
        bed.discovery.register(request).await,
    );
    assert_eq!(
        done("timing", bed.discovery.timing().await),
        Some(stored),
        "the stall limit is not stored"
    );
    let incarnation = registered.incarnation;
    bed.leave(&NodeIncarnation::new(record.id, incarnation)).await;

    let before = bed.members().await;
    let record = bed.make.node();
    for id in [record.id.clone(), node.node.clone()] {
        let record = bed.make.run_of(id);
        let result = bed.discovery.register(RegisterNode::new(record, other)).await;
        if let Err(error) = &result {
            let context = error.context();
            assert!(
                context.contains("17") && context.contains("23"),
                "it must name both timings: {context}"
            );
        }
        refused("a node with another timing", result, ErrorKind::InvalidArgument);
    }
    same(
        &bed.members().await,
        &before,
        "a registration that was refused changes nothing",
    );
    assert_eq!(
        done("timing", bed.discovery.timing().await),
        Some(stored),
        "the stored timing stands"
    );
    bed.register(&record).await;

    bed.leave(&node).await;
    let left = bed.members().await.members.remove(0).node();
    bed.leave(&left).await;
    bed.timing = other;
    bed.join().await;
    assert_eq!(
        done("timing", bed.discovery.timing().await),
        Some(other),
        "in an empty fleet it is stored"
    );
}

/// `dead_is_for_ever`.
pub async fn dead_is_for_ever<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("dead_is_for_ever", harness).await;
    let keeper = bed.join().await;
    let id = bed.make.node_id();
    let mut last = keeper.incarnation.number;
    for end in ["leave", "evict", "lapse", "supersede", "leave", "none"] {
        let node = bed.join_as(id.clone()).await;
        assert_eq!(
            node.incarnation.number,
            last + 1,
            "the number after all that were given, before {end}"
        );
        last = node.incarnation.number;
        match end {
            "leave" => bed.leave(&node).await,
            "evict" => assert!(bed.evict(&node).await, "{node} was a member"),
            "lapse" => {
                bed.renew(&keeper).await;
                bed.lapse_all_but(&[&keeper]).await;
                bed.renew(&keeper).await;
            }
            _ => continue,
        }
        assert!(
            bed.members().await.get(&id).is_none(),
            "{node} is no member after {end}"
        );
        refused(
            "a renewal of the dead",
            bed.try_renew(&node).await,
            ErrorKind::LeaseLost,
        );
        assert!(
            bed.members().await.get(&id).is_none(),
            "a renewal brings nobody back"
        );
    }
}

/// `a_process_of_a_dropped_id_is_refused`.
pub async fn a_process_of_a_dropped_id_is_refused<H: DiscoveryHarness + ?Sized>(harness: &H) {
    /// For so long an id is remembered after its last incarnation left.
    const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(600);
    let bed = Bed::new("a_process_of_a_dropped_id_is_refused", harness).await;
    let keeper = bed.join().await;
    let (paused, guest) = (bed.join().await, bed.join().await);
    bed.leave(&paused).await;
    bed.pass(&[&keeper], REMEMBERED + bed.slop).await;
    // The guest was reaped on the way, and this one leaves: both drop ids that have been remembered for that long.
    let last = bed.join().await;
    bed.leave(&last).await;
    for node in [&paused, &guest, &last] {
        refused(
            "a renewal while the id is free",
            bed.try_renew(node).await,
            ErrorKind::LeaseLost,
        );
    }
    let again = bed.join_as(paused.node.clone()).await;
    assert!(
        again.incarnation.number > last.incarnation.number,
        "the number after {last}, not {again}"
    );
    refused(
        "a renewal after another process registered the id",
        bed.try_renew(&paused).await,
        ErrorKind::Superseded,
    );
    bed.renew(&again).await;
}
