//! A process with a whole fleet ends and starts again on what it left on the disk.

use ringhold::{Fleet, Login, LoginOptions, PlayerId, Result};

const PLAYERS: usize = 20;

fn player(index: usize) -> PlayerId {
    PlayerId::new(format!("player-{index}")).unwrap()
}

/// Two nodes in this process.
async fn fleet(url: &str) -> Result<Vec<Fleet>> {
    let backend = ringhold::open(url).await?;
    let mut nodes = Vec::new();
    for name in ["eu-1", "eu-2"] {
        let node = Fleet::builder(backend.clone())
            .node(name)
            .endpoint("player", format!("{name}.test:4000"));
        nodes.push(node.join().await?);
    }
    Ok(nodes)
}

async fn log_in(node: &Fleet, index: usize) -> ringhold::Session<usize> {
    match node
        .login::<usize>(&player(index), LoginOptions::new())
        .await
        .unwrap()
    {
        Login::Here(session) => session,
        Login::Elsewhere(to) => panic!("{} is at {}", player(index), to.node),
    }
}

/// Runs as in a process of its own: with its runtime, all tasks and handles are gone.
fn in_a_process<T>(act: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(act)
}

/// Plays, ends without a goodbye, starts again, and finds everybody. On the way the nodes are new
/// incarnations, and what was held by the old ones is claimed at the first login.
fn plays_on(url: &str) {
    let first = in_a_process(async {
        let nodes = fleet(url).await.unwrap();
        for index in 0..PLAYERS {
            let mut session = log_in(&nodes[index % 2], index).await;
            *session.value_mut() = 1_000 + index;
            session.save().await.unwrap();
        }
        nodes.iter().map(Fleet::node).collect::<Vec<_>>()
    });
    let second = in_a_process(async {
        let nodes = fleet(url).await.unwrap();
        for index in 0..PLAYERS {
            // Also at the node that did not hold the player before.
            let session = log_in(&nodes[(index / 2) % 2], index).await;
            assert!(!session.is_new(), "{} was lost", player(index));
            assert_eq!(*session.value(), 1_000 + index);
        }
        nodes.iter().map(Fleet::node).collect::<Vec<_>>()
    });
    for (old, new) in first.iter().zip(&second) {
        assert_eq!(old.node, new.node);
        assert_eq!(old.incarnation.number + 2, new.incarnation.number, "{old} {new}");
    }
}

#[cfg(feature = "redb")]
#[test]
fn a_fleet_on_redb_plays_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    plays_on(&format!(
        "redb://{}?fleet=restart",
        folder.path().join("x.redb").display()
    ));
}

#[cfg(feature = "sled")]
#[test]
fn a_fleet_on_sled_plays_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    plays_on(&format!(
        "sled://{}?fleet=restart",
        folder.path().join("x").display()
    ));
}
