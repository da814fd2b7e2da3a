//! A server that is out of memory: it refuses what makes a fleet larger, and nothing that keeps it going.

use std::time::Duration;

use bytes::Bytes;
use ringhold_core::discovery::{EvictNode, LeaveFleet, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{
    AckExpired, ClaimSession, CreateOutcome, OnExisting, RemoveSession, RestoreSession, SaveSession, Touch,
    Touched,
};
use ringhold_core::{ErrorKind, NodeIncarnation, PlayerId, SessionRecord, SessionStore, Timing};
use ringhold_testkit::launch::{RedisServer, ServerClock};
use ringhold_testkit::{Make, run};

use crate::each_client::on_each_client;
use crate::real::{Stored, open, ttl};
use crate::suite::servers;

fn used_memory(server: &RedisServer) -> u64 {
    let info = server.ask(&[b"INFO", b"memory"]).text().expect("a text");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.expect("used_memory").parse().expect("a number")
}

fn set_max_memory(server: &RedisServer, bytes: u64) {
    server.ask(&[b"CONFIG", b"SET", b"maxmemory", bytes.to_string().as_bytes()]);
}

/// A save of so many bytes.
fn save(make: &Make, session: &SessionRecord, bytes: usize) -> SaveSession {
    let mut save = make.save(session, b"");
    save.data = Bytes::from(vec![9; bytes]);
    save
}

/// Fills the server up to its limit and sets the limit below what it has, whatever its buffers do. Returns what it took.
async fn fill(server: &RedisServer, sessions: &dyn SessionStore, make: &Make) -> Vec<SessionRecord> {
    set_max_memory(server, used_memory(server) + (1 << 20));
    let owner = make.owner();
    let mut stored = Vec::new();
    loop {
        let login = make.login(&make.player(), &owner, ttl(600));
        match sessions.create(login.with_data(vec![7; LEN])).await {
            Ok(created) => stored.push(created.session),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded);
                assert!(error.context().contains("maxmemory"), "{error}");
                break;
            }
        }
        assert!(stored.len() < 1_000, "1 MiB takes so many times {LEN} bytes");
    }
    set_max_memory(server, used_memory(server) - (256 << 10));
    stored
}

/// How many bytes of data each session has.
const LEN: usize = 60_000;

#[expect(
    clippy::too_many_lines,
    reason = "each step needs the server as the one before it left it"
)]
fn full_server_keeps_a_fleet_going_and_refuses_what_makes_it_larger(client: &str) {
    let options = servers().clock(ServerClock::Settable);
    let server = RedisServer::start(&options).unwrap();
    run("a full server", async {
        let make = Make::new("a full server");
        let backend = open(&(server.url("full") + client)).await.unwrap();
        let (sessions, discovery) = (&backend.sessions, &backend.discovery);
        let register = || RegisterNode::new(make.node(), Timing::default());
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let request = register();
            let registered = discovery.register(request.clone()).await.unwrap();
            let node = NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
            nodes.push((node, registered.membership.revision));
        }
        let expires = sessions
            .create(make.login(&make.player(), &make.owner(), ttl(1)))
            .await
            .unwrap()
            .session;
        let stored = fill(&server, &**sessions, &make).await;
        let [first, second, third, left @ ..] = &stored[..] else {
            panic!("more fit into 1 MiB")
        };

        // A process that starts now has new connections, and the server does not know its scripts.
        server.ask(&[b"SCRIPT", b"FLUSH"]);
        let backend = open(&(server.url("full") + client)).await.unwrap();
        let (sessions, discovery) = (&backend.sessions, &backend.discovery);

        let overloaded = |what: &str, error: ringhold_core::Error| {
            assert_eq!(error.kind(), ErrorKind::Overloaded, "{what}: {error}");
        };
        let longer = save(&make, first, LEN + 1);
        overloaded("a longer save", sessions.save(longer).await.unwrap_err());
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        overloaded("a login", sessions.create(login).await.unwrap_err());
        let mut lost = second.clone();
        lost.id = make.session_id(&make.player());
        lost.player = make.player_in(lost.id.partition());
        let restore = RestoreSession::new(lost, make.nonce());
        overloaded("a restoration", sessions.restore(restore).await.unwrap_err());
        assert_eq!(sessions.get(&first.id).await.unwrap().unwrap().data, first.data);

        // Data of the same length and shorter data.
        let mut session = first.clone();
        for bytes in [LEN, LEN, 10] {
            let request = save(&make, &session, bytes);
            let again = request.clone();
            session.version = sessions.save(request).await.unwrap().version;
            assert_eq!(
                sessions.save(again).await.unwrap().version,
                session.version,
                "a retry"
            );
            assert_eq!(sessions.get(&first.id).await.unwrap().unwrap().data.len(), bytes);
        }
        let stale = sessions.save(save(&make, first, 10)).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::VersionConflict);

        // The players of a dead server log in, and its replacement starts.
        let login =
            |player: &PlayerId| make.login_with(player, &make.owner(), ttl(600), OnExisting::Existing);
        let new = sessions.create(login(&make.player())).await;
        overloaded("a login of a new player", new.unwrap_err());
        let existing = sessions.create(login(&second.player)).await.unwrap();
        assert_eq!(existing.outcome, CreateOutcome::Existing);
        assert_eq!(existing.session.data, second.data);
        let claim = ClaimSession::new(second.id, second.fence, make.owner(), make.nonce(), ttl(600))
            .with_seen_version(existing.session.version);
        let claimed = sessions.claim(claim).await.unwrap().session;
        assert_eq!(claimed.data, second.data);
        discovery.register(register()).await.unwrap();
        for (node, revision) in &nodes {
            let renew = RenewLease::new(node.clone(), *revision, Load::new(1), make.operation());
            discovery.renew(renew).await.unwrap();
        }
        assert_eq!(discovery.members().await.unwrap().members.len(), 4);
        let touch = Touch::new(third.id, third.fence, ttl(600));
        let touched = sessions.touch_many(&[touch]).await.unwrap();
        assert_eq!(touched.answers, [Touched::Renewed]);

        // What ends.
        let clock = server.clock().expect("it is settable");
        let mut taken = Vec::new();
        let mut proof = make.nonce();
        for _ in 0..3 {
            clock.advance(Duration::from_secs(1)).unwrap();
            let take = make.take(expires.id.partition(), 10);
            proof = take.token;
            taken = sessions.take_expired(take).await.unwrap().sessions;
            if !taken.is_empty() {
                break;
            }
        }
        assert_eq!(taken[0].session.id, expires.id);
        let ack = AckExpired::new(expires.id, proof);
        sessions.ack_expired(ack).await.unwrap();
        let leave = LeaveFleet::new(nodes[0].0.clone(), make.operation());
        discovery.leave(leave).await.unwrap();
        let evict = EvictNode::new(nodes[1].0.clone(), make.operation());
        assert!(discovery.evict(evict).await.unwrap().was_member);
        for session in left {
            let remove = RemoveSession::new(session.id, session.fence, make.operation());
            sessions.remove(remove).await.unwrap();
        }

        // And then there is room again.
        let longer = save(&make, third, LEN + 1);
        sessions.save(longer).await.unwrap();
        let login = make.login(&make.player(), &make.owner(), ttl(600));
        sessions.create(login).await.unwrap();
    });
}

on_each_client!(full_server_keeps_a_fleet_going_and_refuses_what_makes_it_larger);
