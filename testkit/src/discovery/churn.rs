//! Rules that hold whatever happens, shown on changes by chance.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringhold_core::discovery::Watch;
use ringhold_core::node::Load;
use ringhold_core::{Membership, NodeId, NodeIncarnation, NodeRecord, Revision, Update, Weight};
use tokio::task;
use tokio::time::timeout;

use super::steps::{Bed, next_change, records};
use crate::DiscoveryHarness;
use crate::expect::done;
use crate::{WAIT_MAX, poll_once, within};

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
    let mut lagging = Follower::new(bed.watch(None).await);
    for follower in [&mut along, &mut lagging] {
        let first = next_change(&mut follower.watch).await;
        follower.apply(&first);
    }
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
        if let Some(update) = poll_once(along.watch.next()).await {
            along.apply(&done("watch", update));
        }
        let revision = bed.revision().await;
        along.catch_up(revision).await;
        if step % 10 == 9 {
            tell.send_replace(Some(revision));
            // Where there is one thread, it is the lagging watcher's turn.
            task::yield_now().await;
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
        loop {
            let members = done("members", discovery.members().await);
            seen.insert(members.revision, members);
            if stopped.load(Ordering::Relaxed) {
                return seen;
            }
            task::yield_now().await;
        }
    });
    let churn = Churn::new(&bed);
    for _ in 0..60 {
        churn.step().await;
        // Where there is one thread, it is the reader's turn.
        task::yield_now().await;
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
