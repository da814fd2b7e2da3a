//! Operations on the memory store, each compared with a model that is a list.

mod model;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::session::{
    AckExpired, ClaimSession, CreateSession, ListSessions, OnExisting, RemoveSession, RestoreSession,
    SaveSession, TakeExpired, TakeoverFrom, Touch,
};
use ringhold_core::{
    Clock, Fence, Incarnation, Limits, NodeId, NodeIncarnation, Nonce, OperationId, Partition, PlayerId,
    Result, SessionId, SessionRecord, SessionStore, Ttl, Version,
};
use ringhold_memory::MemorySessions;

use self::model::{Answer, Model};
use crate::input::Input;
use crate::peek::now;

const STEPS_MAX: usize = 100;
/// Each player has so many ids to log in with.
const IDS: u8 = 4;
/// Longer than what stands in a session's place, and as long as data may be.
const LONG: &[u8] = &[b'l'; 900];

/// Two players in one partition, and one in another.
static PLAYERS: LazyLock<[PlayerId; 3]> = LazyLock::new(|| {
    let player = |number: u32| PlayerId::new(format!("p{number}")).unwrap();
    let first = player(0);
    let mut others = (1..).map(player);
    let beside = others.find(|other| other.partition() == first.partition());
    [first, beside.unwrap(), player(1)]
});

/// Time that moves when an operation says so.
#[derive(Debug, Default)]
struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_millis(3_600_000 + self.0.load(Ordering::Relaxed))
    }
}

struct Pair {
    clock: Arc<HandClock>,
    store: MemorySessions,
    models: BTreeMap<Partition, Model>,
}

/// Does what the bytes say to both, and compares the answers and all that can be read.
pub fn run(bytes: &[u8]) {
    let clock = Arc::new(HandClock::default());
    let limits = Limits::default().with_data_bytes_max(LONG.len()).unwrap();
    let store = MemorySessions::new(limits, Arc::clone(&clock) as Arc<dyn Clock>);
    let models = PLAYERS
        .iter()
        .map(|player| (player.partition(), Model::new(limits, clock.now())))
        .collect();
    let mut pair = Pair { clock, store, models };
    let mut input = Input::new(bytes);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        pair.step(&mut input);
        pair.read();
    }
    pair.list();
}

impl Pair {
    fn step(&mut self, input: &mut Input<'_>) {
        let time = self.clock.now();
        let act = input.below(12);
        let player = &PLAYERS[usize::from(input.below(3))];
        let id = id(player, input.below(IDS));
        let (owner, nonce, ttl) = (owner(input), nonce(input), ttl(input));
        let model = self.models.get_mut(&player.partition()).unwrap();
        let fence = fence(model, &id, input);
        let version = model.version(&id).filter(|_| input.below(5) > 0);
        let (store, version) = (&self.store, version.unwrap_or(Version::FIRST));
        match act {
            0..=2 => {
                let mut request = CreateSession::new(id, player.clone(), owner, nonce, ttl)
                    .with_data(data(input))
                    .with_on_existing(on_existing(input));
                if input.below(32) == 31 {
                    request.player = PLAYERS[2].clone();
                }
                let expected = model.create(time, &request);
                same(now(store.create(request)), expected, |created| created);
            }
            3 => {
                let request = SaveSession::new(id, fence, version, ttl, data(input), operation(input));
                let expected = model.save(time, &request);
                same(now(store.save(request)), expected, |saved| saved.version);
            }
            4 => {
                let touch = Touch::new(id, fence, ttl);
                let expected = vec![model.touch(time, &touch)];
                assert_eq!(now(store.touch_many(&[touch])).unwrap().answers, expected);
            }
            5 => {
                let mut request = ClaimSession::new(id, fence, owner, nonce, ttl);
                if input.flag() {
                    request = request.with_seen_version(version);
                }
                let expected = model.claim(time, &request);
                same(now(store.claim(request)), expected, |claimed| claimed.session);
            }
            6 => {
                let request = RemoveSession::new(id, fence, operation(input));
                let expected = model.remove(time, &request);
                same(now(store.remove(request)), expected, |_| ());
            }
            7 => {
                let mut session = SessionRecord::new(id, player.clone(), owner, nonce, ttl, data(input));
                session.fence = fence;
                session.version = version;
                let mut request = RestoreSession::new(session, nonce);
                request.live_max = input.one_of(&[1, 2, 0, 65]);
                let expected = model.restore(time, &request);
                same(now(store.restore(request)), expected, |restored| restored.session);
            }
            8 => {
                let visible = Duration::from_secs(input.one_of(&[1, 5, 30]));
                let request = TakeExpired::new(vec![player.partition()], input.one_of(&[8, 1, 0, 2]), nonce)
                    .with_visibility(visible);
                let expected = model.take(time, &request);
                let taken = now(store.take_expired(request)).unwrap();
                assert!(taken.sessions.iter().all(|taken| taken.token == nonce));
                let sessions = taken.sessions.into_iter().map(|taken| taken.session);
                assert_eq!((sessions.collect(), !taken.more.is_empty()), expected);
            }
            9 => {
                let token = model.token(&id).filter(|_| input.below(5) > 0);
                let token = token.unwrap_or(nonce);
                let request = match input.one_of(&[0, 1, 20]) {
                    0 => AckExpired::new(id, token),
                    secs => AckExpired::hide(id, token, Duration::from_secs(secs)),
                };
                let expected = model.ack(time, &request);
                same(now(store.ack_expired(request)), expected, |_| ());
            }
            _ => {
                let millis = input.one_of(&[1_000, 1, 999, 2_000, 3_000, 5_000, 60_000]);
                self.clock.0.fetch_add(millis, Ordering::Relaxed);
            }
        }
    }

    /// All sessions and players, in both.
    fn read(&self) {
        let time = self.clock.now();
        for player in PLAYERS.iter() {
            let model = &self.models[&player.partition()];
            assert_eq!(now(self.store.find(player)).unwrap(), model.find(time, player));
            for id in (0..IDS).map(|number| id(player, number)) {
                assert_eq!(now(self.store.get(&id)).unwrap(), model.get(time, &id));
            }
        }
    }

    /// Every live session, on exactly one page.
    fn list(&self) {
        let time = self.clock.now();
        let mut expected: Vec<_> = self.models.values().flat_map(|model| model.live(time)).collect();
        expected.sort_by_key(|session| session.id);
        let (mut listed, mut request) = (Vec::new(), ListSessions::all(2));
        loop {
            let page = now(self.store.list(request.clone())).unwrap();
            assert!(page.sessions.len() <= 2);
            listed.extend(page.sessions);
            let Some(next) = page.next else { break };
            request = request.after(next);
        }
        assert_eq!(listed, expected);
    }
}

/// Both said the same; of refusals the kind counts.
fn same<A, B: PartialEq + Debug>(answer: Result<A>, expected: Answer<B>, part: impl FnOnce(A) -> B) {
    match (answer.map(part), expected) {
        (Ok(answer), Ok(expected)) => assert_eq!(answer, expected),
        (Err(error), Err(expected)) => assert_eq!(error.kind(), expected, "{error}"),
        (answer, expected) => panic!("{answer:?}, and the model says {expected:?}"),
    }
}

fn id(player: &PlayerId, number: u8) -> SessionId {
    // Two players of one partition have their first id in common, and no other.
    let own = u8::from(number > 0 && *player == PLAYERS[1]);
    SessionId::new(player.partition(), [2 * number + own; 16])
}

/// Two nodes, one of which has been started twice.
fn owner(input: &mut Input<'_>) -> NodeIncarnation {
    let (node, number) = input.one_of(&[("a", 1), ("a", 2), ("b", 1)]);
    let nonce = Nonce::from_bytes([9; 16]);
    NodeIncarnation::new(NodeId::new(node).unwrap(), Incarnation { number, nonce })
}

fn nonce(input: &mut Input<'_>) -> Nonce {
    Nonce::from_bytes([1 + input.below(6); 16])
}

fn operation(input: &mut Input<'_>) -> OperationId {
    OperationId::from_bytes([1 + input.below(4); 16])
}

fn ttl(input: &mut Input<'_>) -> Ttl {
    Ttl::from_millis(input.one_of(&[5_000, 1_000, 1_001, 30_000, 2_592_000_000])).unwrap()
}

/// Of lengths that need places of several sizes, or none; the last one is over the limit.
fn data(input: &mut Input<'_>) -> Bytes {
    Bytes::from_static(input.one_of(&[b"one".as_slice(), b"", b"12345678", LONG, &[b'o'; LONG.len() + 1]]))
}

/// The fence that stands, most of the time.
fn fence(model: &Model, id: &SessionId, input: &mut Input<'_>) -> Fence {
    let known = model.fence(id).filter(|_| input.below(5) > 0);
    known.unwrap_or_else(|| Fence {
        epoch: input.below(4).into(),
        nonce: nonce(input),
    })
}

fn on_existing(input: &mut Input<'_>) -> OnExisting {
    let takeover = |from| OnExisting::Takeover { from };
    input.one_of(&[
        takeover(TakeoverFrom::Own),
        takeover(TakeoverFrom::Anyone),
        OnExisting::Reject,
        OnExisting::Replace,
        OnExisting::Allow { max: 1 },
        OnExisting::Allow { max: 2 },
        OnExisting::Allow { max: 3 },
        OnExisting::Allow { max: 0 },
        OnExisting::Existing,
    ])
}
