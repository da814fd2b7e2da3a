//! Servers that do not compare strings by their bytes.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use ringhold_core::session::{Cursor, ListSessions};
use ringhold_core::{Partition, SessionId};
use ringhold_testkit::launch::{RedisOptions, RedisServer};
use ringhold_testkit::{Make, run};

use crate::each_client::on_each_client;
use crate::real::{open, ttl};

/// Sessions of few partitions and of many, all pages of each size.
fn listing_is_complete_under_another_collation(client: &str) {
    let server = RedisServer::start(&RedisOptions::new().locale("en_US")).unwrap();
    run("another collation", async {
        let make = Make::new("another collation");
        let backend = open(&(server.url("words") + client)).await.unwrap();
        let (sessions, owner) = (&backend.sessions, make.owner());
        let dense: Vec<Partition> = (0..4).map(|_| make.player().partition()).collect();
        let logins = (0..600).map(|index| {
            let player = match dense.get(index % 8) {
                Some(partition) => make.player_in(*partition),
                None => make.player(),
            };
            sessions.create(make.login(&player, &owner, ttl(600)))
        });
        let created = join_all(logins).await;
        let expected: BTreeSet<SessionId> = created.into_iter().map(|it| it.unwrap().session.id).collect();
        for limit in [7, 100, 1_000] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let mut request = ListSessions::all(limit);
                request.after = after;
                let page = sessions.list(request).await.unwrap();
                listed.extend(page.sessions.iter().map(|session| session.id));
                after = page.next;
                let Some(Cursor(_)) = after else { break };
            }
            assert!(
                listed.is_sorted_by(|a, b| a < b),
                "in the order of ids, each once"
            );
            assert_eq!(listed.len(), expected.len(), "in pages of {limit}");
            assert!(listed.iter().all(|id| expected.contains(id)));
        }
        let mut counted = 0;
        for partition in Partition::all() {
            counted += sessions.count(partition).await.unwrap();
        }
        assert_eq!(counted, 600);
    });
}

on_each_client!(listing_is_complete_under_another_collation);
