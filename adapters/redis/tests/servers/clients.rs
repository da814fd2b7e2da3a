//! Processes of one fleet with different client libraries: what one writes the other reads, and both
//! store the same bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{
    AckExpired, ClaimSession, CreateSession, ListSessions, RemoveSession, RestoreSession, Touch, Touched,
};
use ringhold_core::{Backend, ErrorKind, NodeIncarnation, PlayerId, Timing, Update};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster, RedisOptions, RedisServer, ServerClock};
use ringhold_testkit::{Make, run, within};

use crate::real::{Stored, open, ttl};

const CLIENTS: [&str; 2] = ["redis", "fred"];

/// Bytes that are no text, and a player whose name is none of the plain ones.
fn data() -> Bytes {
    (0..=255).collect::<Vec<u8>>().repeat(200).into()
}

fn odd_login(make: &Make, owner: &NodeIncarnation, secs: u64) -> CreateSession {
    let player = PlayerId::new("ada 💧 {x}\r\n$-1").expect("a text");
    make.login(&player, owner, ttl(secs)).with_data(data())
}

fn settable() -> RedisOptions {
    RedisOptions::new().clock(ServerClock::Settable)
}

/// Sessions go to and fro between two processes.
async fn sessions(cluster: &RedisCluster, make: &Make, here: &Backend, there: &Backend) {
    let (here, there) = (&here.sessions, &there.sessions);
    let created = here
        .create(odd_login(make, &make.owner(), 600))
        .await
        .unwrap()
        .session;
    assert_eq!(there.get(&created.id).await.unwrap().as_ref(), Some(&created));
    assert_eq!(
        there.find(&created.player).await.unwrap(),
        std::slice::from_ref(&created)
    );
    assert_eq!(created.data, data());

    let saved = there
        .save(make.save(&created, b"\xff\0 saved there"))
        .await
        .unwrap();
    let read = here.get(&created.id).await.unwrap().expect("a session");
    assert_eq!(
        (read.version, &read.data[..]),
        (saved.version, &b"\xff\0 saved there"[..])
    );
    let stale = here.save(make.save(&created, b"late")).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::VersionConflict);

    let claim = ClaimSession::new(read.id, read.fence, make.owner(), make.nonce(), ttl(600));
    let claimed = there.claim(claim).await.unwrap().session;
    let touch = Touch::new(read.id, read.fence, ttl(600));
    let answers = here.touch_many(&[touch]).await.unwrap().answers;
    assert!(matches!(answers[..], [Touched::Fenced { .. }]), "{answers:?}");
    let late = RemoveSession::new(read.id, read.fence, make.operation());
    assert_eq!(here.remove(late).await.unwrap_err().kind(), ErrorKind::Fenced);
    let touch = Touch::new(claimed.id, claimed.fence, ttl(60));
    let touched = here.touch_many(&[touch]).await.unwrap().answers;
    assert_eq!(touched, [Touched::Renewed]);
    let restored = here
        .restore(RestoreSession::new(claimed.clone(), make.nonce()))
        .await
        .unwrap();
    assert_eq!(restored.session.id, claimed.id);

    let lists = [
        here.list(ListSessions::all(100)).await,
        there.list(ListSessions::all(100)).await,
    ];
    let [one, other] = lists.map(|page| page.unwrap().sessions);
    assert_eq!(one, other);
    assert!(one.iter().any(|session| session.id == claimed.id));

    cluster
        .clock()
        .expect("settable")
        .advance(Duration::from_secs(601))
        .unwrap();
    // A partition's clock makes up for one cap at a time.
    let taken = loop {
        let take = make.take(claimed.id.partition(), 10);
        if let Some(taken) = there.take_expired(take).await.unwrap().sessions.pop() {
            break taken;
        }
        cluster
            .clock()
            .expect("settable")
            .advance(Duration::from_secs(3))
            .unwrap();
    };
    assert_eq!(taken.session.id, claimed.id);
    here.ack_expired(AckExpired::new(claimed.id, taken.token))
        .await
        .unwrap();
    assert!(there.get(&claimed.id).await.unwrap().is_none());
    let again = there.touch_many(&[touch]).await.unwrap().answers;
    assert!(matches!(again[..], [Touched::Ended(_)]), "{again:?}");
}

/// Nodes with different clients are members of one fleet.
async fn membership(make: &Make, here: &Backend, there: &Backend) {
    let (here, there) = (&here.discovery, &there.discovery);
    let mut watch = there.watch(None).await.unwrap();
    let first = within("a reset", watch.next()).await.unwrap();
    assert!(matches!(first, Update::Reset(_)), "{first:?}");
    let mut nodes = Vec::new();
    for discovery in [here, there] {
        let request = RegisterNode::new(make.node(), Timing::default());
        let registered = discovery.register(request.clone()).await.unwrap();
        let node = NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
        let seen = within("a join", watch.next()).await.unwrap();
        assert!(
            matches!(&seen, Update::Joined { node: joined, .. } if joined.id == node.node),
            "{seen:?}"
        );
        nodes.push((node, registered.membership.revision));
    }
    let (one, other) = (here.members().await.unwrap(), there.members().await.unwrap());
    assert_eq!((one.revision, &one.members), (other.revision, &other.members));
    assert_eq!(here.timing().await.unwrap(), there.timing().await.unwrap());
    // Each renews what the other one registered.
    for ((node, revision), discovery) in nodes.iter().zip([there, here]) {
        let renew = RenewLease::new(node.clone(), *revision, Load::new(7), make.operation());
        discovery.renew(renew).await.unwrap();
    }
    let leave = LeaveFleet::new(nodes[0].0.clone(), make.operation());
    there.leave(leave).await.unwrap();
    let evict = EvictNode::new(nodes[1].0.clone(), make.operation());
    here.evict(evict).await.unwrap();
    for (node, _) in &nodes {
        let seen = loop {
            match within("an end", watch.next()).await.unwrap() {
                Update::Loads { .. } => {}
                seen => break seen,
            }
        };
        assert!(
            matches!(&seen, Update::Left { node: left, .. } if left == node),
            "{seen:?}"
        );
    }
}

#[test]
fn what_one_writes_the_other_reads() {
    let cluster = RedisCluster::start(ClusterOptions::new().server(settable())).unwrap();
    run("one writes, the other reads", async {
        for (name, durability) in [("fast", "fast"), ("kept", "replicated:1")] {
            let url = |client: &str| {
                let url = cluster.url(name);
                format!("{url}&poll_ms=10&durability={durability}&client={client}")
            };
            let [redis, fred] = CLIENTS.map(url);
            let (redis, fred) = (open(&redis).await.unwrap(), open(&fred).await.unwrap());
            let make = Make::new("one writes, the other reads");
            sessions(&cluster, &make, &redis, &fred).await;
            membership(&make, &redis, &fred).await;
            sessions(&cluster, &make, &fred, &redis).await;
            membership(&make, &fred, &redis).await;
        }
    });
}

/// What a fleet has stored: the keys without its name and its home, and their values.
fn stored(server: &RedisServer, fleet: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let keys = server.keys(fleet, &["*"]);
    let values = server.dump(&keys);
    let infix = format!("}}:{fleet}:");
    let shown = keys.into_iter().map(|key| {
        let text = String::from_utf8(key).expect("a text");
        let (tag, name) = text.split_once(&infix).expect("a key of this fleet");
        let of_partition = ["s", "p", "d"].contains(&name);
        if of_partition {
            format!("{tag} {name}")
        } else {
            name.to_owned()
        }
        .into_bytes()
    });
    shown.zip(values).collect()
}

/// One of everything that leaves something behind.
async fn write_all(backend: &Backend, server: &RedisServer, make: &Make) {
    let (sessions, discovery) = (&backend.sessions, &backend.discovery);
    let owner = make.owner();
    sessions.create(odd_login(make, &owner, 600)).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..20 {
        let login = make.login(&make.player(), &owner, ttl(600));
        held.push(sessions.create(login).await.unwrap().session);
    }
    for session in &held[..10] {
        sessions.save(make.save(session, b"\0\x80\xff")).await.unwrap();
    }
    let claim = ClaimSession::new(held[0].id, held[0].fence, make.owner(), make.nonce(), ttl(60));
    sessions.claim(claim).await.unwrap();
    let remove = RemoveSession::new(held[1].id, held[1].fence, make.operation());
    sessions.remove(remove).await.unwrap();
    server
        .clock()
        .expect("settable")
        .advance(Duration::from_secs(1))
        .unwrap();
    let touches = held[2..]
        .iter()
        .map(|session| Touch::new(session.id, session.fence, ttl(90)));
    let touches: Vec<_> = touches.collect();
    sessions.touch_many(&touches).await.unwrap();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let request = RegisterNode::new(make.node(), Timing::default());
        let registered = discovery.register(request.clone()).await.unwrap();
        let node = NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
        nodes.push((node, registered.membership.revision));
    }
    let (node, revision) = nodes.remove(0);
    let renew = RenewLease::new(node, revision, Load::new(3), make.operation());
    discovery.renew(renew).await.unwrap();
    let leave = LeaveFleet::new(nodes.remove(0).0, make.operation());
    discovery.leave(leave).await.unwrap();
    let evict = EvictNode::new(nodes.remove(0).0, make.operation());
    discovery.evict(evict).await.unwrap();
}

#[test]
fn both_store_the_same_bytes() {
    let server = RedisServer::start(&settable()).unwrap();
    let clock = server.clock().expect("settable").now();
    run("the same bytes", async {
        let fleets = ["one", "two"];
        let mut found = Vec::new();
        for (fleet, client) in fleets.into_iter().zip(CLIENTS) {
            server.clock().expect("settable").set(clock).unwrap();
            let backend = open(&format!("{}&client={client}", server.url(fleet)))
                .await
                .unwrap();
            write_all(&backend, &server, &Make::new("the same bytes")).await;
            found.push(stored(&server, fleet));
        }
        let [redis, fred] = &found[..] else { panic!("two") };
        assert!(redis.len() > 60, "{} keys", redis.len());
        assert_eq!(redis, fred);
    });
}
