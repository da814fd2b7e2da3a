//! An etcd that is full: writes are told so at once, reads go on, and room makes it good.

use bytes::Bytes;
use etcd_client::{AlarmAction, AlarmOptions, AlarmType};
use ringhold_core::ErrorKind;
use ringhold_testkit::Make;
use ringhold_testkit::launch::EtcdOptions;

use crate::support::{open, raw, start, ttl};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_etcd_is_overloaded_until_there_is_room() {
    let options = EtcdOptions::new()
        .members(1)
        .argument("--quota-backend-bytes=8388608");
    let cluster = start(options).await;
    let make = Make::new("a_full_etcd_is_overloaded_until_there_is_room");
    let store = open(&(cluster.url("full") + "&data_bytes_max=800000&attempt_ms=10000"))
        .await
        .unwrap()
        .sessions;
    let login = || {
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        login.with_data(Bytes::from(vec![7; 800_000]))
    };
    let kept = store.create(login()).await.unwrap().session;
    let mut filled = None;
    for _ in 0..50 {
        if let Err(error) = store.create(login()).await {
            filled = Some(error);
            break;
        }
    }
    let error = filled.expect("it is full after 40 MB");
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    assert!(error.context().contains("auto-compaction"), "{error}");
    assert!(store.get(&kept.id).await.unwrap().is_some(), "reads go on");

    let raw = raw(&cluster).await;
    let taken = etcd_client::DeleteOptions::new().with_prefix();
    raw.kv_client()
        .delete("/ringhold/full/body/", Some(taken))
        .await
        .unwrap();
    let revision = raw
        .kv_client()
        .get("-", None)
        .await
        .unwrap()
        .header()
        .unwrap()
        .revision();
    let physical = etcd_client::CompactionOptions::new().with_physical();
    raw.kv_client().compact(revision, Some(physical)).await.unwrap();
    let mut maintenance = raw.maintenance_client();
    maintenance.defragment().await.unwrap();
    let alarms = maintenance
        .alarm(AlarmAction::Get, AlarmType::None, None)
        .await
        .unwrap();
    let [alarm] = alarms.alarms() else {
        panic!("one alarm is expected: {alarms:?}");
    };
    let mut whose = AlarmOptions::new();
    whose.with_member(alarm.member_id());
    maintenance
        .alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(whose))
        .await
        .unwrap();
    store.create(login()).await.unwrap();
}
