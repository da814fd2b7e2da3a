//! Two fleets in one etcd.

use ringhold_core::Timing;
use ringhold_core::discovery::RegisterNode;
use ringhold_core::session::ListSessions;
use ringhold_testkit::Make;

use crate::support::{names, one, open, raw, stored, ttl};

#[tokio::test(flavor = "multi_thread")]
async fn fleets_of_one_etcd_never_see_each_other() {
    let cluster = one().await;
    let make = Make::new("fleets_of_one_etcd_never_see_each_other");
    // One name begins like the other.
    let (eu, eu_2) = (
        open(&cluster.url("eu")).await.unwrap(),
        open(&cluster.url("eu-2")).await.unwrap(),
    );
    let (owner, player) = (make.owner(), make.player());
    let login = make.login(&player, &owner, ttl(60));
    let created = eu.sessions.create(login.clone()).await.unwrap().session;
    let node = make.node();
    let register = RegisterNode::new(node.clone(), Timing::default());
    eu.discovery.register(register.clone()).await.unwrap();

    assert_eq!(eu_2.sessions.get(&created.id).await.unwrap(), None);
    assert_eq!(eu_2.sessions.find(&player).await.unwrap(), []);
    assert_eq!(
        eu_2.sessions.list(ListSessions::all(10)).await.unwrap().sessions,
        []
    );
    assert_eq!(eu_2.discovery.members().await.unwrap().members.len(), 0);
    assert_eq!(eu_2.discovery.timing().await.unwrap(), None);
    // The same ids there are other sessions and other nodes.
    let other = eu_2.sessions.create(login).await.unwrap().session;
    assert_eq!(other.id, created.id);
    let other = eu_2.discovery.register(register).await.unwrap();
    assert_eq!(other.incarnation.number, 1);

    let raw = raw(&cluster).await;
    let all = names("/ringhold/", &stored(&raw, "").await);
    assert!(
        all.iter()
            .all(|name| name.starts_with("eu/") || name.starts_with("eu-2/")),
        "{all:?}"
    );
}
