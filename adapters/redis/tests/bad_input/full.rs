//! A server that is out of memory: what takes some is refused, and what gives some back works.

use std::time::Duration;

use bytes::Bytes;
use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{AckExpired, RemoveSession, Touch, Touched};
use ringhold_core::{ErrorKind, Timing};
use ringhold_testkit::launch::{RedisOptions, RedisServer, ServerClock};
use ringhold_testkit::{Make, run};

use crate::real::{Stored, open, ttl};

fn used_memory(server: &RedisServer) -> u64 {
    let info = server.ask(&[b"INFO", b"memory"]).text().expect("a text");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.expect("used_memory").parse().expect("a number")
}

fn set_max_memory(server: &RedisServer, bytes: u64) {
    server.ask(&[b"CONFIG", b"SET", b"maxmemory", bytes.to_string().as_bytes()]);
}

#[test]
fn a_full_server_refuses_writes_and_lets_go() {
    let options = RedisOptions::new().clock(ServerClock::Settable);
    let server = RedisServer::start(&options.max_memory(64 << 20)).unwrap();
    run("a full server", async {
        let make = Make::new("a full server");
        let (owner, data) = (make.owner(), Bytes::from(vec![7; 60_000]));
        let backend = open(&server.url("full")).await.unwrap();
        let (sessions, discovery) = (backend.sessions, backend.discovery);
        let register = || RegisterNode::new(make.node(), Timing::default());
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let request = register();
            let registered = discovery.register(request.clone()).await.unwrap();
            let node = ringhold_core::NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
            nodes.push((node, registered.membership.revision));
        }
        let short = make.player();
        let expires = sessions.create(make.login(&short, &owner, ttl(1))).await.unwrap();

        set_max_memory(&server, used_memory(&server) + (1 << 20));
        let mut stored = Vec::new();
        let refused = loop {
            let login = make
                .login(&make.player(), &owner, ttl(600))
                .with_data(data.clone());
            match sessions.create(login).await {
                Ok(created) => stored.push(created.session),
                Err(error) => break error,
            }
            assert!(stored.len() < 1_000, "1 MiB takes so many times 60,000 bytes");
        };
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        assert!(refused.context().contains("maxmemory"), "{refused}");
        let (first, second) = (&stored[0], &stored[1]);
        // From now on it is over its limit whatever its buffers do.
        let before = used_memory(&server);
        set_max_memory(&server, before - (512 << 10));

        // What takes memory is refused as a whole.
        let save = make.save(first, b"less");
        assert_eq!(
            sessions.save(save).await.unwrap_err().kind(),
            ErrorKind::Overloaded
        );
        let error = discovery.register(register()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert_eq!(sessions.get(&first.id).await.unwrap().unwrap().data, data);

        // What keeps sessions and nodes alive, and what frees memory, is not.
        let touch = Touch::new(first.id, first.fence, ttl(600));
        let touched = sessions.touch_many(&[touch]).await.unwrap();
        assert_eq!(touched.answers, [Touched::Renewed]);
        for (node, revision) in &nodes {
            let renew = RenewLease::new(node.clone(), *revision, Load::new(1), make.operation());
            discovery.renew(renew).await.unwrap();
        }
        assert_eq!(discovery.members().await.unwrap().members.len(), 3);
        let (id, clock) = (expires.session.id, server.clock().expect("it is settable"));
        let mut taken = Vec::new();
        let mut proof = make.nonce();
        for _ in 0..3 {
            clock.advance(Duration::from_secs(1)).unwrap();
            let take = make.take(id.partition(), 10);
            proof = take.token;
            taken = sessions.take_expired(take).await.unwrap().sessions;
            if !taken.is_empty() {
                break;
            }
        }
        assert_eq!(taken[0].session.id, id);
        sessions.ack_expired(AckExpired::new(id, proof)).await.unwrap();
        let leave = LeaveFleet::new(nodes[0].0.clone(), make.operation());
        discovery.leave(leave).await.unwrap();
        let evict = EvictNode::new(nodes[1].0.clone(), make.operation());
        assert!(discovery.evict(evict).await.unwrap().was_member);
        for session in &stored[2..] {
            let remove = RemoveSession::new(session.id, session.fence, make.operation());
            sessions.remove(remove).await.unwrap();
        }

        // And then there is room again.
        sessions.save(make.save(second, b"less")).await.unwrap();
        discovery.register(register()).await.unwrap();
    });
}
