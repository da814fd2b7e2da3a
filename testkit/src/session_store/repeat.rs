//! Rules of logins that come twice, late, or after an expiry.

use std::slice;
use std::time::Duration;

use ringhold_core::session::{
    CreateOutcome, CreateSession, EndReason, OnExisting, RestoreSession, TOMBSTONE_TTL,
};
use ringhold_core::{ErrorKind, SessionRecord};

use super::login::{ALL_WAYS, ANYONE, OWN, allow};
use super::steps::{Bed, let_pass, long, short};
use crate::StoreHarness;
use crate::expect::{done, refused, shorter};

/// `create_is_idempotent`.
pub async fn create_is_idempotent<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_is_idempotent", harness).await;
    let (player, owner) = (bed.make.player(), bed.make.owner());
    let new = |way| {
        bed.make
            .login_with(&player, &owner, long(), way)
            .with_data(&b"of the login"[..])
    };
    // Each on what the one before it left: none, one, two and two sessions.
    for (way, outcome, displaced) in [
        (OnExisting::Reject, CreateOutcome::New, 0),
        (OWN, CreateOutcome::TakenOver, 1),
        (allow(2), CreateOutcome::New, 0),
        (ANYONE, CreateOutcome::TakenOver, 1),
        (allow(2), CreateOutcome::New, 1),
        (OnExisting::Replace, CreateOutcome::New, 2),
    ] {
        let request = new(way);
        let first = bed.created(request.clone()).await;
        assert_eq!(
            (first.outcome, first.displaced.len()),
            (outcome, displaced),
            "{way:?}"
        );
        let at_once = bed.created(request.clone()).await;
        bed.is_same(
            "the session in a repetition's answer",
            &at_once.session,
            &first.session,
        );

        let saved = done(
            "save",
            bed.store.save(bed.make.save(&first.session, b"saved")).await,
        );
        let found = bed.ids(&player).await;
        for again in [at_once, bed.created(request).await] {
            assert_eq!(again.outcome, first.outcome, "{way:?}: the outcome");
            assert_eq!(again.session.id, first.session.id, "{way:?}: the session");
            assert_eq!(again.session.fence, first.session.fence, "{way:?}: the fence");
            assert_eq!(again.displaced, first.displaced, "{way:?}: the displaced holds");
        }
        let now = bed.get(first.session.id).await;
        assert_eq!(
            (now.version, now.data.as_ref()),
            (saved.version, &b"saved"[..]),
            "{way:?}: what was saved"
        );
        assert_eq!(
            now.fence, first.session.fence,
            "{way:?}: a repetition makes no new fence"
        );
        assert_eq!(
            bed.ids(&player).await,
            found,
            "{way:?}: a repetition makes and ends nothing"
        );
    }
    is_answered_to_its_caller_alone(&bed).await;
    revives_what_has_expired(&bed).await;
}

/// The id of a login is no secret: its fence goes to the caller who made the nonce.
async fn is_answered_to_its_caller_alone(bed: &Bed<'_>) {
    let made = bed.make.login(&bed.make.player(), &bed.make.owner(), long());
    bed.create(made.clone()).await;
    let displaced = bed.make.login(&bed.make.player(), &bed.make.owner(), long());
    bed.create(displaced.clone()).await;
    let took_over = bed
        .make
        .login_with(&displaced.player, &bed.make.owner(), long(), ANYONE);
    bed.created(took_over.clone()).await;
    for login in [made, took_over] {
        let before = bed.find(&login.player).await;
        let (mut other_owner, mut other_nonce) = (login.clone(), login.clone());
        other_owner.owner = bed.make.owner();
        other_nonce.nonce = bed.make.nonce();
        for (what, mut other) in [
            ("a login of another owner with the id of this one", other_owner),
            ("a login with another nonce and the id of this one", other_nonce),
        ] {
            for way in ALL_WAYS {
                other.on_existing = way;
                let result = bed.store.create(other.clone()).await;
                refused(&format!("{way:?}: {what}"), result, ErrorKind::AlreadyExists);
            }
            let [held] = &before[..] else {
                panic!("one session, and not {before:?}")
            };
            bed.is_unchanged(what, held).await;
            assert_eq!(bed.ids(&login.player).await, [held.id], "{what}");
        }
    }
}

/// A login whose answer was lost is repeated, and what it made has expired in the meantime.
async fn revives_what_has_expired(bed: &Bed<'_>) {
    let made = bed.make.login(&bed.make.player(), &bed.make.owner(), short());
    let displaced = bed.make.login(&bed.make.player(), &bed.make.owner(), long());
    bed.create(displaced.clone()).await;
    let took_over = bed
        .make
        .login_with(&displaced.player, &bed.make.owner(), short(), ANYONE);
    for login in [made, took_over] {
        let first = bed.created(login.clone()).await;
        bed.expire(slice::from_ref(&first.session)).await;
        let again = bed.created(login).await;
        assert_eq!(again.outcome, first.outcome, "after an expiry: the outcome");
        assert_eq!(
            again.displaced, first.displaced,
            "after an expiry: the displaced holds"
        );
        let what = "a repetition of a login revives the session that has expired";
        bed.is_same(what, &again.session, &first.session);
        bed.is_unchanged(what, &first.session).await;
    }
}

/// `create_never_resurrects`.
pub async fn create_never_resurrects<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_never_resurrects", harness).await;
    // Every login that is late here, and what ended it.
    let mut late: Vec<(&str, CreateSession)> = Vec::new();
    let log_in = async |request: &CreateSession| bed.created(request.clone()).await.session;
    let new = |way| {
        bed.make
            .login_with(&bed.make.player(), &bed.make.owner(), short(), way)
    };
    let again = |earlier: &CreateSession, way| {
        bed.make
            .login_with(&earlier.player, &bed.make.owner(), long(), way)
    };

    let (expired, first) = (new(OWN), new(OWN));
    let mut second = again(&first, ANYONE);
    second.ttl = short();
    let gone = [
        log_in(&expired).await,
        (log_in(&first).await, log_in(&second).await).1,
    ];
    bed.bury(&gone).await;
    late.push(("it expired, and that was acknowledged", expired));
    late.push(("its session was taken over, and expired", first));
    late.push((
        "the session that it took over expired, and that was acknowledged",
        second,
    ));

    let replaced = new(ANYONE);
    log_in(&replaced).await;
    log_in(&again(&replaced, OnExisting::Replace)).await;
    late.push(("another login replaced it", replaced));

    let crowded_out = new(allow(1));
    log_in(&crowded_out).await;
    log_in(&again(&crowded_out, allow(1))).await;
    late.push(("another login needed its place", crowded_out));

    let first = new(OWN);
    log_in(&first).await;
    let second = again(&first, ANYONE);
    log_in(&second).await;
    let third = again(&first, ANYONE);
    let held = log_in(&third).await;
    late.push(("its session was taken over", first));
    late.push(("the session that it took over was taken over again", second));

    let closed = new(OWN);
    bed.remove(&log_in(&closed).await).await;
    late.push(("it was closed", closed));

    let first = new(OWN);
    log_in(&first).await;
    let second = again(&first, ANYONE);
    bed.remove(&log_in(&second).await).await;
    late.push(("its session was taken over and closed", first));
    late.push(("the session that it took over was closed", second));

    let first = new(OWN);
    log_in(&first).await;
    let second = again(&first, ANYONE);
    let claim = bed.claim(&log_in(&second).await, &bed.make.owner());
    done("claim", bed.store.claim(claim).await);
    late.push(("its session was taken over and claimed", first));
    late.push(("the session that it took over was claimed", second));

    nothing_comes_back(&bed, &late, "at once").await;
    let partitions: Vec<_> = late.iter().map(|(_, request)| request.id.partition()).collect();
    let most = shorter(TOMBSTONE_TTL, Duration::from_secs(1) + bed.slop);
    let_pass(&*bed.store, bed.time, &partitions, most).await;
    nothing_comes_back(&bed, &late, "shortly before their tombstones go").await;
    let now = bed.get(held.id).await;
    assert_eq!(
        (now.fence, now.version),
        (held.fence, held.version),
        "the last login still holds"
    );
}

/// Repeats each of `late`, and checks that it is fenced and changes nothing.
async fn nothing_comes_back(bed: &Bed<'_>, late: &[(&str, CreateSession)], when: &str) {
    for (why, request) in late {
        let before = bed.ids(&request.player).await;
        let what = format!("a late repetition, {when}, of a login although {why}");
        refused(&what, bed.store.create(request.clone()).await, ErrorKind::Fenced);
        assert_eq!(
            bed.ids(&request.player).await,
            before,
            "{what}, changed what stands"
        );
    }
}

/// `create_unlinks_the_expired`.
pub async fn create_unlinks_the_expired<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("create_unlinks_the_expired", harness).await;
    let (mut expired, mut logins) = (Vec::new(), Vec::new());
    for _ in ALL_WAYS {
        let first = bed.make.login(&bed.make.player(), &bed.make.owner(), short());
        bed.create(first.clone()).await;
        let second = bed
            .make
            .login_with(&first.player, &bed.make.owner(), short(), ANYONE);
        expired.push(bed.created(second.clone()).await.session);
        logins.push([
            ("its session was taken over, and a later login unlinked it", first),
            ("a later login unlinked the session that it took over", second),
        ]);
    }
    bed.expire(&expired).await;
    for ((old, late), way) in expired.iter().zip(&logins).zip(ALL_WAYS) {
        let login = bed.make.login_with(&old.player, &bed.make.owner(), long(), way);
        let created = bed.created(login.clone()).await;
        assert_eq!(
            created.outcome,
            CreateOutcome::New,
            "{way:?}: an expired session does not stand in the way"
        );
        assert_eq!(
            (created.session.id, created.session.fence.epoch),
            (login.id, 1),
            "{way:?}"
        );
        assert_eq!(created.displaced, [], "{way:?}: what had expired holds nothing");
        let what = format!("{way:?}: the expired session after a new login");
        cannot_be_revived(&bed, &what, old).await;
        nothing_comes_back(&bed, late, "before the acknowledgement").await;

        let (taken, ack) = bed.take_for_ack(old).await;
        let delivered = taken.sessions.iter().find(|taken| taken.session.id == old.id);
        let delivered =
            delivered.unwrap_or_else(|| panic!("{what}: its expiry must be delivered: {taken:?}"));
        assert_eq!(delivered.session.data, old.data, "{what}: its data");
        assert_eq!(delivered.session.player, old.player, "{what}: its player");
        done(
            &format!("{what}: its acknowledgement"),
            bed.store.ack_expired(ack).await,
        );
        assert_eq!(
            bed.ids(&old.player).await,
            [login.id],
            "{way:?}: the new session stands"
        );
        nothing_comes_back(&bed, late, "after the acknowledgement").await;
    }
}

async fn cannot_be_revived(bed: &Bed<'_>, what: &str, old: &SessionRecord) {
    bed.has_ended(what, old, &[EndReason::Displaced, EndReason::Expired])
        .await;
    refused(
        &format!("{what}: save"),
        bed.store.save(bed.make.save(old, b"late")).await,
        ErrorKind::Fenced,
    );
    let claim = bed.claim(old, &bed.make.owner());
    refused(
        &format!("{what}: claim"),
        bed.store.claim(claim).await,
        ErrorKind::Fenced,
    );
    let restore = RestoreSession::new(old.clone(), bed.make.nonce());
    refused(
        &format!("{what}: restore"),
        bed.store.restore(restore).await,
        ErrorKind::Fenced,
    );
}
