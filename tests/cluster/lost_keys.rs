//! Partitions that lose a key while nodes hold their players.

use std::time::Duration;

use futures_util::future::join_all;
use ringhold::Session;
use ringhold::core::Partition;
use ringhold_testkit::launch::Reply;
use ringhold_testkit::{Make, wait_for};

use crate::support::{Bed, LONG, elsewhere, here, is_undisturbed, login, slot_of, stored};

/// Touched every 2 s.
const TTL: Duration = Duration::from_secs(6);

const PLAYERS: u64 = 12;

/// Deletes the key of a partition that ends in `name`.
async fn delete(bed: &Bed, slot: u16, name: &'static str) {
    bed.with(move |cluster| {
        let master = cluster.master_of_slot(slot)?;
        let words = ["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"];
        let Reply::Array(keys) = cluster.command(master, &words)?.check()? else {
            panic!("no list of keys");
        };
        let suffix = format!(":test:{name}").into_bytes();
        let is_meant = |key: &Reply| matches!(key, Reply::Bytes(key) if key.ends_with(&suffix));
        let Some(Reply::Bytes(key)) = keys.into_iter().find(is_meant) else {
            panic!("no key {name}");
        };
        let deleted = cluster.command(master, &[b"DEL".as_slice(), &key])?.check()?;
        assert_eq!(deleted.integer(), Some(1));
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_keep_their_sessions_when_their_partition_loses_a_key() {
    let bed = Bed::start().await;
    let nodes = bed.fleet(2, TTL).await;
    let backend = bed.backend().await;
    let make = Make::new("a lost partition");
    let partition = Partition::new(7).unwrap();
    let players: Vec<_> = (0..PLAYERS).map(|_| make.player_in(partition)).collect();
    let mut held: Vec<Session<u64>> = Vec::new();
    for player in &players {
        held.push(here(login(&nodes[0], player.as_str()).await));
    }
    let slot = slot_of(&held[0].id());
    for (round, name) in ["s", "p", "d"].into_iter().enumerate() {
        let value = |index: usize| (100 * round + index) as u64;
        for (index, session) in held.iter_mut().enumerate() {
            *session.value_mut() = value(index);
            session.save().await.unwrap();
        }
        delete(&bed, slot, name).await;

        // Logins on another node wait for the owner, and those on the owner restore the session themselves.
        let logins = players
            .iter()
            .skip(1)
            .map(|player| login(&nodes[1], player.as_str()));
        for login in join_all(logins).await {
            assert_eq!(elsewhere(login).node, nodes[0].node(), "{name}");
        }
        let again = here(login(&nodes[0], players[0].as_str()).await);
        assert_eq!((again.id(), *again.value()), (held[0].id(), value(0)), "{name}");
        held[0] = again;
        for (index, session) in held.iter_mut().enumerate() {
            let restored = wait_for("the session to be restored", LONG, async || {
                stored(&backend, &session.id()).await.ok_or("it is not there")
            });
            assert_eq!(restored.await, value(index), "{name}: what was acknowledged");
            is_undisturbed(session).await;
            let found = backend.sessions.find(session.player()).await.unwrap();
            assert_eq!(found.len(), 1, "{name}: {found:?}");
        }
        assert_eq!(
            backend.sessions.count(partition).await.unwrap(),
            PLAYERS,
            "{name}"
        );
    }
}
