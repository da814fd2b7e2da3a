//! The supervisor against servers of paper, on time that the tests own.

mod demoted;
mod fake;
mod outage;
mod patience;
mod sizes;
mod stall;
mod start;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ringhold_core::{ErrorKind, Partition, Result};
use tokio::time::Instant;

use self::fake::{Behaviour, Fake, Paper};
use super::{Address, Answer, Call, Settings, Supervisor, outcome};
use crate::client::{Reply, ServerError};
use crate::script;

#[test]
fn first_error_of_a_call_is_its_outcome() {
    let error = |line: &str| Reply::Error(ServerError::parse(line));
    let code = |replies: Vec<Reply>| match outcome(replies) {
        Reply::Error(error) => error.code,
        other => format!("{other:?}"),
    };
    let refused = vec![error("NOPERM of ASKING"), error("MOVED 8 h:1")];
    assert_eq!(code(refused), "NOPERM", "what comes before the script is refused");
    assert_eq!(
        code(vec![Reply::Status("OK".to_owned()), error("TRYAGAIN")]),
        "TRYAGAIN"
    );
    assert_eq!(outcome([Reply::Integer(1), Reply::Integer(2)]), Reply::Integer(2));
}

/// In the first of two masters, and in the second.
const LOW: u16 = 0;
const HIGH: u16 = 1_023;

async fn connect(fake: &Arc<Fake>) -> Arc<Supervisor> {
    connect_with(fake, |_| {}).await
}

async fn connect_with(fake: &Arc<Fake>, change: impl FnOnce(&mut Settings)) -> Arc<Supervisor> {
    open(fake, change).await.expect("the fake servers answer")
}

async fn open(fake: &Arc<Fake>, change: impl FnOnce(&mut Settings)) -> Result<Arc<Supervisor>> {
    let mut settings = Settings {
        cluster: true,
        by_name: false,
        seeds: vec![fake.address(0), fake.address(1)],
        attempt: Duration::from_millis(500),
        overall: Duration::from_secs(20),
        probe: Duration::from_millis(300),
        in_flight_max: 2_000,
        members: Arc::default(),
    };
    change(&mut settings);
    start_with(settings, fake).await
}

/// The name that leads to a single server.
const NAME: &str = "store.example";

/// A supervisor of the one server behind [`NAME`].
async fn one_server(fake: &Arc<Fake>) -> Result<Arc<Supervisor>> {
    let opened = open(fake, |settings| {
        settings.cluster = false;
        settings.seeds = vec![Address::new(NAME, 6_379)];
        settings.overall = Duration::from_secs(45);
    });
    opened.await
}

async fn start_with(settings: Settings, fake: &Arc<Fake>) -> Result<Arc<Supervisor>> {
    let paper = Arc::new(Paper(Arc::clone(fake)));
    Supervisor::connect(settings, Arc::clone(&paper) as _, paper).await
}

fn call(partition: u16) -> Call {
    let mut words = script::SAVE.begin(1);
    words.word(b"key");
    Call {
        operation: "test",
        partition: Partition::new(partition).expect("a partition"),
        script: &script::SAVE,
        command: words.finish(),
        about: None,
        replicas: 0,
    }
}

fn durable(partition: u16, replicas: u8) -> Call {
    Call {
        replicas,
        ..call(partition)
    }
}

/// Who answered.
fn by(answer: Result<Answer>) -> String {
    match answer.expect("an answer").reply {
        Reply::Status(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_server_that_has_the_partition() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    assert_eq!(by(supervisor.run(call(HIGH)).await), "1");
    assert_eq!(fake.scripts_run(0), 1, "one request per call");
    assert_eq!(fake.connections(0), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_at_once_and_learnt() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    // The topology says the same, or a look at it in between would take the redirect back.
    fake.promote(0, 1);
    fake.set(0, Behaviour::Refuse(format!("MOVED 8 {}", fake.address(1))));
    let start = Instant::now();
    assert_eq!(by(supervisor.run(call(LOW)).await), "1");
    assert!(start.elapsed() < Duration::from_millis(5), "without a pause");
    let asked = fake.scripts_run(0);
    assert_eq!(by(supervisor.run(call(LOW)).await), "1");
    assert_eq!(fake.scripts_run(0), asked, "the second call knows where to go");
}

#[tokio::test(start_paused = true)]
async fn redirects_in_a_circle_end_at_the_deadline() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.set(0, Behaviour::Refuse(format!("MOVED 8 {}", fake.address(1))));
    fake.set(1, Behaviour::Refuse(format!("MOVED 8 {}", fake.address(0))));
    let start = Instant::now();
    let error = supervisor.run(call(LOW)).await.expect_err("nobody has it");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        (19..=21).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
    let attempts = fake.scripts_run(0) + fake.scripts_run(1);
    assert!(attempts < 2_000, "{attempts} attempts in 20 s");
}

#[tokio::test(start_paused = true)]
async fn to_ask_is_not_to_learn() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.set(0, Behaviour::Refuse(format!("ASK 8 {}", fake.address(1))));
    assert_eq!(by(supervisor.run(call(LOW)).await), "1 asking");
    assert_eq!(by(supervisor.run(call(LOW)).await), "1 asking");
    assert_eq!(fake.scripts_run(0), 2, "each call begins where the slot is");
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_tried_again() {
    for line in ["TRYAGAIN x", "READONLY x", "BUSY x", "NOREPLICAS x", "MISCONF x"] {
        let fake = Fake::two_masters();
        let supervisor = connect(&fake).await;
        fake.set(0, Behaviour::Refuse(line.to_owned()));
        let running = tokio::spawn(async move { supervisor.run(call(LOW)).await });
        // sleep: time passes on the paused clock alone, and the refusal lasts for a second of it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let attempts = fake.scripts_run(0);
        assert!(
            (3..=60).contains(&attempts),
            "{line}: {attempts} attempts in a second"
        );
        fake.set(0, Behaviour::Answer);
        assert_eq!(by(running.await.expect("no panic")), "0", "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_serves_nobody_is_waited_for() {
    for line in ["LOADING x", "MASTERDOWN x"] {
        let fake = Fake::two_masters();
        let supervisor = connect(&fake).await;
        fake.set(0, Behaviour::Refuse(line.to_owned()));
        let calls = (0..500).map(|_| {
            let supervisor = Arc::clone(&supervisor);
            tokio::spawn(async move { supervisor.run(call(LOW)).await })
        });
        let calls: Vec<_> = calls.collect();
        // sleep: time passes on the paused clock alone, and the server loads for four seconds of it.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let attempts = fake.scripts_run(0);
        assert!(attempts < 2_000, "{line}: {attempts} attempts of 500 calls");
        fake.set(0, Behaviour::Answer);
        let healed = Instant::now();
        for answer in join_all(calls).await {
            assert_eq!(by(answer.expect("no panic")), "0");
        }
        assert!(
            healed.elapsed() < Duration::from_secs(1),
            "{line}: {:?}",
            healed.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_told_at_once() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    for (line, kind, scripts) in [
        ("WRONGTYPE x", ErrorKind::Corrupt, 1),
        // The script has a second form for a server that is out of memory.
        ("OOM x", ErrorKind::Overloaded, 2),
        ("NOPERM x", ErrorKind::InvalidArgument, 1),
        ("RINGHOLD_FORMAT 9", ErrorKind::Unsupported, 1),
    ] {
        fake.set(0, Behaviour::Refuse(line.to_owned()));
        let before = fake.scripts_run(0);
        let error = supervisor.run(call(LOW)).await.expect_err(line);
        let run = fake.scripts_run(0) - before;
        assert_eq!((error.kind(), run), (kind, scripts), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_that_is_not_known_is_sent_whole() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.forget_scripts(0);
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    assert_eq!((fake.scripts_run(0), fake.sources_run(0)), (2, 1));
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    assert_eq!(fake.sources_run(0), 1, "then it is known");
}

#[tokio::test(start_paused = true)]
async fn a_hung_server_holds_up_its_own_callers_only() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.set(0, Behaviour::Hang);
    let stuck: Vec<_> = (0..1_000)
        .map(|_| {
            let supervisor = Arc::clone(&supervisor);
            tokio::spawn(async move { supervisor.run(call(LOW)).await })
        })
        .collect();
    for _ in 0..400 {
        let start = Instant::now();
        assert_eq!(by(supervisor.run(call(HIGH)).await), "1");
        assert!(
            start.elapsed() < Duration::from_millis(5),
            "{:?}",
            start.elapsed()
        );
        // sleep: time passes on the paused clock alone.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let attempts = fake.scripts_run(0);
    assert!(
        attempts <= 2_000,
        "{attempts} attempts of 1,000 calls at a server that hangs"
    );
    let topologies = fake.topologies(1);
    assert!(
        (10..=80).contains(&topologies),
        "{topologies} looks at the topology in 4 s"
    );

    fake.promote(0, 2);
    let promoted = Instant::now();
    for answer in join_all(stuck).await {
        assert_eq!(by(answer.expect("no panic")), "2");
    }
    assert!(
        promoted.elapsed() < Duration::from_millis(500),
        "{:?}",
        promoted.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_does_not_count() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.set(0, Behaviour::Late(Duration::from_millis(600)));
    let running = {
        let supervisor = Arc::clone(&supervisor);
        tokio::spawn(async move { supervisor.run(call(LOW)).await })
    };
    // sleep: time passes on the paused clock alone; the answers of two seconds are all late.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!running.is_finished(), "an answer after the deadline was taken");
    fake.set(0, Behaviour::Answer);
    assert_eq!(by(running.await.expect("no panic")), "0");
}

#[tokio::test(start_paused = true)]
async fn broken_links_are_made_anew_once() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    let before = fake.connections(0);
    fake.break_links(0);
    let calls = (0..1_000).map(|_| supervisor.run(call(LOW)));
    for answer in join_all(calls).await {
        assert_eq!(by(answer), "0");
    }
    let made = fake.connections(0) - before;
    assert!((1..=3).contains(&made), "{made} connections for 1,000 callers");
}

#[tokio::test(start_paused = true)]
async fn too_many_calls_on_a_shard_are_refused_at_once() {
    let fake = Fake::two_masters();
    let supervisor = connect_with(&fake, |settings| settings.in_flight_max = 10).await;
    fake.set(0, Behaviour::Hang);
    let stuck: Vec<_> = (0..10)
        .map(|_| {
            let supervisor = Arc::clone(&supervisor);
            tokio::spawn(async move { supervisor.run(call(LOW)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let start = Instant::now();
    let error = supervisor.run(call(LOW)).await.expect_err("ten are under way");
    assert_eq!(
        (error.kind(), start.elapsed()),
        (ErrorKind::Overloaded, Duration::ZERO)
    );
    assert_eq!(
        by(supervisor.run(call(HIGH)).await),
        "1",
        "another shard has room"
    );
    stuck.iter().for_each(tokio::task::JoinHandle::abort);
    join_all(stuck).await;
    fake.set(0, Behaviour::Answer);
    assert_eq!(
        by(supervisor.run(call(LOW)).await),
        "0",
        "what was dropped has given its place back"
    );
}

#[tokio::test(start_paused = true)]
async fn writes_share_a_wait_and_nobody_else_waits() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "0");
    let calls = (0..100).map(|_| supervisor.run(durable(LOW, 1)));
    for answer in join_all(calls).await {
        let answer = answer.expect("an answer");
        assert_eq!(answer.replicated, 1);
    }
    let waits = fake.waits(0);
    assert!(
        (1..=3).contains(&waits),
        "{waits} times WAIT for 100 writes at once"
    );
    assert_eq!(
        fake.shared_waits(0),
        0,
        "WAIT stands behind scripts in one pipeline, on a link of its own"
    );
}

#[tokio::test(start_paused = true)]
async fn replicas_that_are_gone_are_not_waited_for() {
    let fake = Fake::two_masters();
    fake.set_replicas(0, 0);
    let supervisor = connect(&fake).await;
    let answer = supervisor.run(durable(LOW, 2)).await.expect("an answer");
    assert_eq!((answer.replicated, fake.waits(0)), (0, 0));
    // The second master has one replica; two are asked for.
    let answer = supervisor.run(durable(HIGH, 2)).await.expect("an answer");
    assert_eq!((answer.replicated, fake.waited_for(1)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_hangs_recovers() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    assert_eq!(by(supervisor.run(durable(LOW, 1)).await), "0");
    fake.set(0, Behaviour::Hang);
    let running = {
        let supervisor = Arc::clone(&supervisor);
        tokio::spawn(async move { supervisor.run(durable(LOW, 1)).await })
    };
    // sleep: time passes on the paused clock alone; the server hangs for three seconds of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    fake.set(0, Behaviour::Answer);
    let answer = running.await.expect("no panic").expect("an answer");
    assert_eq!(answer.replicated, 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_told_without_a_retry() {
    let fake = Fake::two_masters();
    fake.deny();
    let settings = Settings {
        cluster: true,
        by_name: false,
        seeds: vec![fake.address(0)],
        attempt: Duration::from_millis(500),
        overall: Duration::from_secs(20),
        probe: Duration::from_millis(300),
        in_flight_max: 10,
        members: Arc::default(),
    };
    let start = Instant::now();
    let error = start_with(settings, &fake).await.expect_err("a wrong password");
    assert_eq!(
        (error.kind(), start.elapsed()),
        (ErrorKind::InvalidArgument, Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_minority_talks_nobody_back() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.promote(0, 2);
    // The deposed master goes on answering, and takes itself for the master.
    fake.keep_old_view(0);
    // sleep: time passes on the paused clock alone, in which the topology is looked at.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(by(supervisor.run(call(LOW)).await), "2");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_last_handle() {
    let fake = Fake::two_masters();
    let supervisor = connect(&fake).await;
    fake.set(0, Behaviour::Hang);
    let _ = tokio::time::timeout(Duration::from_secs(1), supervisor.run(call(LOW))).await;
    drop(supervisor);
    // sleep: time passes on the paused clock alone, for tasks to notice.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        Arc::strong_count(&fake),
        1,
        "a task goes on without its supervisor"
    );
}

#[test]
fn its_tasks_outlive_the_runtime_of_a_caller() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().expect("a thread")
    };
    let (own, callers) = (runtime(), runtime());
    let fake = Fake::two_masters();
    let supervisor = own.block_on(connect(&fake));
    let answer = callers.block_on(supervisor.run(durable(LOW, 1)));
    assert_eq!(answer.expect("an answer").replicated, 1);
    callers.shutdown_background();
    let answer = own.block_on(supervisor.run(durable(LOW, 1)));
    assert_eq!(answer.expect("an answer").replicated, 1);
}
