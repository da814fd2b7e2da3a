//! Restarts: what survives, what grows, and how much time passes.

use std::path::Path;
use std::time::Duration;

use ringhold_core::discovery::{Changes, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{
    AckExpired, ClaimSession, EndReason, RemoveSession, SaveSession, TakeExpired, Touch, Touched,
};
use ringhold_core::{Backend, ErrorKind, FleetName, NodeId, NodeIncarnation, Timing, Ttl};

use super::{EmbeddedHarness, EmbeddedOpening};
use crate::{Make, SimulatedClock};

/// Longer than any cap.
const NIGHT: Duration = Duration::from_secs(8 * 3_600);
/// The cap of the sessions' clock.
const CAP: Duration = ringhold_core::clock::StoreClock::PARTITION_CAP;

struct Bed<'a> {
    harness: &'a dyn EmbeddedHarness,
    opening: EmbeddedOpening,
    clock: SimulatedClock,
    time_of_day: SimulatedClock,
}

impl Bed<'_> {
    async fn open(&self) -> Backend {
        self.harness.open(&self.opening).await.expect("it opens")
    }

    /// Time that passes for a running process.
    fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
        self.time_of_day.advance(duration);
    }

    async fn register(&self, backend: &Backend, make: &Make, name: &str) -> NodeIncarnation {
        let record = make.run_of(NodeId::new(name).expect("a word"));
        let registered = backend
            .discovery
            .register(RegisterNode::new(record.clone(), Timing::default()))
            .await
            .expect("a node registers");
        NodeIncarnation::new(record.id, registered.incarnation)
    }
}

/// Sessions, tombstones and takes survive; incarnations grow and the old ones are out; a night costs one cap.
pub async fn restarts(harness: &dyn EmbeddedHarness, folder: &Path) {
    let (clock, time_of_day) = (SimulatedClock::new(), SimulatedClock::new());
    let mut opening = EmbeddedOpening::new(folder.join("restarts"));
    opening.clocks = Some((clock.clone(), time_of_day.clone()));
    let bed = Bed {
        harness,
        opening,
        clock,
        time_of_day,
    };
    let make = Make::new("restarts");
    let ttl = Ttl::from_millis(20_000).expect("20 s");
    let backend = bed.open().await;
    let old = bed.register(&backend, &make, "eu-1").await;
    let create = |backend: &Backend| {
        let login = make.login(&make.player(), &old, ttl);
        let sessions = backend.sessions.clone();
        async move { sessions.create(login).await.expect("a login").session }
    };
    let kept = create(&backend).await;
    let save = SaveSession::new(kept.id, kept.fence, kept.version, ttl, "saved", make.operation());
    let saved = backend.sessions.save(save).await.expect("its owner saves");
    let ended = create(&backend).await;
    let remove = RemoveSession::new(ended.id, ended.fence, make.operation());
    backend
        .sessions
        .remove(remove.clone())
        .await
        .expect("its owner ends it");
    let short = make.login(&make.player(), &old, Ttl::MIN);
    let expired = backend.sessions.create(short).await.expect("a login").session;
    bed.pass(Duration::from_secs(2));
    let take = TakeExpired::new(vec![expired.id.partition()], 10, make.nonce());
    let taken = backend
        .sessions
        .take_expired(take.clone())
        .await
        .expect("a sweep");
    assert_eq!(taken.sessions.len(), 1, "{taken:?}");
    drop(backend);

    // The process is gone for a night; its monotonic clock begins anew somewhere.
    bed.time_of_day.advance(NIGHT);
    let backend = bed.open().await;
    let found = backend.sessions.find(&kept.player).await.expect("a look");
    let [found] = found.as_slice() else {
        panic!("one session survives, not {found:?}")
    };
    assert_eq!(
        (found.id, found.fence, found.version, &found.data[..]),
        (kept.id, kept.fence, saved.version, &b"saved"[..])
    );
    // It was written at 0 and 2 s passed, and the night is one cap.
    assert_eq!(found.remaining, ttl.duration() - Duration::from_secs(2) - CAP);
    let touches = [Touch::new(ended.id, ended.fence, ttl)];
    let touched = backend.sessions.touch_many(&touches).await.expect("an answer");
    assert_eq!(
        touched.answers,
        [Touched::Ended(EndReason::Removed)],
        "tombstones survive"
    );
    backend
        .sessions
        .remove(remove)
        .await
        .expect("the repetition is known");
    let ack = AckExpired::new(expired.id, take.token);
    backend
        .sessions
        .ack_expired(ack)
        .await
        .expect("the take survives");

    // The members of the last process are out, and the next incarnation is a new one.
    let members = backend.discovery.members().await.expect("a look");
    assert!(members.members.is_empty(), "{members:?}");
    let renewal = RenewLease::new(old.clone(), members.revision, Load::default(), make.operation());
    let lost = backend.discovery.renew(renewal).await.expect_err("it is out");
    assert_eq!(lost.kind(), ErrorKind::LeaseLost, "{lost}");
    let new = bed.register(&backend, &make, "eu-1").await;
    assert_eq!(new.incarnation.number, old.incarnation.number + 1);
    let claim = ClaimSession::new(kept.id, kept.fence, new.clone(), make.nonce(), ttl);
    let claimed = backend
        .sessions
        .claim(claim)
        .await
        .expect("its next run claims it");
    assert_eq!(&claimed.session.data[..], b"saved");

    // A second handle of this process puts nobody out, and sees what the first writes.
    let second = bed.open().await;
    let members = second.discovery.members().await.expect("a look");
    assert_eq!(members.members.len(), 1, "{members:?}");
    let renewal = RenewLease::new(new, members.revision, Load::default(), make.operation());
    let renewed = backend.discovery.renew(renewal).await.expect("it lives");
    assert_eq!(renewed.changes, Changes::Updates(Vec::new()));
    let faults = harness.faults(&bed.opening).await.expect("a look");
    assert!(faults.is_empty(), "{faults:#?}");
    drop((backend, second));

    // A time of day that has jumped back costs nothing, and the clock goes on.
    let mut back = bed.opening.clone();
    back.clocks = Some((bed.clock.clone(), SimulatedClock::new()));
    let backend = harness.open(&back).await.expect("it opens");
    let left = backend
        .sessions
        .get(&kept.id)
        .await
        .expect("a look")
        .expect("it lives");
    assert_eq!(left.remaining, ttl.duration());
    bed.clock.advance(Duration::from_secs(1));
    let left = backend
        .sessions
        .get(&kept.id)
        .await
        .expect("a look")
        .expect("it lives");
    assert_eq!(left.remaining, ttl.duration() - Duration::from_secs(1));
}

/// Two fleets in one place see nothing of each other, and share its writer.
pub async fn two_fleets_share_a_place(harness: &dyn EmbeddedHarness, folder: &Path) {
    let make = Make::new("two fleets");
    let one = EmbeddedOpening::new(folder.join("shared"));
    let mut two = one.clone();
    // Each name begins the other's keys, but for the mark between.
    two.fleet = FleetName::new("arena.2").expect("a word");
    let (first, second) = (harness.open(&one).await, harness.open(&two).await);
    let (first, second) = (first.expect("a new file"), second.expect("the same file"));
    let owner = make.owner();
    let player = make.player();
    let mut fences = Vec::new();
    for backend in [&first, &second] {
        let created = backend
            .sessions
            .create(make.login(&player, &owner, Ttl::MAX))
            .await;
        fences.push(
            created
                .expect("no other fleet's session is in the way")
                .session
                .fence,
        );
    }
    for (backend, fence) in [&first, &second].into_iter().zip(&fences) {
        let found = backend.sessions.find(&player).await.expect("a look");
        assert_eq!(
            found.iter().map(|session| session.fence).collect::<Vec<_>>(),
            [*fence]
        );
    }
    for opening in [&one, &two] {
        let faults = harness.faults(opening).await.expect("a look");
        assert!(faults.is_empty(), "{faults:#?}");
    }
    drop((first, second));
    let second = harness.open(&two).await.expect("it opens again");
    assert_eq!(second.sessions.find(&player).await.expect("a look").len(), 1);
}
