//! Repetitions: whose they are, and what they do to a session that has expired since.

use std::sync::Arc;

use bytes::Bytes;
use ringhold_core::session::SaveSession;
use ringhold_core::{Fence, Limits, Nonce, SessionId, SessionStore};
use ringhold_testkit::SimulatedClock;

use super::super::MemorySessions;
use super::*;

#[test]
fn a_login_is_repeated_by_its_own_caller_alone() {
    for on_existing in [OnExisting::Reject, ANYONE] {
        let mut scene = Scene::new("own-caller");
        if on_existing == ANYONE {
            scene.login(ANYONE);
        }
        let login = scene.request(on_existing);
        let created = scene.partition.create(scene.time, login.clone()).unwrap();

        let (mut other_owner, mut other_nonce) = (login.clone(), login.clone());
        other_owner.owner = scene.make.owner();
        other_nonce.nonce = scene.make.nonce();
        for other in [other_owner, other_nonce] {
            for rule in [on_existing, OnExisting::Replace, OnExisting::default()] {
                let mut other = other.clone();
                other.on_existing = rule;
                let result = scene.partition.create(scene.time, other);
                assert_eq!(kind(result), Some(ErrorKind::AlreadyExists), "{rule:?}");
            }
        }
        assert_eq!(
            scene.partition.create(scene.time, login.clone()).unwrap(),
            created
        );

        // A claim ends the login, also one by the same owner.
        let session = &created.session;
        let (nonce, owner) = (scene.make.nonce(), scene.owner.clone());
        let claim = ClaimSession::new(session.id, session.fence, owner, nonce, TTL);
        scene.partition.claim(scene.time, &claim).unwrap();
        assert_eq!(
            kind(scene.partition.create(scene.time, login)),
            Some(ErrorKind::Fenced)
        );
        account::check(&scene.partition, scene.time);
    }
}

#[test]
fn a_repetition_never_answers_an_expired_session() {
    type Repeat = fn(&mut Scene, bool) -> SessionRecord;
    let writes: [(&str, Repeat); 4] = [
        ("create", |scene, _| {
            let mut login = scene.request(OnExisting::Reject);
            login.id = SessionId::new(scene.player.partition(), [1; 16]);
            login.nonce = Nonce::from_bytes([1; 16]);
            scene.partition.create(scene.time, login).unwrap().session
        }),
        ("create that takes over", |scene, again| {
            if !again {
                scene.login(ANYONE);
            }
            let mut login = scene.request(ANYONE);
            login.id = SessionId::new(scene.player.partition(), [2; 16]);
            login.nonce = Nonce::from_bytes([2; 16]);
            scene.partition.create(scene.time, login).unwrap().session
        }),
        ("claim", |scene, again| {
            if !again {
                let mut login = scene.request(ANYONE);
                login.id = SessionId::new(scene.player.partition(), [3; 16]);
                login.nonce = Nonce::from_bytes([3; 16]);
                scene.partition.create(scene.time, login).unwrap();
            }
            let id = SessionId::new(scene.player.partition(), [3; 16]);
            let nonce = Nonce::from_bytes([3; 16]);
            let seen = Fence { epoch: 1, nonce };
            let claim = ClaimSession::new(id, seen, scene.owner.clone(), Nonce::from_bytes([4; 16]), TTL);
            scene.partition.claim(scene.time, &claim).unwrap().session
        }),
        ("restore", |scene, _| {
            let id = SessionId::new(scene.player.partition(), [5; 16]);
            let nonce = Nonce::from_bytes([5; 16]);
            let (player, owner) = (scene.player.clone(), scene.owner.clone());
            let lost = SessionRecord::new(id, player, owner, nonce, TTL, Bytes::new());
            let restore = RestoreSession::new(lost, Nonce::from_bytes([6; 16]));
            scene.partition.restore(scene.time, restore).unwrap().session
        }),
    ];
    for (name, write) in writes {
        let mut scene = Scene::new("expired-repeat");
        let first = write(&mut scene, false);
        scene.pass(SECOND * 2);
        assert_eq!(scene.partition.get(scene.time, &first.id), None, "{name}");
        let (taken, _) = scene.take(10);
        let again = write(&mut scene, true);
        assert_eq!(again, first, "{name}: with all of its time left");
        assert_eq!(scene.partition.get(scene.time, &first.id), Some(first), "{name}");
        assert_eq!(
            kind(scene.ack(&taken[0])),
            Some(ErrorKind::Fenced),
            "{name}: a revival voids the sweeper's token"
        );
        account::check(&scene.partition, scene.time);
    }
}

#[test]
fn a_restoration_of_ones_own_expired_session_revives_it() {
    let mut scene = Scene::new("own-expired");
    let session = scene.login(ANYONE);
    scene.pass(SECOND * 2);
    let restore = RestoreSession::new(session.clone(), scene.make.nonce());
    let restored = scene.partition.restore(scene.time, restore).unwrap().session;
    assert_eq!(restored, session);
    assert_eq!(scene.partition.find(scene.time, &scene.player), [session]);
}

#[tokio::test]
async fn a_slice_does_not_keep_its_buffer() {
    let make = Make::new("slice");
    let sessions = MemorySessions::new(Limits::default(), Arc::new(SimulatedClock::new()));
    let buffer = Bytes::from(vec![7_u8; 1 << 20]);
    let range = buffer.as_ptr_range();
    let kept = |data: &Bytes| range.contains(&data.as_ptr());
    let login = make.login(&make.player(), &make.owner(), TTL);
    let login = login.with_data(buffer.slice(10..20));
    let session = sessions.create(login).await.unwrap().session;
    assert!(!kept(&session.data), "create");

    let (data, operation) = (buffer.slice(20..30), make.operation());
    let save = SaveSession::new(session.id, session.fence, session.version, TTL, data, operation);
    sessions.save(save).await.unwrap();
    let saved = sessions.get(&session.id).await.unwrap().unwrap();
    assert!(!kept(&saved.data), "save");

    let (player, owner, nonce) = (make.player(), make.owner(), make.nonce());
    let id = make.session_id(&player);
    let lost = SessionRecord::new(id, player, owner, nonce, TTL, buffer.slice(30..40));
    let restore = RestoreSession::new(lost, make.nonce());
    let restored = sessions.restore(restore).await.unwrap().session;
    assert!(!kept(&restored.data), "restore");
    assert_eq!([&session.data, &saved.data, &restored.data], [&[7_u8; 10][..]; 3]);
}

#[test]
fn a_full_partition_refuses_what_needs_room_and_nothing_else() {
    let mut scene = Scene::new("full");
    scene.login(ANYONE);
    scene.login(ALLOW_3);
    scene.partition.sessions_max = 2;
    let mut create = |rule| {
        let request = scene.request(rule);
        let answer = scene.partition.create(scene.time, request);
        answer
            .map(|created| created.outcome)
            .map_err(|error| error.kind())
    };
    assert_eq!(create(ALLOW_3), Err(ErrorKind::Overloaded));
    assert_eq!(create(OnExisting::Reject), Err(ErrorKind::AlreadyExists));
    assert_eq!(create(OnExisting::Existing), Ok(CreateOutcome::Existing));
    assert_eq!(create(ANYONE), Ok(CreateOutcome::TakenOver));
    assert_eq!(create(OnExisting::Allow { max: 2 }), Ok(CreateOutcome::New));
    assert_eq!(create(OnExisting::Replace), Ok(CreateOutcome::New));
    assert_eq!(scene.partition.records.len(), 1);
    scene.login(ALLOW_3);
    scene.player = scene.make.player();
    let request = scene.request(ANYONE);
    let refused = scene.partition.create(scene.time, request).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
}
