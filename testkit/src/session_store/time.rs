//! Rules of what time does, and of where it stands still.

use std::slice;
use std::time::Duration;

use ringhold_core::backend::ClockScope;
use ringhold_core::clock::StoreClock;
use ringhold_core::session::{OnExisting, RemoveSession, RestoreSession, TOMBSTONE_TTL, Touched};
use ringhold_core::{ErrorKind, Version};

use super::steps::{Bed, let_pass, long, short};
use crate::StoreHarness;
use crate::expect::{done, refused, shorter};

/// `tombstones_go`.
pub async fn tombstones_go<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("tombstones_go", harness).await;
    let expired = bed.session_of(&bed.make.player(), short()).await;
    bed.bury(slice::from_ref(&expired)).await;
    let (removed, replaced) = (bed.session().await, bed.session().await);
    let removal = bed.remove(&removed).await;
    let login = bed
        .make
        .login_with(&replaced.player, &replaced.owner, long(), OnExisting::Replace);
    bed.create(login).await;

    let ended = [expired, removed, replaced];
    bed.pass(&ended, TOMBSTONE_TTL + bed.slop).await;
    for session in &ended {
        let taken = bed.take(session.id.partition(), 10).await;
        assert_eq!(taken.sessions, [], "a tombstone is not an expiry");
        let touched = bed.touch(session.id, session.fence, session.ttl).await;
        assert_eq!(touched, Touched::NotFound, "a touch after the tombstone went");
        let save = bed.make.save(session, b"late");
        refused(
            "a save after the tombstone went",
            bed.store.save(save).await,
            ErrorKind::NotFound,
        );
        let claim = bed.claim(session, &bed.make.owner());
        refused(
            "a claim after the tombstone went",
            bed.store.claim(claim).await,
            ErrorKind::NotFound,
        );
        let remove = RemoveSession::new(session.id, session.fence, bed.make.operation());
        refused(
            "a removal after the tombstone went",
            bed.store.remove(remove).await,
            ErrorKind::NotFound,
        );
    }
    refused(
        "the removal's repetition",
        bed.store.remove(removal).await,
        ErrorKind::NotFound,
    );
    let mut restore = RestoreSession::new(ended[1].clone(), bed.make.nonce());
    restore.session.version = Version::new(3);
    let restored = done(
        "a restoration after the tombstone went",
        bed.store.restore(restore).await,
    );
    assert_eq!(
        restored.session.version,
        Version::new(3),
        "the id is as unknown as any"
    );
}

/// `time_stands_still`, whatever passes outside and, where partitions have clocks of their own, in other
/// partitions.
pub async fn time_stands_still<H: StoreHarness + ?Sized>(harness: &H) {
    let bed = Bed::new("time_stands_still", harness).await;
    let session = bed.session().await;
    let quiet = bed
        .session_of(&bed.make.player_outside(session.id.partition()), short())
        .await;
    let cap = StoreClock::PARTITION_CAP;
    let lost_most = cap + bed.slop;

    bed.time.pass(Duration::from_secs(20)).await;
    let left = bed.get(session.id).await.remaining;
    let least = shorter(long().duration(), lost_most);
    assert!(
        left >= least,
        "20 s without a write cost more than {cap:?}: {left:?} are left of {:?}",
        long()
    );

    if bed.capabilities.session_clocks == ClockScope::Fleet {
        let elsewhere = [quiet.id.partition()];
        // A tick ends what the outage cost; what passes from then on passes everywhere.
        let_pass(&*bed.store, bed.time, &elsewhere, Duration::ZERO).await;
        let left = bed.get(session.id).await.remaining;
        let_pass(&*bed.store, bed.time, &elsewhere, Duration::from_secs(2)).await;
        let passed = left.saturating_sub(bed.get(session.id).await.remaining);
        bed.is_about("time that passed elsewhere", passed, Duration::from_secs(2));
        return;
    }
    // Time that passes elsewhere does not pass here.
    let_pass(
        &*bed.store,
        bed.time,
        &[session.id.partition()],
        Duration::from_secs(10),
    )
    .await;
    let left = bed.get(quiet.id).await.remaining;
    let least = shorter(short().duration(), lost_most);
    assert!(
        left >= least,
        "30 s without a write cost more than {cap:?}: {left:?} are left of {:?}",
        short()
    );

    // Nor does a sweeper that comes back find anything to take; and a live owner goes on.
    let taken = bed.take(quiet.id.partition(), 10).await.sessions;
    assert_eq!(taken, [], "an outage expired a session");
    let left = bed.get(quiet.id).await.remaining;
    assert!(
        left >= least,
        "a sweeper's first tick cost more than {cap:?}: {left:?} are left"
    );
    assert_eq!(bed.touch(quiet.id, quiet.fence, short()).await, Touched::Renewed);
    bed.is_about(
        "after a touch",
        bed.get(quiet.id).await.remaining,
        short().duration(),
    );
}
