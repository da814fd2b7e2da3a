//! Rules of the partition that go beyond the contract, and the account of its memory.

use std::collections::HashSet;
use std::time::Duration;

use ringhold_core::session::{
    AckExpired, ClaimSession, CreateOutcome, CreateSession, EndReason, OnExisting, RemoveSession,
    RestoreSession, TakenSession, TakeoverFrom, Touch, Touched,
};
use ringhold_core::{ErrorKind, NodeIncarnation, PlayerId, Result, SessionRecord, Ttl};
use ringhold_testkit::Make;

use super::partition::SessionPartition;
use super::sweep::{Capacity, SORTED_MAX, TAKEN_MAX};

mod account;
mod many;
mod repeat;

const TTL: Ttl = Ttl::MIN;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const ANYONE: OnExisting = OnExisting::Takeover {
    from: TakeoverFrom::Anyone,
};
const ALLOW_3: OnExisting = OnExisting::Allow { max: 3 };

/// A partition, its time, and names for what happens in it.
struct Scene {
    make: Make,
    time: Duration,
    partition: SessionPartition,
    player: PlayerId,
    owner: NodeIncarnation,
}

impl Scene {
    fn new(name: &'static str) -> Self {
        let make = Make::new(name);
        let (time, player, owner) = (MINUTE, make.player(), make.owner());
        Self {
            make,
            time,
            partition: SessionPartition::new(time),
            player,
            owner,
        }
    }

    fn request(&self, on_existing: OnExisting) -> CreateSession {
        self.make.login_with(&self.player, &self.owner, TTL, on_existing)
    }

    fn login(&mut self, on_existing: OnExisting) -> SessionRecord {
        let request = self.request(on_existing);
        self.partition.create(self.time, request).unwrap().session
    }

    fn touch(&mut self, session: &SessionRecord, ttl: Ttl) -> Touched {
        let mut answers = Vec::new();
        let touch = Touch::new(session.id, session.fence, ttl);
        self.partition.touch_many(self.time, &[touch], &mut answers);
        answers.remove(0)
    }

    /// A take as the store makes it, of as many holds of the lock as it needs.
    fn take(&mut self, limit: usize) -> (Vec<TakenSession>, bool) {
        let (nonce, mut taken) = (self.make.nonce(), Vec::new());
        let mut capacity = capacity(limit);
        loop {
            let swept = self
                .partition
                .take_expired(self.time, &mut capacity, SECOND * 30, nonce);
            taken.extend(swept.sessions.into_iter().map(|(_, taken)| taken));
            if !swept.left {
                return (taken, swept.more);
            }
        }
    }

    /// What one hold of the lock takes: how many, and whether there is more.
    fn take_once(&mut self, limit: usize) -> (usize, bool) {
        let token = self.make.nonce();
        let swept = self
            .partition
            .take_expired(self.time, &mut capacity(limit), SECOND * 30, token);
        (swept.sessions.len(), swept.more)
    }

    fn ack(&mut self, taken: &TakenSession) -> Result<()> {
        self.partition
            .ack_expired(self.time, AckExpired::new(taken.session.id, taken.token))
    }

    fn claim(&mut self, session: &SessionRecord) -> SessionRecord {
        let owner = self.make.owner();
        let claim = ClaimSession::new(session.id, session.fence, owner, self.make.nonce(), TTL);
        self.partition.claim(self.time, &claim).unwrap().session
    }

    /// Lets time pass in steps that the partition's clock takes in whole.
    fn pass(&mut self, duration: Duration) {
        let end = self.time + duration;
        while self.time < end {
            self.time = end.min(self.time + SECOND * 3);
            self.partition
                .take_expired(self.time, &mut capacity(0), SECOND, self.make.nonce());
        }
    }
}

fn capacity(sessions: usize) -> Capacity {
    Capacity {
        sessions,
        bytes: usize::MAX,
        is_empty: true,
    }
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn a_login_that_took_over_is_fenced_once_it_is_over() {
    type End = fn(&mut Scene, &SessionRecord);
    let endings: [(&str, End); 3] = [
        ("taken over", |scene, _| drop(scene.login(ANYONE))),
        ("claimed", |scene, session| drop(scene.claim(session))),
        ("removed", |scene, session| {
            let remove = RemoveSession::new(session.id, session.fence, scene.make.operation());
            scene.partition.remove(scene.time, &remove).unwrap();
        }),
    ];
    for (name, end) in endings {
        let mut scene = Scene::new("took-over");
        let first = scene.request(ANYONE);
        scene.partition.create(scene.time, first.clone()).unwrap();
        let second = scene.request(ANYONE);
        let created = scene.partition.create(scene.time, second.clone()).unwrap();
        assert_eq!(created.outcome, CreateOutcome::TakenOver);
        assert_eq!(
            scene.partition.create(scene.time, second.clone()).unwrap(),
            created,
            "{name}"
        );
        end(&mut scene, &created.session);
        for late in [first, second] {
            assert_eq!(
                kind(scene.partition.create(scene.time, late)),
                Some(ErrorKind::Fenced),
                "{name}"
            );
        }
    }
}

#[test]
fn an_unlinked_session_is_delivered_and_never_revived() {
    let mut scene = Scene::new("unlinked");
    let made = scene.request(ANYONE);
    scene.partition.create(scene.time, made.clone()).unwrap();
    let took_over = scene.request(ANYONE);
    let old = scene
        .partition
        .create(scene.time, took_over.clone())
        .unwrap()
        .session;
    scene.pass(SECOND * 2);
    let new = scene.login(OnExisting::Reject);
    assert_ne!(new.id, old.id);

    assert_eq!(scene.touch(&old, TTL), Touched::Ended(EndReason::Displaced));
    let save = scene.make.save(&old, b"late");
    assert_eq!(
        kind(scene.partition.save(scene.time, &save)),
        Some(ErrorKind::Fenced)
    );
    let restore = RestoreSession::new(old.clone(), scene.make.nonce());
    assert_eq!(
        kind(scene.partition.restore(scene.time, restore)),
        Some(ErrorKind::Fenced)
    );
    for late in [made, took_over] {
        assert_eq!(
            kind(scene.partition.create(scene.time, late)),
            Some(ErrorKind::Fenced)
        );
    }
    let (taken, more) = scene.take(10);
    assert_eq!((taken.len(), taken[0].session.id, more), (1, old.id, false));
    scene.ack(&taken[0]).unwrap();
    assert_eq!(scene.touch(&old, TTL), Touched::Ended(EndReason::Expired));
    assert_eq!(scene.partition.find(scene.time, &scene.player).len(), 1);
}

#[test]
fn of_several_sessions_the_newest_own_one_is_taken_over() {
    let mut scene = Scene::new("several");
    let oldest = scene.login(ALLOW_3);
    let own = scene.login(ALLOW_3);
    let other = scene.make.owner();
    let mut request = scene.request(ALLOW_3);
    request.owner = other;
    let newest = scene.partition.create(scene.time, request).unwrap().session;

    let request = scene.request(OnExisting::default());
    let created = scene.partition.create(scene.time, request).unwrap();
    assert_eq!(
        (created.outcome, created.session.id),
        (CreateOutcome::TakenOver, own.id)
    );

    let mut request = scene.request(OnExisting::default());
    request.owner = scene.make.owner();
    let created = scene.partition.create(scene.time, request.clone()).unwrap();
    assert_eq!(
        (created.outcome, created.session),
        (CreateOutcome::Elsewhere, newest.clone())
    );

    request.on_existing = ANYONE;
    let created = scene.partition.create(scene.time, request).unwrap();
    assert_eq!(
        (created.outcome, created.session.id),
        (CreateOutcome::TakenOver, newest.id)
    );
    let ids: Vec<_> = scene
        .partition
        .find(scene.time, &scene.player)
        .iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(
        ids,
        [oldest.id, own.id, newest.id],
        "a takeover keeps the place in the order"
    );
}

#[test]
fn login_that_leaves_a_session_untouched_unlinks_no_expired_one() {
    for (rule, outcome) in [
        (OnExisting::default(), CreateOutcome::Elsewhere),
        (OnExisting::Existing, CreateOutcome::Existing),
    ] {
        leaves_all_as_they_are(rule, outcome);
    }
}

fn leaves_all_as_they_are(rule: OnExisting, outcome: CreateOutcome) {
    let mut scene = Scene::new("untouched");
    let expired = scene.login(ALLOW_3);
    let mut request = scene.request(ALLOW_3);
    request.ttl = Ttl::MAX;
    scene.partition.create(scene.time, request).unwrap();
    scene.pass(SECOND * 2);
    let mut request = scene.request(rule);
    request.owner = scene.make.owner();
    let created = scene.partition.create(scene.time, request).unwrap();
    assert_eq!(created.outcome, outcome);
    assert_eq!(
        scene.touch(&expired, TTL),
        Touched::Renewed,
        "it was not unlinked"
    );
}

#[test]
fn an_id_of_another_player_is_refused() {
    let mut scene = Scene::new("collision");
    let session = scene.login(ANYONE);
    scene.player = scene.make.player();
    let mut request = scene.request(ANYONE);
    request.id = session.id;
    assert_eq!(
        kind(scene.partition.create(scene.time, request)),
        Some(ErrorKind::AlreadyExists)
    );
    assert_eq!(scene.partition.get(scene.time, &session.id), Some(session));
}

#[test]
fn a_save_that_has_happened_is_said_to_have_happened() {
    let mut scene = Scene::new("saved");
    let session = scene.login(ANYONE);
    let save = scene.make.save(&session, b"new");
    let saved = scene.partition.save(scene.time, &save).unwrap();
    scene.claim(&session);
    assert_eq!(scene.partition.save(scene.time, &save).unwrap(), saved);
    let save = scene.make.save(&session, b"newer");
    assert_eq!(
        kind(scene.partition.save(scene.time, &save)),
        Some(ErrorKind::Fenced)
    );
}

#[test]
fn a_restored_session_stands_alone() {
    let mut scene = Scene::new("restored");
    let expired = scene.login(ANYONE);
    scene.pass(SECOND * 2);
    let lost = SessionRecord::new(
        scene.make.session_id(&scene.player),
        scene.player.clone(),
        scene.owner.clone(),
        scene.make.nonce(),
        TTL,
        "data".into(),
    );
    let restore = RestoreSession::new(lost.clone(), scene.make.nonce());
    let restored = scene.partition.restore(scene.time, restore.clone()).unwrap();
    assert_eq!((restored.session.id, restored.session.fence.epoch), (lost.id, 2));
    assert_eq!(scene.partition.restore(scene.time, restore).unwrap(), restored);
    assert_eq!(scene.touch(&expired, TTL), Touched::Ended(EndReason::Displaced));
    assert_eq!(
        scene.partition.find(scene.time, &scene.player),
        [restored.session]
    );
}

#[test]
fn at_its_deadline_a_session_goes_from_the_readers_to_the_sweepers() {
    let mut scene = Scene::new("deadline");
    let session = scene.login(ANYONE);
    scene.time += Duration::from_nanos(999_999_999);
    assert!(scene.partition.get(scene.time, &session.id).is_some());
    assert_eq!(scene.take(10), (vec![], false));
    scene.time += Duration::from_nanos(1);
    assert_eq!(scene.partition.get(scene.time, &session.id), None);
    assert_eq!(scene.partition.find(scene.time, &scene.player), []);
    assert_eq!(scene.take(10).0.len(), 1);
}

#[test]
fn a_touch_storm_costs_one_entry() {
    let mut scene = Scene::new("storm");
    let session = scene.login(ANYONE);
    for step in 0..20_000_u64 {
        scene.time += Duration::from_millis(1);
        let ttl = Ttl::from_millis(1_000 + step * 37 % 5_000).unwrap();
        assert_eq!(scene.touch(&session, ttl), Touched::Renewed);
        assert_eq!(scene.partition.expiry.len(), 1);
    }
    account::check(&scene.partition, scene.time);
}

#[test]
fn a_sweep_gives_the_longest_expired_first() {
    let mut scene = Scene::new("order");
    let mut ids = Vec::new();
    for seconds in [5, 2, 4, 1, 3] {
        let mut request = scene.request(OnExisting::Allow { max: 9 });
        request.ttl = Ttl::new(SECOND * seconds).unwrap();
        ids.push((
            seconds,
            scene.partition.create(scene.time, request).unwrap().session,
        ));
    }
    // This one is touched, and its old entry comes up first.
    let touched = ids
        .iter()
        .find(|(seconds, _)| *seconds == 1)
        .map(|(_, session)| session.clone())
        .unwrap();
    assert_eq!(
        scene.touch(&touched, Ttl::new(SECOND * 6).unwrap()),
        Touched::Renewed
    );
    ids.iter_mut()
        .filter(|(_, session)| session.id == touched.id)
        .for_each(|(seconds, _)| *seconds = 6);
    ids.sort_by_key(|(seconds, _)| *seconds);
    scene.pass(SECOND * 7);
    let (first, more) = scene.take(3);
    assert!(more);
    let (second, more) = scene.take(3);
    assert!(!more);
    let got: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|taken| taken.session.id)
        .collect();
    assert_eq!(got, ids.iter().map(|(_, session)| session.id).collect::<Vec<_>>());
    assert!(first.iter().all(|taken| taken.session.remaining.is_zero()));
}

#[test]
fn a_take_arms_a_bounded_number_anew() {
    let mut scene = Scene::new("bounded");
    let sessions: Vec<_> = (0..3 * SORTED_MAX - 1)
        .map(|_| {
            scene.player = scene.make.player();
            scene.login(ANYONE)
        })
        .collect();
    for session in &sessions {
        assert_eq!(scene.touch(session, Ttl::MAX), Touched::Renewed);
    }
    scene.time += SECOND * 2;
    let takes: Vec<_> = (0..3).map(|_| scene.take_once(10)).collect();
    assert_eq!(takes, [(0, true), (0, true), (0, false)]);
}

#[test]
fn one_hold_of_the_lock_takes_few() {
    let mut scene = Scene::new("few");
    for _ in 0..TAKEN_MAX + 2 {
        scene.player = scene.make.player();
        scene.login(ANYONE);
    }
    scene.pass(SECOND * 2);
    // It may put too few in order to take one.
    let mut taken = (0, true);
    while taken == (0, true) {
        taken = scene.take_once(1_000);
    }
    assert_eq!(taken, (TAKEN_MAX, true));
    assert_eq!(scene.take_once(1), (1, true), "the limit");
    assert_eq!(scene.take_once(1_000), (1, false));
}

#[test]
fn a_page_is_the_smallest_ids() {
    let mut scene = Scene::new("page");
    let mut ids: Vec<_> = (0..100)
        .map(|_| {
            scene.player = scene.make.player();
            scene.login(ANYONE).id
        })
        .collect();
    ids.sort_unstable();
    let page = |after, limit| -> Vec<_> {
        scene
            .partition
            .list(scene.time, after, None, limit)
            .iter()
            .map(|session| session.id)
            .collect()
    };
    assert_eq!(page(None, 7), ids[..7]);
    assert_eq!(page(Some(&ids[6]), 200), ids[7..]);
    assert_eq!(page(Some(&ids[99]), 1), []);
    let others = scene.make.owner();
    assert_eq!(scene.partition.list(scene.time, None, Some(&others), 5), []);
    let distinct: HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 100);
}
