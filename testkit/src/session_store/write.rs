//! Rules of writing to a session.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::session::{
    EndReason, OnExisting, RemoveSession, RestoreSession, SaveSession, TOMBSTONE_TTL, Touch, Touched,
};
use ringhold_core::{ErrorKind, Fence, SessionRecord, Ttl, Version};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::steps::{Bed, let_pass, long, short};
use crate::StoreHarness;
use crate::expect::{done, refused};

/// The fences that are almost the one of `session`: equality is of both parts.
fn wrong_fences(bed: &Bed<'_>, session: &SessionRecord) -> [Fence; 3] {
    let Fence { epoch, nonce } = session.fence;
    let other = bed.make.nonce();
    [
        Fence { epoch, nonce: other },
        Fence {
            epoch: epoch + 1,
            nonce,
        },
        Fence {
            epoch: epoch + 1,
            nonce: other,
        },
    ]
}

/// `save_compares_fence_and_version`.
pub async fn save_compares_fence_and_version<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("save_compares_fence_and_version", harness).await;
    let session = bed.session().await;
    for fence in wrong_fences(&bed, &session) {
        let mut save = bed.make.save(&session, b"wrong");
        save.fence = fence;
        refused(
            "a save with a wrong fence",
            bed.store.save(save.clone()).await,
            ErrorKind::Fenced,
        );
        save.version = Version::new(99);
        let both = bed.store.save(save).await;
        refused(
            "a save with a wrong fence and a wrong version",
            both,
            ErrorKind::Fenced,
        );
    }
    for version in [0, 2, u64::MAX] {
        let mut save = bed.make.save(&session, b"wrong");
        save.version = Version::new(version);
        let saved = bed.store.save(save).await;
        refused("a save with a wrong version", saved, ErrorKind::VersionConflict);
    }
    let mut unknown = bed.make.save(&session, b"wrong");
    unknown.id = bed.make.session_id(&session.player);
    refused(
        "a save of an unknown id",
        bed.store.save(unknown).await,
        ErrorKind::NotFound,
    );
    bed.is_unchanged("the session after saves that were refused", &session)
        .await;

    bed.pass(slice::from_ref(&session), Duration::from_secs(1)).await;
    let mut save = bed.make.save(&session, b"\0second\xff");
    save.ttl = Ttl::from_millis(long().as_millis() / 2).expect("in range");
    let saved = done("save", bed.store.save(save.clone()).await);
    bed.replicated("save", saved.replicated);
    assert_eq!(saved.version, Version::new(2), "the version grows by one");
    let mut expected = session.clone();
    expected.version = saved.version;
    expected.data = save.data.clone();
    expected.ttl = save.ttl;
    expected.remaining = save.ttl.duration();
    bed.is_unchanged("the session after a save", &expected).await;

    let stale = bed.make.save(&session, b"stale");
    refused(
        "a save over an old version",
        bed.store.save(stale).await,
        ErrorKind::VersionConflict,
    );
    let empty = done(
        "a save of no bytes",
        bed.store.save(bed.make.save(&expected, b"")).await,
    );
    assert_eq!(empty.version, Version::new(3));
    assert_eq!(bed.get(session.id).await.data, "");
}

/// `save_is_idempotent`.
pub async fn save_is_idempotent<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("save_is_idempotent", harness).await;
    let session = bed.session().await;
    let save = bed.make.save(&session, b"second");
    let first = done("save", bed.store.save(save.clone()).await);
    bed.touch(session.id, session.fence, long()).await;
    for _ in 0..2 {
        let again = done("a repetition of a save", bed.store.save(save.clone()).await);
        assert_eq!(
            again.version, first.version,
            "a repetition answers the version of the first time"
        );
    }
    let now = bed.get(session.id).await;
    assert_eq!(
        (now.version, now.data.as_ref()),
        (first.version, &b"second"[..]),
        "it was written once"
    );

    // Once the owner has written on, a late repetition is just an old write.
    let third = done(
        "the next save",
        bed.store.save(bed.make.save(&now, b"third")).await,
    );
    refused(
        "a late repetition of an older save",
        bed.store.save(save).await,
        ErrorKind::VersionConflict,
    );
    let now = bed.get(session.id).await;
    assert_eq!(
        (now.version, now.data.as_ref()),
        (third.version, &b"third"[..]),
        "the newest data stand"
    );
}

/// `touch_extends_and_keeps_the_version`.
pub async fn touch_extends_and_keeps_the_version<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("touch_extends_and_keeps_the_version", harness).await;
    let mut session = bed.session().await;
    bed.pass(slice::from_ref(&session), Duration::from_secs(4)).await;
    let left = bed.get(session.id).await.remaining;
    bed.is_about(
        "after four seconds",
        left,
        long().duration() - Duration::from_secs(4),
    );

    let longer = Ttl::from_millis(long().as_millis() * 2).expect("in range");
    for (ttl, what) in [
        (long(), "to the full time"),
        (longer, "to more"),
        (short(), "to less"),
    ] {
        let touched = bed.touch(session.id, session.fence, ttl).await;
        assert_eq!(touched, Touched::Renewed, "a touch {what}");
        session.ttl = ttl;
        session.remaining = ttl.duration();
        bed.is_unchanged(
            &format!("a touch {what}, with the version and data as they were"),
            &session,
        )
        .await;
    }
    bed.expire(slice::from_ref(&session)).await;
    bed.is_gone("a touch may shorten the time left", &session).await;
}

/// `touch_answers_each`.
pub async fn touch_answers_each<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("touch_answers_each", harness).await;
    let expired = bed.session_of(&bed.make.player(), short()).await;
    bed.bury(slice::from_ref(&expired)).await;
    let [live, other, claimed, removed, replaced] = [
        bed.session().await,
        bed.session().await,
        bed.session().await,
        bed.session().await,
        bed.session().await,
    ];
    let new_owner = bed.make.owner();
    done("claim", bed.store.claim(bed.claim(&claimed, &new_owner)).await);
    bed.remove(&removed).await;
    let login = bed
        .make
        .login_with(&replaced.player, &new_owner, long(), OnExisting::Replace);
    bed.create(login).await;

    let touch = |session: &SessionRecord| Touch::new(session.id, session.fence, short());
    let mut unknown = touch(&live);
    unknown.id = bed.make.session_id(&live.player);
    let mut wrong = touch(&other);
    [wrong.fence, ..] = wrong_fences(&bed, &other);
    let touches = [
        touch(&removed),
        touch(&live),
        unknown,
        wrong,
        touch(&claimed),
        touch(&replaced),
        touch(&expired),
        touch(&other),
    ];
    let answers = done("touch_many", bed.store.touch_many(&touches).await);
    let expected = [
        Touched::Ended(EndReason::Removed),
        Touched::Renewed,
        Touched::NotFound,
        Touched::Fenced {
            owner: other.owner.clone(),
        },
        Touched::Fenced { owner: new_owner },
        Touched::Ended(EndReason::Displaced),
        Touched::Ended(EndReason::Expired),
        Touched::Renewed,
    ];
    assert_eq!(answers, expected, "one answer per touch, in order");
    for (session, ttl) in [(&live, short()), (&other, short()), (&claimed, long())] {
        bed.is_about(
            "each touch works on its own session",
            bed.get(session.id).await.remaining,
            ttl.duration(),
        );
    }
    assert_eq!(
        done("touch_many", bed.store.touch_many(&[]).await),
        [],
        "no touch, no answer"
    );
}

/// `claim_changes_the_owner`.
pub async fn claim_changes_the_owner<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("claim_changes_the_owner", harness).await;
    let session = bed.session().await;
    let new_owner = bed.make.owner();
    for fence in wrong_fences(&bed, &session) {
        let mut claim = bed.claim(&session, &new_owner);
        claim.seen = fence;
        refused(
            "a claim on another fence",
            bed.store.claim(claim).await,
            ErrorKind::Fenced,
        );
    }
    let other_version = bed
        .claim(&session, &new_owner)
        .with_seen_version(session.version.next());
    refused(
        "a claim on another version",
        bed.store.claim(other_version).await,
        ErrorKind::VersionConflict,
    );
    let mut unknown = bed.claim(&session, &new_owner);
    unknown.id = bed.make.session_id(&session.player);
    refused(
        "a claim on an unknown id",
        bed.store.claim(unknown).await,
        ErrorKind::NotFound,
    );
    bed.is_unchanged("the session after claims that were refused", &session)
        .await;

    let saved = done("save", bed.store.save(bed.make.save(&session, b"second")).await);
    let mut expected = bed.get(session.id).await;
    for seen_version in [None, Some(saved.version)] {
        let before = expected.clone();
        let mut claim = bed.claim(&before, &bed.make.owner());
        claim.seen_version = seen_version;
        claim.ttl = Ttl::from_millis(before.ttl.as_millis() / 2).expect("in range");
        let claimed = done("claim", bed.store.claim(claim.clone()).await);
        bed.replicated("claim", claimed.replicated);
        expected.owner = claim.owner;
        expected.fence = Fence {
            epoch: before.fence.epoch + 1,
            nonce: claim.nonce,
        };
        expected.ttl = claim.ttl;
        expected.remaining = claim.ttl.duration();
        bed.is_same(
            "owner and fence are new, id, data and version stay",
            &claimed.session,
            &expected,
        );
        bed.is_unchanged("the session after a claim", &expected).await;
        let late = bed.make.save(&before, b"late");
        refused(
            "a save by the owner before",
            bed.store.save(late).await,
            ErrorKind::Fenced,
        );
    }
    assert_eq!(bed.ids(&session.player).await, [session.id], "find shows it once");
}

/// `claim_is_idempotent`.
pub async fn claim_is_idempotent<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("claim_is_idempotent", harness).await;
    let session = bed.session().await;
    let claim = bed
        .claim(&session, &bed.make.owner())
        .with_seen_version(session.version);
    let first = done("claim", bed.store.claim(claim.clone()).await).session;
    let again = done("a repetition of a claim", bed.store.claim(claim.clone()).await).session;
    bed.is_same("the session in a repetition's answer", &again, &first);

    let saved = done("save", bed.store.save(bed.make.save(&first, b"second")).await);
    let again = done("a repetition after a save", bed.store.claim(claim.clone()).await).session;
    assert_eq!(
        (again.id, &again.owner, again.fence),
        (first.id, &first.owner, first.fence)
    );
    let now = bed.get(session.id).await;
    assert_eq!(
        (now.fence, now.version),
        (first.fence, saved.version),
        "a repetition changes nothing"
    );

    done(
        "the next claim",
        bed.store.claim(bed.claim(&first, &bed.make.owner())).await,
    );
    refused(
        "a repetition after the next claim",
        bed.store.claim(claim).await,
        ErrorKind::Fenced,
    );
}

/// `one_claim_wins`: of eight at once, twenty times.
pub async fn one_claim_wins<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("one_claim_wins", harness).await;
    for round in 0..20 {
        let session = bed.session().await;
        let start = Arc::new(Barrier::new(8));
        let mut claims = JoinSet::new();
        for _ in 0..8 {
            let claim = bed.claim(&session, &bed.make.owner());
            let (store, start) = (Arc::clone(&bed.store), Arc::clone(&start));
            claims.spawn(async move {
                start.wait().await;
                store.claim(claim).await
            });
        }
        let mut winners = Vec::new();
        for result in claims.join_all().await {
            match result {
                Ok(claimed) => winners.push(claimed.session),
                error => refused("a claim that came too late", error, ErrorKind::Fenced),
            }
        }
        assert_eq!(
            winners.len(),
            1,
            "round {round}: one of eight claims must win: {winners:?}"
        );
        assert_eq!(winners[0].fence.epoch, session.fence.epoch + 1, "round {round}");
        bed.is_unchanged("what the winner holds", &winners[0]).await;
    }
}

/// `remove_compares_the_fence`.
pub async fn remove_compares_the_fence<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("remove_compares_the_fence", harness).await;
    let first = bed.session().await;
    let claimed = done(
        "claim",
        bed.store.claim(bed.claim(&first, &bed.make.owner())).await,
    )
    .session;
    let old = std::iter::once(first.fence);
    for fence in old.chain(wrong_fences(&bed, &claimed)) {
        let remove = RemoveSession::new(claimed.id, fence, bed.make.operation());
        refused(
            "a removal with another fence",
            bed.store.remove(remove).await,
            ErrorKind::Fenced,
        );
    }
    bed.is_unchanged("the session after removals that were refused", &claimed)
        .await;
    let unknown = bed.make.session_id(&claimed.player);
    let unknown = RemoveSession::new(unknown, claimed.fence, bed.make.operation());
    refused(
        "a removal of an unknown id",
        bed.store.remove(unknown).await,
        ErrorKind::NotFound,
    );

    let remove = RemoveSession::new(claimed.id, claimed.fence, bed.make.operation());
    let removed = done("remove", bed.store.remove(remove.clone()).await);
    bed.replicated("remove", removed.replicated);
    bed.has_ended("a removed session", &claimed, &[EndReason::Removed])
        .await;
    done(
        "a repetition of a removal",
        bed.store.remove(remove.clone()).await,
    );

    // The next stay of the player is out of the reach of a late repetition.
    let next = bed.session_of(&claimed.player, long()).await;
    done("a late repetition of a removal", bed.store.remove(remove).await);
    bed.is_unchanged("the player's next session", &next).await;
}

/// `ended_is_fenced`, at once and shortly before the tombstone goes.
pub async fn ended_is_fenced<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("ended_is_fenced", harness).await;
    let expired = bed.session_of(&bed.make.player(), short()).await;
    bed.bury(slice::from_ref(&expired)).await;
    let (removed, replaced) = (bed.session().await, bed.session().await);
    let removal = bed.remove(&removed).await;
    let login = bed
        .make
        .login_with(&replaced.player, &replaced.owner, long(), OnExisting::Replace);
    bed.create(login).await;

    let ended = [
        (&removed, EndReason::Removed),
        (&replaced, EndReason::Displaced),
        (&expired, EndReason::Expired),
    ];
    let partitions = ended.map(|(session, _)| session.id.partition());
    let most = TOMBSTONE_TTL - Duration::from_secs(1) - bed.slop;
    for (wait, when) in [
        (Duration::ZERO, "at once"),
        (most, "shortly before its tombstone goes"),
    ] {
        let_pass(&*bed.store, bed.time, &partitions, wait).await;
        for (session, reason) in ended {
            let what = |act| format!("{act} of a session that has ended ({reason:?}), {when}");
            let save = bed.make.save(session, b"late");
            refused(&what("a save"), bed.store.save(save).await, ErrorKind::Fenced);
            let claim = bed.claim(session, &bed.make.owner());
            refused(&what("a claim"), bed.store.claim(claim).await, ErrorKind::Fenced);
            let restore = RestoreSession::new(session.clone(), bed.make.nonce());
            refused(
                &what("a restoration"),
                bed.store.restore(restore).await,
                ErrorKind::Fenced,
            );
            let remove = RemoveSession::new(session.id, session.fence, bed.make.operation());
            refused(
                &what("a removal"),
                bed.store.remove(remove).await,
                ErrorKind::Fenced,
            );
            bed.has_ended(&what("a touch"), session, &[reason]).await;
        }
        done(
            "the removal's own repetition",
            bed.store.remove(removal.clone()).await,
        );
    }
}

/// What its owner remembers of a session that the store has lost.
fn lost(bed: &Bed<'_>) -> SessionRecord {
    let player = bed.make.player();
    let (id, owner) = (bed.make.session_id(&player), bed.make.owner());
    let mut session = SessionRecord::new(id, player, owner, bed.make.nonce(), long(), b"saved"[..].into());
    session.fence.epoch = 5;
    session.version = Version::new(7);
    session.remaining = Duration::from_millis(1);
    session
}

/// `restore_brings_back`.
pub async fn restore_brings_back<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("restore_brings_back", harness).await;
    let session = lost(&bed);
    let restore = RestoreSession::new(session.clone(), bed.make.nonce());
    let restored = done("restore", bed.store.restore(restore.clone()).await);
    bed.replicated("restore", restored.replicated);
    let mut expected = session.clone();
    expected.fence = Fence {
        epoch: 6,
        nonce: restore.nonce,
    };
    expected.remaining = session.ttl.duration();
    bed.is_same(
        "the next epoch, and the given data and version",
        &restored.session,
        &expected,
    );
    bed.is_unchanged("the restored session", &expected).await;
    assert_eq!(bed.ids(&session.player).await, [session.id], "find shows it");

    let again = done("a repetition", bed.store.restore(restore.clone()).await);
    bed.is_same("a repetition's answer", &again.session, &expected);
    let save = SaveSession::new(
        session.id,
        expected.fence,
        expected.version,
        long(),
        "8",
        bed.make.operation(),
    );
    expected.version = done("save", bed.store.save(save.clone()).await).version;
    expected.data = save.data;
    let again = done("a repetition after a save", bed.store.restore(restore).await);
    bed.is_same("it is answered as it stands", &again.session, &expected);

    // The store still has it, under the caller's own fence, and maybe newer than the caller knows.
    let stands = bed.session().await;
    done("save", bed.store.save(bed.make.save(&stands, b"newer")).await);
    let newer = bed.get(stands.id).await;
    let restored = done(
        "restore",
        bed.store
            .restore(RestoreSession::new(stands, bed.make.nonce()))
            .await,
    );
    bed.is_same(
        "what stands under the caller's fence is answered as it stands",
        &restored.session,
        &newer,
    );
    bed.is_unchanged("what stands under the caller's fence", &newer)
        .await;
}

/// `restore_yields_to_others`.
pub async fn restore_yields_to_others<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("restore_yields_to_others", harness).await;
    let removed = bed.session().await;
    bed.remove(&removed).await;
    let restore = RestoreSession::new(removed.clone(), bed.make.nonce());
    refused(
        "a restoration of what has ended",
        bed.store.restore(restore).await,
        ErrorKind::Fenced,
    );
    bed.has_ended("the ended session", &removed, &[EndReason::Removed])
        .await;

    let first = bed.session().await;
    let claimed = done(
        "claim",
        bed.store.claim(bed.claim(&first, &bed.make.owner())).await,
    )
    .session;
    let restore = RestoreSession::new(first, bed.make.nonce());
    refused(
        "a restoration of what others hold",
        bed.store.restore(restore).await,
        ErrorKind::Fenced,
    );
    bed.is_unchanged("what others hold", &claimed).await;

    let session = lost(&bed);
    let login = |max| {
        let way = OnExisting::Allow { max };
        bed.make
            .login_with(&session.player, &bed.make.owner(), long(), way)
    };
    for others in 1..=2_u16 {
        bed.create(login(others)).await;
        let before = bed.ids(&session.player).await;
        let mut restore = RestoreSession::new(session.clone(), bed.make.nonce());
        restore.live_max = others;
        let result = bed.store.restore(restore).await;
        let what = format!("a restoration of a player with {others} other live sessions, at most {others}");
        refused(&what, result, ErrorKind::AlreadyExists);
        assert_eq!(
            bed.ids(&session.player).await,
            before,
            "{what}, changed what stands"
        );
    }
    let mut restore = RestoreSession::new(session.clone(), bed.make.nonce());
    restore.live_max = 3;
    done(
        "a restoration beside two others, at most three",
        bed.store.restore(restore).await,
    );
    let standing = bed.ids(&session.player).await;
    assert!(
        standing.len() == 3 && standing.contains(&session.id),
        "all three stand: {standing:?}"
    );
}
