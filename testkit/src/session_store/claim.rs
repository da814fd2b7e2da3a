//! Rules of changing the owner, and of ending.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::session::{EndReason, OnExisting, RemoveSession, RestoreSession, TOMBSTONE_TTL};
use ringhold_core::{ErrorKind, Fence, Ttl, Version};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::steps::{Bed, let_pass, long, short};
use super::write::wrong_fences;
use crate::StoreHarness;
use crate::expect::{done, refused, shorter};

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
        .with_seen_version(Version::new(session.version.get() + 1));
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

    let session = bed.session().await;
    let mut claim = bed.claim(&session, &bed.make.owner());
    claim.ttl = short();
    let first = done("claim", bed.store.claim(claim.clone()).await).session;
    bed.expire(slice::from_ref(&first)).await;
    let again = done("a repetition after an expiry", bed.store.claim(claim).await).session;
    let what = "a repetition of a claim revives the session that has expired";
    bed.is_same(what, &again, &first);
    bed.is_unchanged(what, &first).await;
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
    let most = shorter(TOMBSTONE_TTL, Duration::from_secs(1) + bed.slop);
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
