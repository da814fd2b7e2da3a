//! Rules of bringing back what a store lost.

use std::slice;
use std::time::Duration;

use ringhold_core::session::{EndReason, OnExisting, RestoreSession, SaveSession};
use ringhold_core::{ErrorKind, Fence, Limits, SessionRecord, Version};

use super::steps::{Bed, long, short};
use crate::StoreHarness;
use crate::expect::{done, refused};

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
    revives_what_has_expired(&bed).await;
}

/// Whoever brings a session back has it afterwards: it is never answered expired.
async fn revives_what_has_expired(bed: &Bed<'_>) {
    let own = bed.session_of(&bed.make.player(), short()).await;
    let restore_own = RestoreSession::new(own.clone(), bed.make.nonce());

    let mut session = lost(bed);
    session.ttl = short();
    let repeated = RestoreSession::new(session, bed.make.nonce());
    let first = done("restore", bed.store.restore(repeated.clone()).await).session;
    bed.expire(&[own.clone(), first.clone()]).await;
    for (what, restore, expected) in [
        (
            "a restoration of one's own session that has expired",
            restore_own,
            own,
        ),
        (
            "a repetition of a restoration whose session has expired",
            repeated,
            first,
        ),
    ] {
        let restored = done(what, bed.store.restore(restore).await).session;
        bed.is_same(&format!("{what} revives it"), &restored, &expected);
        bed.is_unchanged(what, &expected).await;
    }
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
    for max in [0, Limits::SESSIONS_PER_PLAYER_MAX + 1] {
        restore.live_max = max;
        let what = format!("a restoration beside at most {max} sessions");
        let result = bed.store.restore(restore.clone()).await;
        refused(&what, result, ErrorKind::InvalidArgument);
    }
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

    // Only live ones count.
    let session = lost(&bed);
    let expired = bed.session_of(&session.player, short()).await;
    bed.expire(slice::from_ref(&expired)).await;
    let restore = RestoreSession::new(session.clone(), bed.make.nonce());
    done(
        "a restoration beside an expired session",
        bed.store.restore(restore).await,
    );
    assert_eq!(bed.ids(&session.player).await, [session.id]);
}
