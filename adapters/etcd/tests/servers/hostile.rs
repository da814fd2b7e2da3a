//! What a careless operator, a crowd and a long backlog do.

use std::time::{Duration, Instant};

use etcd_client::{Client, Txn, TxnOp};
use ringhold_core::discovery::RegisterNode;
use ringhold_core::session::{OnExisting, TakeExpired, Touch};
use ringhold_core::{ErrorKind, Timing};
use ringhold_testkit::launch::EtcdOptions;
use ringhold_testkit::{Make, SimulatedClock, within};

use crate::support::{one, open, open_at, raw, start, ttl};

/// Two etcds in one URL are no cluster: half of what is written would not be found.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_another_cluster_serves_nobody() {
    let (one, other) = (one().await, one().await);
    let make = Make::new("a_member_of_another_cluster_serves_nobody");
    let url = format!("etcd://{}?node={}&fleet=split", one.address(0), other.address(0));
    let Ok(backend) = open(&url).await else { return };
    for _ in 0..20 {
        let login = make.login(&make.player(), &make.owner(), ttl(60));
        let created = backend.sessions.create(login).await.unwrap().session;
        for _ in 0..4 {
            let found = backend.sessions.get(&created.id).await.unwrap();
            assert!(found.is_some(), "what is acknowledged is not found");
        }
    }
}

/// A store that is gone costs a batch of touches one deadline, however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn touches_of_a_store_that_is_gone_take_one_deadline() {
    let cluster = one().await;
    let make = Make::new("touches_of_a_store_that_is_gone_take_one_deadline");
    let store = open(&(cluster.url("gone") + "&deadline_ms=1000"))
        .await
        .unwrap()
        .sessions;
    let login = make.login(&make.player(), &make.owner(), ttl(600));
    let session = store.create(login).await.unwrap().session;
    let touches = vec![Touch::new(session.id, session.fence, ttl(600)); 5_000];
    cluster.kill(0);
    let began = Instant::now();
    let error = within("touches", store.touch_many(&touches)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// Others' sessions that are due are in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn slow_a_backlog_of_other_partitions_holds_up_no_sweep() {
    let cluster = one().await;
    let make = Make::new("slow_a_backlog_of_other_partitions_holds_up_no_sweep");
    let store = open(&cluster.url("backlog")).await.unwrap().sessions;
    let player = make.player();
    let other = make.player_outside(player.partition());
    let raw = raw(&cluster).await;
    fill(&raw, "backlog", &make, &other, 100_000).await;
    let began = Instant::now();
    let swept = store
        .take_expired(TakeExpired::new(vec![player.partition()], 100, make.nonce()))
        .await;
    println!("{:?}", began.elapsed());
    let swept = swept.unwrap();
    assert!(swept.sessions.is_empty());
}

async fn fill(raw: &Client, fleet: &str, make: &Make, player: &ringhold_core::PlayerId, count: usize) {
    let ids: Vec<_> = (0..count).map(|_| make.session_id(player)).collect();
    for ids in ids.chunks(120) {
        let puts: Vec<TxnOp> = ids
            .iter()
            .map(|id| TxnOp::put(format!("/ringhold/{fleet}/due/{:016x}/{id}", 0), "", None))
            .collect();
        raw.kv_client().txn(Txn::new().and_then(puts)).await.unwrap();
    }
}

/// A full etcd can still be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_etcd_tells_its_members() {
    let options = EtcdOptions::new()
        .members(1)
        .argument("--quota-backend-bytes=8388608");
    let cluster = start(options).await;
    let make = Make::new("a_full_etcd_tells_its_members");
    let clock = SimulatedClock::new();
    let backend = open_at(&(cluster.url("full") + "&attempt_ms=10000"), &clock).await;
    let register = RegisterNode::new(make.node(), Timing::default());
    backend.discovery.register(register).await.unwrap();
    let raw = raw(&cluster).await;
    let mut filled = false;
    for index in 0..50 {
        let mut kv = raw.kv_client();
        if kv
            .put(format!("/filler/{index}"), vec![7; 800_000], None)
            .await
            .is_err()
        {
            filled = true;
            break;
        }
    }
    assert!(filled);
    clock.advance(Duration::from_secs(1));
    let members = backend.discovery.members().await.unwrap();
    assert_eq!(members.members.len(), 1);
    let mut watch = backend.discovery.watch(None).await.unwrap();
    within("a reset", watch.next()).await.unwrap();
}

/// Fifty tasks log one player in.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_logins_of_one_player_at_once_all_come_through() {
    let cluster = start(EtcdOptions::new()).await;
    let make = Make::new("fifty_logins_of_one_player_at_once_all_come_through");
    let store = open(&cluster.url("crowd")).await.unwrap().sessions;
    let player = make.player();
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let login = make.login_with(&player, &make.owner(), ttl(600), OnExisting::Replace);
        let store = std::sync::Arc::clone(&store);
        tasks.push(tokio::spawn(async move { store.create(login).await }));
    }
    let mut failed = Vec::new();
    for task in tasks {
        if let Err(error) = task.await.unwrap() {
            failed.push(error.to_string());
        }
    }
    println!("logins {:?}", began.elapsed());
    assert!(failed.is_empty(), "{} {:?}", failed.len(), failed.first());
}

/// A whole fleet starts at once.
#[tokio::test(flavor = "multi_thread")]
async fn slow_two_hundred_nodes_register_at_once() {
    let cluster = start(EtcdOptions::new()).await;
    let make = Make::new("slow_two_hundred_nodes_register_at_once");
    let discovery = open(&cluster.url("start")).await.unwrap().discovery;
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..200 {
        let register = RegisterNode::new(make.node(), Timing::default());
        let discovery = std::sync::Arc::clone(&discovery);
        tasks.push(tokio::spawn(async move { discovery.register(register).await }));
    }
    let mut failed = Vec::new();
    for task in tasks {
        if let Err(error) = task.await.unwrap() {
            failed.push(error.to_string());
        }
    }
    println!("registers {:?}", began.elapsed());
    assert!(failed.is_empty(), "{} {:?}", failed.len(), failed.first());
}

/// One member that shows something wrong does not turn an outage of the others into a refusal for good.
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_endpoint_makes_no_outage_final() {
    let cluster = one().await;
    let make = Make::new("one_bad_endpoint_makes_no_outage_final");
    let asks = start(EtcdOptions::new().members(1).password("secret")).await;
    let url = format!(
        "etcd://{}?node={}&fleet=bad&deadline_ms=1500",
        cluster.address(0),
        asks.address(0)
    );
    let store = open(&url).await.unwrap().sessions;
    let player = make.player();
    store.find(&player).await.unwrap();
    cluster.kill(0);
    let error = store.find(&player).await.unwrap_err();
    assert!(
        error.is_retryable() && error.kind() != ErrorKind::InvalidArgument,
        "{error}"
    );
}
