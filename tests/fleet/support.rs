//! What the tests of whole fleets share.

use std::time::Duration;

use ringhold::core::discovery::EvictNode;
use ringhold::{
    Backend, Fleet, Login, LoginOptions, NodeIncarnation, NodeStatus, OperationId, PlayerId, Redirect,
    Result, Session, SessionId, Timing,
};
use tokio::time::timeout;

/// Far above anything that is waited for; in simulated time it passes at once.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) async fn memory() -> Backend {
    ringhold::open("memory:?fleet=test").await.unwrap()
}

pub(crate) async fn join(backend: &Backend, id: &str) -> Fleet {
    join_with(backend, id, Timing::default()).await
}

pub(crate) async fn join_with(backend: &Backend, id: &str, timing: Timing) -> Fleet {
    let address = format!("{id}.test:4000");
    Fleet::builder(backend.clone())
        .node(id)
        .endpoint("player", address)
        .timing(timing)
        .join()
        .await
        .unwrap()
}

/// Nodes `n0`, `n1`, … who all see each other.
pub(crate) async fn fleet_of(backend: &Backend, nodes: usize, timing: Timing) -> Vec<Fleet> {
    let mut fleet = Vec::new();
    for index in 0..nodes {
        fleet.push(join_with(backend, &format!("n{index}"), timing).await);
    }
    sees(&fleet, nodes).await;
    fleet
}

/// Waits until each of `fleet` sees so many nodes.
pub(crate) async fn sees(fleet: &[Fleet], nodes: usize) {
    for node in fleet {
        let seen = timeout(LONG, node.wait_for(|view| view.nodes().len() == nodes)).await;
        let now = node.view().nodes().len();
        assert!(seen.is_ok(), "{} sees {now} nodes and not {nodes}", node.node());
    }
}

pub(crate) fn player(name: impl AsRef<str>) -> PlayerId {
    PlayerId::new(name).unwrap()
}

pub(crate) async fn login(node: &Fleet, name: impl AsRef<str>) -> Result<Login<u64>> {
    node.login::<u64>(&player(name), LoginOptions::new()).await
}

#[track_caller]
pub(crate) fn here<T>(login: Result<Login<T>>) -> Session<T> {
    match login {
        Ok(Login::Here(session)) => session,
        Ok(Login::Elsewhere(to)) => panic!("the player is on {}", to.node),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
pub(crate) fn elsewhere<T>(login: Result<Login<T>>) -> Redirect {
    match login {
        Ok(Login::Elsewhere(to)) => to,
        Ok(Login::Here(session)) => panic!("{} is here", session.player()),
        Err(error) => panic!("{error}"),
    }
}

/// Logs in again and again until the player is here, as a client that reconnects does.
pub(crate) async fn login_until_here(node: &Fleet, name: &str) -> Session<u64> {
    let tries = async {
        loop {
            if let Ok(Login::Here(session)) = login(node, name).await {
                return session;
            }
            // sleep: the pause of a client between two attempts, in simulated time
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, tries)
        .await
        .unwrap_or_else(|_| panic!("{name} was never taken by {}", node.node()))
}

/// The value that the store has.
pub(crate) async fn stored(backend: &Backend, id: &SessionId) -> u64 {
    let stored = backend.sessions.get(id).await.unwrap().unwrap();
    postcard::from_bytes(&stored.data).unwrap()
}

/// Takes the lease of `node` away, as if it had lapsed, and answers the incarnation that held it.
pub(crate) async fn evict(backend: &Backend, node: &Fleet) -> NodeIncarnation {
    let evicted = node.node();
    let request = EvictNode::new(evicted.clone(), OperationId::from_bytes([1; 16]));
    assert!(
        backend.discovery.evict(request).await.unwrap().was_member,
        "{evicted} was no member"
    );
    evicted
}

/// Waits until `node` has registered under another incarnation than `before`.
pub(crate) async fn registered_again(node: &Fleet, before: &NodeIncarnation) {
    let registering = async {
        while node.node() == *before {
            // sleep: between two looks, in simulated time; nothing tells of it from outside
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        timeout(LONG, registering).await.is_ok(),
        "{before} never registered again"
    );
}

/// Waits until so many players are attached to `node`.
pub(crate) async fn holds(node: &Fleet, players: usize) {
    let telling = async {
        while node.attached() != players {
            // sleep: between two looks, in simulated time; nothing tells of it from outside
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(
        timeout(Duration::from_secs(5), telling).await.is_ok(),
        "{} holds {} players and not {players}",
        node.node(),
        node.attached()
    );
}

/// Waits until `node` stands to the fleet like this.
pub(crate) async fn is_now(node: &Fleet, status: NodeStatus) {
    let reached = timeout(LONG, node.wait_for_status(|now| now == status)).await;
    assert!(
        reached.is_ok(),
        "{} is {:?} and not {status:?}",
        node.node(),
        node.status()
    );
}
