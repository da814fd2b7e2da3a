//! Rules of watching.

use std::sync::Arc;

use ringhold_core::discovery::{Changes, Watch};
use ringhold_core::{NodeIncarnation, Revision, Update};

use super::register::{full_record, same};
use super::steps::{Bed, in_words, next_change};
use crate::DiscoveryHarness;
use crate::expect::done;
use crate::within;

/// `renew_answers_the_changes`.
pub async fn renew_answers_the_changes<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("renew_answers_the_changes", harness).await;
    let one = bed.join().await;
    let start = bed.revision().await;
    assert_eq!(bed.changes(&one, start).await, [], "nothing is new");

    let (two, three) = (bed.join().await, bed.join().await);
    let middle = bed.revision().await;
    bed.leave(&two).await;
    assert!(bed.evict(&three).await, "{three} was a member");
    let words = [
        format!("{two} joined"),
        format!("{three} joined"),
        format!("{two} left: leave"),
        format!("{three} left: evicted"),
    ];
    let updates = bed.changes(&one, start).await;
    assert_eq!(
        in_words(&updates),
        words,
        "the changes since the resume point, in order"
    );
    assert_eq!(
        in_words(&bed.changes(&one, middle).await),
        words[2..],
        "and only those since it"
    );
    let numbers: Vec<_> = updates
        .iter()
        .filter_map(Update::revision)
        .map(|revision| revision.number)
        .collect();
    let expected: Vec<_> = (1..=4).map(|step| start.number + step).collect();
    assert_eq!(numbers, expected, "without a gap");

    let four = bed.join().await;
    let before_four = updates
        .last()
        .and_then(Update::revision)
        .expect("a change has a revision");
    let own = bed.changes(&four, before_four).await;
    assert_eq!(
        in_words(&own),
        [format!("{four} joined")],
        "its own change is among them"
    );

    // At most 64 in one answer.
    let resume = bed.revision().await;
    for _ in 0..Changes::MAX / 2 {
        let guest = bed.join().await;
        bed.leave(&guest).await;
    }
    assert_eq!(
        bed.changes(&one, resume).await.len(),
        Changes::MAX,
        "exactly as many as one answer holds"
    );
    bed.leave(&four).await;
    needs_reset(&bed, &one, resume, "one change more than an answer holds").await;

    let now = bed.revision().await;
    let foreign = [
        (
            Revision::new(now.number, now.tag ^ 1),
            "the newest number with a foreign tag",
        ),
        (
            Revision::new(now.number - 1, now.tag),
            "an older number with a foreign tag",
        ),
        (Revision::new(now.number + 1, now.tag), "a number of the future"),
        (Revision::new(u64::MAX, u64::MAX), "the greatest number"),
    ];
    for (point, what) in foreign {
        needs_reset(&bed, &one, point, what).await;
    }
    assert_eq!(bed.changes(&one, now).await, [], "nothing is new since now");
}

async fn needs_reset(bed: &Bed<'_>, node: &NodeIncarnation, after: Revision, what: &str) {
    let renewed = done("renew", bed.discovery.renew(bed.renewal(node, after)).await);
    assert_eq!(renewed.changes, Changes::ResetNeeded, "{what}");
}

/// `renew_takes_a_new_record`.
pub async fn renew_takes_a_new_record<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("renew_takes_a_new_record", harness).await;
    let (node, other) = (bed.join().await, bed.join().await);
    let start = bed.revision().await;
    let mut record = full_record(&bed);
    (record.id, record.incarnation) = (node.node.clone(), node.incarnation);
    for repetition in 0..3 {
        let renewal = bed.renewal(&node, start).with_record(Arc::new(record.clone()));
        let renewed = done("renew", bed.discovery.renew(renewal).await);
        let Changes::Updates(own) = renewed.changes else {
            panic!("the changes since {start:?}")
        };
        let others = bed.changes(&other, start).await;
        assert_eq!(own, others, "its own change is among them");
        assert_eq!(
            in_words(&others),
            [format!("{node} changed")],
            "one change, repetition {repetition}"
        );
        let Update::Changed { node: told, revision } = &others[0] else {
            panic!("{others:?}")
        };
        assert_eq!(**told, record, "the whole record");
        assert_eq!(bed.revision().await, *revision);
    }
    let members = bed.members().await;
    assert_eq!(
        members.get(&node.node).map(|member| &*member.record),
        Some(&record),
        "members shows it"
    );
    bed.renew(&node).await;
    same(
        &bed.members().await,
        &members,
        "a renewal without a record keeps it",
    );
}

/// `watch_starts_with_a_reset`.
pub async fn watch_starts_with_a_reset<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("watch_starts_with_a_reset", harness).await;
    starts_with_a_reset(&bed, None, "an empty fleet").await;
    let node = bed.join().await;
    bed.join().await;
    let now = bed.revision().await;
    starts_with_a_reset(&bed, None, "without a resume point").await;
    for (point, what) in [
        (Revision::new(now.number, now.tag ^ 1), "a foreign tag"),
        (Revision::new(now.number + 1, now.tag), "a number of the future"),
        (Revision::new(u64::MAX, 0), "the greatest number"),
    ] {
        let mut watch = starts_with_a_reset(&bed, Some(point), what).await;
        let guest = bed.join().await;
        let update = next_change(&mut watch).await;
        assert_eq!(
            in_words(&[update]),
            [format!("{guest} joined")],
            "{what}: after the reset, the changes"
        );
        bed.leave(&guest).await;
    }
    bed.leave(&node).await;
}

async fn starts_with_a_reset(bed: &Bed<'_>, after: Option<Revision>, what: &str) -> Box<dyn Watch> {
    let mut watch = bed.watch(after).await;
    let update = done("watch", within("the first update of a watch", watch.next()).await);
    let Update::Reset(membership) = &update else {
        panic!("{what}: a watch must start with a reset, and starts with {update:?}")
    };
    same(membership, &bed.members().await, what);
    watch
}

/// `watch_resumes`.
pub async fn watch_resumes<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("watch_resumes", harness).await;
    let one = bed.join().await;
    let start = bed.revision().await;
    let two = bed.join().await;
    bed.leave(&one).await;
    let now = bed.revision().await;
    let (mut behind, mut up_to_date) = (bed.watch(Some(start)).await, bed.watch(Some(now)).await);
    for words in [format!("{two} joined"), format!("{one} left: leave")] {
        let update = next_change(&mut behind).await;
        assert_eq!(
            in_words(&[update]),
            [words],
            "what it missed, in order, and without a reset"
        );
    }

    let three = bed.join().await;
    for (watch, what) in [
        (&mut behind, "after what it missed"),
        (&mut up_to_date, "with nothing missed"),
    ] {
        let update = next_change(watch).await;
        assert_eq!(
            in_words(&[update]),
            [format!("{three} joined")],
            "{what}, the next change"
        );
    }
}
