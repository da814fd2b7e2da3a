//! The same fleet, the same players and the same death on each backend.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use ringhold::testing::{TestBackend, backends};
use ringhold::{Fleet, FleetEvent, LeftReason, Login, LoginOptions, PlayerId, Session, Timing};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Above everything that is waited for, on a machine with other work too.
const LONG: Duration = Duration::from_secs(40);

/// How long a server that is there has the time to close a connection.
const SOON: Duration = Duration::from_millis(100);

/// Longer than by default: eighteen nodes and all their servers share a machine with other tests.
const LEASE: Duration = Duration::from_secs(9);

const PLAYERS: usize = 12;

/// Each feature of this build that stands for a backend, as `backends` names it.
const EXPECTED: &[&str] = &[
    #[cfg(feature = "memory")]
    "memory",
    #[cfg(feature = "redb")]
    "redb",
    #[cfg(feature = "sled")]
    "sled",
    #[cfg(feature = "redis")]
    "redis",
    #[cfg(all(feature = "redis", feature = "fred"))]
    "redis-fred",
    #[cfg(feature = "redis-cluster")]
    "redis-cluster",
    #[cfg(all(feature = "redis-cluster", feature = "fred"))]
    "redis-cluster-fred",
    #[cfg(feature = "etcd")]
    "etcd",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_a_node_dies_and_its_players_play_on_on_every_backend() {
    let backends = backends().await.unwrap();
    let names: Vec<&str> = backends.iter().map(TestBackend::name).collect();
    assert_eq!(names, EXPECTED);
    let mut running = JoinSet::new();
    for backend in backends {
        running.spawn(async move {
            play(&backend).await;
            backend.name()
        });
    }
    let mut played = BTreeSet::new();
    while let Some(ended) = running.join_next().await {
        played.insert(ended.unwrap());
    }
    assert_eq!(played, EXPECTED.iter().copied().collect());
}

async fn play(backend: &TestBackend) {
    let mut nodes = Vec::new();
    for (index, own) in backend.nodes(3).await.unwrap().into_iter().enumerate() {
        let node = Fleet::builder(own)
            .node(format!("n{index}"))
            .timing(Timing::new(Duration::from_secs(1), LEASE).unwrap())
            .endpoint("player", format!("n{index}.test:4000"));
        nodes.push(node.join().await.unwrap());
    }
    see(backend, &nodes, 3).await;

    // Each player logs in and saves; everyone else says where.
    let mut held = Vec::new();
    for index in 0..PLAYERS {
        let (player, node) = (player(index), &nodes[index % 3]);
        let Login::Here(mut session) = login(node, &player).await else {
            panic!("{backend}: {player} is new and elsewhere");
        };
        *session.value_mut() = 100 + index;
        session.save().await.unwrap();
        for other in nodes.iter().filter(|other| other.node() != node.node()) {
            let Login::Elsewhere(to) = login(other, &player).await else {
                panic!("{backend}: two nodes hold {player}");
            };
            assert_eq!(to.node, node.node(), "{backend}");
        }
        held.push(session);
    }
    closing_ends_it(backend, &nodes[1], held.remove(1)).await;

    // The first node dies: no goodbye, its last handle is gone. Its sessions' handles go with it.
    let mut events = nodes[1].events();
    let dead = nodes.remove(0);
    let gone = dead.node();
    held.retain(|session| session.value() % 3 != 100 % 3);
    drop(dead);
    let reason = timeout(LONG, async {
        loop {
            match events.next().await.expect("the fleet goes on") {
                FleetEvent::Left { node, reason } if node == gone => return reason,
                _ => {}
            }
        }
    });
    let reason = reason.await.expect("a death is noticed");
    assert_eq!(reason, Some(LeftReason::LeaseLapsed), "{backend}");
    see(backend, &nodes, 2).await;

    // Its players come back wherever they like, with everything that was saved; nobody else moved.
    for index in (0..PLAYERS).filter(|index| index % 3 == 0) {
        let player = player(index);
        let Login::Here(mut session) = login(&nodes[index % 2], &player).await else {
            panic!("{backend}: {player} is still with the dead");
        };
        assert_eq!(
            (*session.value(), session.is_new()),
            (100 + index, false),
            "{backend}"
        );
        *session.value_mut() += 1;
        session.save().await.unwrap();
    }
    for mut session in held {
        *session.value_mut() += 1;
        session.save().await.unwrap();
    }
    for node in &nodes {
        node.leave().await.unwrap();
    }
}

async fn closing_ends_it(backend: &TestBackend, node: &Fleet, session: Session<usize>) {
    let player = session.player().clone();
    session.close().await.unwrap();
    assert!(node.locate(&player).await.unwrap().is_none(), "{backend}");
}

async fn see(backend: &TestBackend, nodes: &[Fleet], count: usize) {
    for node in nodes {
        let all = node.wait_for(|view| view.nodes().len() == count);
        if timeout(LONG, all).await.is_err() {
            let seen = node.view().nodes().len();
            panic!("{backend}: {} sees {seen}, not {count}", node.node());
        }
    }
}

/// Logs in as a client does, which comes again when it is told that there is no room now.
async fn login(node: &Fleet, player: &PlayerId) -> Login<usize> {
    let end = Instant::now() + LONG;
    loop {
        match node.login(player, LoginOptions::new()).await {
            Ok(login) => return login,
            Err(error) => assert!(
                error.kind() == ringhold::ErrorKind::Unavailable && Instant::now() < end,
                "{player} on {}: {error}",
                node.node()
            ),
        }
        // sleep: the pause of a client between two attempts
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn player(index: usize) -> PlayerId {
    PlayerId::new(format!("p{index}")).unwrap()
}

#[tokio::test]
async fn each_fleet_is_its_own_and_its_nodes_share_it() {
    for backend in backends().await.unwrap() {
        let (one, other) = (backend.backend().await.unwrap(), backend.backend().await.unwrap());
        assert_ne!(one.fleet, other.fleet, "{backend}");
        assert_eq!(one.capabilities.shared, backend.is_shared(), "{backend}");
        let fleet = Fleet::builder(one).node("n0").join().await.unwrap();
        let Login::Here(_session) = login(&fleet, &player(0)).await else {
            panic!("{backend}: a new player is elsewhere");
        };
        let listed = async |of: &ringhold::Backend| {
            let all = ringhold::core::session::ListSessions::all(10);
            of.sessions.list(all).await.unwrap().sessions.len()
        };
        assert_eq!(
            (listed(fleet.backend()).await, listed(&other).await),
            (1, 0),
            "{backend}"
        );

        assert!(backend.nodes(0).await.unwrap().is_empty());
        let nodes = backend.nodes(2).await.unwrap();
        assert_eq!(nodes[0].fleet, nodes[1].fleet, "{backend}");
        let first = Fleet::builder(nodes[0].clone()).node("n0").join().await.unwrap();
        let second = Fleet::builder(nodes[1].clone()).observe().await.unwrap();
        assert_eq!(second.view().nodes().len(), 1, "{backend}");
        first.leave().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_started_ends_with_the_last_value() {
    let mut running = Vec::new();
    for backend in backends().await.unwrap() {
        let name = backend.name();
        assert_eq!(
            format!("{backend:?}"),
            format!("TestBackend {{ name: {name:?}, .. }}")
        );
        let url = url::Url::parse(&backend.url()).unwrap();
        if let (Some(host), Some(port)) = (url.host_str(), url.port()) {
            // A connection tells whether its server lives; a port may be somebody else's a moment later.
            let mut server = TcpStream::connect((host, port)).unwrap();
            server.set_read_timeout(Some(SOON)).unwrap();
            is_there(name, &mut server);
            running.push((backend.clone(), server));
        }
    }
    // The values that `backends` answered are gone, and their clones are not.
    for (backend, server) in &mut running {
        is_there(backend.name(), server);
    }
    let (names, servers): (Vec<_>, Vec<_>) = running
        .into_iter()
        .map(|(backend, server)| (backend.name(), server))
        .unzip();
    for (name, mut server) in names.into_iter().zip(servers) {
        server.set_read_timeout(Some(LONG)).unwrap();
        match server.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{name} has not ended: {error}"),
        }
    }
}

/// Nothing was said on this connection, and it stays open.
fn is_there(name: &str, server: &mut TcpStream) {
    let silent = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
    match server.read(&mut [0; 64]) {
        Err(error) if silent.contains(&error.kind()) => {}
        // An HTTP/2 server greets.
        Ok(1..) => {}
        other => panic!("{name} has ended: {other:?}"),
    }
}
