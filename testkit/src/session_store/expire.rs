//! Rules of expiring.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use ringhold_core::session::{AckExpired, EndReason, OnExisting, TakeExpired, TakenSession, Touched};
use ringhold_core::{ErrorKind, Nonce, SessionRecord, Version};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::steps::{Bed, long, short};
use crate::StoreHarness;
use crate::expect::{done, refused, shorter};

/// The three ways in which an owner, old or new, revives a session.
const WAYS: [&str; 3] = ["touch", "save", "claim"];

/// Revives `session` in one of [`WAYS`], and answers it as it then stands.
async fn revive(bed: &Bed<'_>, way: &str, session: &SessionRecord) -> SessionRecord {
    let what = format!("{way} of an expired session");
    let mut expected = session.clone();
    expected.remaining = expected.ttl.duration();
    match way {
        "touch" => {
            let touched = bed.touch(session.id, session.fence, session.ttl).await;
            assert_eq!(touched, Touched::Renewed, "{what}");
        }
        "save" => {
            let save = bed.make.save(session, b"revived");
            expected.data = save.data.clone();
            expected.version = done(&what, bed.store.save(save).await).version;
            assert_eq!(
                expected.version,
                Version::new(session.version.get() + 1),
                "{what}"
            );
        }
        _ => {
            let claimed = done(
                &what,
                bed.store.claim(bed.claim(session, &bed.make.owner())).await,
            )
            .session;
            (expected.owner, expected.fence) = (claimed.owner, claimed.fence);
        }
    }
    bed.is_unchanged(&what, &expected).await;
    assert_eq!(
        bed.ids(&session.player).await,
        [session.id],
        "{what}: find shows it again"
    );
    expected
}

/// `expired_can_be_revived`, before and after it was taken, until it is acknowledged. That a login
/// which unlinks it ends this too is part of `create_unlinks_the_expired`.
pub async fn expired_can_be_revived<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("expired_can_be_revived", harness).await;
    let mut sessions = Vec::new();
    for _ in WAYS {
        sessions.push(bed.session_of(&bed.make.player(), short()).await);
    }
    for taken_first in [false, true] {
        bed.expire(&sessions).await;
        for (session, way) in sessions.iter_mut().zip(WAYS) {
            if taken_first {
                let taken = bed.take(session.id.partition(), 10).await;
                assert_eq!(taken.sessions.len(), 1, "an expired session is taken: {taken:?}");
            }
            bed.is_gone("an expired session", session).await;
            *session = revive(&bed, way, session).await;
        }
    }
    bed.bury(&sessions).await;
    for session in &sessions {
        bed.has_ended("an acknowledged session", session, &[EndReason::Expired])
            .await;
        let save = bed.make.save(session, b"too late");
        refused(
            "a save after the acknowledgement",
            bed.store.save(save).await,
            ErrorKind::Fenced,
        );
        let claim = bed.claim(session, &bed.make.owner());
        refused(
            "a claim after the acknowledgement",
            bed.store.claim(claim).await,
            ErrorKind::Fenced,
        );
    }
}

/// Sessions of one partition that expire in their order, one millisecond or the backend's
/// resolution after the other.
async fn expiring_together(bed: &Bed<'_>, count: u16) -> Vec<SessionRecord> {
    let player = bed.make.player();
    let mut sessions = Vec::new();
    for _ in 0..count {
        let way = OnExisting::Allow { max: count };
        sessions.push(
            bed.create(bed.make.login_with(&player, &bed.make.owner(), short(), way))
                .await,
        );
        bed.pass(&sessions, bed.capabilities.ttl_resolution).await;
    }
    sessions
}

/// `expiry_goes_to_one_sweeper`: of six that take at once, each session goes to one.
pub async fn expiry_goes_to_one_sweeper<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("expiry_goes_to_one_sweeper", harness).await;
    let sessions = expiring_together(&bed, 5).await;
    let live = bed
        .session_of(&bed.make.player_in(sessions[0].id.partition()), long())
        .await;
    bed.expire(&sessions).await;
    let partition = live.id.partition();

    let first = bed.take(partition, 1).await;
    let first_ids: Vec<_> = first.sessions.iter().map(|taken| taken.session.id).collect();
    assert_eq!(
        first_ids,
        [sessions[0].id],
        "the longest expired first, and no more than the limit"
    );
    assert_eq!(
        first.more,
        [partition],
        "there is more than the limit let through"
    );
    assert_eq!(first.unreadable, [], "everything here can be read");

    let start = Arc::new(Barrier::new(6));
    let mut sweepers = JoinSet::new();
    for _ in 0..6 {
        let (store, start, request) = (
            Arc::clone(&bed.store),
            Arc::clone(&start),
            bed.make.take(partition, 3),
        );
        sweepers.spawn(async move {
            start.wait().await;
            (request.token, store.take_expired(request).await)
        });
    }
    let mut by_id: HashMap<_, TakenSession> = HashMap::new();
    for (token, result) in sweepers.join_all().await {
        let got = done("take_expired", result).sessions;
        assert!(got.len() <= 3, "no more than the limit: {got:?}");
        for taken in got {
            assert_eq!(taken.token, token, "a take answers its own token");
            let twice = by_id.insert(taken.session.id, taken);
            assert!(twice.is_none(), "two sweepers got the same session: {twice:?}");
        }
    }
    for session in &sessions[1..] {
        let taken = by_id
            .remove(&session.id)
            .unwrap_or_else(|| panic!("nobody got {:?}", session.id));
        let mut expected = session.clone();
        expected.remaining = Duration::ZERO;
        bed.is_same("a taken session is what it was", &taken.session, &expected);
    }
    assert!(
        by_id.is_empty(),
        "what was taken already, or is live, was taken: {by_id:?}"
    );
    let late = bed.take(partition, 10).await;
    assert_eq!(
        (late.sessions, late.more),
        (vec![], vec![]),
        "nothing is left to take"
    );
}

/// `expiry_comes_again`.
pub async fn expiry_comes_again<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("expiry_comes_again", harness).await;
    let session = bed.session_of(&bed.make.player(), short()).await;
    let (of, partition) = (slice::from_ref(&session), session.id.partition());
    let visibility = short().duration();
    bed.expire(of).await;
    let mut tokens: Vec<Nonce> = Vec::new();
    for time in 1..=3 {
        let request = bed.make.take(partition, 10).with_visibility(visibility);
        tokens.push(request.token);
        let taken = done("take_expired", bed.store.take_expired(request).await).sessions;
        assert_eq!(
            taken.len(),
            1,
            "time {time}: the session is there to take: {taken:?}"
        );
        assert_eq!(
            (taken[0].session.id, taken[0].token),
            (session.id, tokens[time - 1]),
            "time {time}"
        );
        for old in &tokens[..time - 1] {
            let ack = bed.store.ack_expired(AckExpired::new(session.id, *old)).await;
            refused(
                "an acknowledgement with the token of an earlier take",
                ack,
                ErrorKind::Fenced,
            );
        }
        bed.pass(of, shorter(visibility, bed.slop * 2)).await;
        assert_eq!(
            bed.take(partition, 10).await.sessions,
            [],
            "time {time}: hidden for the visibility timeout"
        );
        if time < 3 {
            bed.pass(of, bed.slop * 4).await;
        }
    }
    let ack = AckExpired::new(session.id, tokens[2]);
    done(
        "ack_expired with the last token",
        bed.store.ack_expired(ack).await,
    );
    bed.pass(of, visibility + bed.slop * 4).await;
    assert_eq!(
        bed.take(partition, 10).await.sessions,
        [],
        "never again once it was acknowledged"
    );
}

/// `hiding_keeps_the_take`: for longer and for less long than the take itself.
pub async fn hiding_keeps_the_take<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("hiding_keeps_the_take", harness).await;
    let session = bed.session_of(&bed.make.player(), short()).await;
    let (of, partition) = (slice::from_ref(&session), session.id.partition());
    let visibility = short().duration();
    bed.expire(of).await;
    let mut token = None;
    // The second time it stays hidden for less long than the take asked for.
    for (taken_for, hidden_for) in [(visibility, visibility * 3), (visibility * 3, visibility)] {
        let request = bed.make.take(partition, 10).with_visibility(taken_for);
        token = Some(request.token);
        let hide = AckExpired::hide(session.id, request.token, hidden_for);
        let other = AckExpired::hide(session.id, bed.make.nonce(), hidden_for);
        let what = format!("a session taken for {taken_for:?} and hidden for {hidden_for:?}");
        let found = done("take_expired", bed.store.take_expired(request).await).sessions;
        assert_eq!(found.len(), 1, "{what} is taken: {found:?}");
        let half = taken_for.min(hidden_for) / 2;
        bed.pass(of, half).await;
        refused(
            "hiding with another token",
            bed.store.ack_expired(other).await,
            ErrorKind::Fenced,
        );
        for attempt in ["hiding", "its retry"] {
            done(attempt, bed.store.ack_expired(hide).await);
        }
        bed.is_gone(&what, &session).await;
        bed.pass(of, shorter(hidden_for, bed.slop * 2)).await;
        let hidden = bed.take(partition, 10).await.sessions;
        assert_eq!(hidden, [], "{what} stays hidden from the moment of hiding on");
        bed.pass(of, bed.slop * 4).await;
    }
    let (again, ack) = bed.take_for_ack(&session).await;
    assert_eq!(again.sessions.len(), 1, "it comes again: {again:?}");
    let old = token.map(|token| AckExpired::hide(session.id, token, visibility));
    refused(
        "hiding with the token of an earlier take",
        bed.store.ack_expired(old.expect("two takes")).await,
        ErrorKind::Fenced,
    );
    let hide = AckExpired::hide(session.id, ack.token, visibility);
    done("hiding", bed.store.ack_expired(hide).await);
    done("ack_expired after hiding", bed.store.ack_expired(ack).await);
    refused(
        "hiding after the acknowledgement",
        bed.store.ack_expired(hide).await,
        ErrorKind::Fenced,
    );
    bed.has_ended("an acknowledged session", &session, &[EndReason::Expired])
        .await;
    let unknown = bed.make.session_id(&session.player);
    refused(
        "hiding an unknown id",
        bed.store
            .ack_expired(AckExpired::hide(unknown, ack.token, visibility))
            .await,
        ErrorKind::NotFound,
    );

    let mut revived = bed.session_of(&bed.make.player(), short()).await;
    bed.expire(slice::from_ref(&revived)).await;
    let (_, ack) = bed.take_for_ack(&revived).await;
    revived = revive(&bed, "touch", &revived).await;
    let hide = AckExpired::hide(revived.id, ack.token, visibility);
    refused(
        "hiding after a touch",
        bed.store.ack_expired(hide).await,
        ErrorKind::Fenced,
    );
    bed.is_unchanged("a session that was touched", &revived).await;
}

/// `a_take_is_bounded_in_bytes`: of one partition and of several, with sessions of 64 KiB.
pub async fn a_take_is_bounded_in_bytes<H: StoreHarness + ?Sized>(harness: &H) {
    const DATA: usize = 64 * 1024;
    let bed = Bed::new("a_take_is_bounded_in_bytes", harness).await;
    let player = bed.make.player();
    let in_one = std::iter::repeat_n(player, 6);
    let apart = std::iter::repeat_with(|| bed.make.player()).take(6);
    let mut sessions = Vec::new();
    for player in in_one.chain(apart) {
        let way = OnExisting::Allow { max: 12 };
        let login = bed.make.login_with(&player, &bed.make.owner(), short(), way);
        sessions.push(bed.create(login.with_data(vec![7; DATA])).await);
    }
    bed.expire(&sessions).await;
    let mut partitions: Vec<_> = sessions.iter().map(|session| session.id.partition()).collect();
    partitions.dedup();
    for (what, partitions, due) in [
        ("one partition", vec![partitions[0]], 6),
        ("seven partitions", partitions.clone(), 12),
    ] {
        // Room for three of them, and for none.
        for (bytes_max, most) in [(DATA * 7 / 2, 3), (DATA / 2, 1)] {
            let visibility = TakeExpired::VISIBILITY_MIN;
            let mut left = partitions.clone();
            let mut ids = Vec::new();
            while !left.is_empty() {
                let request = TakeExpired::new(left, 100, bed.make.nonce())
                    .with_visibility(TakeExpired::VISIBILITY_MAX)
                    .with_bytes_max(bytes_max);
                let token = request.token;
                let found = done("take_expired", bed.store.take_expired(request).await);
                let got = found.sessions.len();
                assert!(
                    (1..=most).contains(&got),
                    "{what}, {bytes_max} bytes: {got} sessions of {DATA} bytes were taken, at most {most} fit"
                );
                for found in &found.sessions {
                    assert_eq!(found.session.data.len(), DATA, "{what}: the data is whole");
                    let hide = AckExpired::hide(found.session.id, token, visibility);
                    done("hiding", bed.store.ack_expired(hide).await);
                    ids.push(found.session.id);
                }
                left = found.more;
            }
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(
                ids.len(),
                due,
                "{what}, {bytes_max} bytes: each is taken in the end"
            );
            bed.pass(&sessions, visibility + bed.slop * 2).await;
        }
    }
}

/// `a_tick_names_partitions_with_expired_sessions`.
pub async fn a_tick_names_partitions_with_expired_sessions<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("a_tick_names_partitions_with_expired_sessions", harness).await;
    let expired = bed.session_of(&bed.make.player(), short()).await;
    let live = bed.session_of(&bed.make.player(), long()).await;
    let both = [expired.clone(), live.clone()];
    let partitions: Vec<_> = both.iter().map(|session| session.id.partition()).collect();
    let tick = async || {
        let request = TakeExpired::new(partitions.clone(), 0, bed.make.nonce());
        let taken = done("take_expired", bed.store.take_expired(request).await);
        assert_eq!(taken.sessions, [], "a take with limit 0 takes nothing");
        taken.more
    };
    assert_eq!(tick().await, [], "before a session has expired");
    bed.expire(slice::from_ref(&expired)).await;
    assert_eq!(tick().await, [expired.id.partition()], "an expired session");
    let (_, ack) = bed.take_for_ack(&expired).await;
    assert_eq!(tick().await, [], "the session is hidden");
    done("ack_expired", bed.store.ack_expired(ack).await);
    assert_eq!(tick().await, [], "the session has ended");
}

/// `a_write_voids_the_token`.
pub async fn a_write_voids_the_token<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("a_write_voids_the_token", harness).await;
    let mut sessions = Vec::new();
    for _ in WAYS {
        sessions.push(bed.session_of(&bed.make.player(), short()).await);
    }
    bed.expire(&sessions).await;
    for (session, way) in sessions.iter_mut().zip(WAYS) {
        let (_, ack) = bed.take_for_ack(session).await;
        *session = revive(&bed, way, session).await;
        let what = format!("an acknowledgement after a {way}");
        refused(&what, bed.store.ack_expired(ack).await, ErrorKind::Fenced);
        bed.is_unchanged(&what, session).await;
    }
    // The old token stays void when the session expires again, and the expiry comes to somebody.
    bed.bury(&sessions).await;
}

/// `ack_is_idempotent`.
pub async fn ack_is_idempotent<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("ack_is_idempotent", harness).await;
    let session = bed.session_of(&bed.make.player(), short()).await;
    let untaken = AckExpired::new(session.id, bed.make.nonce());
    refused(
        "an acknowledgement of a live session",
        bed.store.ack_expired(untaken).await,
        ErrorKind::Fenced,
    );
    bed.is_unchanged("the live session", &session).await;
    bed.expire(slice::from_ref(&session)).await;
    let (_, ack) = bed.take_for_ack(&session).await;

    let other = AckExpired::new(session.id, bed.make.nonce());
    refused(
        "an acknowledgement with another token",
        bed.store.ack_expired(other).await,
        ErrorKind::Fenced,
    );
    for attempt in ["an acknowledgement", "its repetition", "its second repetition"] {
        done(attempt, bed.store.ack_expired(ack).await);
        bed.has_ended(attempt, &session, &[EndReason::Expired]).await;
    }
    refused(
        "another token after that",
        bed.store.ack_expired(other).await,
        ErrorKind::Fenced,
    );
    let unknown = AckExpired::new(bed.make.session_id(&session.player), ack.token);
    refused(
        "an acknowledgement of an unknown id",
        bed.store.ack_expired(unknown).await,
        ErrorKind::NotFound,
    );
}
