//! The operations on sessions, in all the states that a session can be in.

use std::sync::Arc;

use ringhold_core::session::{
    AckExpired, ClaimSession, CreateOutcome, CreateSession, Cursor, EndReason, ListSessions, OnExisting,
    RemoveSession, RestoreSession, SaveSession, TakeExpired, TakeoverFrom, Touch, Touched,
};
use ringhold_core::{
    ErrorKind, NodeIncarnation, Nonce, Partition, PlayerId, Result, SessionId, SessionRecord, SessionStore,
    Ttl,
};
use ringhold_testkit::Make;
use ringhold_testkit::launch::RedisCluster;

use super::each_client::on_each_client;
use super::{Bed, Operation, answered, open, short_deadlines, start};

/// The steps of the move of three keys.
const STAGES: usize = 8;
const KEYS: [&str; 3] = ["s", "p", "d"];
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// What one step's operations work on, in one partition.
struct Stage {
    owner: NodeIncarnation,
    live: Vec<SessionRecord>,
    expired: Vec<SessionRecord>,
    taken: Vec<SessionRecord>,
    token: Nonce,
    removed: Vec<SessionRecord>,
}

fn long() -> Ttl {
    Ttl::from_millis(600_000).expect("ten minutes")
}

async fn log_in(
    store: &dyn SessionStore,
    make: &Make,
    partition: Partition,
    owner: &NodeIncarnation,
    ttl: Ttl,
    count: usize,
) -> Vec<SessionRecord> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let login = make.login(&make.player_in(partition), owner, ttl);
        sessions.push(store.create(login).await.expect("a login").session);
    }
    sessions
}

/// Lets a second and more pass on the partition's clock.
async fn pass(cluster: &RedisCluster, store: &dyn SessionStore, make: &Make, partition: Partition) {
    let clock = cluster.clock().expect("it is settable");
    clock
        .advance(std::time::Duration::from_millis(1_500))
        .expect("a clock");
    store.take_expired(make.take(partition, 0)).await.expect("a tick");
}

async fn prepare(
    cluster: &RedisCluster,
    store: &dyn SessionStore,
    make: &Make,
    partition: Partition,
    stages: usize,
) -> Vec<Stage> {
    let (owner, token) = (make.owner(), make.nonce());
    let hidden = log_in(store, make, partition, &owner, Ttl::MIN, 2 * stages).await;
    pass(cluster, store, make, partition).await;
    let take = TakeExpired::new(vec![partition], 1_000, token).with_visibility(TakeExpired::VISIBILITY_MAX);
    let got = store.take_expired(take).await.expect("a take").sessions.len();
    assert_eq!(got, hidden.len(), "all have expired");
    let expired = log_in(store, make, partition, &owner, Ttl::MIN, 5 * stages).await;
    pass(cluster, store, make, partition).await;
    let live = log_in(store, make, partition, &owner, long(), 12 * stages).await;
    let removed = log_in(store, make, partition, &owner, long(), 2 * stages).await;
    for session in &removed {
        let request = RemoveSession::new(session.id, session.fence, make.operation());
        store.remove(request).await.expect("a removal");
    }
    let part = |all: &[SessionRecord], stage: usize| {
        let each = all.len() / stages;
        all[stage * each..(stage + 1) * each].to_vec()
    };
    let stage = |index| Stage {
        owner: owner.clone(),
        live: part(&live, index),
        expired: part(&expired, index),
        taken: part(&hidden, index),
        token,
        removed: part(&removed, index),
    };
    (0..stages).map(stage).collect()
}

fn save_of(make: &Make, session: &SessionRecord) -> SaveSession {
    SaveSession::new(
        session.id,
        session.fence,
        session.version,
        long(),
        "saved",
        make.operation(),
    )
}

fn again(make: &Make, session: &SessionRecord, owner: &NodeIncarnation, mode: OnExisting) -> CreateSession {
    make.login_with(&session.player, owner, long(), mode)
}

fn takeover(from: TakeoverFrom) -> OnExisting {
    OnExisting::Takeover { from }
}

/// All logins: in each mode, for players that are not there, are there, and have expired.
fn logins(store: &Arc<dyn SessionStore>, make: &Make, partition: Partition, stage: &Stage) -> Vec<Operation> {
    let (own, other) = (stage.owner.clone(), make.owner());
    let (allow, live) = (OnExisting::Allow { max: 2 }, &stage.live);
    let anyone = takeover(TakeoverFrom::Anyone);
    let mode = takeover(TakeoverFrom::Own);
    let fresh = make.login(&make.player_in(partition), &own, long());
    let cases = [
        ("create", fresh, CreateOutcome::New),
        (
            "create own",
            again(make, &live[0], &own, mode),
            CreateOutcome::TakenOver,
        ),
        (
            "create elsewhere",
            again(make, &live[1], &other, mode),
            CreateOutcome::Elsewhere,
        ),
        (
            "create existing",
            again(make, &live[1], &other, OnExisting::Existing),
            CreateOutcome::Existing,
        ),
        (
            "create anyone",
            again(make, &live[2], &other, anyone),
            CreateOutcome::TakenOver,
        ),
        (
            "create replace",
            again(make, &live[3], &other, OnExisting::Replace),
            CreateOutcome::New,
        ),
        (
            "create allow",
            again(make, &live[4], &other, allow),
            CreateOutcome::New,
        ),
        (
            "create over an expired one",
            again(make, &stage.expired[0], &own, mode),
            CreateOutcome::New,
        ),
    ];
    let mut operations: Vec<Operation> = Vec::new();
    for (name, request, outcome) in cases {
        let store = Arc::clone(store);
        let run = async move {
            assert_eq!(store.create(request).await?.outcome, outcome, "{name}");
            Ok(())
        };
        operations.push((name, Box::pin(run)));
    }
    let rejected = again(make, &live[5], &other, OnExisting::Reject);
    let store = Arc::clone(store);
    let run = async move { answered(store.create(rejected).await, ErrorKind::AlreadyExists) };
    operations.push(("create reject", Box::pin(run)));
    operations
}

fn reads(store: &Arc<dyn SessionStore>, partition: Partition, stage: &Stage) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    let (reader, session) = (Arc::clone(store), stage.live[6].clone());
    let run = async move {
        assert_eq!(reader.get(&session.id).await?, Some(session), "get");
        Ok(())
    };
    operations.push(("get", Box::pin(run)));
    let (reader, player, id): (_, PlayerId, SessionId) =
        (Arc::clone(store), stage.live[7].player.clone(), stage.live[7].id);
    let run = async move {
        let found = reader.find(&player).await?;
        assert_eq!(
            found.iter().map(|session| session.id).collect::<Vec<_>>(),
            [id],
            "find"
        );
        Ok(())
    };
    operations.push(("find", Box::pin(run)));
    let reader = Arc::clone(store);
    let run = async move {
        let after = Cursor(SessionId::new(partition, [0; 16]));
        let page = reader.list(ListSessions::all(1).after(after)).await?;
        assert_eq!(
            page.sessions.first().map(|session| session.id.partition()),
            Some(partition)
        );
        Ok(())
    };
    operations.push(("list", Box::pin(run)));
    operations
}

fn touches(store: &Arc<dyn SessionStore>, stage: &Stage) -> Operation {
    let ids = [&stage.live[8], &stage.expired[1], &stage.removed[0]];
    let touches = ids.map(|session| Touch::new(session.id, session.fence, long()));
    let store = Arc::clone(store);
    let run = async move {
        let answers = store.touch_many(&touches).await?.answers;
        assert_eq!(
            answers,
            [
                Touched::Renewed,
                Touched::Renewed,
                Touched::Ended(EndReason::Removed)
            ],
            "touch"
        );
        Ok(())
    };
    ("touch_many", Box::pin(run))
}

/// One operation from a call and what its answer has to be.
macro_rules! operation {
    ($operations:ident, $store:ident, $name:literal, $method:ident($request:expr)) => {
        let (store, request) = (Arc::clone($store), $request);
        $operations.push((
            $name,
            Box::pin(async move { store.$method(request).await.map(drop) }),
        ));
    };
    ($operations:ident, $store:ident, $name:literal, $method:ident($request:expr), $kind:ident) => {
        let (store, request) = (Arc::clone($store), $request);
        let run = async move { answered(store.$method(request).await, ErrorKind::$kind) };
        $operations.push(($name, Box::pin(run)));
    };
}

/// All operations on sessions.
fn operations(
    store: &Arc<dyn SessionStore>,
    make: &Make,
    partition: Partition,
    stage: &Stage,
) -> Vec<Operation> {
    let mut all = reads(store, partition, stage);
    all.extend(logins(store, make, partition, stage));
    all.push(touches(store, stage));
    let Stage {
        live,
        expired,
        taken,
        removed,
        ..
    } = stage;
    let claim = |session: &SessionRecord| {
        ClaimSession::new(session.id, session.fence, make.owner(), make.nonce(), long())
    };
    let remove = |session: &SessionRecord| RemoveSession::new(session.id, session.fence, make.operation());
    let restore = |session: &SessionRecord| RestoreSession::new(session.clone(), make.nonce());
    operation!(all, store, "save", save(save_of(make, &live[9])));
    operation!(
        all,
        store,
        "save an expired one",
        save(save_of(make, &expired[2]))
    );
    operation!(
        all,
        store,
        "save an ended one",
        save(save_of(make, &removed[1])),
        Fenced
    );
    operation!(all, store, "claim", claim(claim(&live[10])));
    operation!(all, store, "claim a taken one", claim(claim(&taken[1])));
    operation!(all, store, "remove", remove(remove(&live[11])));
    operation!(all, store, "remove an expired one", remove(remove(&expired[3])));
    operation!(
        all,
        store,
        "restore an expired one",
        restore(restore(&expired[4]))
    );
    operation!(
        all,
        store,
        "restore an ended one",
        restore(restore(&removed[1])),
        Fenced
    );
    let player = make.player_in(partition);
    let (id, nonce) = (make.session_id(&player), make.nonce());
    let lost = SessionRecord::new(id, player, stage.owner.clone(), nonce, long(), "lost".into());
    operation!(all, store, "restore a lost one", restore(restore(&lost)));
    operation!(all, store, "take_expired", take_expired(make.take(partition, 1)));
    operation!(
        all,
        store,
        "ack_expired",
        ack_expired(AckExpired::new(taken[0].id, stage.token))
    );
    all
}

/// The keys of a partition in the order in which they are to move.
fn keys_in(bed: &Bed<'_>, order: [usize; 3]) -> Vec<Vec<u8>> {
    let keys = bed.keys(&KEYS);
    order.map(|index| keys[index].clone()).to_vec()
}

fn slow_sessions_work_or_are_refused_at_every_step_in_every_order(client: &str) {
    let (cluster, runtime) = start();
    let make = Make::new("steps");
    let patient = runtime.block_on(open(&cluster, "steps", client)).sessions;
    let impatient = short_deadlines(&cluster).to_owned() + client;
    let impatient = runtime.block_on(open(&cluster, "steps", &impatient)).sessions;
    for (order, first) in ORDERS.into_iter().zip((7_u16..).step_by(150)) {
        let partition = Partition::new(first).expect("below 1,024");
        let stages = runtime.block_on(prepare(&cluster, &*patient, &make, partition, STAGES));
        let bed = Bed::new(&cluster, partition);
        let keys = keys_in(&bed, order);
        bed.walk(
            &runtime,
            &keys,
            |moved| moved < 3,
            |stage| {
                // One or two of three keys have moved.
                let store = if matches!(stage, 3 | 4) {
                    &impatient
                } else {
                    &patient
                };
                operations(store, &make, partition, &stages[stage])
            },
        );
    }
}

fn sessions_wait_for_the_end_of_a_move(client: &str) {
    let (cluster, runtime) = start();
    let make = Make::new("waits");
    let backend = runtime.block_on(open(&cluster, "waits", client));
    let partition = Partition::new(500).expect("below 1,024");
    let stages = runtime.block_on(prepare(&cluster, &*backend.sessions, &make, partition, 1));
    let bed = Bed::new(&cluster, partition);
    let keys = keys_in(&bed, [0, 1, 2]);
    let all: Vec<_> = operations(&backend.sessions, &make, partition, &stages[0]);
    bed.all_wait(&runtime, &keys, all);
    let counted: Result<usize> = runtime.block_on(async {
        let page = backend.sessions.list(ListSessions::all(1_000)).await?;
        Ok(page.sessions.len())
    });
    assert!(counted.expect("a listing") > 10, "the sessions are there");
}

/// A failover of the source loses the mark of the slot, since replicas do not have it. `SETSLOT STABLE` at the source
/// makes the same state.
fn half_moved_partition_without_a_mark_at_its_owner_is_not_rebuilt(client: &str) {
    let (cluster, runtime) = start();
    let make = Make::new("half moved");
    let patient = runtime.block_on(open(&cluster, "half", client)).sessions;
    let impatient = short_deadlines(&cluster).to_owned() + client;
    let impatient = runtime.block_on(open(&cluster, "half", &impatient)).sessions;
    for (moved, number) in [vec!["s"], vec!["p"], vec!["d"], vec!["p", "d"]]
        .into_iter()
        .zip((3_u16..).step_by(200))
    {
        let partition = Partition::new(number).expect("below 1,024");
        let owner = make.owner();
        let sessions = runtime.block_on(log_in(&*patient, &make, partition, &owner, long(), 3));
        let bed = Bed::new(&cluster, partition);
        let keys = bed.keys(&KEYS);
        let is_moved = |key: &&Vec<u8>| {
            moved
                .iter()
                .any(|end| key.ends_with(format!(":{end}").as_bytes()))
        };
        bed.step.set_importing().expect("importing");
        bed.step.set_migrating().expect("migrating");
        for key in keys.iter().filter(is_moved) {
            bed.step.migrate_key(key).expect("a key that is there");
        }
        let slot = bed.step.slot().to_string();
        let stable = cluster.command(bed.from, &["CLUSTER", "SETSLOT", &slot, "STABLE"]);
        assert!(stable.expect("the source answers").is_ok());

        let before = bed.dump();
        let login = again(&make, &sessions[0], &owner, OnExisting::Existing);
        let error = runtime.block_on(impatient.create(login)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{moved:?}: {error}");
        assert!(
            error.is_retryable() && error.context().contains("the slot is being moved"),
            "{moved:?}: {error}"
        );
        let found = runtime.block_on(impatient.find(&sessions[1].player));
        let error = found.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{moved:?}: {error}");
        assert_eq!(bed.dump(), before, "{moved:?}: something was written");

        bed.step.set_migrating().expect("migrating");
        for key in keys.iter().filter(|key| !is_moved(key)) {
            bed.step.migrate_key(key).expect("a key that is there");
        }
        bed.step.finish().expect("the end of the move");
        for session in &sessions {
            let found = runtime.block_on(patient.find(&session.player)).expect("a find");
            assert_eq!(found.len(), 1, "{moved:?}");
            assert_eq!(found[0].id, session.id, "{moved:?}");
        }
    }
}

on_each_client!(
    half_moved_partition_without_a_mark_at_its_owner_is_not_rebuilt
    slow_sessions_work_or_are_refused_at_every_step_in_every_order
    sessions_wait_for_the_end_of_a_move
);
