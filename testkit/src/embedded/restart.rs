//! Restarts: what survives, what grows, and how much time passes.

use std::path::Path;
use std::time::Duration;

use ringhold_core::discovery::{Changes, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{AckExpired, ClaimSession, EndReason, RemoveSession, Touch, Touched};
use ringhold_core::{Backend, ErrorKind, FleetName, NodeId, NodeIncarnation, SessionRecord, Timing, Ttl};

use super::{EmbeddedHarness, EmbeddedOpening};
use crate::{Make, SimulatedClock};

/// How long the first process lives.
const AWAKE: Duration = Duration::from_secs(2);
/// Longer than any cap.
const NIGHT: Duration = Duration::from_secs(8 * 3_600);
/// The cap of the sessions' clock.
const CAP: Duration = ringhold_core::clock::StoreClock::PARTITION_CAP;

fn ttl() -> Ttl {
    Ttl::from_millis(20_000).expect("20 s")
}

struct Bed<'a> {
    harness: &'a dyn EmbeddedHarness,
    opening: EmbeddedOpening,
    clock: SimulatedClock,
    time_of_day: SimulatedClock,
    make: Make,
}

impl Bed<'_> {
    async fn open(&self) -> Backend {
        self.harness.open(&self.opening).await.expect("it opens")
    }

    async fn register(&self, backend: &Backend, name: &str) -> NodeIncarnation {
        let record = self.make.run_of(NodeId::new(name).expect("a word"));
        let registered = backend
            .discovery
            .register(RegisterNode::new(record.clone(), Timing::default()))
            .await
            .expect("a node registers");
        NodeIncarnation::new(record.id, registered.incarnation)
    }
}

/// What one process leaves behind.
struct Left {
    old: NodeIncarnation,
    kept: SessionRecord,
    ended: SessionRecord,
    removal: RemoveSession,
    expired: AckExpired,
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
        make: Make::new("restarts"),
    };
    let left = bed.first_process().await;
    // The process is gone for a night.
    bed.time_of_day.advance(NIGHT);
    bed.sessions_survive(&left).await;
    bed.members_are_new(&left).await;
    bed.a_jump_back_costs_nothing(&left).await;
}

impl Bed<'_> {
    async fn first_process(&self) -> Left {
        let (backend, make, ttl) = (self.open().await, &self.make, ttl());
        let old = self.register(&backend, "eu-1").await;
        let create = async |ttl| {
            let login = make.login(&make.player(), &old, ttl);
            backend.sessions.create(login).await.expect("a login").session
        };
        let (kept, ended, expired) = (create(ttl).await, create(ttl).await, create(Ttl::MIN).await);
        let save = make.save(&kept, b"saved");
        backend.sessions.save(save).await.expect("its owner saves");
        let removal = RemoveSession::new(ended.id, ended.fence, make.operation());
        let removed = backend.sessions.remove(removal.clone()).await;
        removed.expect("its owner ends it");
        self.clock.advance(AWAKE);
        self.time_of_day.advance(AWAKE);
        let take = make.take(expired.id.partition(), 10);
        let taken = backend
            .sessions
            .take_expired(take.clone())
            .await
            .expect("a sweep");
        assert_eq!(taken.sessions.len(), 1, "{taken:?}");
        Left {
            old,
            kept,
            ended,
            removal,
            expired: AckExpired::new(expired.id, take.token),
        }
    }

    async fn sessions_survive(&self, left: &Left) {
        let Left { kept, ended, .. } = left;
        let backend = self.open().await;
        let found = backend.sessions.find(&kept.player).await.expect("a look");
        let [found] = found.as_slice() else {
            panic!("one session survives, not {found:?}")
        };
        assert_eq!(
            (found.id, found.fence, &found.data[..]),
            (kept.id, kept.fence, &b"saved"[..])
        );
        assert_eq!(
            Ok(found.version),
            kept.version.next().map_err(|error| error.kind())
        );
        // It was written before the process was awake for a while, and the night is one cap.
        assert_eq!(found.remaining + AWAKE + CAP, kept.ttl.duration());
        let touch = Touch::new(ended.id, ended.fence, ended.ttl);
        let touched = backend.sessions.touch_many(&[touch]).await;
        assert_eq!(
            touched.expect("an answer").answers,
            [Touched::Ended(EndReason::Removed)],
            "tombstones survive"
        );
        let again = backend.sessions.remove(left.removal.clone()).await;
        again.expect("the repetition is known");
        let acked = backend.sessions.ack_expired(left.expired).await;
        acked.expect("the take survives");
        let faults = self.harness.faults(&self.opening).await.expect("a look");
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// The members of the last process are out, and the next incarnation is a new one; a second handle of
    /// a process puts nobody out.
    async fn members_are_new(&self, left: &Left) {
        let Left { old, kept, .. } = left;
        let (backend, make) = (self.open().await, &self.make);
        let members = backend.discovery.members().await.expect("a look");
        assert!(members.members.is_empty(), "{members:?}");
        let renewal = |node: &NodeIncarnation, revision| {
            RenewLease::new(node.clone(), revision, Load::default(), make.operation())
        };
        let lost = backend.discovery.renew(renewal(old, members.revision)).await;
        let lost = lost.expect_err("it is out");
        assert_eq!(lost.kind(), ErrorKind::LeaseLost, "{lost}");
        let new = self.register(&backend, "eu-1").await;
        assert_eq!(new.incarnation.number, old.incarnation.number + 1);
        let claim = ClaimSession::new(kept.id, kept.fence, new.clone(), make.nonce(), kept.ttl);
        let claimed = backend
            .sessions
            .claim(claim)
            .await
            .expect("its next run claims it");
        assert_eq!(&claimed.session.data[..], b"saved");

        let second = self.open().await;
        let members = second.discovery.members().await.expect("a look");
        assert_eq!(members.members.len(), 1, "{members:?}");
        let renewed = backend.discovery.renew(renewal(&new, members.revision)).await;
        assert_eq!(renewed.expect("it lives").changes, Changes::Updates(Vec::new()));
    }

    /// The clock goes on from where it was.
    async fn a_jump_back_costs_nothing(&self, left: &Left) {
        let kept = &left.kept;
        let mut opening = self.opening.clone();
        opening.clocks = Some((self.clock.clone(), SimulatedClock::new()));
        let backend = self.harness.open(&opening).await.expect("it opens");
        let remaining = async || {
            let found = backend.sessions.get(&kept.id).await.expect("a look");
            found.expect("it lives").remaining
        };
        assert_eq!(remaining().await, kept.ttl.duration());
        self.clock.advance(AWAKE);
        assert_eq!(remaining().await + AWAKE, kept.ttl.duration());
    }
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
