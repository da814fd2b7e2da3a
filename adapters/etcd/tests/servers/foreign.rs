//! Foreign bytes under the fleet's keys are `Corrupt`, and stop nothing but what they belong to.

use ringhold_core::discovery::RegisterNode;
use ringhold_core::session::{ListSessions, Touch, Touched};
use ringhold_core::{ErrorKind, Timing, Update};
use ringhold_testkit::{Make, within};

use crate::support::{names, one, open, raw, stored, ttl};

#[tokio::test(flavor = "multi_thread")]
async fn each_foreign_value_is_corrupt_and_harms_no_other() {
    let cluster = one().await;
    let make = Make::new("each_foreign_value_is_corrupt_and_harms_no_other");
    let backend = open(&cluster.url("foreign")).await.unwrap();
    let raw = raw(&cluster).await;
    let store = &backend.sessions;
    let owner = make.owner();
    let login = || make.login(&make.player(), &owner, ttl(600));
    let whole = store.create(login()).await.unwrap().session;
    for (kind, bytes) in [
        ("session", &b""[..]),
        ("session", b"\xff\x00 what is this"),
        ("body", b""),
        ("body", &[0xff; 300]),
    ] {
        let spoiled = store.create(login()).await.unwrap().session;
        let key = format!("/ringhold/foreign/{kind}/{}", spoiled.id);
        assert_eq!(stored(&raw, &key).await.len(), 1, "{key} is there");
        raw.kv_client().put(key, bytes, None).await.unwrap();
        let error = store.get(&spoiled.id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(!error.is_retryable());
        let error = store.find(&spoiled.player).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let page = store.list(ListSessions::all(100)).await.unwrap();
        assert!(
            page.sessions.iter().any(|session| session.id == whole.id),
            "{page:?}"
        );
        assert!(
            page.unreadable.iter().any(|session| session.id == spoiled.id),
            "{page:?}"
        );
        let touches = [&spoiled, &whole].map(|session| Touch::new(session.id, session.fence, ttl(600)));
        let answers = store.touch_many(&touches).await.unwrap().answers;
        assert_eq!(answers[1], Touched::Renewed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_are_nobodys() {
    let cluster = one().await;
    let make = Make::new("foreign_keys_are_nobodys");
    let backend = open(&cluster.url("foreign")).await.unwrap();
    let raw = raw(&cluster).await;
    let created = backend
        .sessions
        .create(make.login(&make.player(), &make.owner(), ttl(600)))
        .await
        .unwrap();
    for key in [
        &b"/ringhold/foreign/session/nobody"[..],
        b"/ringhold/foreign/session/\xff\xfe",
        b"/ringhold/foreign/due/0000000000000000/x",
        b"/ringhold/foreign/due/\xff",
        b"/ringhold/foreign/grave/0000000000000000/x",
        b"/ringhold/foreign/node/\xff",
        b"/ringhold/foreign/other",
    ] {
        raw.kv_client().put(key, &b"\xff\xff"[..], None).await.unwrap();
    }
    let page = backend.sessions.list(ListSessions::all(100)).await.unwrap();
    assert_eq!(page.sessions.len(), 1);
    assert_eq!(page.sessions[0].id, created.session.id);
    let partitions = ringhold_core::Partition::all().collect();
    let request = ringhold_core::session::TakeExpired::new(partitions, 10, make.nonce());
    let taken = backend.sessions.take_expired(request).await.unwrap();
    assert_eq!((taken.sessions.len(), taken.more.len()), (0, 0));
    assert_eq!(backend.discovery.members().await.unwrap().members.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_read_makes_a_watch_start_over() {
    let cluster = one().await;
    let make = Make::new("a_change_that_cannot_be_read_makes_a_watch_start_over");
    let backend = open(&(cluster.url("foreign") + "&poll_ms=60000")).await.unwrap();
    let raw = raw(&cluster).await;
    let register = || RegisterNode::new(make.node(), Timing::default());
    backend.discovery.register(register()).await.unwrap();
    let mut watch = backend.discovery.watch(None).await.unwrap();
    let first = within("the first reset", watch.next()).await.unwrap();
    assert!(matches!(first, Update::Reset(_)), "{first:?}");
    // Behind the watch's back, so that it has to read what was spoiled.
    let other = open(&cluster.url("elsewhere")).await.unwrap();
    drop(other);
    let changes = stored(&raw, "/ringhold/foreign/change/").await;
    let names = names("/ringhold/foreign/change/", &changes);
    let last = u64::from_str_radix(names.last().expect("a change"), 16).unwrap();
    let next = format!("/ringhold/foreign/change/{:016x}", last + 1);
    // What stands there is overwritten by the registration, and then spoiled before the watch is asked.
    backend.discovery.register(register()).await.unwrap();
    raw.kv_client().put(next, &b"\xff"[..], None).await.unwrap();
    let told = within("what is new", watch.next()).await.unwrap();
    let Update::Reset(membership) = told else {
        panic!("a reset is expected, not {told:?}")
    };
    assert_eq!(membership.members.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_of_another_schema_is_refused() {
    let cluster = one().await;
    let raw = raw(&cluster).await;
    for schema in ["1", "3", "", "\u{1b}[2J and much more than is ever shown of it"] {
        raw.kv_client()
            .put("/ringhold/later/schema", schema, None)
            .await
            .unwrap();
        let error = open(&cluster.url("later")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(!error.context().contains('\u{1b}'), "{error}");
    }
    open(&cluster.url("another")).await.unwrap();
    open(&cluster.url("another")).await.unwrap();
}
