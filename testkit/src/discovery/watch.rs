//! Rules of watching.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringhold_core::discovery::{Changes, Watch};
use ringhold_core::node::Load;
use ringhold_core::{Membership, NodeId, NodeIncarnation, NodeRecord, Revision, Update, Weight};
use tokio::task;
use tokio::time::timeout;

use super::register::{full_record, same};
use super::steps::{Bed, in_words, next_change, records};
use crate::DiscoveryHarness;
use crate::expect::done;
use crate::{WAIT_MAX, within};

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
    let missed = [next_change(&mut behind).await, next_change(&mut behind).await];
    assert_eq!(
        in_words(&missed),
        [format!("{two} joined"), format!("{one} left: leave")],
        "what it missed"
    );
    assert_eq!(missed[1].revision(), Some(now));

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

/// Registers, renews with a new record, says goodbye or evicts, as the seed has it.
struct Churn<'b, 'h> {
    bed: &'b Bed<'h>,
    ids: Vec<NodeId>,
}

impl<'b, 'h> Churn<'b, 'h> {
    fn new(bed: &'b Bed<'h>) -> Self {
        Self {
            bed,
            ids: (0..6).map(|_| bed.make.node_id()).collect(),
        }
    }

    async fn step(&self) {
        let Self { bed, ids } = self;
        let id = &ids[bed.make.below(ids.len())];
        let members = bed.members().await;
        match (members.get(id), bed.make.below(4)) {
            (Some(member), 1) => bed.leave(&member.node()).await,
            (Some(member), 2) => {
                bed.evict(&member.node()).await;
            }
            (Some(member), 3) => {
                let mut record = NodeRecord::clone(&member.record);
                let weight = u32::from(record.weight.get() + 1) % 100;
                record.weight = Weight::new(weight).expect("in range");
                let renewal = bed
                    .renewal(&record.node(), members.revision)
                    .with_record(Arc::new(record));
                // On a real server the lease may have lapsed meanwhile; that is a change as well.
                let _ = bed.discovery.renew(renewal).await;
            }
            _ => {
                bed.join_as(id.clone()).await;
            }
        }
    }
}

/// What a watcher knows.
struct Follower {
    watch: Box<dyn Watch>,
    known: Membership,
    resets: u32,
}

impl Follower {
    fn new(watch: Box<dyn Watch>) -> Self {
        Self {
            watch,
            known: Membership::default(),
            resets: 0,
        }
    }

    fn apply(&mut self, update: &Update) {
        self.resets += u32::from(matches!(update, Update::Reset(_)));
        if let Err(error) = self.known.apply(update) {
            panic!(
                "after {:?}, {update:?} does not follow: {error}",
                self.known.revision
            );
        }
    }

    /// Reads at least up to the number of `revision`.
    async fn catch_up_past(&mut self, revision: Revision) {
        while self.known.revision.number < revision.number {
            let update = next_change(&mut self.watch).await;
            self.apply(&update);
        }
    }

    /// Reads up to `revision`.
    async fn catch_up(&mut self, revision: Revision) {
        while self.known.revision != revision {
            let seen = self.known.revision;
            let Ok(update) = timeout(WAIT_MAX, self.watch.next()).await else {
                panic!("the watch must come to {revision:?}; it stands at {seen:?} for {WAIT_MAX:?}")
            };
            self.apply(&done("watch", update));
        }
    }
}

/// `watch_misses_nothing`: 120 changes by chance, for one who reads along and one who lags.
pub async fn watch_misses_nothing<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("watch_misses_nothing", harness).await;
    let mut along = Follower::new(bed.watch(None).await);
    let lagging = Follower::new(bed.watch(None).await);
    let (tell, mut told) = tokio::sync::watch::channel(None);
    let lagging = task::spawn(async move {
        let mut follower = lagging;
        // Reads now and then, as far as it was told the fleet has come.
        while told.changed().await.is_ok() {
            let revision = *told.borrow_and_update();
            if let Some(revision) = revision {
                follower.catch_up_past(revision).await;
            }
        }
        follower
    });

    let churn = Churn::new(&bed);
    for step in 0..120 {
        churn.step().await;
        // Dropping the future of `next` loses nothing.
        if let Ok(update) = timeout(Duration::ZERO, along.watch.next()).await {
            along.apply(&done("watch", update));
        }
        let revision = bed.revision().await;
        along.catch_up(revision).await;
        if step % 10 == 9 {
            tell.send_replace(Some(revision));
        }
    }
    let members = bed.members().await;
    tell.send_replace(Some(members.revision));
    drop(tell);
    along.catch_up(members.revision).await;
    assert_eq!(
        along.resets, 1,
        "one who reads along is told to start over only at the start"
    );
    let mut lagging = within("the lagging watcher", lagging)
        .await
        .expect("the lagging watcher panicked");
    lagging.catch_up(members.revision).await;
    for (follower, who) in [(&along, "reads along"), (&lagging, "lags")] {
        assert_eq!(
            records(&follower.known),
            records(&members),
            "what one knows who {who}"
        );
    }
}

/// `a_slow_watcher_gets_the_newest`: 1,000 changes that it does not read.
pub async fn a_slow_watcher_gets_the_newest<H: DiscoveryHarness + ?Sized>(harness: &H) {
    const CHANGES: u32 = 1_000;

    let bed = Bed::new("a_slow_watcher_gets_the_newest", harness).await;
    let node = bed.join().await;
    let start = bed.revision().await;
    let mut started = bed.watch(None).await;
    next_change(&mut started).await;
    let watches = [
        ("never read", bed.watch(None).await),
        ("resumed", bed.watch(Some(start)).await),
        ("read once", started),
    ];

    let id = bed.make.node_id();
    for _ in 0..CHANGES / 2 {
        let guest = within("a registration beside slow watchers", bed.join_as(id.clone())).await;
        within("a goodbye beside slow watchers", bed.leave(&guest)).await;
    }
    bed.renew(&node).await;
    let members = bed.members().await;
    for (which, watch) in watches {
        let mut follower = Follower::new(watch);
        let mut updates = 0_u32;
        while follower.known.revision != members.revision {
            let update = next_change(&mut follower.watch).await;
            // What follows before the reset follows on what this watch was told before.
            if follower.resets > 0 || matches!(update, Update::Reset(_)) {
                follower.apply(&update);
            }
            updates += 1;
            assert!(
                updates < CHANGES / 2,
                "{which}: {updates} updates and not at the newest state"
            );
        }
        assert!(follower.resets > 0, "{which}: it is told to start over");
        assert_eq!(
            records(&follower.known),
            records(&members),
            "{which}: with the newest state"
        );
    }
}

/// `members_are_whole`, also while they change.
pub async fn members_are_whole<H: DiscoveryHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("members_are_whole", harness).await;
    let keeper = bed.join().await;
    let mut known = bed.members().await;
    let mut history = HashMap::from([(known.revision, records(&known))]);

    let stop = Arc::new(AtomicBool::new(false));
    let (discovery, stopped) = (Arc::clone(&bed.discovery), Arc::clone(&stop));
    let reader = task::spawn(async move {
        let mut seen = HashMap::new();
        while !stopped.load(Ordering::Relaxed) {
            let members = done("members", discovery.members().await);
            seen.insert(records(&members).0, members);
            task::yield_now().await;
        }
        seen
    });
    let churn = Churn::new(&bed);
    for _ in 0..60 {
        churn.step().await;
        for update in bed.changes(&keeper, known.revision).await {
            done("an update that follows", known.apply(&update));
            history.insert(known.revision, records(&known));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = within("the reader", reader).await.expect("the reader panicked");
    let last = bed.members().await;
    seen.insert(last.revision, last);
    for (revision, members) in seen {
        let sorted = members.members.is_sorted_by(|a, b| a.record.id < b.record.id);
        assert!(sorted, "by id, one per id: {members:?}");
        let then = history
            .get(&revision)
            .unwrap_or_else(|| panic!("nobody made the revision {revision:?}"));
        assert_eq!(records(&members), *then, "all at one revision");
    }

    let other = bed.join().await;
    for (node, sessions) in [(&keeper, 7), (&other, 9), (&keeper, 3)] {
        let mut renewal = bed.renewal(node, known.revision);
        renewal.load = Load::new(sessions);
        done("renew", bed.discovery.renew(renewal).await);
        let members = bed.members().await;
        let load = members.get(&node.node).map(|member| member.load.sessions);
        assert_eq!(load, Some(sessions), "the load of the last renewal");
    }
    let members = bed.members().await;
    let load = |node: &NodeIncarnation| members.get(&node.node).map(|member| member.load.sessions);
    assert_eq!(
        (load(&keeper), load(&other)),
        (Some(3), Some(9)),
        "each keeps its own"
    );
}
