//! The commands over a running fleet, on memory, with real nodes and players.

use std::time::Duration;

use clap::Parser;
use ringhold::core::discovery::RegisterNode;
use ringhold::{
    Backend, Fleet, FleetEvent, Incarnation, Login, LoginOptions, NodeId, NodeRecord, Nonce, Observer,
    PlayerId, Session, SessionEvent, Timing,
};
use ringhold_cli::args::Cli;
use ringhold_cli::commands;
use ringhold_cli::exit::{Exit, Failure};
use ringhold_cli::output::Output;
use ringhold_testkit::{wait_for, within};
use serde_json::{Value, json};
use tokio::sync::oneshot;

const SOON: Duration = Duration::from_secs(20);

/// A fleet of two nodes, and whoever looks at it.
struct Arena {
    backend: Backend,
    nodes: Vec<Fleet>,
    observer: Observer,
}

impl Arena {
    async fn open() -> Self {
        let backend = ringhold::open("memory:?fleet=arena").await.unwrap();
        let mut nodes = Vec::new();
        for (name, port) in [("eu-1", 4001), ("us-1", 4002)] {
            nodes.push(join(&backend, name, port).await);
        }
        let observer = Fleet::builder(backend.clone()).observe().await.unwrap();
        within("both nodes", observer.wait_for(|view| view.nodes().len() == 2)).await;
        Self {
            backend,
            nodes,
            observer,
        }
    }

    async fn login(&self, node: usize, player: &str) -> Session<u32> {
        let player = PlayerId::new(player).unwrap();
        match self.nodes[node]
            .login(&player, LoginOptions::new())
            .await
            .unwrap()
        {
            Login::Here(session) => session,
            Login::Elsewhere(to) => panic!("{player} is on {}", to.node),
        }
    }

    /// The same, where a third node is a member that serves nobody.
    async fn with_a_silent_node() -> (Self, String) {
        let arena = Self::open().await;
        let name = "zz-1";
        let nonce = Nonce::from_bytes([7; 16]);
        let record = NodeRecord::new(NodeId::new(name).unwrap(), Incarnation { number: 0, nonce });
        let timing = Timing::new(Duration::from_millis(100), Duration::from_secs(5)).unwrap();
        let registering = arena
            .backend
            .discovery
            .register(RegisterNode::new(record, timing));
        registering.await.unwrap();
        within(
            "all nodes",
            arena.observer.wait_for(|view| view.nodes().len() == 3),
        )
        .await;
        (arena, name.to_owned())
    }

    /// What a command line prints.
    async fn run(&self, line: &[&str]) -> Result<String, Failure> {
        let mut printed = Vec::new();
        self.print(line, &mut printed).await?;
        Ok(String::from_utf8(printed).unwrap())
    }

    async fn print(&self, line: &[&str], printed: &mut Vec<u8>) -> Result<(), Failure> {
        let words = ["ringhold"].iter().chain(line);
        let cli = Cli::try_parse_from(words).unwrap();
        let mut output = Output::new(cli.global.json, printed);
        commands::on(&self.observer, &cli.command, &mut output).await
    }

    /// What a command line prints with `--json`, line by line.
    async fn json(&self, line: &[&str]) -> Vec<Value> {
        let line: Vec<&str> = line.iter().copied().chain(["--json"]).collect();
        values(&self.run(&line).await.unwrap())
    }

    async fn exit(&self, line: &[&str]) -> Exit {
        self.run(line).await.unwrap_err().exit()
    }
}

async fn join(backend: &Backend, name: &str, port: u16) -> Fleet {
    let timing = Timing::new(Duration::from_millis(100), Duration::from_secs(5)).unwrap();
    let builder = Fleet::builder(backend.clone())
        .node(name)
        .timing(timing)
        .zone("z1")
        .capacity(100);
    builder
        .endpoint("player", format!("10.0.0.1:{port}"))
        .build_id("1.2.3")
        .join()
        .await
        .unwrap()
}

fn values(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn nodes_are_shown_with_shares_and_sessions() {
    let arena = Arena::open().await;
    let _sessions = [arena.login(0, "ada").await, arena.login(0, "bob").await];
    // The loads come with heartbeats.
    let report = wait_for("the load of eu-1", SOON, async || {
        let report = arena.json(&["nodes"]).await.remove(0);
        if report["nodes"][0]["sessions"] == 2 {
            Ok(report)
        } else {
            Err(report)
        }
    })
    .await;
    assert_eq!(report["fleet"], "arena");
    let nodes = report["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    assert_eq!(
        (&nodes[0]["node"], &nodes[0]["incarnation"]),
        (&"eu-1".into(), &1.into())
    );
    assert_eq!(nodes[1]["endpoints"]["player"], "10.0.0.1:4002");
    assert_eq!(
        (&nodes[0]["state"], &nodes[0]["lapsed"]),
        (&"ready".into(), &false.into())
    );
    let shares: f64 = nodes
        .iter()
        .map(|node| node["ring_share"].as_f64().unwrap())
        .sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");

    let table = arena.run(&["nodes"]).await.unwrap();
    let eu = table.lines().find(|line| line.starts_with("eu-1")).unwrap();
    assert!(
        eu.contains("ready") && eu.contains("2/100") && eu.contains("player=10.0.0.1:4001"),
        "{table}"
    );
    assert!(table.contains("fleet arena, revision 2, nodes: 2"), "{table}");
}

#[tokio::test]
async fn nodes_warns_where_no_node_handles_or_discards_expired_sessions() {
    let backend = ringhold::open("memory:").await.unwrap();
    let observer = Fleet::builder(backend.clone()).observe().await.unwrap();
    let leaves = Fleet::builder(backend.clone())
        .node("eu-1")
        .expired(ringhold::Expired::Leave);
    let mut arena = Arena {
        nodes: vec![leaves.join().await.unwrap()],
        backend,
        observer,
    };
    let table = arena.run(&["nodes"]).await.unwrap();
    assert!(table.contains("warning: no node handles or discards"), "{table}");
    let report = arena.json(&["nodes"]).await.remove(0);
    assert_eq!(report["nodes"][0]["expiry"], "leave");
    assert!(
        report["warning"].as_str().unwrap().contains("on_expired"),
        "{report}"
    );

    let discards = Fleet::builder(arena.backend.clone()).node("eu-2");
    arena.nodes.push(discards.join().await.unwrap());
    let report = arena.json(&["nodes"]).await.remove(0);
    assert_eq!(
        (&report["nodes"][1]["expiry"], &report["warning"]),
        (&"discard".into(), &Value::Null)
    );
}

#[tokio::test]
async fn an_empty_fleet_is_an_answer() {
    let backend = ringhold::open("memory:").await.unwrap();
    let observer = Fleet::builder(backend.clone()).observe().await.unwrap();
    let arena = Arena {
        backend,
        nodes: Vec::new(),
        observer,
    };
    assert_eq!(
        arena.run(&["nodes"]).await.unwrap(),
        "fleet default, revision 0, nodes: 0\n"
    );
    assert_eq!(arena.run(&["sessions", "list"]).await.unwrap(), "sessions: 0\n");
    assert_eq!(arena.json(&["sessions", "list"]).await, Vec::<Value>::new());
    assert_eq!(arena.exit(&["owner", "ada"]).await, Exit::No);
    assert_eq!(arena.exit(&["locate", "ada"]).await, Exit::No);
}

#[tokio::test]
async fn sessions_are_listed_by_page_and_by_node() {
    let arena = Arena::open().await;
    let mut sessions = Vec::new();
    for player in 0..7 {
        sessions.push(arena.login(usize::from(player == 6), &format!("p{player}")).await);
    }
    let listed = async |line: &[&str]| -> Vec<String> {
        let line: Vec<&str> = ["sessions", "list"].iter().chain(line).copied().collect();
        let rows = arena.json(&line).await;
        rows.iter()
            .map(|row| row["session"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = listed(&["--limit", "0"]).await;
    assert_eq!(all.len(), 7);
    let first = listed(&["--limit", "3"]).await;
    assert_eq!(first, all[..3]);
    let after = first[2].as_str();
    assert_eq!(listed(&["--after", after]).await, all[3..]);
    let us = arena.json(&["sessions", "list", "--node", "us-1"]).await;
    assert_eq!((us.len(), &us[0]["player"]), (1, &"p6".into()));
    assert_eq!(
        arena.exit(&["sessions", "list", "--node", "no-1"]).await,
        Exit::No
    );

    let table = arena.run(&["sessions", "list", "--limit", "3"]).await.unwrap();
    assert!(
        table.contains("sessions: 3") && table.contains(&format!("--after {after}")),
        "{table}"
    );
    let table = arena.run(&["sessions", "list"]).await.unwrap();
    assert!(
        table.contains("sessions: 7") && !table.contains("--after"),
        "{table}"
    );
}

#[tokio::test]
async fn a_session_is_shown_and_ended() {
    let arena = Arena::open().await;
    let mut session = arena.login(0, "ada").await;
    *session.value_mut() = 300;
    session.save().await.unwrap();
    let id = session.id().to_string();

    let shown = arena.json(&["sessions", "get", &id]).await.remove(0);
    assert_eq!(
        (&shown["player"], &shown["node"]),
        (&"ada".into(), &"eu-1".into())
    );
    assert_eq!(
        (&shown["version"], &shown["owner_live"]),
        (&2.into(), &true.into())
    );
    assert_eq!(shown["data_bytes"], 2);
    assert!(shown["remaining_ms"].as_u64().unwrap() > 50_000 && shown["ttl_ms"] == 60_000);
    let found = arena.json(&["sessions", "find", "ada"]).await;
    assert_eq!((found.len(), &found[0]["session"]), (1, &id.as_str().into()));
    assert!(
        arena
            .run(&["sessions", "get", &id])
            .await
            .unwrap()
            .contains("eu-1#1")
    );

    let ended = arena.run(&["sessions", "remove", &id]).await.unwrap();
    assert_eq!(ended, format!("ended {id} of ada on eu-1\n"));
    for line in [
        ["sessions", "get", &id],
        ["sessions", "remove", &id],
        ["sessions", "find", "ada"],
    ] {
        assert_eq!(arena.exit(&line).await, Exit::No, "{line:?}");
    }
    // Its holder is told as soon as it writes, and the next login starts anew.
    assert!(session.save().await.is_err());
    assert_eq!(within("the end", session.event()).await, SessionEvent::Fenced);
    drop(session);
    let anew = arena.login(1, "ada").await;
    assert!(anew.is_new() && anew.id().to_string() != id);
}

#[tokio::test]
async fn players_are_located_and_keys_have_owners() {
    let arena = Arena::open().await;
    let session = arena.login(1, "ada").await;
    assert_eq!(
        arena.run(&["locate", "ada"]).await.unwrap(),
        "ada is on us-1#2 at 10.0.0.1:4002\n"
    );
    let place = arena.json(&["locate", "ada"]).await.remove(0);
    assert_eq!(
        (&place["node"], &place["address"]),
        (&"us-1".into(), &"10.0.0.1:4002".into())
    );
    assert_eq!(place["session"], session.id().to_string());
    assert_eq!(arena.exit(&["locate", "bob"]).await, Exit::No);

    let owner = arena.json(&["owner", "any key"]).await.remove(0);
    let by_ring = arena.nodes[0].owner("any key").unwrap();
    assert_eq!(owner["node"], by_ring.id.as_str());
    assert!(
        arena
            .run(&["owner", "any key"])
            .await
            .unwrap()
            .starts_with(by_ring.id.as_str())
    );

    // A player of a node that has left is still found, and so is that it has left.
    drop(session);
    arena.nodes[1].leave().await.unwrap();
    within(
        "one node",
        arena.observer.wait_for(|view| view.nodes().len() == 1),
    )
    .await;
    let told = arena.run(&["locate", "ada"]).await.unwrap();
    assert!(told.contains("was on us-1#2, which has left"), "{told}");
    assert_eq!(
        arena.json(&["sessions", "find", "ada"]).await[0]["owner_live"],
        false
    );
}

#[tokio::test]
async fn odd_players_do_not_reach_the_terminal() {
    let arena = Arena::open().await;
    let odd = "\u{1b}[2J{ada}\r\n\u{202e}";
    let _session = arena.login(0, odd).await;
    for line in [
        ["sessions", "list"].as_slice(),
        &["sessions", "find", odd],
        &["locate", odd],
    ] {
        let printed = arena.run(line).await.unwrap();
        assert!(
            printed.contains("\\u{1b}[2J{ada}\\u{d}\\u{a}\\u{202e}"),
            "{printed:?}"
        );
        assert!(!printed.contains(['\u{1b}', '\r', '\u{202e}']), "{printed:?}");
        assert_eq!(arena.json(line).await[0]["player"], odd);
    }
    let failure = arena.run(&["locate", "\u{1b}[2J"]).await.unwrap_err();
    assert!(!failure.to_string().contains('\u{1b}'), "{failure:?}");
}

#[tokio::test]
async fn a_message_is_sent_to_a_player_wherever_it_is() {
    let arena = Arena::open().await;
    let (mut ada, mut bob) = (arena.login(0, "ada").await, arena.login(1, "bob").await);
    for (player, session) in [("ada", &mut ada), ("bob", &mut bob)] {
        let told = arena.run(&["send", player, "hello\u{1b}"]).await.unwrap();
        assert_eq!(told, format!("{player} has 6 bytes\n"));
        let SessionEvent::Message(message) = within("a message", session.event()).await else {
            panic!("{player} was told something else")
        };
        assert_eq!((message.from, &message.body[..]), (None, b"hello\x1b".as_slice()));
    }
    let sent = arena.json(&["send", "ada", "again"]).await.remove(0);
    assert_eq!(sent, json!({ "player": "ada", "bytes": 5 }));
    let failure = arena.run(&["send", "carol", "hello"]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::No);
    assert!(failure.message().contains("ringhold sessions find"), "{failure}");
    let long = "x".repeat((64 << 10) + 1);
    assert_eq!(arena.exit(&["send", "ada", &long]).await, Exit::Usage);

    // Nobody takes bob's messages any more: the inbox is full at some time, and the sender is told.
    let full = async {
        loop {
            if let Err(failure) = arena.run(&["send", "bob", "hello"]).await {
                return failure;
            }
        }
    };
    let failure = within("a full inbox", full).await;
    assert_eq!(failure.exit(), Exit::Unavailable);
    assert!(
        failure.message().contains("overloaded") && failure.message().contains("try again"),
        "{failure}"
    );
    let failure = arena.run(&["send", "--all", "hello"]).await.unwrap_err();
    assert_eq!(failure.exit(), Exit::Unavailable);
    assert!(failure.message().contains("1 player had no room"), "{failure}");
    // A player whose connection has gone is nowhere.
    drop(ada);
    assert_eq!(arena.exit(&["send", "ada", "hello"]).await, Exit::No);
}

#[tokio::test]
async fn a_message_to_all_is_told_node_by_node() {
    let arena = Arena::open().await;
    let mut sessions = [
        arena.login(0, "ada").await,
        arena.login(0, "bob").await,
        arena.login(1, "carol").await,
    ];
    let table = arena.run(&["send", "--all", "closing soon"]).await.unwrap();
    let row = |node: &str| {
        let line = table.lines().find(|line| line.starts_with(node)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        (row("eu-1"), row("us-1")),
        (
            ["eu-1#1", "2", "0"].map(str::to_owned).to_vec(),
            ["us-1#2", "1", "0"].map(str::to_owned).to_vec()
        ),
        "{table}"
    );
    assert!(table.ends_with("\n\ndelivered to 3 players\n"), "{table}");
    for session in &mut sessions {
        let event = within("a message", session.event()).await;
        assert!(
            matches!(&event, SessionEvent::Message(message) if &message.body[..] == b"closing soon"),
            "{event:?}"
        );
    }
    let rows = arena.json(&["send", "closing", "--all"]).await;
    assert_eq!(
        rows[1],
        json!({ "node": "us-1", "incarnation": 2, "delivered": 1, "overloaded": 0 })
    );
}

#[tokio::test]
async fn nodes_that_do_not_answer_are_named() {
    let (arena, silent) = Arena::with_a_silent_node().await;
    let _ada = arena.login(0, "ada").await;
    let mut printed = Vec::new();
    let failure = arena
        .print(&["send", "--all", "hello"], &mut printed)
        .await
        .unwrap_err();
    let table = String::from_utf8(printed).unwrap();
    assert_eq!(failure.exit(), Exit::Unavailable);
    assert!(failure.message().contains("1 of 3 nodes"), "{failure}");
    let line = table.lines().find(|line| line.starts_with(&silent)).unwrap();
    assert!(line.contains("unavailable: "), "{table}");
    assert!(table.contains("delivered to 1 player"), "{table}");
}

#[tokio::test]
async fn a_player_is_kicked_wherever_it_is() {
    let arena = Arena::open().await;
    let mut ada = arena.login(1, "ada").await;
    let told = arena.run(&["kick", "ada", "--reason", "for good"]).await.unwrap();
    assert_eq!(told, "ended the session of ada, who was told\n");
    let reason = "for good".to_owned();
    assert_eq!(
        within("the end", ada.event()).await,
        SessionEvent::Kicked { reason }
    );
    assert_eq!(arena.exit(&["kick", "ada"]).await, Exit::No);
    drop(ada);
    // Of one whose connection has gone, the session ends all the same.
    drop(arena.login(0, "ada").await);
    let kicked = arena.json(&["kick", "ada"]).await.remove(0);
    assert_eq!(kicked, json!({ "player": "ada", "told": false }));
    assert_eq!(arena.exit(&["sessions", "find", "ada"]).await, Exit::No);
    let long = "x".repeat(257);
    let _bob = arena.login(0, "bob").await;
    assert_eq!(arena.exit(&["kick", "bob", "--reason", &long]).await, Exit::Usage);
}

#[tokio::test]
async fn a_watch_tells_who_comes_and_goes_until_it_is_stopped() {
    let arena = Arena::open().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut printed = Vec::new();
    let mut output = Output::new(true, &mut printed);
    let happen = async {
        let third = join(&arena.backend, "ap-1", 4003).await;
        within(
            "three nodes",
            arena.observer.wait_for(|view| view.nodes().len() == 3),
        )
        .await;
        let mut events = arena.observer.events();
        third.leave().await.unwrap();
        // A view is published before its events are sent.
        within("the third node to leave", async {
            while !matches!(events.next().await, Some(FleetEvent::Left { .. })) {}
        })
        .await;
        stop.send(()).unwrap();
    };
    let watch = commands::watch::run(&arena.observer, &mut output, async { drop(stopped.await) });
    let (watched, ()) = within("the watch", async { tokio::join!(watch, happen) }).await;
    watched.unwrap();
    let told: Vec<String> = values(&String::from_utf8(printed).unwrap())
        .iter()
        .map(|line| {
            format!(
                "{} {}",
                line["event"].as_str().unwrap(),
                line["node"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(told[..2], ["present eu-1", "present us-1"]);
    assert!(
        told.contains(&"joined ap-1".to_owned()) && told.contains(&"left ap-1".to_owned()),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_watch_for_people_says_where_and_why() {
    let arena = Arena::open().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut printed = Vec::new();
    let mut output = Output::new(false, &mut printed);
    let happen = async {
        // Whoever was seen to join is followed change by change, so the reason is known too.
        let third = join(&arena.backend, "ap-1", 4003).await;
        within(
            "three nodes",
            arena.observer.wait_for(|view| view.nodes().len() == 3),
        )
        .await;
        let mut events = arena.observer.events();
        third.leave().await.unwrap();
        // A view is published before its events are sent.
        within("the third node to leave", async {
            while !matches!(events.next().await, Some(FleetEvent::Left { .. })) {}
        })
        .await;
        stop.send(()).unwrap();
    };
    let watch = commands::watch::run(&arena.observer, &mut output, async { drop(stopped.await) });
    let (watched, ()) = within("the watch", async { tokio::join!(watch, happen) }).await;
    watched.unwrap();
    let printed = String::from_utf8(printed).unwrap();
    assert!(
        printed.contains("present  eu-1#1") && printed.contains("joined   ap-1#3 at 10.0.0.1:4003"),
        "{printed}"
    );
}
