//! Rules of logging in.

use std::slice;
use std::time::Duration;

use ringhold_core::session::{CreateOutcome, Displaced, EndReason, OnExisting, TakeoverFrom};
use ringhold_core::{
    ErrorKind, Fence, Incarnation, Limits, NodeIncarnation, SessionId, SessionRecord, Ttl, Version,
};

use super::steps::{Bed, long, short};
use crate::StoreHarness;
use crate::expect::{done, refused};

pub(super) const OWN: OnExisting = OnExisting::Takeover {
    from: TakeoverFrom::Own,
};
pub(super) const ANYONE: OnExisting = OnExisting::Takeover {
    from: TakeoverFrom::Anyone,
};

/// Every way to log in, each of which makes a session where there is none.
pub(super) const ALL_WAYS: [OnExisting; 6] = [
    OnExisting::Existing,
    OWN,
    ANYONE,
    OnExisting::Reject,
    OnExisting::Replace,
    OnExisting::Allow { max: 1 },
];

pub(super) fn allow(max: u16) -> OnExisting {
    OnExisting::Allow { max }
}

/// `create_makes_a_session`, whatever the login does about live sessions.
pub async fn create_makes_a_session<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_makes_a_session", harness).await;
    for way in ALL_WAYS {
        let (player, owner) = (bed.make.player(), bed.make.owner());
        let request = bed
            .make
            .login_with(&player, &owner, long(), way)
            .with_data(&b"\0data\xff"[..]);
        let created = bed.created(request.clone()).await;
        let mut expected = SessionRecord::new(
            request.id,
            player.clone(),
            owner,
            request.nonce,
            long(),
            request.data,
        );
        assert_eq!(
            expected.fence,
            Fence {
                epoch: 1,
                nonce: request.nonce
            }
        );
        expected.version = Version::FIRST;
        assert_eq!(created.outcome, CreateOutcome::New, "{way:?}");
        assert_eq!(created.displaced, [], "{way:?}: nobody was there");
        bed.is_same("the session in the answer", &created.session, &expected);
        bed.is_unchanged("the session that get shows", &expected).await;
        assert_eq!(bed.ids(&player).await, [request.id], "{way:?}: find");
    }
}

/// `create_returns_the_existing`.
pub async fn create_returns_the_existing<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_returns_the_existing", harness).await;
    let (player, owner) = (bed.make.player(), bed.make.owner());
    let first = bed
        .make
        .login_with(&player, &owner, long(), OnExisting::Existing)
        .with_data(&b"first"[..]);
    let session = bed.create(first.clone()).await;
    assert_eq!(bed.create(first).await.fence, session.fence, "sent again");
    done("save", bed.store.save(bed.make.save(&session, b"saved")).await);
    bed.pass(slice::from_ref(&session), Duration::from_secs(1)).await;
    let session = bed.get(session.id).await;
    for other in [&owner, &next_run(&bed, &owner), &bed.make.owner()] {
        is_returned_untouched(&bed, other, &session).await;
    }

    // Of several sessions the caller's own newest, otherwise the newest.
    let mut others = Vec::new();
    for _ in 0..2 {
        let login = bed.make.login_with(&player, &bed.make.owner(), long(), allow(4));
        others.push(bed.create(login).await);
    }
    let [middle, newest] = &others[..] else {
        unreachable!("two were made")
    };
    is_returned_untouched(&bed, &owner, &session).await;
    is_returned_untouched(&bed, &middle.owner, middle).await;
    is_returned_untouched(&bed, &bed.make.owner(), newest).await;
    let again = bed.make.login_with(&player, &owner, long(), allow(4));
    let own = bed.create(again).await;
    is_returned_untouched(&bed, &owner, &own).await;
}

/// Logs in as `owner` under `Existing`, and checks that `session` is returned and nothing changes.
async fn is_returned_untouched(bed: &Bed<'_>, owner: &NodeIncarnation, session: &SessionRecord) {
    let before = bed.ids(&session.player).await;
    let login = bed
        .make
        .login_with(&session.player, owner, short(), OnExisting::Existing)
        .with_data(&b"of the login"[..]);
    for attempt in ["login", "its repetition"] {
        let created = bed.created(login.clone()).await;
        assert_eq!(created.outcome, CreateOutcome::Existing, "{attempt} of {owner}");
        assert_eq!(created.displaced, [], "{attempt} of {owner} ends no hold");
        bed.is_same("the existing session in the answer", &created.session, session);
    }
    bed.is_unchanged("the existing session", session).await;
    assert_eq!(
        bed.ids(&session.player).await,
        before,
        "nothing was made or ended"
    );
}

/// `create_takes_over_its_own`.
pub async fn create_takes_over_its_own<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_takes_over_its_own", harness).await;
    let (player, owner) = (bed.make.player(), bed.make.owner());
    let first = bed
        .create(bed.make.login(&player, &owner, long()).with_data(&b"first"[..]))
        .await;
    done("save", bed.store.save(bed.make.save(&first, b"saved")).await);
    takes_over(&bed, first.id, &owner, OWN).await;
    takes_over(&bed, first.id, &owner, ANYONE).await;

    // Of several sessions, the newest.
    let newest = bed
        .create(bed.make.login_with(&player, &owner, long(), allow(2)))
        .await;
    takes_over(&bed, newest.id, &owner, OWN).await;
}

/// `create_takes_over_anyones`.
pub async fn create_takes_over_anyones<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_takes_over_anyones", harness).await;
    let session = bed.session().await;
    done("save", bed.store.save(bed.make.save(&session, b"saved")).await);
    takes_over(&bed, session.id, &bed.make.owner(), ANYONE).await;
    takes_over(
        &bed,
        session.id,
        &next_run(&bed, &bed.get(session.id).await.owner),
        ANYONE,
    )
    .await;

    // Of several sessions, the newest.
    let newest = bed
        .make
        .login_with(&session.player, &bed.make.owner(), long(), allow(2));
    let newest = bed.create(newest).await;
    takes_over(&bed, newest.id, &bed.make.owner(), ANYONE).await;
}

/// Logs in with `way` as `owner`, and checks that this takes the session `id` over.
async fn takes_over(bed: &Bed<'_>, id: SessionId, owner: &NodeIncarnation, way: OnExisting) {
    let before = bed.get(id).await;
    let ttl = Ttl::from_millis(long().as_millis() / 2).expect("in range");
    let login = bed
        .make
        .login_with(&before.player, owner, ttl, way)
        .with_data(&b"of the login"[..]);
    let created = bed.created(login.clone()).await;

    let mut expected = before.clone();
    expected.owner = owner.clone();
    expected.fence = Fence {
        epoch: before.fence.epoch + 1,
        nonce: login.nonce,
    };
    expected.ttl = ttl;
    expected.remaining = ttl.duration();
    assert_eq!(created.outcome, CreateOutcome::TakenOver, "{way:?}");
    bed.is_same(
        "id, version and data stay, owner and fence are the login's",
        &created.session,
        &expected,
    );
    assert_eq!(
        created.displaced,
        [Displaced::from(&before)],
        "{way:?}: the old hold"
    );
    bed.is_unchanged("the session after the takeover", &expected)
        .await;
    let by_login = done("get", bed.store.get(&login.id).await);
    assert_eq!(by_login, None, "{way:?}: the login's own id names no session");

    let late = bed.make.save(&before, b"of the old holder");
    refused(
        "a save by the old holder",
        bed.store.save(late).await,
        ErrorKind::Fenced,
    );
}

/// `create_leaves_anothers_alone`.
pub async fn create_leaves_anothers_alone<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_leaves_anothers_alone", harness).await;
    let session = bed.session().await;
    let owner = &session.owner;
    let same_number = Incarnation {
        number: owner.incarnation.number,
        nonce: bed.make.nonce(),
    };
    let others = [
        bed.make.owner(),
        next_run(&bed, owner),
        NodeIncarnation::new(owner.node.clone(), same_number),
    ];
    bed.pass(slice::from_ref(&session), Duration::from_secs(1)).await;
    let before = bed.get(session.id).await;
    for other in &others {
        let login = bed
            .make
            .login(&session.player, other, long())
            .with_data(&b"of another"[..]);
        for attempt in ["login", "its repetition"] {
            let created = bed.created(login.clone()).await;
            assert_eq!(created.outcome, CreateOutcome::Elsewhere, "{attempt} of {other}");
            assert_eq!(created.displaced, [], "{attempt} of {other} ends no hold");
            bed.is_same("the other's session in the answer", &created.session, &before);
        }
        bed.is_unchanged("the other's session", &before).await;
        assert_eq!(
            bed.ids(&session.player).await,
            [session.id],
            "nothing was made for {other}"
        );
    }
}

/// `create_rejects`.
pub async fn create_rejects<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_rejects", harness).await;
    let (player, owner) = (bed.make.player(), bed.make.owner());
    let first = bed.make.login_with(&player, &owner, long(), OnExisting::Reject);
    let session = bed.create(first.clone()).await;
    for other in [&owner, &bed.make.owner()] {
        let login = bed.make.login_with(&player, other, long(), OnExisting::Reject);
        let again = bed.store.create(login).await;
        refused("a second login under `Reject`", again, ErrorKind::AlreadyExists);
    }
    bed.is_unchanged("the first session", &session).await;
    assert_eq!(bed.ids(&player).await, [session.id], "only the first session");
    assert_eq!(
        bed.create(first).await.fence,
        session.fence,
        "a login does not reject its own repetition"
    );
}

/// `create_replaces`.
pub async fn create_replaces<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_replaces", harness).await;
    let (player, owner) = (bed.make.player(), bed.make.owner());
    let one = bed
        .create(bed.make.login_with(&player, &owner, long(), allow(2)))
        .await;
    let two = bed
        .create(bed.make.login_with(&player, &bed.make.owner(), long(), allow(2)))
        .await;

    let login = bed
        .make
        .login_with(&player, &owner, long(), OnExisting::Replace)
        .with_data(&b"new"[..]);
    let created = bed.created(login.clone()).await;
    assert_eq!(created.outcome, CreateOutcome::New);
    assert_eq!(
        (created.session.id, created.session.fence.epoch),
        (login.id, 1),
        "a new session"
    );
    assert_eq!(created.session.data, "new");
    let displaced = [Displaced::from(&one), Displaced::from(&two)];
    assert_eq!(created.displaced, displaced, "every old hold, oldest first");
    for old in [&one, &two] {
        bed.has_ended("a replaced session", old, &[EndReason::Displaced])
            .await;
    }
    assert_eq!(bed.ids(&player).await, [login.id], "only the new session");
}

/// `create_allows_up_to_max`.
pub async fn create_allows_up_to_max<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_allows_up_to_max", harness).await;
    let player = bed.make.player();
    // Ids fall while logins go on: the store's order is not that of ids.
    let mut ids: Vec<_> = (0..6).map(|_| bed.make.session_id(&player)).collect();
    ids.sort_unstable();
    let login = |id, max| {
        let mut login = bed
            .make
            .login_with(&player, &bed.make.owner(), long(), allow(max));
        login.id = id;
        login
    };
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let created = bed.created(login(ids.pop().expect("six ids"), 3)).await;
        assert_eq!(created.displaced, [], "there is room for three");
        sessions.push(created.session);
    }
    let order = |sessions: &[SessionRecord]| sessions.iter().map(|s| s.id).collect::<Vec<_>>();
    assert_eq!(
        bed.ids(&player).await,
        order(&sessions),
        "find answers in the order of the logins"
    );

    // Neither a touch nor a save makes the oldest younger.
    bed.touch(sessions[0].id, sessions[0].fence, long()).await;
    done(
        "save",
        bed.store.save(bed.make.save(&sessions[0], b"saved")).await,
    );
    let created = bed.created(login(ids.pop().expect("six ids"), 3)).await;
    assert_eq!(created.outcome, CreateOutcome::New);
    assert_eq!(
        created.displaced,
        [Displaced::from(&sessions[0])],
        "the oldest makes room"
    );
    bed.has_ended("the oldest session", &sessions.remove(0), &[EndReason::Displaced])
        .await;
    sessions.push(created.session);
    assert_eq!(bed.ids(&player).await, order(&sessions));

    let created = bed.created(login(ids.pop().expect("six ids"), 2)).await;
    let ended: Vec<_> = sessions[..2].iter().map(Displaced::from).collect();
    assert_eq!(
        created.displaced, ended,
        "a smaller maximum ends as many as it takes, oldest first"
    );
    let standing = [sessions[2].clone(), created.session];
    assert_eq!(bed.ids(&player).await, order(&standing));

    let last = ids.pop().expect("six ids");
    for max in [0, Limits::SESSIONS_PER_PLAYER_MAX + 1, u16::MAX] {
        let result = bed.store.create(login(last, max)).await;
        let what = format!("a login that allows {max} sessions");
        refused(&what, result, ErrorKind::InvalidArgument);
        assert_eq!(
            bed.ids(&player).await,
            order(&standing),
            "{what}, makes and ends nothing"
        );
    }
    let created = bed.created(login(last, 1)).await;
    assert_eq!(created.displaced.len(), 2, "a maximum of 1 ends all others");
    assert_eq!(bed.ids(&player).await, [created.session.id]);
}

/// `create_checks_the_partition`.
pub async fn create_checks_the_partition<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_checks_the_partition", harness).await;
    let player = bed.make.player();
    let other = bed.make.player_outside(player.partition());
    for way in ALL_WAYS {
        let mut login = bed.make.login_with(&player, &bed.make.owner(), long(), way);
        login.id = bed.make.session_id(&other);
        let created = bed.store.create(login.clone()).await;
        refused(
            "an id of another partition than the player's",
            created,
            ErrorKind::InvalidArgument,
        );
        assert_eq!(
            done("get", bed.store.get(&login.id).await),
            None,
            "nothing was made"
        );
        assert_eq!(bed.ids(&player).await, [], "nothing was made");
    }
}

/// The next run of the same node.
fn next_run(bed: &Bed<'_>, owner: &NodeIncarnation) -> NodeIncarnation {
    let incarnation = Incarnation {
        number: owner.incarnation.number + 1,
        nonce: bed.make.nonce(),
    };
    NodeIncarnation::new(owner.node.clone(), incarnation)
}
