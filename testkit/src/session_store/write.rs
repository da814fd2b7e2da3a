//! Rules of writing to a session.

use std::slice;
use std::time::Duration;

use ringhold_core::id::NUMBER_MAX;
use ringhold_core::session::{EndReason, OnExisting, Touch, Touched};
use ringhold_core::{ErrorKind, Fence, SessionRecord, Ttl, Version};

use super::steps::{Bed, long, short};
use crate::StoreHarness;
use crate::expect::{done, refused, shorter};

/// The fences that are almost the one of `session`: equality is of both parts.
pub(super) fn wrong_fences(bed: &Bed<'_>, session: &SessionRecord) -> [Fence; 3] {
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
    for version in [0, 2, NUMBER_MAX - 1] {
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
        shorter(long().duration(), Duration::from_secs(4)),
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
    for fence in wrong_fences(&bed, &other) {
        let touched = bed.touch(other.id, fence, short()).await;
        let owner = other.owner.clone();
        assert_eq!(touched, Touched::Fenced { owner }, "a touch with a wrong fence");
        bed.is_unchanged("a session that was touched with a wrong fence", &other)
            .await;
    }
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
    let answers = done("touch_many", bed.store.touch_many(&touches).await).answers;
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
        done("touch_many", bed.store.touch_many(&[]).await).answers,
        [],
        "no touch, no answer"
    );
}
