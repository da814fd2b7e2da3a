//! Writes that replicas acknowledge, and what they come to without any.

use std::time::{Duration, Instant};

use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{AckExpired, ClaimSession, Durability, RemoveSession, RestoreSession, Touch};
use ringhold_core::{Backend, NodeIncarnation, Timing};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, ServerClock};
use ringhold_testkit::{Make, run, wait_for};

use crate::each_client::on_each_client;
use crate::real::{open, ttl};
use crate::suite::servers;

fn cluster() -> RedisCluster {
    let servers = servers().clock(ServerClock::Settable);
    let cluster = RedisCluster::start(ClusterOptions::new().server(servers)).unwrap();
    cluster.wait_until_in_sync(Duration::from_secs(20)).unwrap();
    cluster
}

/// Every kind of write once, with how many replicas acknowledged it.
async fn writes(
    backend: &Backend,
    cluster: &RedisCluster,
    durability: Option<Durability>,
) -> Vec<(&'static str, u8)> {
    let make = Make::new("writes");
    let sessions = &backend.sessions;
    let mut answers = Vec::new();
    let (player, owner) = (make.player(), make.owner());
    let mut login = make.login(&player, &owner, ttl(600));
    login.durability = durability;
    let created = sessions.create(login).await.unwrap();
    answers.push(("create", created.replicated));
    let session = created.session;
    let mut save = make.save(&session, b"data");
    save.durability = durability;
    answers.push(("save", sessions.save(save).await.unwrap().replicated));
    let mut claim = ClaimSession::new(session.id, session.fence, make.owner(), make.nonce(), ttl(600));
    claim.durability = durability;
    let claimed = sessions.claim(claim).await.unwrap();
    answers.push(("claim", claimed.replicated));
    let session = claimed.session;
    let mut restore = RestoreSession::new(session.clone(), make.nonce());
    restore.durability = durability;
    answers.push(("restore", sessions.restore(restore).await.unwrap().replicated));
    let mut remove = RemoveSession::new(session.id, session.fence, make.operation());
    remove.durability = durability;
    answers.push(("remove", sessions.remove(remove).await.unwrap().replicated));

    let discovery = &backend.discovery;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let mut request = RegisterNode::new(make.node(), Timing::default());
        request.durability = durability;
        let registered = discovery.register(request.clone()).await.unwrap();
        answers.push(("register", registered.replicated));
        let node = NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
        nodes.push((node, registered.membership.revision));
    }
    let (node, revision) = nodes[1].clone();
    let mut evict = EvictNode::new(nodes[0].0.clone(), make.operation());
    evict.durability = durability;
    answers.push(("evict", discovery.evict(evict).await.unwrap().replicated));
    if durability.is_some() {
        return answers;
    }

    // These know no durability of their own.
    let renew = RenewLease::new(node.clone(), revision, Load::new(1), make.operation());
    answers.push(("renew", discovery.renew(renew).await.unwrap().replicated));
    let leave = LeaveFleet::new(node, make.operation());
    answers.push(("leave", discovery.leave(leave).await.unwrap().replicated));
    let session = sessions.create(make.login(&player, &owner, ttl(600))).await;
    let session = session.unwrap().session;
    let touch = Touch::new(session.id, session.fence, ttl(1));
    answers.push(("touch", sessions.touch_many(&[touch]).await.unwrap().replicated));
    cluster
        .clock()
        .expect("it is settable")
        .advance(Duration::from_secs(2))
        .unwrap();
    let take = make.take(session.id.partition(), 10);
    let token = take.token;
    assert_eq!(sessions.take_expired(take).await.unwrap().sessions.len(), 1);
    let acked = sessions
        .ack_expired(AckExpired::new(session.id, token))
        .await
        .unwrap();
    answers.push(("ack_expired", acked.replicated));
    answers
}

fn all(answers: &[(&str, u8)], replicated: u8) {
    for (write, by) in answers {
        assert_eq!(*by, replicated, "{write} of {answers:?}");
    }
}

fn replicas_acknowledge_what_they_are_asked_to(client: &str) {
    let cluster = cluster();
    run("replicas", async {
        let url = cluster.url("url") + "&durability=replicated:1" + client;
        let backend = open(&url).await.unwrap();
        assert_eq!(backend.capabilities.replicas_max, 1);
        all(&writes(&backend, &cluster, None).await, 1);

        // What the call says counts more than the URL, and less than what decides who is who.
        let least = |answers: Vec<(&'static str, u8)>| {
            let (kept, free): (Vec<_>, Vec<_>) = answers
                .into_iter()
                .partition(|(write, _)| ["claim", "register", "evict"].contains(write));
            all(&kept, 1);
            all(&free, 0);
        };
        let url = cluster.url("over") + "&durability=replicated:1" + client;
        let backend = open(&url).await.unwrap();
        least(writes(&backend, &cluster, Some(Durability::Fast)).await);
        let backend = open(&(cluster.url("fast") + client)).await.unwrap();
        least(writes(&backend, &cluster, None).await);
        let backend = open(&(cluster.url("call") + client)).await.unwrap();
        all(
            &writes(&backend, &cluster, Some(Durability::Replicated(1))).await,
            1,
        );
        // More than there are: as many as there are.
        let backend = open(&(cluster.url("more") + client)).await.unwrap();
        all(
            &writes(&backend, &cluster, Some(Durability::Replicated(3))).await,
            1,
        );
    });
}

fn without_its_replica_a_write_is_done_and_says_so(client: &str) {
    let cluster = cluster();
    run("no replica", async {
        let url = cluster.url("alone") + "&durability=replicated:1" + client;
        let backend = open(&url).await.unwrap();
        for index in 0..cluster.len() {
            if cluster.replica_of(index).unwrap().is_some() {
                cluster.kill(index).unwrap();
            }
        }
        let started = Instant::now();
        all(&writes(&backend, &cluster, None).await, 0);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(30), "13 writes took {took:?}");
        // Once the topology shows that there is none, a new connection promises none.
        wait_for(
            "a topology without replicas",
            Duration::from_secs(30),
            async || {
                let replicas = open(&url)
                    .await
                    .map_err(|error| error.to_string())?
                    .capabilities
                    .replicas_max;
                if replicas == 0 {
                    Ok(())
                } else {
                    Err(format!("{replicas} replicas"))
                }
            },
        )
        .await;
    });
}

on_each_client!(
    replicas_acknowledge_what_they_are_asked_to
    without_its_replica_a_write_is_done_and_says_so
);
