//! Servers that forget the scripts.

use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{
    AckExpired, ClaimSession, ListSessions, RemoveSession, RestoreSession, Touch, Touched,
};
use ringhold_core::{Backend, ErrorKind, NodeIncarnation, Timing};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisServer};
use ringhold_testkit::{Make, run};

use crate::each_client::on_each_client;
use crate::real::{Stored, open, ttl};
use crate::suite::servers;

/// Every operation once, with `forget` before each of them.
async fn everything(backend: &Backend, forget: impl Fn()) {
    let make = Make::new("everything");
    let (sessions, discovery) = (&backend.sessions, &backend.discovery);
    let (player, owner) = (make.player(), make.owner());
    forget();
    let session = sessions.create(make.login(&player, &owner, ttl(600))).await;
    let session = session.unwrap().session;
    let id = session.id;
    forget();
    assert!(sessions.get(&id).await.unwrap().is_some());
    forget();
    assert_eq!(sessions.find(&player).await.unwrap().len(), 1);
    forget();
    sessions.save(make.save(&session, b"data")).await.unwrap();
    forget();
    let touched = sessions
        .touch_many(&[Touch::new(id, session.fence, ttl(600))])
        .await;
    assert_eq!(touched.unwrap().answers, [Touched::Renewed]);
    forget();
    let claim = ClaimSession::new(id, session.fence, make.owner(), make.nonce(), ttl(600));
    let claimed = sessions.claim(claim).await.unwrap().session;
    forget();
    let listed = sessions.list(ListSessions::all(10)).await.unwrap().sessions;
    assert_eq!((listed.len(), listed[0].fence), (1, claimed.fence));
    forget();
    sessions
        .take_expired(make.take(id.partition(), 10))
        .await
        .unwrap();
    forget();
    let error = sessions
        .ack_expired(AckExpired::new(id, make.nonce()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "nobody took it");
    forget();
    sessions
        .restore(RestoreSession::new(claimed.clone(), make.nonce()))
        .await
        .unwrap();
    forget();
    let remove = RemoveSession::new(id, claimed.fence, make.operation());
    sessions.remove(remove).await.unwrap();

    let mut nodes = Vec::new();
    for _ in 0..2 {
        let record = make.node();
        forget();
        let registered = discovery
            .register(RegisterNode::new(record.clone(), Timing::default()))
            .await;
        let registered = registered.unwrap();
        nodes.push((
            NodeIncarnation::new(record.id, registered.incarnation),
            registered.membership,
        ));
    }
    let (node, membership) = &nodes[1];
    forget();
    let renew = RenewLease::new(node.clone(), membership.revision, Load::new(1), make.operation());
    discovery.renew(renew).await.unwrap();
    forget();
    assert_eq!(discovery.members().await.unwrap().members.len(), 2);
    forget();
    assert_eq!(discovery.timing().await.unwrap(), Some(Timing::default()));
    forget();
    let mut watch = discovery.watch(None).await.unwrap();
    watch.next().await.unwrap();
    forget();
    discovery
        .leave(LeaveFleet::new(node.clone(), make.operation()))
        .await
        .unwrap();
    forget();
    watch.next().await.unwrap();
    forget();
    discovery
        .evict(EvictNode::new(nodes[0].0.clone(), make.operation()))
        .await
        .unwrap();
}

fn one_server_may_forget_its_scripts(client: &str) {
    let server = RedisServer::start(&servers()).unwrap();
    run("one server", async {
        let backend = open(&(server.url("scripts") + "&poll_ms=10" + client))
            .await
            .unwrap();
        everything(&backend, || drop(server.ask(&[b"SCRIPT", b"FLUSH"]))).await;
    });
}

fn a_cluster_may_forget_its_scripts(client: &str) {
    let cluster = RedisCluster::start(ClusterOptions::new().server(servers())).unwrap();
    run("a cluster", async {
        let forget =
            || (0..cluster.len()).for_each(|index| drop((&cluster, index).ask(&[b"SCRIPT", b"FLUSH"])));
        for durability in ["fast", "replicated:1"] {
            let url = format!(
                "{}&poll_ms=10&durability={durability}{client}",
                cluster.url(&durability[..4])
            );
            everything(&open(&url).await.unwrap(), forget).await;
        }
    });
}

on_each_client!(
    one_server_may_forget_its_scripts
    a_cluster_may_forget_its_scripts
);
