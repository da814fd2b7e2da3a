//! How many requests an operation is, counted by the members.

use ringhold_core::discovery::{LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{ClaimSession, OnExisting, RemoveSession, TakeExpired, Touch};
use ringhold_core::{NodeIncarnation, Partition, Timing};
use ringhold_testkit::launch::{EtcdCluster, EtcdOptions};
use ringhold_testkit::{Make, SimulatedClock};

use crate::support::{open_at, start, ttl};

/// Patient, so that a machine that is busy for a while makes no attempt twice.
const PATIENT: &str = "&attempt_ms=10000&deadline_ms=45000&poll_ms=60000";

/// Transactions that were asked for, of all members.
const TXN: &str =
    r#"grpc_server_started_total{grpc_method="Txn",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "etcd shows its counts as fractions, too"
)]
fn asked(cluster: &EtcdCluster) -> u64 {
    let of = |index| cluster.metric(index, TXN).expect("etcd counts") as u64;
    (0..cluster.len()).map(of).sum()
}

macro_rules! cost {
    ($cluster:expr, $what:expr) => {{
        let before = asked(&$cluster);
        let answer = $what.await.unwrap();
        (answer, asked(&$cluster) - before)
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_cost_what_their_documentation_says() {
    let cluster = start(EtcdOptions::new()).await;
    let clock = SimulatedClock::new();
    let make = Make::new("operations_cost_what_their_documentation_says");
    let backend = open_at(&(cluster.url("costs") + PATIENT), &clock).await;
    let store = &backend.sessions;
    let (owner, player) = (make.owner(), make.player());

    // The first write stores the clock's first reading, too.
    let (created, cost) = cost!(cluster, store.create(make.login(&player, &owner, ttl(60))));
    assert_eq!(cost, 2, "a login of a new player");
    assert_eq!((created.replicated, backend.capabilities.replicas_max), (1, 1));
    let session = created.session;
    let (_, cost) = cost!(cluster, store.create(make.login(&player, &owner, ttl(60))));
    assert_eq!(cost, 3, "a login that takes a session over");
    let existing = make.login_with(&player, &make.owner(), ttl(60), OnExisting::Existing);
    let (existing, cost) = cost!(cluster, store.create(existing));
    assert_eq!(existing.session.id, session.id);
    assert_eq!(cost, 2, "a login that returns the existing session");
    let session_again = store.get(&session.id).await.unwrap().unwrap();
    let (_, cost) = cost!(cluster, store.get(&session.id));
    assert_eq!(cost, 1, "a read");
    let (_, cost) = cost!(cluster, store.find(&player));
    assert_eq!(cost, 2, "all of a player");
    let (_, cost) = cost!(cluster, store.find(&make.player()));
    assert_eq!(cost, 1, "all of a player who has none");
    let (saved, cost) = cost!(cluster, store.save(make.save(&session_again, b"data")));
    assert_eq!((saved.replicated, cost), (1, 2), "a save");
    let touch = Touch::new(session.id, session_again.fence, ttl(60));
    let (_, cost) = cost!(cluster, store.touch_many(&[touch]));
    assert_eq!(cost, 2, "a touch");
    let nobody: Vec<Touch> = (0..120)
        .map(|_| Touch::new(make.session_id(&player), touch.fence, ttl(60)))
        .collect();
    let (_, cost) = cost!(cluster, store.touch_many(&nobody));
    assert_eq!(
        cost, 6,
        "three batches that look for tombstones, too, and write nothing"
    );
    let claim = ClaimSession::new(session.id, touch.fence, make.owner(), make.nonce(), ttl(60));
    let (claimed, cost) = cost!(cluster, store.claim(claim));
    assert_eq!(cost, 2, "a claim");
    let remove = RemoveSession::new(session.id, claimed.session.fence, make.operation());
    let (_, cost) = cost!(cluster, store.remove(remove));
    assert_eq!(cost, 3, "a removal, which looks at the player's list, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_nothing_costs_one_request_and_now_and_then_the_clock() {
    let cluster = start(EtcdOptions::new().members(1)).await;
    let clock = SimulatedClock::new();
    let make = Make::new("a_sweep_of_nothing_costs_one_request_and_now_and_then_the_clock");
    let backend = open_at(&(cluster.url("costs") + PATIENT), &clock).await;
    let partitions: Vec<Partition> = Partition::all().collect();
    let sweep = || {
        backend
            .sessions
            .take_expired(TakeExpired::new(partitions.clone(), 64, make.nonce()))
    };
    let (_, cost) = cost!(cluster, sweep());
    assert_eq!(cost, 2, "the first stores the clock's first reading");
    for (millis, expected) in [(0, 1), (499, 1), (1, 2), (0, 1), (1_000, 2)] {
        clock.advance(std::time::Duration::from_millis(millis));
        let (_, cost) = cost!(cluster, sweep());
        assert_eq!(cost, expected, "{millis} ms later");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_costs_what_its_documentation_says() {
    let cluster = start(EtcdOptions::new()).await;
    let clock = SimulatedClock::new();
    let make = Make::new("membership_costs_what_its_documentation_says");
    let backend = open_at(&(cluster.url("costs") + PATIENT), &clock).await;
    let discovery = &backend.discovery;
    let node = make.node();
    let register = RegisterNode::new(node.clone(), Timing::default());
    let (registered, cost) = cost!(cluster, discovery.register(register));
    assert_eq!((registered.replicated, cost), (1, 2), "a registration");
    let id = NodeIncarnation::new(node.id.clone(), registered.incarnation);
    let after = registered.membership.revision;
    let renewal = RenewLease::new(id.clone(), after, Load::new(1), make.operation());
    let (_, cost) = cost!(cluster, discovery.renew(renewal.clone()));
    assert_eq!(cost, 2, "a renewal");
    clock.advance(std::time::Duration::from_secs(1));
    let (_, cost) = cost!(cluster, discovery.renew(renewal));
    assert_eq!(cost, 2, "a renewal that moves the clock on");
    let (_, cost) = cost!(cluster, discovery.members());
    assert_eq!(cost, 1, "the members");
    let mut watch = discovery.watch(None).await.unwrap();
    let (_, cost) = cost!(cluster, watch.next());
    assert_eq!(cost, 1, "a watch's reset");
    let (_, cost) = cost!(cluster, discovery.leave(LeaveFleet::new(id, make.operation())));
    assert!(cost <= 3, "a goodbye: {cost}");
}
