//! Records of a future format, and records that are none.

use std::time::Duration;

use ringhold_core::discovery::{Changes, RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{ListSessions, OnExisting, Touch, Touched};
use ringhold_core::{ErrorKind, NodeIncarnation, SessionId, Timing, Update};
use ringhold_testkit::launch::{RedisServer, ServerClock};
use ringhold_testkit::{Make, run, within};

use crate::real::{Stored, open, ttl};
use crate::suite::servers;

/// How a stored session is spoiled, and what readers are told.
const SPOILS: [(&str, ErrorKind); 4] = [
    ("a future format", ErrorKind::Unsupported),
    ("a short header", ErrorKind::Corrupt),
    ("a text", ErrorKind::Corrupt),
    ("no body", ErrorKind::Corrupt),
];

fn spoil(server: &RedisServer, key: &[u8], id: &SessionId, how: &str) {
    let id = id.to_bytes();
    let body_id = [&id[..], b"b"].concat();
    let mut header = server.bytes(&[b"HGET", key, &id]);
    let mut body = server.bytes(&[b"HGET", key, &body_id]);
    match how {
        "a future format" => {
            header[4] = 2;
            let player = 1 + usize::from(body[0]);
            body.truncate(player);
            body.extend_from_slice(b"\xff\xff\xff what this is only the future knows \xff");
        }
        "a short header" => header.truncate(100),
        "a text" => header = b"these are bytes of a text".to_vec(),
        _ => {
            server.ask(&[b"HDEL", key, &body_id]);
            return;
        }
    }
    server.ask(&[b"HSET", key, &id, &header, &body_id, &body]);
}

#[test]
fn unreadable_sessions_are_shown_and_stop_nobody() {
    let options = servers().clock(ServerClock::Settable);
    let server = RedisServer::start(&options).unwrap();
    run("unreadable sessions", async {
        for (number, (how, kind)) in SPOILS.into_iter().enumerate() {
            let make = Make::new("unreadable sessions");
            let fleet = format!("records-{number}");
            let sessions = open(&server.url(&fleet)).await.unwrap().sessions;
            let (player, owner) = (make.player(), make.owner());
            let (partition, other) = (player.partition(), make.player_in(player.partition()));
            let login = make.login(&player, &owner, ttl(60));
            let session = sessions.create(login).await.unwrap().session;
            let login = make.login(&other, &owner, ttl(60));
            let standing = sessions.create(login).await.unwrap().session;
            spoil(&server, &server.key(&fleet, "s"), &session.id, how);

            let error = sessions.get(&session.id).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{how}: {error}");
            let error = sessions.find(&player).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{how}: {error}");
            for on_existing in [OnExisting::Existing, OnExisting::default(), OnExisting::Replace] {
                let login = make.login_with(&player, &owner, ttl(60), on_existing);
                let error = sessions.create(login).await.unwrap_err();
                assert_eq!(error.kind(), kind, "{how}: {error}");
            }
            let page = sessions.list(ListSessions::all(10)).await.unwrap();
            let listed: Vec<_> = page.sessions.iter().map(|session| session.id).collect();
            assert_eq!(listed, [standing.id], "{how}");
            let listed: Vec<_> = page.unreadable.iter().map(|it| (it.id, it.kind)).collect();
            assert_eq!(listed, [(session.id, kind)], "{how}");

            let touches = [&session, &standing].map(|it| Touch::new(it.id, it.fence, ttl(3)));
            let answers = sessions.touch_many(&touches).await.unwrap().answers;
            let renews = matches!(how, "a future format" | "no body");
            let answer = if renews {
                Touched::Renewed
            } else {
                Touched::Unreadable(kind)
            };
            assert_eq!(answers, [answer, Touched::Renewed], "{how}");
            let saved = sessions.save(make.save(&standing, b"data")).await.unwrap();
            assert_eq!(saved.version.get(), 2);
            assert_eq!(sessions.find(&other).await.unwrap().len(), 1);

            // Both expire; the one that cannot be read keeps its place while the other one goes.
            let clock = server.clock().expect("it is settable");
            let (mut unreadable, mut taken) = (Vec::new(), Vec::new());
            for _ in 0..40 {
                clock.advance(Duration::from_secs(2)).unwrap();
                let found = sessions.take_expired(make.take(partition, 10)).await.unwrap();
                unreadable.extend(found.unreadable.iter().map(|it| (it.id, it.kind)));
                taken.extend(found.sessions.iter().map(|it| it.session.id));
            }
            assert!(unreadable.contains(&(session.id, kind)), "{how}: {unreadable:?}");
            assert!(unreadable.iter().all(|it| *it == (session.id, kind)));
            assert!(
                !taken.is_empty() && taken.iter().all(|id| *id == standing.id),
                "{how}: {taken:?}"
            );
        }
    });
}

#[test]
fn a_member_of_a_future_format_is_shown_and_stops_nobody() {
    let server = RedisServer::start(&servers()).unwrap();
    run("a member of a future format", async {
        let make = Make::new("a member of a future format");
        let url = server.url("future") + "&poll_ms=10";
        let discovery = open(&url).await.unwrap().discovery;
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let request = RegisterNode::new(make.node(), Timing::relaxed());
            let registered = discovery.register(request.clone()).await.unwrap();
            let node = NodeIncarnation::new(request.record.id.clone(), registered.incarnation);
            nodes.push((node, registered.membership.revision));
        }
        let [(node, revision), (future, head)] = &nodes[..] else {
            panic!("two nodes")
        };
        // Its record, and the change that brought it.
        let (key, log) = (server.key("future", "n"), server.key("future", "v"));
        let field = format!("r{}", future.node);
        let mut record = server.bytes(&[b"HGET", &key, field.as_bytes()]);
        record[4] += 1;
        record.extend_from_slice(b"\xff what this is only the future knows");
        server.ask(&[b"HSET", &key, field.as_bytes(), &record]);
        let mut change = server.bytes(&[b"LINDEX", &log, b"-1"]);
        change.truncate(26);
        change.extend_from_slice(&record);
        server.ask(&[b"LSET", &log, b"-1", &change]);

        let membership = discovery.members().await.unwrap();
        assert_eq!(membership.members.len(), 1);
        let unreadable = &membership.unreadable;
        assert_eq!(unreadable.len(), 1);
        assert_eq!(
            (&unreadable[0].id, unreadable[0].kind),
            (&future.node, ErrorKind::Unsupported)
        );

        let renew = |after| RenewLease::new(node.clone(), after, Load::new(1), make.operation());
        let renewed = discovery.renew(renew(*revision)).await.unwrap();
        assert_eq!(
            renewed.changes,
            Changes::ResetNeeded,
            "a change that cannot be read"
        );
        let renewed = discovery.renew(renew(*head)).await.unwrap();
        assert_eq!(renewed.changes, Changes::Updates(Vec::new()));

        for after in [None, Some(*revision)] {
            let mut watch = discovery.watch(after).await.unwrap();
            let update = within("a reset", watch.next()).await.unwrap();
            let Update::Reset(membership) = update else {
                panic!("{update:?}")
            };
            assert_eq!((membership.members.len(), membership.unreadable.len()), (1, 1));
            // And it goes on behind that.
            let joining = make.node();
            let request = RegisterNode::new(joining.clone(), Timing::relaxed());
            let registered = discovery.register(request).await.unwrap();
            let joins = async {
                loop {
                    if let Update::Joined { node, .. } = watch.next().await.unwrap() {
                        return node;
                    }
                }
            };
            assert_eq!(within("a join", joins).await.id, joining.id);
            let node = NodeIncarnation::new(joining.id, registered.incarnation);
            let evict = ringhold_core::discovery::EvictNode::new(node, make.operation());
            discovery.evict(evict).await.unwrap();
        }
    });
}
