//! Servers that forget what they acknowledged, as after a failover: the keys are put back as they were.

use ringhold_core::discovery::{Changes, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{ClaimSession, Touch, Touched};
use ringhold_core::{ErrorKind, NodeIncarnation, Timing, Update};
use ringhold_testkit::launch::RedisServer;
use ringhold_testkit::{Make, run, within};

use crate::real::{Stored, open, ttl};
use crate::suite::servers;

/// What some keys hold.
struct Snapshot(Vec<(Vec<u8>, Vec<u8>)>);

impl Snapshot {
    fn take(server: &RedisServer, fleet: &str, names: &[&str]) -> Self {
        let keys: Vec<_> = names.iter().map(|name| server.key(fleet, name)).collect();
        let dump = server.dump(&keys);
        Self(keys.into_iter().zip(dump).collect())
    }

    fn put_back(&self, server: &RedisServer) {
        for (key, dump) in &self.0 {
            server.ask(&[b"RESTORE", key, b"0", dump, b"REPLACE"]);
        }
    }
}

fn start() -> RedisServer {
    RedisServer::start(&servers()).unwrap()
}

#[test]
fn a_lost_claim_is_never_believed_again() {
    let server = start();
    run("a lost claim", async {
        let make = Make::new("a lost claim");
        let sessions = open(&server.url("claim")).await.unwrap().sessions;
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        let session = sessions.create(login).await.unwrap().session;
        let before = Snapshot::take(&server, "claim", &["s", "p", "d"]);
        let claim = |owner| ClaimSession::new(session.id, session.fence, owner, make.nonce(), ttl(600));
        let by_a = claim(make.owner());
        let held_by_a = sessions.claim(by_a.clone()).await.unwrap().session;

        before.put_back(&server);
        let owner_b = make.owner();
        let held_by_b = sessions.claim(claim(owner_b.clone())).await.unwrap().session;
        assert_eq!(
            held_by_a.fence.epoch, held_by_b.fence.epoch,
            "only their nonces differ"
        );

        let error = sessions.save(make.save(&held_by_a, b"of A")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        let touch = |fence| Touch::new(session.id, fence, ttl(600));
        let touches = [
            touch(held_by_a.fence),
            touch(session.fence),
            touch(held_by_b.fence),
        ];
        let answers = sessions.touch_many(&touches).await.unwrap().answers;
        let fenced = Touched::Fenced { owner: owner_b };
        assert_eq!(answers, [fenced.clone(), fenced, Touched::Renewed]);
        let error = sessions.claim(by_a).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        sessions.save(make.save(&held_by_b, b"of B")).await.unwrap();
        let stands = sessions.get(&session.id).await.unwrap().unwrap();
        assert_eq!(
            (stands.fence, &stands.data[..]),
            (held_by_b.fence, b"of B".as_slice())
        );
    });
}

#[test]
fn a_lost_save_is_a_conflict_of_versions() {
    let server = start();
    run("a lost save", async {
        let make = Make::new("a lost save");
        let sessions = open(&server.url("save")).await.unwrap().sessions;
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        let mut session = sessions.create(login).await.unwrap().session;
        let before = Snapshot::take(&server, "save", &["s", "p", "d"]);
        let first = make.save(&session, b"first");
        session.version = sessions.save(first.clone()).await.unwrap().version;

        before.put_back(&server);
        let touch = Touch::new(session.id, session.fence, ttl(600));
        let answers = sessions.touch_many(&[touch]).await.unwrap().answers;
        assert_eq!(answers, [Touched::Renewed], "it is still its owner's");
        let error = sessions.save(make.save(&session, b"second")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::VersionConflict);
        // The lost write itself may be repeated, and is then done.
        assert_eq!(sessions.save(first).await.unwrap().version, session.version);
        sessions.save(make.save(&session, b"second")).await.unwrap();
    });
}

#[test]
fn a_resume_point_that_was_forgotten_is_reset() {
    let server = start();
    run("a forgotten resume point", async {
        let make = Make::new("a forgotten resume point");
        let discovery = open(&(server.url("forgotten") + "&poll_ms=10"))
            .await
            .unwrap()
            .discovery;
        let mut known = Vec::new();
        let mut before = None;
        for _ in 0..2 {
            let request = RegisterNode::new(make.node(), Timing::relaxed());
            let registered = discovery.register(request.clone()).await.unwrap();
            let node = NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
            known.push((node, registered.membership.revision));
            before.get_or_insert_with(|| Snapshot::take(&server, "forgotten", &["n", "l", "e", "v"]));
        }
        let [(stays, _), (forgotten, ahead)] = &known[..] else {
            panic!("two nodes")
        };
        let mut watching = discovery.watch(Some(*ahead)).await.unwrap();
        before.expect("taken after the first").put_back(&server);

        let renew =
            |node: &NodeIncarnation| RenewLease::new(node.clone(), *ahead, Load::new(1), make.operation());
        let renewed = discovery.renew(renew(stays)).await.unwrap();
        assert_eq!(renewed.changes, Changes::ResetNeeded, "ahead of the head");
        let error = discovery.renew(renew(forgotten)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LeaseLost);
        let update = within("a reset", watching.next()).await.unwrap();
        assert!(
            matches!(&update, Update::Reset(it) if it.members.len() == 1 && !it.contains(forgotten)),
            "{update:?}"
        );

        // Another change under the same number is told by its tag.
        let request = RegisterNode::new(make.node(), Timing::relaxed());
        let registered = discovery.register(request).await.unwrap();
        assert_eq!(registered.membership.revision.number, ahead.number);
        let renewed = discovery.renew(renew(stays)).await.unwrap();
        assert_eq!(renewed.changes, Changes::ResetNeeded);
        let mut watch = discovery.watch(Some(*ahead)).await.unwrap();
        let update = within("a reset", watch.next()).await.unwrap();
        assert!(
            matches!(&update, Update::Reset(it) if it.members.len() == 2),
            "{update:?}"
        );
        // A watcher that was reset goes on with it.
        let update = within("a join", watching.next()).await.unwrap();
        assert!(
            matches!(&update, Update::Joined { .. } | Update::Loads(_)),
            "{update:?}"
        );
    });
}
