//! Sessions: few players and few owners, so that their requests meet.

use std::time::Duration;

use ringhold::core::backend::ClockScope;
use ringhold::core::session::{
    AckExpired, Acked, ClaimSession, Claimed, CreateOutcome, CreateSession, Created, Cursor, Displaced,
    ListSessions, OnExisting, RemoveSession, Removed, RestoreSession, Restored, SaveSession, Saved,
    SessionPage, TakeExpired, TakenSessions, TakeoverFrom, Touch, Touched, TouchedMany,
};
use ringhold::{
    ErrorKind, Fence, Incarnation, NodeIncarnation, Nonce, PlayerId, Result, SessionId, SessionRecord,
    SessionStore, Ttl, Version,
};
use ringhold_testkit::Make;

use crate::pair::{Pair, STEPS, Story, kinds, pause, pick, pick_recent};
use crate::subjects::{EVERY, Embedded, Etcd, FEW, Redis, Subject};

/// What a store is asked.
#[derive(Debug, Clone)]
enum Request {
    Create(CreateSession),
    Get(SessionId),
    Find(PlayerId),
    Save(SaveSession),
    Touch(Vec<Touch>),
    Claim(ClaimSession),
    Remove(RemoveSession),
    Restore(RestoreSession),
    List(ListSessions),
    Take(TakeExpired),
    Ack(AckExpired),
}

/// What it answers, without how many replicas acknowledged.
#[derive(Debug, PartialEq)]
enum Answer {
    Created(CreateOutcome, SessionRecord, Vec<Displaced>),
    Got(Option<SessionRecord>),
    Found(Vec<SessionRecord>),
    Saved(Version),
    Touched(Vec<Touched>),
    Stands(SessionRecord),
    Done,
    Page(SessionPage),
    Taken(TakenSessions),
}

async fn ask(store: &dyn SessionStore, request: Request) -> Result<Answer> {
    Ok(match request {
        Request::Create(request) => {
            let Created {
                outcome,
                session,
                displaced,
                ..
            } = store.create(request).await?;
            Answer::Created(outcome, session, displaced)
        }
        Request::Get(id) => Answer::Got(store.get(&id).await?),
        Request::Find(player) => Answer::Found(store.find(&player).await?),
        Request::Save(request) => {
            let Saved { version, .. } = store.save(request).await?;
            Answer::Saved(version)
        }
        Request::Touch(touches) => {
            let TouchedMany { answers, .. } = store.touch_many(&touches).await?;
            Answer::Touched(answers)
        }
        Request::Claim(request) => {
            let Claimed { session, .. } = store.claim(request).await?;
            Answer::Stands(session)
        }
        Request::Remove(request) => {
            let Removed { .. } = store.remove(request).await?;
            Answer::Done
        }
        Request::Restore(request) => {
            let Restored { session, .. } = store.restore(request).await?;
            Answer::Stands(session)
        }
        Request::List(request) => Answer::Page(store.list(request).await?),
        Request::Take(request) => {
            let is_tick = request.limit == 0;
            let mut taken = store.take_expired(request).await?;
            if is_tick {
                // A store of ordered keys also names partitions with sessions that were touched since.
                taken.more.clear();
            }
            // Sorted within a partition; which partition answers first is left open.
            taken.sessions.sort_by_key(|taken| taken.session.id.partition());
            taken.more.sort();
            Answer::Taken(taken)
        }
        Request::Ack(request) => {
            let Acked { .. } = store.ack_expired(request).await?;
            Answer::Done
        }
    })
}

/// What is known of a fleet, to ask things that may be right.
struct Scene {
    make: Make,
    players: Vec<PlayerId>,
    owners: Vec<NodeIncarnation>,
    /// Every session as it was answered once, the newest last.
    seen: Vec<SessionRecord>,
    tokens: Vec<(SessionId, Nonce)>,
    cursors: Vec<Cursor>,
    /// Every write so far.
    written: Vec<Request>,
}

impl Scene {
    /// Where all sessions run on one clock, all players are of one partition, whose clock that is.
    fn new(make: Make, clocks: ClockScope) -> Self {
        let first = make.player();
        let third = match clocks {
            ClockScope::Fleet => make.player_in(first.partition()),
            _ => make.player(),
        };
        let players = vec![make.player_in(first.partition()), first, third];
        let mut owners: Vec<_> = (0..2).map(|_| make.owner()).collect();
        // A later run of the first one.
        let incarnation = Incarnation {
            number: 2,
            nonce: make.nonce(),
        };
        owners.push(NodeIncarnation::new(owners[0].node.clone(), incarnation));
        Self {
            make,
            players,
            owners,
            seen: Vec::new(),
            tokens: Vec::new(),
            cursors: Vec::new(),
            written: Vec::new(),
        }
    }

    fn chance(&self, one_of: usize) -> bool {
        self.make.below(one_of) == 0
    }

    fn player(&self) -> PlayerId {
        pick(&self.make, &self.players).expect("players").clone()
    }

    fn owner(&self) -> NodeIncarnation {
        pick(&self.make, &self.owners).expect("owners").clone()
    }

    fn ttl(&self) -> Ttl {
        let millis = match self.make.below(4) {
            0 => 1_000,
            1 => 1_000 + self.make.bits() % 2_000,
            2 => 5_000,
            _ => 30_000,
        };
        Ttl::from_millis(millis).expect("at least a second")
    }

    /// Mostly little, and now and then so much that a store keeps it apart, or sends it by itself.
    fn data(&self) -> Vec<u8> {
        let len = match self.make.below(32) {
            0 => 20_000 + self.make.below(20_000),
            1..=5 => 600 + self.make.below(600),
            _ => self.make.below(17),
        };
        self.make.bytes().into_iter().cycle().take(len).collect()
    }

    /// A session that was seen lately, or one that nobody knows.
    fn session(&self) -> SessionRecord {
        let known = match self.make.below(10) {
            0 => None,
            1 => pick(&self.make, &self.seen),
            _ => pick_recent(&self.make, &self.seen, 6),
        };
        known.cloned().unwrap_or_else(|| {
            let player = self.player();
            let (id, nonce, data) = (self.make.session_id(&player), self.make.nonce(), self.data());
            SessionRecord::new(id, player, self.owner(), nonce, self.ttl(), data.into())
        })
    }

    /// Its fence, or sometimes one that never was.
    fn fence(&self, session: &SessionRecord) -> Fence {
        let mut fence = session.fence;
        match self.make.below(16) {
            0 => fence.nonce = self.make.nonce(),
            1 => fence.epoch += 1,
            _ => {}
        }
        fence
    }

    fn create(&self) -> CreateSession {
        let (make, player) = (&self.make, self.player());
        let on_existing = match make.below(10) {
            0 => OnExisting::Existing,
            1..=2 => OnExisting::default(),
            3..=4 => OnExisting::Takeover {
                from: TakeoverFrom::Anyone,
            },
            5 => OnExisting::Reject,
            6 => OnExisting::Replace,
            _ => OnExisting::Allow {
                max: [1, 2, 2, 3, 3, 4, 64, 0, 65][make.below(9)],
            },
        };
        let login = make.login_with(&player, &self.owner(), self.ttl(), on_existing);
        login.with_data(self.data())
    }

    /// An earlier write, unchanged or a little different.
    fn again(&self) -> Option<Request> {
        let make = &self.make;
        let recent = if make.below(3) == 0 { usize::MAX } else { 10 };
        let mut request = pick_recent(make, &self.written, recent)?.clone();
        if !self.chance(3) {
            return Some(request);
        }
        match &mut request {
            Request::Create(create) => match make.below(5) {
                0 => create.owner = self.owner(),
                1 => create.nonce = make.nonce(),
                2 => create.player = self.player(),
                3 => create.on_existing = self.create().on_existing,
                _ => create.ttl = self.ttl(),
            },
            Request::Save(save) => match make.below(3) {
                0 => save.operation = make.operation(),
                1 => save.version = Version::new(save.version.get() + 1),
                _ => save.data = self.data().into(),
            },
            Request::Claim(claim) => match make.below(4) {
                0 => claim.nonce = make.nonce(),
                1 => claim.owner = self.owner(),
                2 => claim.seen_version = None,
                _ => claim.ttl = self.ttl(),
            },
            Request::Remove(remove) => remove.operation = make.operation(),
            Request::Restore(restore) => match make.below(3) {
                0 => restore.nonce = make.nonce(),
                1 => restore.session.owner = self.owner(),
                _ => restore.live_max = 64,
            },
            Request::Ack(ack) => ack.token = make.nonce(),
            _ => {}
        }
        Some(request)
    }

    fn next(&self) -> Request {
        let make = &self.make;
        match make.below(100) {
            0..=17 => Request::Create(self.create()),
            18..=22 => Request::Get(self.session().id),
            23..=29 => Request::Find(self.player()),
            30..=39 => {
                let session = self.session();
                let fence = self.fence(&session);
                let version = Version::new(session.version.get() + u64::from(self.chance(8)));
                let (ttl, data) = (self.ttl(), self.data());
                Request::Save(SaveSession::new(
                    session.id,
                    fence,
                    version,
                    ttl,
                    data,
                    make.operation(),
                ))
            }
            40..=46 => {
                let touch = |session: SessionRecord| Touch::new(session.id, self.fence(&session), self.ttl());
                Request::Touch((0..make.below(6)).map(|_| touch(self.session())).collect())
            }
            47..=54 => {
                let session = self.session();
                let (seen, nonce) = (self.fence(&session), make.nonce());
                let claim = ClaimSession::new(session.id, seen, self.owner(), nonce, self.ttl());
                Request::Claim(match make.below(6) {
                    0 => claim.with_seen_version(session.version),
                    1 => claim.with_seen_version(Version::new(session.version.get() + 1)),
                    _ => claim,
                })
            }
            55..=58 => {
                let session = self.session();
                let fence = self.fence(&session);
                Request::Remove(RemoveSession::new(session.id, fence, make.operation()))
            }
            59..=65 => {
                let mut restore = RestoreSession::new(self.session(), make.nonce());
                restore.session.fence = self.fence(&restore.session);
                restore.live_max = [1, 1, 1, 2, 3, 64, 0, 65][make.below(8)];
                Request::Restore(restore)
            }
            66..=67 => {
                let limit = [0, 1, 1, 2, 3, 100][make.below(6)];
                let mut list = ListSessions::all(limit);
                if self.chance(2) {
                    list = ListSessions::of(self.owner(), limit);
                }
                Request::List(match pick_recent(make, &self.cursors, 3) {
                    Some(cursor) if self.chance(2) => list.after(*cursor),
                    _ => list,
                })
            }
            68..=76 => {
                let mut partitions: Vec<_> = self.players.iter().map(PlayerId::partition).collect();
                partitions.sort();
                partitions.dedup();
                let limit = [0, 1, 1, 2, 5][make.below(5)];
                let take = TakeExpired::new(partitions, limit, make.nonce());
                Request::Take(take.with_visibility(Duration::from_millis(500 + make.bits() % 6_000)))
            }
            77..=80 => {
                let Some((id, token)) = pick_recent(make, &self.tokens, 4).copied() else {
                    return Request::Ack(AckExpired::new(self.session().id, make.nonce()));
                };
                let token = if self.chance(8) { make.nonce() } else { token };
                Request::Ack(if self.chance(3) {
                    let hidden_for = Duration::from_millis(500 + make.bits() % 6_000);
                    AckExpired::hide(id, token, hidden_for)
                } else {
                    AckExpired::new(id, token)
                })
            }
            _ => self.again().unwrap_or_else(|| Request::Create(self.create())),
        }
    }

    fn learn(&mut self, request: Request, answer: &Result<Answer, ErrorKind>) {
        match &answer {
            Ok(Answer::Created(_, session, _) | Answer::Stands(session) | Answer::Got(Some(session))) => {
                self.seen.push(session.clone());
            }
            Ok(Answer::Found(sessions)) => self.seen.extend(sessions.iter().cloned()),
            Ok(Answer::Page(page)) => {
                self.seen.extend(page.sessions.iter().cloned());
                self.cursors.extend(page.next);
            }
            Ok(Answer::Taken(taken)) => {
                for taken in &taken.sessions {
                    self.seen.push(taken.session.clone());
                    self.tokens.push((taken.session.id, taken.token));
                }
            }
            Ok(Answer::Saved(version)) => {
                if let Request::Save(save) = &request
                    && let Some(known) = self.seen.iter().rfind(|known| known.id == save.id)
                {
                    let mut saved = known.clone();
                    (saved.version, saved.fence, saved.data) = (*version, save.fence, save.data.clone());
                    self.seen.push(saved);
                }
            }
            _ => {}
        }
        match request {
            // A token must not be used again, so a take is never repeated.
            Request::Get(_) | Request::Find(_) | Request::List(_) | Request::Take(_) => {}
            write => self.written.push(write),
        }
    }
}

async fn both_answer_the_same(subject: &dyn Subject, sequences: usize) {
    let seeds = Make::new("model of sessions");
    let mut story = Story::default();
    for _ in 0..sequences {
        let make = Make::with_seed("a sequence of sessions", seeds.bits());
        let pair = Pair::new(subject, &make).await;
        let mut scene = Scene::new(make, pair.other.capabilities.session_clocks);
        story.begin();
        for _ in 0..STEPS {
            pass(&pair, &scene).await;
            let request = scene.next();
            let memory = kinds(ask(&*pair.memory.sessions, request.clone()).await);
            let other = kinds(ask(&*pair.other.sessions, request.clone()).await);
            story.same(&request, &memory, &other);
            scene.learn(request, &memory);
        }
    }
    story.met(
        sequences,
        &[
            "Ack fenced",
            "Ack not_found",
            "Ack ok",
            "Claim fenced",
            "Claim not_found",
            "Claim ok",
            "Claim version_conflict",
            "Create already_exists",
            "Create fenced",
            "Create invalid_argument",
            "Create ok",
            "Find ok",
            "Get ok",
            "List ok",
            "Remove fenced",
            "Remove not_found",
            "Remove ok",
            "Restore already_exists",
            "Restore fenced",
            "Restore invalid_argument",
            "Restore ok",
            "Save fenced",
            "Save not_found",
            "Save ok",
            "Save version_conflict",
            "Take ok",
            "Touch ok",
        ],
    );
}

/// One id names a login of one player, which took a session over, and a session of another player: what
/// ends the login leaves that session alone.
async fn an_id_of_two_harms_neither(subject: &dyn Subject) {
    let make = Make::new("an id of two players");
    let pair = Pair::new(subject, &make).await;
    let scene = Scene::new(Make::new("players of one partition"), ClockScope::Fleet);
    let (ttl, owner) = (Ttl::from_millis(30_000).expect("a time"), scene.owner());
    let [ada, bob, _] = &scene.players[..] else {
        panic!("three players")
    };
    let first = make.login(ada, &owner, ttl);
    let over = make.login(ada, &owner, ttl);
    let (mut same_id, mut removal) = (over.clone(), None);
    same_id.player = bob.clone();
    for store in [&pair.memory.sessions, &pair.other.sessions] {
        store.create(first.clone()).await.expect("a first login");
        let taken = store.create(over.clone()).await.expect("a takeover").session;
        let stands = store
            .create(same_id.clone())
            .await
            .expect("a login of another")
            .session;
        let operation = *removal.get_or_insert_with(|| make.operation());
        let remove = RemoveSession::new(taken.id, taken.fence, operation);
        store.remove(remove).await.expect("the end of the first");
        assert_eq!(
            store.find(bob).await.expect("find"),
            std::slice::from_ref(&stands)
        );
        let again = store.create(same_id.clone()).await.expect("a repetition");
        assert_eq!(again.session, stands);
    }
}

/// Lets some time pass; sometimes so much, with partitions that are looked at, that tombstones go.
async fn pass(pair: &Pair<'_>, scene: &Scene) {
    if !scene.chance(60) {
        return pair.pass(pause(&scene.make)).await;
    }
    for _ in 0..=scene.make.below(24) {
        pair.pass(3_000).await;
        let partitions = scene.players.iter().map(PlayerId::partition).collect();
        let tick = TakeExpired::new(partitions, 0, scene.make.nonce());
        for store in [&pair.memory.sessions, &pair.other.sessions] {
            store.take_expired(tick.clone()).await.expect("a tick");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stores_as_memory_does() {
    let subject = Redis::one("redis").await;
    both_answer_the_same(&subject, FEW).await;
    an_id_of_two_harms_neither(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redis_by_fred_stores_as_memory_does() {
    let subject = Redis::one("fred").await;
    both_answer_the_same(&subject, EVERY).await;
    an_id_of_two_harms_neither(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cluster_stores_as_memory_does() {
    let subject = Redis::cluster("redis").await;
    both_answer_the_same(&subject, FEW).await;
    an_id_of_two_harms_neither(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redis_cluster_by_fred_stores_as_memory_does() {
    let subject = Redis::cluster("fred").await;
    both_answer_the_same(&subject, EVERY).await;
    an_id_of_two_harms_neither(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_stores_as_memory_does() {
    let subject = Embedded::redb();
    both_answer_the_same(&subject, FEW).await;
    an_id_of_two_harms_neither(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled_stores_as_memory_does() {
    let subject = Embedded::sled();
    both_answer_the_same(&subject, FEW).await;
    an_id_of_two_harms_neither(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_etcd_stores_as_memory_does() {
    let subject = Etcd::start().await;
    both_answer_the_same(&subject, 6).await;
    an_id_of_two_harms_neither(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redis_stores_as_memory_does_in_every_sequence() {
    let subject = Redis::one("redis").await;
    both_answer_the_same(&subject, EVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redis_cluster_stores_as_memory_does_in_every_sequence() {
    let subject = Redis::cluster("redis").await;
    both_answer_the_same(&subject, EVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_redb_stores_as_memory_does_in_every_sequence() {
    let subject = Embedded::redb();
    both_answer_the_same(&subject, EVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_sled_stores_as_memory_does_in_every_sequence() {
    let subject = Embedded::sled();
    both_answer_the_same(&subject, EVERY).await;
}
