//! Copies that nothing disturbs.

use std::time::Duration;

use ringhold::{Fleet, Login, LoginOptions, Partition, PlayerId};
use ringhold_cli::commands;
use ringhold_cli::copy::{Copy, Event, Stage};
use ringhold_cli::output::Output;
use ringhold_testkit::{Make, TestTime, within};
use serde_json::{Value, json};

use crate::support::{all, are_same, login, memory, populate, run, ttl};

#[tokio::test]
async fn ten_thousand_sessions_come_over_and_progress_only_grows() {
    let make = Make::new("ten thousand sessions");
    let ((from, _), (to, _)) = (memory("eu"), memory("us"));
    let sessions = populate(&from, &make, 6_200).await;
    assert!(sessions >= 10_000, "{sessions}");

    let mut copy = Copy::new(from.clone(), to.clone());
    let (outcome, told) = run(&mut copy).await;
    outcome.unwrap();
    are_same(&from, &to).await;
    let report = copy.report();
    assert_eq!(
        (report.sessions, report.copied, report.verified),
        (sessions, sessions, sessions)
    );
    let bytes: usize = all(&from).await.values().map(|session| session.data.len()).sum();
    assert_eq!((report.data_bytes, report.ok), (bytes as u64, true));
    assert!(told.problems.is_empty(), "{:?}", told.problems);

    // Whoever has several has them in the same order.
    let mut several = 0;
    for session in all(&from).await.into_values() {
        let ids = async |of: &ringhold::Backend| -> Vec<_> {
            let found = of.sessions.find(&session.player).await.unwrap();
            found.iter().map(|session| session.id).collect()
        };
        let (here, there) = (ids(&from).await, ids(&to).await);
        assert_eq!(here, there, "{}", session.player);
        several += usize::from(here.len() > 1 && here.is_sorted());
    }
    assert!(several > 100, "order by chance is the order of ids: {several}");

    for stage in [Stage::Copying, Stage::Verifying] {
        let steps: Vec<_> = told.steps.iter().filter(|(of, ..)| *of == stage).collect();
        assert!(steps.len() > 50, "{stage:?}: {}", steps.len());
        assert!(
            steps
                .windows(2)
                .all(|pair| pair[0].1 <= pair[1].1 && pair[0].2 <= pair[1].2),
            "{stage:?}: {steps:?}"
        );
        assert_eq!(
            steps.last(),
            Some(&&(stage, Partition::COUNT, sessions)),
            "{stage:?}"
        );
    }
    assert!(
        told.steps
            .is_sorted_by_key(|(stage, ..)| *stage == Stage::Verifying)
    );
}

#[tokio::test]
async fn nothing_is_copied_where_nothing_is() {
    let ((from, clock), (to, _)) = (memory("eu"), memory("us"));
    let make = Make::new("nothing");
    let session = login(&from, &make, &make.player(), &make.owner(), ttl(1)).await;
    // Expired, and not swept.
    clock.pass(Duration::from_secs(2)).await;
    assert!(from.sessions.get(&session.id).await.unwrap().is_none());
    let mut copy = Copy::new(from, to.clone());
    run(&mut copy).await.0.unwrap();
    assert_eq!((copy.report().sessions, copy.report().ok), (0, true));
    assert!(all(&to).await.is_empty());
}

#[tokio::test]
async fn what_came_over_first_lives_until_the_last_is_compared() {
    let make = Make::new("short lives");
    let ((from, _), (to, clock)) = (memory("eu"), memory("us"));
    let owner = make.owner();
    for _ in 0..500 {
        login(&from, &make, &make.player(), &owner, ttl(1)).await;
    }
    let mut copy = Copy::new(from.clone(), to.clone());
    let mut steps = 0;
    let outcome = copy
        .run(&mut |event| {
            let Event::Step { .. } = event else {
                return Ok(());
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "nothing else runs on the thread of this test"
            )]
            // sleep: touches are due by the time that a copy takes
            std::thread::sleep(Duration::from_millis(350));
            clock.advance(Duration::from_millis(400));
            steps += 1;
            Ok(())
        })
        .await;
    outcome.unwrap();
    assert!(steps >= 8, "{steps} steps are too few for anything to expire");
    assert_eq!(copy.report().verified, 500);
}

#[tokio::test]
async fn a_copied_player_plays_on_under_any_node() {
    let (from, to) = (
        ringhold::open("memory:").await.unwrap(),
        ringhold::open("memory:").await.unwrap(),
    );
    let players: Vec<PlayerId> = (0..4).map(|n| PlayerId::new(format!("p{n}")).unwrap()).collect();
    // The third run of eu-1 holds them.
    let mut fleet = None;
    for _ in 0..3 {
        fleet = Some(Fleet::builder(from.clone()).node("eu-1").join().await.unwrap());
    }
    let fleet = fleet.unwrap();
    for (n, player) in players.iter().enumerate() {
        let Login::Here(mut session) = fleet.login(player, LoginOptions::new()).await.unwrap() else {
            panic!("{player} is new");
        };
        *session.value_mut() = n;
        session.save().await.unwrap();
    }
    drop(fleet);
    run(&mut Copy::new(from, to.clone())).await.0.unwrap();

    // There, eu-1 is in its first run.
    let mut nodes = Vec::new();
    for name in ["eu-1", "us-1"] {
        nodes.push(Fleet::builder(to.clone()).node(name).join().await.unwrap());
    }
    for (n, player) in players.iter().enumerate() {
        let login = nodes[n % 2].login::<usize>(player, LoginOptions::new());
        let Login::Here(mut session) = within("a login", login).await.unwrap() else {
            panic!("nobody there holds {player}");
        };
        assert_eq!((*session.value(), session.is_new()), (n, false));
        *session.value_mut() = 100;
        session.save().await.unwrap();
    }
}

#[tokio::test]
async fn a_report_is_for_people_or_for_programs() {
    let make = Make::new("reports");
    let ((from, _), (to, _)) = (memory("eu"), memory("us"));
    let player = PlayerId::new("\u{1b}[2J{ada}").unwrap();
    let session = login(&from, &make, &player, &make.owner(), ttl(30)).await;
    let printed = async |as_json, to| {
        let mut printed = Vec::new();
        let mut output = Output::new(as_json, &mut printed);
        let outcome = commands::copy::on(&mut Copy::new(from.clone(), to), &mut output).await;
        (outcome, String::from_utf8(printed).unwrap())
    };
    let (outcome, words) = printed(false, to.clone()).await;
    outcome.unwrap();
    assert!(
        words.starts_with(
            "memory: fleet eu to memory: fleet us: 1 session copied, 0 bytes of data, 1 verified, in 0."
        ),
        "{words}"
    );
    let (outcome, line) = printed(true, to.clone()).await;
    outcome.unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (
            &report["from"],
            &report["sessions"],
            &report["ok"],
            &report["error"]
        ),
        (
            &json!({ "backend": "memory", "fleet": "eu" }),
            &json!(1),
            &json!(true),
            &Value::Null
        )
    );

    // The same player is there by other means.
    let (other, _) = memory("us");
    login(&other, &make, &player, &make.owner(), ttl(30)).await;
    let (outcome, words) = printed(false, other.clone()).await;
    assert_eq!(outcome.unwrap_err().exit().code(), 1);
    assert!(
        words.starts_with(&format!("{}: refused: restore: already_exists", session.id)),
        "{words}"
    );
    assert!(!words.contains('\u{1b}'), "{words:?}");
    let (outcome, lines) = printed(true, other).await;
    let failure = outcome.unwrap_err();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["session"], &lines[0]["problem"]),
        (&json!(session.id.to_string()), &json!("refused"))
    );
    assert_eq!(
        (&lines[1]["refused"], &lines[1]["ok"], &lines[1]["error"]),
        (&json!(1), &json!(false), &json!(failure.message()))
    );
}
