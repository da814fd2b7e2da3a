//! Where the keys of a partition are.

use std::collections::BTreeMap;

use ringhold_core::{Partition, SessionId};
use ringhold_testkit::launch::{ClusterOptions, RedisCluster};
use ringhold_testkit::{Make, run};

use crate::real::{Stored, open, ttl};
use crate::suite::servers;

#[test]
fn each_partition_is_three_keys_in_its_slot() {
    let cluster =
        RedisCluster::start(ClusterOptions::new().replicas_per_master(0).server(servers())).unwrap();
    run("the keys of all partitions", async {
        let make = Make::new("the keys of all partitions");
        let (sessions, owner) = (open(&cluster.url("keys")).await.unwrap().sessions, make.owner());
        let mut ids = Vec::new();
        // The first players of a maker are all in partitions of their own.
        for _ in 0..Partition::COUNT {
            let login = make.login(&make.player(), &owner, ttl(600));
            ids.push(sessions.create(login).await.unwrap().session.id);
        }
        ids.sort();
        assert!(ids.iter().map(SessionId::partition).eq(Partition::all()));

        let mut by_tag: BTreeMap<Vec<u8>, Vec<(usize, Vec<u8>)>> = BTreeMap::new();
        for index in 0..cluster.len() {
            let keys = (&cluster, index).keys("keys", &["*"]);
            let share = keys.len() / 3;
            assert!((300..400).contains(&share), "node {index} has {share} partitions");
            for key in keys {
                let tag = key.split(|byte| b"{}".contains(byte)).nth(1);
                let tag = tag.expect("a hash tag").to_vec();
                by_tag.entry(tag).or_default().push((index, key));
            }
        }
        assert_eq!(by_tag.len(), usize::from(Partition::COUNT));
        let mut homes = 0;
        for (tag, keys) in by_tag {
            let tag = String::from_utf8(tag).expect("a text");
            let name = |name: &str| format!("ringhold:{{{tag}}}:keys:{name}").into_bytes();
            let mut names: Vec<_> = keys.iter().map(|(_, key)| key.clone()).collect();
            // The partition of the membership also has the schema's number; nobody registered.
            homes += usize::from(names.contains(&name("schema")));
            names.retain(|key| *key != name("schema"));
            names.sort();
            assert_eq!(names, [name("d"), name("p"), name("s")]);

            let node = (&cluster, keys[0].0);
            assert!(keys.iter().all(|(index, _)| *index == node.1));
            let fields = node.list(&[b"HKEYS", &name("s")]);
            let ids = fields
                .iter()
                .filter_map(|field| <[u8; 18]>::try_from(&field[..]).ok());
            let ids: Vec<_> = ids.map(|id| SessionId::from_bytes(id).expect("an id")).collect();
            assert_eq!(ids.len(), 1, "{tag}");
            let slot = node.ask(&[b"CLUSTER", b"KEYSLOT", &name("s")]).integer();
            assert_eq!(slot, Some(16 * i64::from(ids[0].partition().get()) + 8), "{tag}");
        }
        assert_eq!(homes, 1);
    });
}
