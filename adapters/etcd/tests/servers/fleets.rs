//! Two fleets in one etcd.

use ringhold_core::discovery::{LeaveFleet, RegisterNode};
use ringhold_core::session::ListSessions;
use ringhold_core::{NodeIncarnation, Timing};
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

#[tokio::test(flavor = "multi_thread")]
async fn slow_five_thousand_ids_that_come_and_go_are_dropped_beyond_a_thousand() {
    const FULL: u64 = 1_200;
    let cluster = one().await;
    let make = Make::new("slow_five_thousand_ids_that_come_and_go_are_dropped_beyond_a_thousand");
    let discovery = open(&cluster.url("pods")).await.unwrap().discovery;
    let raw = raw(&cluster).await;
    let size = async || {
        let stored = stored(&raw, "/ringhold/pods/").await;
        let bytes: usize = stored.iter().map(|kv| kv.key().len() + kv.value().len()).sum();
        (stored.len(), bytes)
    };
    let mut full = None;
    for number in 1..=5_000 {
        let record = make.node();
        let id = record.id.clone();
        let registered = discovery
            .register(RegisterNode::new(record, Timing::default()))
            .await
            .unwrap();
        assert_eq!(registered.incarnation.number, number, "no number is given twice");
        let node = NodeIncarnation::new(id, registered.incarnation);
        discovery
            .leave(LeaveFleet::new(node, make.operation()))
            .await
            .unwrap();
        if number == FULL {
            full = Some(size().await);
        }
    }
    let (keys, bytes) = full.expect("more ids than that");
    let now = size().await;
    assert_eq!(now.0, keys);
    assert!(now.1 <= bytes + bytes / 10, "{} bytes after {bytes}", now.1);
}
