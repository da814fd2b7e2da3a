//! Keys that something else has made of another type.

use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{
    AckExpired, ClaimSession, ListSessions, RemoveSession, RestoreSession, Touch, Touched,
};
use ringhold_core::{ErrorKind, NodeIncarnation, Result, Timing};
use ringhold_testkit::launch::RedisServer;
use ringhold_testkit::{Make, run};

use crate::real::{Stored, open, ttl};
use crate::suite::servers;

fn corrupt<T: std::fmt::Debug>(what: &str, result: Result<T>) {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
}

/// Puts a text in a key's place. Answers the other keys of the fleet with these names, and what is there.
fn spoil(server: &RedisServer, fleet: &str, names: &[&str], name: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let key = server.key(fleet, name);
    server.ask(&[b"SET", &key, b"a text"]);
    let mut others = server.keys(fleet, names);
    others.retain(|other| *other != key);
    let dump = server.dump(&others);
    (others, dump)
}

#[test]
fn a_key_of_another_type_spoils_its_partition_alone() {
    let server = RedisServer::start(&servers()).unwrap();
    run("a key of sessions", async {
        for (name, fleet) in [("s", "type-s"), ("p", "type-p"), ("d", "type-d")] {
            let make = Make::new("a key of sessions");
            let sessions = open(&server.url(fleet)).await.unwrap().sessions;
            let (player, other, owner) = (make.player(), make.player(), make.owner());
            let login = make.login(&player, &owner, ttl(600));
            let session = sessions.create(login).await.unwrap().session;
            let (others, before) = spoil(&server, fleet, &["s", "p", "d"], name);
            assert_eq!(others.len(), 2);
            let standing = sessions
                .create(make.login(&other, &owner, ttl(600)))
                .await
                .unwrap()
                .session;

            let id = session.id;
            corrupt(
                "create",
                sessions.create(make.login(&player, &owner, ttl(600))).await,
            );
            corrupt("get", sessions.get(&id).await);
            corrupt("find", sessions.find(&player).await);
            corrupt("save", sessions.save(make.save(&session, b"data")).await);
            let touch = Touch::new(id, session.fence, ttl(600));
            corrupt("touch", sessions.touch_many(&[touch]).await);
            let claim = ClaimSession::new(id, session.fence, make.owner(), make.nonce(), ttl(600));
            corrupt("claim", sessions.claim(claim).await);
            let remove = RemoveSession::new(id, session.fence, make.operation());
            corrupt("remove", sessions.remove(remove).await);
            let restore = RestoreSession::new(session.clone(), make.nonce());
            corrupt("restore", sessions.restore(restore).await);
            corrupt("list", sessions.list(ListSessions::all(10)).await);
            corrupt(
                "take_expired",
                sessions.take_expired(make.take(id.partition(), 10)).await,
            );
            corrupt(
                "ack_expired",
                sessions.ack_expired(AckExpired::new(id, make.nonce())).await,
            );
            assert_eq!(
                server.dump(&others),
                before,
                "something was written beside {name}"
            );

            let both = [touch, Touch::new(standing.id, standing.fence, ttl(600))];
            let answers = sessions.touch_many(&both).await.unwrap().answers;
            assert_eq!(
                answers,
                [Touched::Unreadable(ErrorKind::Corrupt), Touched::Renewed]
            );
            let mut take = make.take(id.partition(), 10);
            take.partitions.push(other.partition());
            let taken = sessions.take_expired(take).await.unwrap();
            assert_eq!(taken.failed, [(id.partition(), ErrorKind::Corrupt)]);
            assert_eq!(sessions.find(&other).await.unwrap().len(), 1);
            sessions.save(make.save(&standing, b"data")).await.unwrap();
            assert_eq!(server.dump(&others), before);
        }
    });
}

#[test]
fn a_membership_key_of_another_type_spoils_the_membership_alone() {
    let server = RedisServer::start(&servers()).unwrap();
    run("a key of the membership", async {
        for (name, fleet) in [("n", "type-n"), ("l", "type-l"), ("e", "type-e"), ("v", "type-v")] {
            let make = Make::new("a key of the membership");
            let backend = open(&server.url(fleet)).await.unwrap();
            let discovery = backend.discovery;
            let register = || RegisterNode::new(make.node(), Timing::default());
            let request = register();
            let registered = discovery.register(request.clone()).await.unwrap();
            let node = NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
            let revision = registered.membership.revision;
            let mut watch = discovery.watch(Some(revision)).await.unwrap();
            let (others, before) = spoil(&server, fleet, &["n", "l", "e", "v"], name);
            assert_eq!(others.len(), 3);

            corrupt("register", discovery.register(register()).await);
            let renew = RenewLease::new(node.clone(), revision, Load::new(1), make.operation());
            corrupt("renew", discovery.renew(renew).await);
            let leave = LeaveFleet::new(node.clone(), make.operation());
            corrupt("leave", discovery.leave(leave).await);
            corrupt(
                "evict",
                discovery.evict(EvictNode::new(node, make.operation())).await,
            );
            corrupt("members", discovery.members().await);
            corrupt("timing", discovery.timing().await);
            corrupt("watch", watch.next().await);
            assert_eq!(
                server.dump(&others),
                before,
                "something was written beside {name}"
            );

            let login = make.login(&make.player(), &make.owner(), ttl(600));
            backend.sessions.create(login).await.unwrap();
            let other = open(&server.url(&format!("{fleet}-other"))).await.unwrap();
            other.discovery.register(register()).await.unwrap();
        }
    });
}
