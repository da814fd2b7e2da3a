//! Two fleets in one cluster.

use std::time::Duration;

use ringhold_core::discovery::RegisterNode;
use ringhold_core::session::{ClaimSession, ListSessions, Touch, Touched};
use ringhold_core::{ErrorKind, Timing, Update};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, ServerClock};
use ringhold_testkit::{Make, run, within};

use crate::real::{open, ttl};
use crate::suite::servers;

#[test]
fn fleets_never_see_each_other() {
    let servers = servers().clock(ServerClock::Settable);
    let options = ClusterOptions::new().replicas_per_master(0).server(servers);
    let cluster = RedisCluster::start(options).unwrap();
    run("two fleets", async {
        let make = Make::new("two fleets");
        let one = open(&(cluster.url("one") + "&poll_ms=10")).await.unwrap();
        let two = open(&(cluster.url("two") + "&poll_ms=10")).await.unwrap();
        let (player, owner) = (make.player(), make.owner());

        let mut watch = two.discovery.watch(None).await.unwrap();
        let first = within("a reset", watch.next()).await.unwrap();
        assert!(matches!(first, Update::Reset(membership) if membership.members.is_empty()));
        let node = make.node();
        let request = RegisterNode::new(node.clone(), Timing::default());
        one.discovery.register(request.clone()).await.unwrap();
        assert!(two.discovery.members().await.unwrap().members.is_empty());
        assert_eq!(two.discovery.timing().await.unwrap(), None);
        let joining = make.node();
        let other = RegisterNode::new(joining.clone(), Timing::relaxed());
        two.discovery.register(other).await.unwrap();
        let seen = within("a join", watch.next()).await.unwrap();
        assert!(
            matches!(&seen, Update::Joined { node, .. } if node.id == joining.id),
            "{seen:?}"
        );

        let session = one.sessions.create(make.login(&player, &owner, ttl(1))).await;
        let session = session.unwrap().session;
        assert!(two.sessions.get(&session.id).await.unwrap().is_none());
        assert!(two.sessions.find(&player).await.unwrap().is_empty());
        let page = two.sessions.list(ListSessions::all(10)).await.unwrap();
        assert!(page.sessions.is_empty() && page.next.is_none());
        let touch = Touch::new(session.id, session.fence, ttl(600));
        let touched = two.sessions.touch_many(&[touch]).await.unwrap();
        assert_eq!(touched.answers, [Touched::NotFound]);
        let claim = ClaimSession::new(session.id, session.fence, make.owner(), make.nonce(), ttl(9));
        let error = two.sessions.claim(claim).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);

        // The same player and even the same id stand in both.
        let mut login = make.login(&player, &owner, ttl(600));
        login.id = session.id;
        two.sessions.create(login).await.unwrap();
        cluster
            .clock()
            .expect("it is settable")
            .advance(Duration::from_secs(2))
            .unwrap();
        let taken = two.sessions.take_expired(make.take(player.partition(), 10)).await;
        assert!(taken.unwrap().sessions.is_empty());
        let taken = one.sessions.take_expired(make.take(player.partition(), 10)).await;
        assert_eq!(taken.unwrap().sessions[0].session.id, session.id);
        assert!(two.sessions.get(&session.id).await.unwrap().is_some());
    });
}
