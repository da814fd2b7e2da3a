//! Rules that write more than etcd takes in one list of operations are still one step.

use std::collections::BTreeSet;

use bytes::Bytes;
use ringhold_core::session::{CreateSession, OnExisting, TakeExpired};
use ringhold_core::{ErrorKind, Limits};
use ringhold_testkit::{Make, SimulatedClock};

use crate::support::{one, open_at, raw, stored, ttl};

const DATA_BYTES_MAX: usize = 917_504;

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_ends_64_sessions_is_one_revision() {
    let cluster = one().await;
    let make = Make::new("a_login_that_ends_64_sessions_is_one_revision");
    let clock = SimulatedClock::new();
    let url = cluster.url("atomic") + "&data_bytes_max=917504&attempt_ms=10000";
    let store = open_at(&url, &clock).await.sessions;
    let (owner, player) = (make.owner(), make.player());
    let max = Limits::SESSIONS_PER_PLAYER_MAX;
    let allow = OnExisting::Allow { max };
    for _ in 0..max {
        let login = make.login_with(&player, &owner, ttl(600), allow);
        store.create(login).await.unwrap();
    }
    let raw = raw(&cluster).await;
    let before = raw
        .kv_client()
        .get("-", None)
        .await
        .unwrap()
        .header()
        .unwrap()
        .revision();

    // As large as it gets, too: all of it is in one request.
    let login = make
        .login_with(&player, &owner, ttl(600), OnExisting::Replace)
        .with_data(Bytes::from(vec![7; DATA_BYTES_MAX]));
    let created = store.create(login).await.unwrap();
    assert_eq!(created.displaced.len(), usize::from(max));

    let all = stored(&raw, "/ringhold/atomic/").await;
    let written: BTreeSet<i64> = all
        .iter()
        .map(etcd_client::KeyValue::mod_revision)
        .filter(|at| *at > before)
        .collect();
    assert_eq!(
        written,
        BTreeSet::from([before + 1]),
        "one revision has everything"
    );
    let of = |kind: &str| {
        let prefix = format!("/ringhold/atomic/{kind}/");
        all.iter()
            .filter(|kv| kv.key().starts_with(prefix.as_bytes()))
            .count()
    };
    assert_eq!(
        (
            of("session"),
            of("body"),
            of("due"),
            of("player"),
            of("tombstone"),
            of("grave")
        ),
        (1, 1, 1, 1, usize::from(max), usize::from(max))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_too_large_is_refused_before_it_is_sent() {
    let cluster = one().await;
    let make = Make::new("data_that_is_too_large_is_refused_before_it_is_sent");
    let clock = SimulatedClock::new();
    let store = open_at(&(cluster.url("large") + "&data_bytes_max=1000"), &clock)
        .await
        .sessions;
    let login = |bytes: usize| -> CreateSession {
        make.login(&make.player(), &make.owner(), ttl(60))
            .with_data(Bytes::from(vec![7; bytes]))
    };
    let error = store.create(login(1_001)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    store.create(login(1_000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_expired_sessions_than_fit_one_transaction_are_all_taken() {
    let cluster = one().await;
    let make = Make::new("more_expired_sessions_than_fit_one_transaction_are_all_taken");
    let clock = SimulatedClock::new();
    let store = open_at(&cluster.url("sweep"), &clock).await.sessions;
    let first = make.player();
    let partition = first.partition();
    let mut expected = BTreeSet::new();
    for _ in 0..130 {
        let player = make.player_in(partition);
        let login = make.login(&player, &make.owner(), ttl(1));
        expected.insert(store.create(login).await.unwrap().session.id);
    }
    clock.advance(std::time::Duration::from_secs(2));
    let mut taken = BTreeSet::new();
    let swept = store
        .take_expired(TakeExpired::new(vec![partition], 1_000, make.nonce()))
        .await
        .unwrap();
    taken.extend(swept.sessions.iter().map(|taken| taken.session.id));
    assert_eq!(taken, expected);
}
